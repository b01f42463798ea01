"""Retries and timeouts of plugin calls.

A plugin is a process of the real machine, so its calls take real time. The lab's virtual time stands still meanwhile,
so that the speed of a plugin never changes a lab's outcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import field, frozen


class WaitClock(Protocol):
    """A clock that can be waited on."""

    def now(self) -> float:
        """Return the time in seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""


class RealTime:
    """The machine's own clock."""

    @staticmethod
    def now() -> float:
        """Return the time in seconds, from an arbitrary origin."""
        return time.monotonic()

    @staticmethod
    def sleep(seconds: float) -> None:
        """Wait for so many seconds."""
        time.sleep(seconds)


@frozen
class PluginPolicy:
    """When a failed plugin call is retried, and when it is given up.

    After a failure to find or to call a plugin, the engine waits 1, 2, 4, 8, … (at most 30) seconds and retries. It
    gives up when a wait would end `give_up_s` seconds or more after the first attempt; 0 disables retries. Docker's
    value 30 makes five attempts in 15 seconds. `timeout_s` limits the wait for each response; Docker has no limit
    (`None`), which here would block the whole lab. `reply_limit` is the largest response in bytes. `time` is the
    clock to wait on; tests use their own.
    """

    give_up_s: float = 30.0
    timeout_s: float | None = 30.0
    reply_limit: int = 16 << 20
    time: WaitClock = field(factory=RealTime)

    def pauses(self) -> Iterator[float]:
        """Yield the seconds to wait before each retry, until it is time to give up (moby `backoff` and `abort`)."""
        started = self.time.now()
        pause = 1.0
        while pause + self.time.now() - started < self.give_up_s:
            yield pause
            pause = min(2 * pause, 30.0)

    def pause(self, seconds: float, run: Callable[[Callable[[], None]], None]) -> None:
        """Wait for some seconds on the policy's clock.

        The waiting is done by `run`: its argument is a function that blocks so long, which it calls, e.g. in a
        thread.
        """
        run(lambda: self.time.sleep(seconds))
