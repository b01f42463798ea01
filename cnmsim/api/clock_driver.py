"""Drives a lab's virtual clock under asyncio: in step with real time, from event to event, or only on demand.

No other code runs the clock. The driver runs it in slices that are short enough for clients to be answered promptly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from cnmsim.api.client_time import ClientTime
from cnmsim.kernel.clock import EPOCH_S, NS_PER_S

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.task import Future
    from cnmsim.lab.serving import ClockMode

T = TypeVar("T")
_log = logging.getLogger(__name__)
_SLICE_S = 0.01
_LONGEST_DELAY_S = 0.25
#: The last second, since 1970, that Go's int64 nanoseconds hold (in 2262): events carry their time so (`timeNano`).
END_S = (1 << 63) // NS_PER_S - 1
_AHEAD_NS = 1_000_000
#: A lab whose clock is at most this far ahead of the machine's began at the machine's time of day, in seconds.
_BUILD_S = 600


class ClockDriver:
    """Drives a lab's virtual clock in one of three modes.

    - `real`: virtual time keeps step with real time, whether clients are connected or not.
    - `fast`: virtual time keeps step with real time; while an operation waits for something in the lab, virtual time
      jumps from event to event.
    - `paused`: virtual time stands still; while an operation waits for something in the lab, virtual time jumps from
      event to event. Exception: while a program waits for input, or a client watches output, virtual time keeps step
      with real time.
    """

    def __init__(self, clock: Clock, mode: ClockMode) -> None:
        self.clock = clock
        self.mode = mode
        self.client_time = ClientTime(clock)
        self._fast_predicates: dict[object, Callable[[], bool]] = {}
        self._realtime_predicates: dict[object, Callable[[], bool]] = {}
        self._wake = asyncio.Event()
        self._anchor: tuple[float, int] | None = None

    @property
    def jumps(self) -> bool:
        """Whether virtual time may jump to the next event while an operation waits for something in the lab.

        True for the modes `fast` and `paused`, False for `real`.
        """
        return self.mode != "real"

    def begin(self) -> None:
        """Start the clock. If the lab has no start time of its own, its time of day is set to the machine's."""
        clock, now = self.clock, time.time()
        # Clients compare timestamps with their own clock. Building the lab may have taken virtual time.
        if clock.epoch_s == EPOCH_S or (self.mode != "paused" and now < clock.epoch_s + clock.now < now + _BUILD_S):
            clock.epoch_s = int(now - clock.now)
            if self.mode != "paused":
                self._anchor = (time.monotonic() - (now - clock.epoch_s - clock.now), clock.now_ns)
        self.client_time.note()
        self.run_ready()

    def run_ready(self) -> None:
        """Run the work that is due now in virtual time, and wake the driver to check whether time may pass."""
        self.clock.run_ready()
        self._wake.set()

    def run_fast(self, predicate: Callable[[], bool] = lambda: True) -> AbstractContextManager[None]:
        """While a `with` block lasts, advance time to the next event at once whenever `predicate()` is True.

        With the clock mode `real` it has no effect.
        """
        return self._registered(self._fast_predicates, predicate)

    def run_realtime(self, predicate: Callable[[], bool]) -> AbstractContextManager[None]:
        """While a `with` block lasts, let a paused clock keep step with real time whenever `predicate()` is True.

        Has no effect while an operation makes the clock jump from event to event (`run_fast`).
        """
        return self._registered(self._realtime_predicates, predicate)

    @contextlib.contextmanager
    def _registered(
        self, predicates: dict[object, Callable[[], bool]], predicate: Callable[[], bool]
    ) -> Iterator[None]:
        key = object()
        predicates[key] = predicate
        self._wake.set()
        try:
            yield
        finally:
            del predicates[key]

    @property
    def _end_ns(self) -> int:
        """The latest virtual time, in nanoseconds, to which the clock may jump."""
        return (END_S - self.clock.epoch_s) * NS_PER_S

    async def wait(self, future: Future[T], predicate: Callable[[], bool] = lambda: True) -> T:
        """Wait under asyncio until a future of the lab is done. Return its result or raise its error.

        During the wait, virtual time jumps to the next event whenever `predicate()` is True, unless the mode is
        `real`.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell(_: Future[T]) -> None:
            if not done.done():
                done.set_result(None)

        future.add_done_callback(tell)
        with self.run_fast(lambda: not future.is_done and predicate()):
            self.run_ready()
            await done
        return future.result()

    def event(self) -> asyncio.Event:
        """Return a new `asyncio.Event`. `LabClockDriver.event` is its counterpart for handlers inside the lab."""
        return asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait for this many seconds of real time."""
        await asyncio.sleep(seconds)

    async def first_of(self, *waits: Coroutine[Any, Any, None]) -> None:
        """Run coroutines until one is done, and cancel the others. If one raised an error, raise that error."""
        await first_of(*waits)

    async def run(self) -> None:
        """Drive the clock until this coroutine is cancelled."""
        while True:
            try:
                self.client_time.note()
                delay_s = self._advance_fast() if self.jumps else self._advance_real()
            except Exception:  # noqa: BLE001 - a failed piece of the lab's work must not stop the lab; it is logged
                _log.exception(
                    "work of the lab failed at %.6f s; the lab goes on without it", self.clock.now_ns / 1e9
                )
                delay_s = 0
            self.client_time.note()
            if delay_s == 0:
                await asyncio.sleep(0)
                continue
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._wake.wait()

    def _advance_fast(self) -> float | None:
        """Run events of the lab for one slice of real time.

        While an operation waits for something in the lab, virtual time jumps from event to event. Return the real
        delay in seconds until the next slice, or `None` to sleep until the driver is woken.
        """
        deadline = time.monotonic() + _SLICE_S
        while any(predicate() for predicate in tuple(self._fast_predicates.values())):
            self._anchor = None
            if (self.clock.next_event_ns() or 0) > self._end_ns or not self.clock.step():
                return _LONGEST_DELAY_S
            if time.monotonic() > deadline:
                return 0
        if self.mode == "fast" or any(predicate() for predicate in tuple(self._realtime_predicates.values())):
            return self._advance_real()
        self._anchor = None
        return None

    def _advance_real(self) -> float:
        now = time.monotonic()
        if self._anchor is None:
            self._anchor = (now, self.clock.now_ns)
        started, started_ns = self._anchor
        if self.clock.now_ns > started_ns + int((now - started) * 1e9) + _AHEAD_NS:
            # Time has been advanced by other means. It does not stand still until real time has caught up.
            self._anchor = started, started_ns = now, self.clock.now_ns
        target_ns = started_ns + int((now - started) * 1e9)
        deadline = now + _SLICE_S
        late = False

        def over() -> bool:
            nonlocal late
            late = time.monotonic() > deadline
            return late

        self.clock.run(max(target_ns, self.clock.now_ns) / 1e9, stop=over)
        if late:
            return 0
        due = self.clock.next_event_ns()
        if due is None:
            return _LONGEST_DELAY_S
        return min(max((due - target_ns) / 1e9, 0.0005), _LONGEST_DELAY_S)


async def first_of(*waits: Awaitable[Any]) -> None:
    """Run awaitables until one is done, and cancel the others. If one of them raised an error, raise that error."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error
