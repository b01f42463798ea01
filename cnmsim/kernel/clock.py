"""Virtual time: a queue of calls that are due now, a heap of later instants, and seeded randomness.

Nothing here reads the machine's clock. Calls run in the order (time, order of scheduling), so that two runs of one
lab are identical.

A call is run with the observer (`Clock.context`) that was current when the call was scheduled. So a trace of one
packet also receives all events that the packet causes, in every namespace, across links and timers.
"""

from __future__ import annotations

import gc
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define

if TYPE_CHECKING:
    from cnmsim.kernel.events import FlowMeter, Observer

T = TypeVar("T")
#: A call that cannot be cancelled: function, arguments, context.
_Call = tuple[Callable[..., Any], tuple[Any, ...], "Observer | None"]
NS_PER_S = 1_000_000_000
#: The time of day at virtual time zero, in seconds since 1970: 2026-01-01T00:00:00Z.
EPOCH_S = 1_767_225_600

_NEVER_NS = 1 << 62
#: Cancelled timers are removed each time this many new timers were created.
_SWEEP_INTERVAL = 4096
#: The maximum number of calls in one instant; more indicate an endless loop. The busiest instant of
#: bench/setup_hosts.py has 10,201.
_LARGEST_INSTANT = 1_000_000
#: The garbage collector's threshold for the youngest generation of objects while the clock runs.
_GC_THRESHOLD = 50_000


class EndlessInstantError(RuntimeError):
    """Raised if too many calls run at one instant: a program or callback keeps scheduling calls without waiting."""


@define(eq=False)
class Timer:
    """A scheduled call that can be cancelled."""

    when_ns: int
    call: Callable[..., Any] | None
    args: tuple[Any, ...]
    context: Observer | None

    def cancel(self) -> None:
        """Cancel the call. Does nothing if it has run or was cancelled."""
        self.call = None

    @property
    def is_pending(self) -> bool:
        """Whether the call has neither run nor been cancelled."""
        return self.call is not None


