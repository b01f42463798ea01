"""Lets a fast clock move for clients that poll.

Under a fast clock time stands still unless somebody waits for something. A client that asks the same again and again, until
the answer is the one it hopes for, waits too: when it repeats a question and nobody has changed anything since, half
a second passes before the answer. What passes depends on the requests alone, not on real time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from cnmsim.api.message import Request

#: Seconds of virtual time for which a repeated question waits.
STEP_S = 0.5
_REMEMBERED = 64
#: What time alone may answer otherwise: the state, output and processes of containers and execs; what the managers of a
#: swarm do of themselves (`docker service create` asks for service, tasks and nodes until the service has converged);
#: networks, as swarms make and remove them; and the engine's own state in its swarm.
_QUESTION = re.compile(
    r"GET (/containers/json|/containers/[^/]+/(json|logs|top)|/exec/[^/]+/json"
    r"|/(tasks|services|nodes|networks)(/[^/]+)?|/(services|tasks)/[^/]+/logs|/swarm|/info)\Z"
)
_TRIAL = re.compile(r"POST /containers/[^/]+/exec\Z")
_PART_OF_TRIAL = re.compile(r"POST /exec/[^/]+/(start|resize)\Z")


@define
class Polling:
    """The questions one engine was asked since something was last changed."""

    _questions: set[str] = field(factory=set, init=False)

    def is_repeated(self, request: Request) -> bool:
        """Take note of a request, and tell whether it repeats a question.

        Running the same command in a container again is a question too; whatever else is no GET or HEAD is a change.
        """
        name = f"{request.method} {request.path}"
        if _TRIAL.match(name):
            key = f"{name} {request.body!r}"
        elif _QUESTION.match(name) and not request.flag("follow"):
            key = f"{name} {sorted(request.query.items())}"
        else:
            if request.method not in ("GET", "HEAD") and not _PART_OF_TRIAL.match(name):
                self._questions.clear()
            return False
        is_repeated = key in self._questions
        if is_repeated or len(self._questions) >= _REMEMBERED:
            self._questions.clear()
        self._questions.add(key)
        return is_repeated
