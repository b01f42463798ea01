"""How long an engine bears with its plugins.

A plugin is a process of the real machine, so what it takes is real time. The lab's virtual time stands still
meanwhile: how fast a plugin is never changes what a lab does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import field, frozen


class WaitClock(Protocol):
    """A clock to wait on."""

    def now(self) -> float:
        """Give the time in seconds."""

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""


class RealTime:
    """The machine's own clock."""

    @staticmethod
    def now() -> float:
        """Give the time in seconds, from a beginning that means nothing."""
        return time.monotonic()

    @staticmethod
    def sleep(seconds: float) -> None:
        """Let so many seconds pass."""
        time.sleep(seconds)


@frozen
class PluginPolicy:
    """When to try again, and when to give up.

    `give_up_s`: after a plugin was not found or did not answer, an engine waits 1, 2, 4, 8, … seconds and tries again, as
    long as that ends before so many seconds since the first try; 0 tries once. Docker's is 30, which makes five tries in 15
    seconds. `timeout_s` bounds each answer; Docker waits for ever (`None`), and so does everyone else of the lab meanwhile,
    since an engine here does one thing at a time. `reply_limit` is the most bytes of an answer that are read. `time` is
    what is waited on; tests bring their own.
    """

    give_up_s: float = 30.0
    timeout_s: float | None = 30.0
    reply_limit: int = 16 << 20
    time: WaitClock = field(factory=RealTime)

    def pauses(self) -> Iterator[float]:
        """Give the pauses between tries, until it is time to give up (moby `backoff` and `abort`)."""
        started = self.time.now()
        pause = 1.0
        while pause + self.time.now() - started < self.give_up_s:
            yield pause
            pause = min(2 * pause, 30.0)

    def pause(self, seconds: float, run: Callable[[Callable[[], None]], None]) -> None:
        """Wait, with `run` doing the waiting."""
        run(lambda: self.time.sleep(seconds))