class Clock:
    """The virtual clock of a lab; all machines share it.

    `now_ns` is virtual time in whole nanoseconds since the lab began. `context` is the observer that is notified of
    the events of the current call, or `None` if these are not observed. `meter` counts the packets of measured flows;
    it is `None` while no such flow runs. `epoch_s` is the time of day at which the lab began, in seconds since 1970.
    `registry` holds, by name, objects that all parts of the lab share.
    """

    __slots__ = (
        "_horizon_ns", "_instants", "_later", "_ready", "_repeats", "_timer_count", "context", "epoch_s", "meter",
        "now_ns", "registry", "seed",
    )  # fmt: skip

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.now_ns = 0
        self.epoch_s = EPOCH_S
        self.context: Observer | None = None
        self.meter: FlowMeter | None = None
        self._ready: deque[_Call] = deque()
        self._instants: list[int] = []
        self._later: dict[int, list[_Call | Timer]] = {}
        self._timer_count = 0
        #: The number of successive rounds of due calls that did not advance the time.
        self._repeats = 0
        #: The virtual time before which the caller of `run` does not regain control; -1 if it may after any instant.
        self._horizon_ns = -1
        self.registry: dict[str, Any] = {}

    @property
    def now(self) -> float:
        """Virtual time in seconds since the lab began."""
        return self.now_ns / NS_PER_S

    @property
    def wall_s(self) -> float:
        """Virtual time of day, in seconds since 1970."""
        return self.epoch_s + self.now_ns / NS_PER_S

    @property
    def unix_ns(self) -> int:
        """Virtual time of day, in whole nanoseconds since 1970."""
        return self.epoch_s * NS_PER_S + self.now_ns

    @property
    def unix_s(self) -> int:
        """Virtual time of day, in seconds since 1970, rounded down (the float `wall_s` may be rounded up)."""
        return self.epoch_s + self.now_ns // NS_PER_S

    @property
    def observes_drops(self) -> bool:
        """Whether a dropped packet must be reported now: to an observer, or to the meter of measured flows."""
        return self.context is not None or self.meter is not None

    def stream(self, name: str) -> random.Random:
        """Return a new random generator, seeded with the lab's seed and `name`.

        Each part of a lab uses a generator with a name of its own, so that its random numbers do not depend on how
        many the other parts draw.
        """
        return random.Random(f"{self.seed}/{name}")  # noqa: S311 - a simulation, not a secret

    def call_soon(self, call: Callable[..., Any], *args: Any) -> None:
        """Run `call(*args)` at this instant, after the calls already scheduled for it."""
        self._ready.append((call, args, self.context))

    def call_later(self, delay_s: float, call: Callable[..., Any], *args: Any) -> Timer:
        """Run `call(*args)` after `delay_s` seconds of virtual time (negative counts as zero)."""
        return self.call_at_ns(self.now_ns + max(0, round(delay_s * NS_PER_S)), call, *args)

    def call_at_ns(self, when_ns: int, call: Callable[..., Any], *args: Any) -> Timer:
        """Run `call(*args)` at the virtual time `when_ns`, in nanoseconds."""
        timer = Timer(when_ns, call, args, self.context)
        self._timer_count += 1
        if self._timer_count % _SWEEP_INTERVAL == 0:
            self._sweep()
        self._schedule(when_ns, timer)
        return timer

    def post_at_ns(self, when_ns: int, call: Callable[..., Any], *args: Any) -> None:
        """Run `call(*args)` at the virtual time `when_ns`, in nanoseconds. The call cannot be cancelled."""
        self._schedule(when_ns, (call, args, self.context))

    def _schedule(self, when_ns: int, call: _Call | Timer) -> None:
        calls = self._later.get(when_ns)
        if calls is None:
            self._later[when_ns] = [call]
            heapq.heappush(self._instants, when_ns)
        else:
            calls.append(call)

    def _sweep(self) -> None:
        """Remove cancelled timers from the queue, where they would otherwise stay until their scheduled time."""
        kept = {when_ns: [call for call in calls if _is_pending(call)] for when_ns, calls in self._later.items()}
        self._later = {when_ns: calls for when_ns, calls in kept.items() if calls}
        self._instants = sorted(self._later)

    @property
    def pending_count(self) -> int:
        """The number of calls scheduled for later instants."""
        return sum(_is_pending(call) for calls in self._later.values() for call in calls)

    def contexts_in_transit(self) -> Iterator[Observer]:
        """Yield the observer of each scheduled call that cannot be cancelled, such as the arrival of a frame.

        Timers of protocols and programs are skipped, and so are calls without an observer.
        """
        for _, _, context in self._ready:
            if context is not None:
                yield context
        for calls in self._later.values():
            for call in calls:
                if isinstance(call, tuple) and call[2] is not None:
                    yield call[2]

    def next_event_ns(self) -> int | None:
        """Return the virtual time of the next scheduled call, in nanoseconds, or `None` if there is none.

        If a call is due now, it is `now_ns`.
        """
        if self._ready:
            return self.now_ns
        instants = self._instants
        while instants:
            for call in self._later[instants[0]]:
                if isinstance(call, tuple) or call.call is not None:
                    return instants[0]
            del self._later[heapq.heappop(instants)]
        return None

    def is_idle_until(self, when_ns: int) -> bool:
        """Return True if the virtual time `when_ns` will be reached without any other call being run before or at it.

        This requires that no call is scheduled for `when_ns` or earlier, and that `run` does not return earlier,
        because its caller could then schedule a call. Used by kernel/offload/datagram_path.py.
        """
        if when_ns > self._horizon_ns or self._ready:
            return False
        instants = self._instants
        if not instants or instants[0] > when_ns:
            return True
        next_ns = self.next_event_ns()  # skips cancelled timers
        return next_ns is None or next_ns > when_ns

    def run_ready(self) -> None:
        """Run all calls that are due at this instant, including those that they schedule for the same instant.

        If too many calls run, `EndlessInstantError` is raised in the program that the next call would resume, which
        normally ends only this program. If the next call resumes no program, `run_ready` itself raises the error.
        """
        ready = self._ready
        context_before = self.context
        try:
            for _ in repeat(None, _LARGEST_INSTANT - self._repeats):
                if not ready:
                    return
                call, args, self.context = ready.popleft()
                call(*args)
            if ready:
                self._fail_endless()
        finally:
            self.context = context_before

    def _fail_endless(self) -> None:
        """Discard the next call, and raise `EndlessInstantError` in the program that the call would have resumed.

        If the call resumes no program, raise the error here. Called if too many calls run at one instant.
        """
        self._repeats = 0
        call, _, self.context = self._ready.popleft()
        # A call that resumes a task is a method of the task or of the future that it awaits (cnmsim.kernel.task).
        find_task = getattr(getattr(call, "__self__", None), "waiting_task", None)
        task = find_task() if find_task is not None else None
        name = f"callback {getattr(call, '__qualname__', call)}" if task is None else task.description
        error = EndlessInstantError(
            f"{name} does not let time pass: the clock ran {_LARGEST_INSTANT:,} calls at {self.now:.6f} s"
        )
        if task is None:
            raise error
        task.fail(error)

    def run_isolated(self, call: Callable[[], T]) -> T:
        """Run `call()` and the calls that it schedules for this instant. Return the result of `call()`.

        Calls that were scheduled before do not run, and time does not pass. `run_isolated` may be called within a
        scheduled call.
        """
        suspended, self._ready = self._ready, deque()
        context_before, self.context = self.context, None
        horizon_ns, self._horizon_ns = self._horizon_ns, -1
        try:
            result = call()
            self.run_ready()
        finally:
            suspended.extend(self._ready)
            self._ready = suspended
            self.context = context_before
            self._horizon_ns = horizon_ns
        return result

    def run(self, until_s: float | None = None, *, stop: Callable[[], bool] | None = None) -> None:
        """Run the scheduled calls and advance virtual time until `until_s`, in seconds.

        If `until_s` is `None`, run until no call is left. Otherwise the clock is exactly at `until_s` afterwards.
        `stop()` is called after every instant; if it returns True, `run` returns at once and the clock stays at that
        instant.
        """
        until_ns = None if until_s is None else round(until_s * NS_PER_S)
        context_before, horizon_ns = self.context, self._horizon_ns
        self._horizon_ns = -1 if stop is not None else _NEVER_NS if until_ns is None else until_ns
        try:
            with rare_garbage_collection():
                self.run_ready()
                while stop is None or not stop():
                    next_ns = self.next_event_ns()
                    if next_ns is None or (until_ns is not None and next_ns > until_ns):
                        break
                    self._run_due(next_ns)
                else:
                    return
        finally:
            self.context, self._horizon_ns = context_before, horizon_ns
        if until_ns is not None and until_ns > self.now_ns:
            self.now_ns = until_ns

    def step(self) -> bool:
        """Run the calls that are due now, or else advance to the next instant and run its calls.

        Return `False` if no call is left.
        """
        if self._ready:
            self.run_ready()
            return True
        next_ns = self.next_event_ns()
        if next_ns is None:
            return False
        context_before = self.context
        try:
            self._run_due(next_ns)
        finally:
            self.context = context_before
        return True

    def run_for(self, duration_s: float, *, stop: Callable[[], bool] | None = None) -> None:
        """Run for `duration_s` seconds of virtual time, or until `stop()` returns True."""
        self.run(self.now_ns / NS_PER_S + duration_s, stop=stop)

    def _run_due(self, due_ns: int) -> None:
        if due_ns > self.now_ns:
            self.now_ns, self._repeats = due_ns, 0
        else:
            self._repeats += 1
        instants, ready, now_ns = self._instants, self._ready, self.now_ns
        while instants and instants[0] <= now_ns:
            for call in self._later.pop(heapq.heappop(instants)):
                if isinstance(call, tuple):
                    ready.append(call)
                elif call.call is not None:
                    ready.append((call.call, call.args, call.context))
                    call.call = None
        self.run_ready()


def _is_pending(call: _Call | Timer) -> bool:
    return isinstance(call, tuple) or call.call is not None


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Return a context manager that makes Python's cyclic garbage collector run less often.

    It is for code that advances time in many short steps. A large lab has many packets under way at any moment. They
    live long enough for the collector to examine them repeatedly, but they form no cycles: with the default threshold
    of 700 objects the collector would take a fifth of the time.
    """
    if not hasattr(gc, "get_threshold"):  # PyPy's collector has none
        yield
        return
    thresholds = gc.get_threshold()
    if not 0 < thresholds[0] < _GC_THRESHOLD:
        yield
        return
    gc.set_threshold(_GC_THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
