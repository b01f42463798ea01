"""The clients that are attached to containers or wait for their exit, and whether the clock may skip ahead for them.

With the clock modes `fast` and `paused`, virtual time skips to the next event while a client waits for an exit. Time
does not skip for a client that only watches output: otherwise an idle container would run through days of virtual
time at once. `docker run` in the foreground attaches before the start, and waits. `docker attach` also sends a wait
request, but only to obtain the exit status. For `docker run -it` time does not skip ahead while the shell waits for
input.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container


Ready = Callable[[], bool]


@define
class AttachedClients:
    """The clients of one engine that are attached to containers or wait for their exit, by container id."""

    _runners: dict[str, list[Ready]] = field(factory=dict, init=False)
    _viewers: dict[str, list[Ready]] = field(factory=dict, init=False)
    _waiters: dict[str, list[Ready]] = field(factory=dict, init=False)

    @contextlib.contextmanager
    def attached(self, container: Container, is_ready: Ready) -> Iterator[None]:
        """Register a client as attached to a container while a `with` block lasts.

        If the container does not run yet, the client is assumed to be about to start it (a runner), else to be a
        viewer. `is_ready` is a function that returns True if the client has read most of its output and can be sent
        more.
        """
        with _listed(self._viewers if container.is_running else self._runners, container.id, is_ready):
            yield

    @contextlib.contextmanager
    def waiting(self, container: Container) -> Iterator[None]:
        """Register a client that waits for the container's exit, while a `with` block lasts."""
        with _listed(self._waiters, container.id, bool):
            yield

    def should_advance(self, container: Container, *, has_lasted: bool) -> bool:
        """Return True if virtual time may skip to the next event for the clients that wait for a container's exit.

        `has_lasted` is True once the wait request that the caller answers has lasted for a minimum of real time: the
        request of `docker run -d` has normally ended by then.
        """
        runners, viewers = self._runners.get(container.id, []), self._viewers.get(container.id, [])
        streams = container.streams
        if (runners or viewers) and streams is not None and streams.stdin.is_awaited:
            return False
        if not all(is_ready() for is_ready in runners):
            return False
        if runners and container.is_running:
            return True
        return has_lasted and len(self._waiters.get(container.id, [])) > len(viewers)


@contextlib.contextmanager
def _listed(lists: dict[str, list[Ready]], key: str, entry: Ready) -> Iterator[None]:
    entries = lists.setdefault(key, [])
    entries.append(entry)
    try:
        yield
    finally:
        entries.remove(entry)
        if not entries:
            del lists[key]
