"""The health of a running container: its status and the results of its last health checks.

Source: moby `daemon/container/health.go`, `daemon/health.go`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field

_KEPT_RESULTS = 5


@define(eq=False)
class Health:
    """The result of a container's health checks so far.

    `status` is "starting", "healthy" or "unhealthy"; `results` are the last checks as the API prints them.
    `failing_streak` is the number of failed checks since the last passed one. `undecided` is the reason why the
    simulation cannot run the check's command, or "". The functions in `watchers` are called once, at the next change
    of `status`. `stop_monitor` is the function that ends the checks.
    """

    stop_monitor: Callable[[], None] = field(repr=False)
    status: str = "starting"
    failing_streak: int = 0
    results: deque[dict[str, Any]] = field(factory=lambda: deque(maxlen=_KEPT_RESULTS))
    #: Why the simulation cannot decide the check, "" if it can.
    undecided: str = ""
    watchers: list[Callable[[], object]] = field(factory=list, repr=False)

    def end(self) -> None:
        """Stop the health checks, and set the status to "unhealthy". Called when the container has stopped."""
        self.stop_monitor()
        self.status = "unhealthy"

    def notify_watchers(self) -> None:
        """Call the functions in `watchers`, and drop them, because `status` has changed."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher()

    def view(self) -> dict[str, Any]:
        """Return the state's `Health` as the API prints it."""
        return {"Status": self.status, "FailingStreak": self.failing_streak, "Log": list(self.results)}
