"""Services of a host that systemd manages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import define


@define(eq=False)
class Unit:
    """A service. `started_ns` is the virtual time of its last start, in nanoseconds.

    `restart` stops the service and starts it again; it raises `OSError` with the reason if the service does not
    start.
    """

    name: str
    description: str
    command: str
    main_pid: Callable[[], int]
    restart: Callable[[], Awaitable[None]]
    started_ns: int
