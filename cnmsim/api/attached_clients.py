"""Who is attached to a container, and who waits for its end: what a fast clock has to know.

Waiting for an end makes time pass; looking on does not, or an idle container would be rushed through its days.
`docker run` in the foreground attaches before the start and waits: that is waiting. `docker attach` waits too, but only to
learn the exit status of what it looks at; nor does `docker run -it` hurry while the shell waits for what its user types.
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
    """The clients of one engine that are attached to containers or wait for their end, by the containers' ids."""

    _runners: dict[str, list[Ready]] = field(factory=dict, init=False)
    _viewers: dict[str, list[Ready]] = field(factory=dict, init=False)
    _waiters: dict[str, list[Ready]] = field(factory=dict, init=False)

    @contextlib.contextmanager
    def attached(self, container: Container, is_ready: Ready) -> Iterator[None]:
        """Count a client as attached: one that runs the container, if it has yet to start, else one that looks on.

        `is_ready` tells whether it has read enough of what it was sent to be sent more.
        """
        with _listed(self._viewers if container.is_running else self._runners, container.id, is_ready):
            yield

    @contextlib.contextmanager
    def waiting(self, container: Container) -> Iterator[None]:
        """Count a client that waits for the end."""
        with _listed(self._waiters, container.id, bool):
            yield

    def should_advance(self, container: Container, *, has_lasted: bool) -> bool:
        """Tell whether time may jump for one who waits for the end of `container`; `has_lasted`: for a while already."""
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
