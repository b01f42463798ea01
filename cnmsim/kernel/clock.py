"""Virtual time: a ready-queue for work at this instant, a heap of later instants with the work of each, and seeded randomness.

Nothing here reads the machine's clock. Work runs in the order (time, order of asking), so that two runs of one
lab are identical. Every piece of work carries the *context* that was current when it was asked for: a trace that
starts with one packet thus follows whatever that packet causes, in every namespace, across links and timers.
"""

from __future__ import annotations

import gc
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define

if TYPE_CHECKING:
    from cnmsim.kernel.events import Observer
    from cnmsim.kernel.opaque_payload import PayloadStore

T = TypeVar("T")
#: What is to be called, with what, on whose behalf.
_Work = tuple[Callable[..., Any], tuple[Any, ...], "Observer | None"]
NS_PER_S = 1_000_000_000
#: The moment, in seconds since 1970, that virtual time zero stands for: 2026-01-01T00:00:00Z.
EPOCH_S = 1_767_225_600

_NEVER_NS = 1 << 62
_SWEEP = 4096
#: How many more objects there must be, while time passes, before Python looks for cycles among the newest.
_YOUNG = 50_000


@define(eq=False)
class Timer:
    """A piece of later work; `cancel` it and it never runs."""

    when_ns: int
    call: Callable[..., Any] | None
    args: tuple[Any, ...]
    context: Observer | None

    def cancel(self) -> None:
        """Take the work back. Does nothing if it has run or was cancelled."""
        self.call = None

    @property
    def is_pending(self) -> bool:
        """Whether the work is still to run."""
        return self.call is not None


