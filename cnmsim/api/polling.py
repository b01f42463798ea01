"""Lets virtual time pass for clients that poll.

With the clock modes `fast` and `paused`, virtual time jumps to the next event while an operation waits. A client that
repeats a request until it gets the expected answer waits, too. Before a request that repeats an earlier one is
answered, half a second of virtual time passes, unless something was changed since the earlier one. How much time
passes depends on the requests only, not on real time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from cnmsim.api.message import Request

#: Seconds of virtual time that pass before the answer to a repeated request.
STEP_S = 0.5
_REMEMBERED = 64
#: Requests whose answer may change merely because time passes: the state, output and processes of containers and
#: execs; the objects that the managers of a swarm change (`docker service create` polls service, tasks and nodes
#: until the service has converged); networks, which swarms create and remove; and the engine's own state in its
#: swarm.
_POLLED = re.compile(
    r"GET (/containers/json|/containers/[^/]+/(json|logs|top)|/exec/[^/]+/json"
    r"|/(tasks|services|nodes|networks)(/[^/]+)?|/(services|tasks)/[^/]+/logs|/swarm|/info)\Z"
)
_EXEC_CREATE = re.compile(r"POST /containers/[^/]+/exec\Z")
_EXEC_START = re.compile(r"POST /exec/[^/]+/(start|resize)\Z")


@define
class Polling:
    """The requests that one engine received since the last request that changed something."""

    _repeatable: set[str] = field(factory=set, init=False)

    def is_repeated(self, request: Request) -> bool:
        """Record a request. Return True if it repeats an earlier one, i.e. the client polls.

        An exec of the same command in the same container counts as a repetition, too. Any other request whose method
        is neither GET nor HEAD, except the start of an exec, may change something: after it no earlier request counts
        as repeated.
        """
        name = f"{request.method} {request.path}"
        if _EXEC_CREATE.match(name):
            key = f"{name} {request.body!r}"
        elif _POLLED.match(name) and not request.flag("follow"):
            key = f"{name} {sorted(request.query.items())}"
        else:
            if request.method not in ("GET", "HEAD") and not _EXEC_START.match(name):
                self._repeatable.clear()
            return False
        is_repeated = key in self._repeatable
        if is_repeated or len(self._repeatable) >= _REMEMBERED:
            self._repeatable.clear()
        self._repeatable.add(key)
        return is_repeated
