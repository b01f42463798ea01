"""Retries and timeouts of plugin calls.

A plugin is a process of the real machine, so its calls take real time. During a call the lab's virtual time does not
advance, so that the speed of a plugin never changes a lab's outcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import field, frozen


class WaitClock(Protocol):
    """The interface of a clock that can be read and on which a thread can wait."""

    def now(self) -> float:
        """Return the time in seconds."""

    def sleep(self, seconds: float) -> None:
        """Block the thread for this number of seconds."""


class RealTime:
    """The real clock of the machine on which cnmsim runs."""

    @staticmethod
    def now() -> float:
        """Return the time in seconds, from an arbitrary origin."""
        return time.monotonic()

    @staticmethod
    def sleep(seconds: float) -> None:
        """Block the thread for this number of seconds."""
        time.sleep(seconds)


@frozen
class PluginPolicy:
    """How often a failed plugin call is retried, and how long the engine waits for a response.

    After a failure to find or to call a plugin, the engine waits 1, 2, 4, 8, … (at most 30) seconds and retries. It
    gives up when a wait would end `give_up_s` seconds or more after the first attempt; 0 disables retries. With
    Docker's value 30 there are five attempts within 15 seconds. `timeout_s` limits the wait for each response. `None`
    means no limit, as in Docker, but then a plugin could block the whole lab. `reply_limit` is the largest response
    in bytes. `time` is the clock to wait on; tests use their own.
    """

    give_up_s: float = 30.0
    timeout_s: float | None = 30.0
    reply_limit: int = 16 << 20
    time: WaitClock = field(factory=RealTime)

    def pauses(self) -> Iterator[float]:
        """Yield the seconds to wait before each retry.

        The iterator ends when no more retry is due (moby `backoff`, `abort`).
        """
        started = self.time.now()
        pause = 1.0
        while pause + self.time.now() - started < self.give_up_s:
            yield pause
            pause = min(2 * pause, 30.0)

    def pause(self, seconds: float, run: Callable[[Callable[[], None]], None]) -> None:
        """Wait for `seconds` on the policy's clock.

        `run` is called with a function that blocks for this time, and must call that function, in any thread.
        """
        run(lambda: self.time.sleep(seconds))