class Clock:
    """The one clock of a lab.

    `now_ns` is virtual time in whole nanoseconds since the lab began. `context` is the observer on whose behalf
    work is being done at this instant, or `None`: every decision point asks this one attribute. `epoch_s` is the time of
    day, in seconds since 1970, at which the lab began. `registry` holds what the parts of one lab keep together, by name.
    """

    __slots__ = (
        "_asked",
        "_horizon_ns",
        "_instants",
        "_later",
        "_ready",
        "_sealed",
        "context",
        "epoch_s",
        "now_ns",
        "registry",
        "seed",
    )  # fmt: skip

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.now_ns = 0
        self.epoch_s = EPOCH_S
        self.context: Observer | None = None
        self._ready: deque[_Work] = deque()
        self._instants: list[int] = []
        self._later: dict[int, list[_Work | Timer]] = {}
        self._asked = 0
        #: Up to then nobody outside gets to see what the lab is like.
        self._horizon_ns = -1
        self._sealed: PayloadStore | None = None
        self.registry: dict[str, Any] = {}

    @property
    def sealed(self) -> PayloadStore:
        """The contents of the encrypted payloads that are under way in this lab."""
        if self._sealed is None:
            from cnmsim.kernel.opaque_payload import PayloadStore

            self._sealed = PayloadStore(self)
        return self._sealed

    @property
    def now(self) -> float:
        """Virtual time in seconds since the lab began."""
        return self.now_ns / NS_PER_S

    @property
    def wall_s(self) -> float:
        """Virtual time of day, in seconds since 1970."""
        return self.epoch_s + self.now_ns / NS_PER_S

    def stream(self, name: str) -> random.Random:
        """Return a generator of its own for one owner, so that another owner's draws never shift it."""
        return random.Random(f"{self.seed}/{name}")  # noqa: S311 - a simulation, not a secret

    def call_soon(self, call: Callable[..., Any], *args: Any) -> None:
        """Run `call(*args)` at this instant, after the work already waiting."""
        self._ready.append((call, args, self.context))

    def call_later(self, delay_s: float, call: Callable[..., Any], *args: Any) -> Timer:
        """Run `call(*args)` after `delay_s` seconds of virtual time (negative counts as zero)."""
        return self.call_at_ns(self.now_ns + max(0, round(delay_s * NS_PER_S)), call, *args)

    def call_at_ns(self, when_ns: int, call: Callable[..., Any], *args: Any) -> Timer:
        """Run `call(*args)` at the virtual time `when_ns`, in nanoseconds."""
        timer = Timer(when_ns, call, args, self.context)
        self._asked += 1
        if self._asked % _SWEEP == 0:
            self._sweep()
        work = self._later.get(when_ns)
        if work is None:
            self._later[when_ns] = [timer]
            heapq.heappush(self._instants, when_ns)
        else:
            work.append(timer)
        return timer

    def post_at_ns(self, when_ns: int, call: Callable[..., Any], *args: Any) -> None:
        """Run `call(*args)` at the virtual time `when_ns`, in nanoseconds; this is not to be taken back."""
        work = self._later.get(when_ns)
        if work is None:
            self._later[when_ns] = [(call, args, self.context)]
            heapq.heappush(self._instants, when_ns)
        else:
            work.append((call, args, self.context))

    def _sweep(self) -> None:
        """Forget work that was taken back: it would wait for its time to come, which under a fast clock may be never."""
        kept = {when_ns: [each for each in work if _is_wanted(each)] for when_ns, work in self._later.items()}
        self._later = {when_ns: work for when_ns, work in kept.items() if work}
        self._instants = sorted(self._later)

    @property
    def pending_count(self) -> int:
        """How many pieces of later work are to run."""
        return sum(_is_wanted(each) for work in self._later.values() for each in work)

    def next_event_ns(self) -> int | None:
        """Tell when the next work is due: `now_ns` if some waits now, `None` if there is none at all."""
        if self._ready:
            return self.now_ns
        instants = self._instants
        while instants:
            for work in self._later[instants[0]]:
                if isinstance(work, tuple) or work.call is not None:
                    return instants[0]
            del self._later[heapq.heappop(instants)]
        return None

    def is_idle_until(self, when_ns: int) -> bool:
        """Tell whether nothing but the work being done happens up to that virtual time, in nanoseconds, and nobody looks."""
        if when_ns > self._horizon_ns or self._ready:
            return False
        instants = self._instants
        if not instants or instants[0] > when_ns:
            return True
        due = self.next_event_ns()  # forgets what was taken back
        return due is None or due > when_ns

    def run_ready(self) -> None:
        """Do all the work of this instant, including what that work asks for at this instant."""
        ready = self._ready
        before = self.context
        try:
            while ready:
                call, args, self.context = ready.popleft()
                call(*args)
        finally:
            self.context = before

    def run_isolated(self, call: Callable[[], T]) -> T:
        """Do `call()`, and the work of this instant that it asks for, while whatever else waits goes on waiting.

        It may be called from within a piece of work. Time does not pass.
        """
        waiting, self._ready = self._ready, deque()
        before, self.context = self.context, None
        horizon_ns, self._horizon_ns = self._horizon_ns, -1
        try:
            result = call()
            self.run_ready()
        finally:
            waiting.extend(self._ready)
            self._ready = waiting
            self.context = before
            self._horizon_ns = horizon_ns
        return result

    def run(self, until_s: float | None = None, *, stop: Callable[[], bool] | None = None) -> None:
        """Let time pass.

        Until `until_s` seconds of virtual time (the clock then stands exactly there), or without it until no work
        is left; in both cases no further than the instant at which `stop()` turns true. `stop` is asked after
        every instant.
        """
        until_ns = None if until_s is None else round(until_s * NS_PER_S)
        before, horizon_ns = self.context, self._horizon_ns
        self._horizon_ns = -1 if stop is not None else _NEVER_NS if until_ns is None else until_ns
        try:
            with collecting_seldom():
                self.run_ready()
                while stop is None or not stop():
                    due = self.next_event_ns()
                    if due is None or (until_ns is not None and due > until_ns):
                        break
                    self.now_ns = max(self.now_ns, due)
                    self._run_due()
                else:
                    return
        finally:
            self.context, self._horizon_ns = before, horizon_ns
        if until_ns is not None and until_ns > self.now_ns:
            self.now_ns = until_ns

    def step(self) -> bool:
        """Do the work of this instant, or else go on to the next and do its work; `False` if no work is left."""
        if self._ready:
            self.run_ready()
            return True
        due = self.next_event_ns()
        if due is None:
            return False
        self.now_ns = max(self.now_ns, due)
        before = self.context
        try:
            self._run_due()
        finally:
            self.context = before
        return True

    def run_for(self, duration_s: float, *, stop: Callable[[], bool] | None = None) -> None:
        """Let `duration_s` seconds of virtual time pass, or less if `stop()` turns true before."""
        self.run(self.now_ns / NS_PER_S + duration_s, stop=stop)

    def _run_due(self) -> None:
        instants, ready, now_ns = self._instants, self._ready, self.now_ns
        while instants and instants[0] <= now_ns:
            for work in self._later.pop(heapq.heappop(instants)):
                if isinstance(work, tuple):
                    ready.append(work)
                elif work.call is not None:
                    ready.append((work.call, work.args, work.context))
                    work.call = None
        self.run_ready()


def _is_wanted(work: _Work | Timer) -> bool:
    return isinstance(work, tuple) or work.call is not None


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Have Python look for cycles less often than it would, for whoever lets time pass in many short pieces.

    Packets under way are many, live long enough to be looked at over and over, and form no cycles: with its usual
    threshold of 700 objects a large lab spends a fifth of its time on that.
    """
    if not hasattr(gc, "get_threshold"):  # PyPy, whose collector has none
        yield
        return
    before = gc.get_threshold()
    if not 0 < before[0] < _YOUNG:
        yield
        return
    gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
