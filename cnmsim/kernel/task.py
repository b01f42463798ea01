"""Coroutine tasks on the virtual clock. The programs of the simulated userland are such tasks.

A program is an `async def` that awaits futures. A completed future wakes the waiting tasks through `Clock.call_soon`,
with the observer (`Clock.context`) of the code that completed it. So a trace of a request also contains the events of
the server that answers it. An exception that no task awaits propagates out of `Clock.run`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from math import inf
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from cnmsim.kernel.clock import NS_PER_S, Clock

if TYPE_CHECKING:
    from cnmsim.kernel.events import Observer

T = TypeVar("T")


class Cancelled(BaseException):
    """Raised inside a cancelled task. It is not an `Exception`, so that `except Exception` does not catch it."""


class Future(Generic[T]):
    """A value that is not available yet: await the future, or check `is_done` and call `result()`."""

    __slots__ = ("_callbacks", "_value", "clock", "error", "is_done")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.is_done = False
        self._value: T | None = None
        #: The error that completed the future, or `None`.
        self.error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], object]] = []

    def set_result(self, value: T) -> None:
        """Complete the future with a value. Raises `RuntimeError` if it is done already."""
        self._value = value
        self._complete()

    def set_exception(self, error: BaseException) -> None:
        """Complete the future with an error, which `result()` and every waiter raise."""
        self.error = error
        self._complete()

    def _complete(self) -> None:
        if self.is_done:
            raise RuntimeError("future is done already")
        self.is_done = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self.clock.call_soon(callback, self)

    def result(self) -> T:
        """Return the value or raise the error. Raises `RuntimeError` if the future is not done."""
        if not self.is_done:
            raise RuntimeError("future is not done")
        if self.error is not None:
            raise self.error
        return cast("T", self._value)

    def add_done_callback(self, callback: Callable[[Future[T]], object]) -> None:
        """Schedule `callback(self)` for the instant at which the future completes, or now if it is done already."""
        if self.is_done:
            self.clock.call_soon(callback, self)
        else:
            self._callbacks.append(callback)

    def waiting_task(self) -> Task[Any] | None:
        """Return a task that waits for the future, or `None` if no task does."""
        for callback in self._callbacks:
            owner = getattr(callback, "__self__", None)
            task = owner.waiting_task() if isinstance(owner, Future) else None
            if task is not None:
                return task
        return None

    def __await__(self) -> Generator[Future[T], None, T]:
        if not self.is_done:
            yield self
        return self.result()


class TaskOwner(Protocol):
    """The interface of a process that owns tasks, with the attributes that tasks use."""

    @property
    def description(self) -> str:
        """The program and the process, for error messages."""


class Gate:
    """A switch that stops a group of tasks: no task of the group runs while the gate is shut (SIGSTOP)."""

    __slots__ = ("_held", "is_shut", "process")

    def __init__(self, process: TaskOwner | None = None) -> None:
        #: The process that the tasks belong to.
        self.process = process
        self.is_shut = False
        self._held: list[tuple[Task[Any], Future[Any] | None, Observer | None]] = []

    def hold(self, task: Task[Any], woken_by: Future[Any] | None) -> None:
        """Store `task`, which was woken while the gate is shut. `open` resumes it.

        `woken_by` is the future that woke the task, or `None`.
        """
        self._held.append((task, woken_by, task.clock.context))

    def shut(self) -> None:
        """Stop all tasks of the group."""
        self.is_shut = True

    def open(self) -> None:
        """Resume the stored tasks, each with the observer that was current when the task was woken."""
        self.is_shut = False
        held, self._held = self._held, []
        for task, woken_by, context in held:
            before = task.clock.context
            task.clock.context = context
            task.clock.call_soon(task._wake, woken_by)
            task.clock.context = before


# The tasks that are executing a step, innermost last. A new task joins the gate of the innermost one. Steps never
# nest across clocks.
_running: list[Task[Any]] = []


class Task(Future[T]):
    """A coroutine that the clock runs, starting at the current instant."""

    __slots__ = ("_awaited", "_coroutine", "_is_running", "gate")

    def __init__(self, clock: Clock, coroutine: Coroutine[Any, Any, T], gate: Gate | None = None) -> None:
        super().__init__(clock)
        self._coroutine = coroutine
        self._awaited: Future[Any] | None = None
        self._is_running = False
        self.gate: Gate = gate or (_running[-1].gate if _running else Gate())
        clock.call_soon(self._wake, None)

    def cancel(self) -> None:
        """Raise `Cancelled` in the task at the point where it waits.

        This happens at once or, if the task is running now, after its current step. Do nothing if the task is done. A
        task that has not started never starts.
        """
        if self.is_done:
            return
        if self._is_running:
            self.clock.call_soon(self.cancel)
            return
        self._awaited = None
        if _is_closed(self._coroutine):
            self._coroutine.close()
            self.set_exception(Cancelled())
            return
        self._step(Cancelled())

    @property
    def description(self) -> str:
        """The program and process of the task, or the name of its coroutine, for error messages."""
        process = self.gate.process
        return (
            f"task {getattr(self._coroutine, '__qualname__', self._coroutine)}"
            if process is None
            else process.description
        )

    def waiting_task(self) -> Task[Any] | None:
        """Return the task itself if it is waiting, else `None`.

        The clock calls this to find the task that a scheduled call would resume: such a call is a method of the task
        or of the future that the task awaits.
        """
        return None if self.is_done or self._is_running else self

    def fail(self, error: Exception) -> None:
        """Raise `error` inside the task, at the point where it waits.

        If the task does not catch the error and nothing awaits the task, `fail` itself raises the error.
        """
        if _is_closed(self._coroutine):
            raise error
        self._step(error)

    def _wake(self, woken_by: Future[Any] | None) -> None:
        # The wake-up is stale if the task was cancelled and now waits for another future.
        if self.is_done or woken_by is not self._awaited:
            return
        if self.gate.is_shut:
            self.gate.hold(self, woken_by)
            return
        self._step(None)

    def _step(self, thrown: BaseException | None) -> None:
        self._awaited = None
        self._is_running = True
        _running.append(self)
        try:
            awaited = self._coroutine.send(None) if thrown is None else self._coroutine.throw(thrown)
        except StopIteration as stop:
            self.set_result(stop.value)
        except Cancelled as cancelled:
            self.set_exception(cancelled)
        except Exception as error:
            is_expected = bool(self._callbacks)
            self.set_exception(error)
            if not is_expected:
                raise
        else:
            self._awaited = awaited
            awaited.add_done_callback(self._wake)
        finally:
            _running.pop()
            self._is_running = False


def _is_closed(coroutine: Any) -> bool:
    """Return True if the coroutine, or one that it awaits, is closed, so that no exception can be thrown into it.

    When a lab is garbage-collected, Python closes its suspended coroutines in any order. A coroutine may then be
    closed before the coroutine that awaits it. If an exception is thrown into the awaiting one, CPython raises
    "cannot reuse already awaited coroutine".
    """
    while coroutine is not None and hasattr(coroutine, "cr_frame"):
        if coroutine.cr_frame is None:
            return True
        coroutine = coroutine.cr_await
    return False


class Signal:
    """A condition variable: a notification makes every waiting task check its own condition again."""

    __slots__ = ("_waiters", "clock")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._waiters: list[Future[bool]] = []

    def notify(self) -> None:
        """Wake every waiting task."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.is_done:
                    waiter.set_result(True)

    async def wait_until(self, holds: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Wait until `holds()` returns True. It is called after each notification.

        Raises `TimeoutError` after `timeout_s` seconds; `None` means no limit.
        """
        deadline_ns = None if timeout_s is None else self.clock.now_ns + round(timeout_s * NS_PER_S)
        while not holds():
            if not await self._wait(deadline_ns):
                raise TimeoutError("timed out")

    async def _wait(self, deadline_ns: int | None) -> bool:
        if deadline_ns is not None and deadline_ns <= self.clock.now_ns:
            return False
        waiter: Future[bool] = Future(self.clock)
        self._waiters.append(waiter)
        if deadline_ns is None:
            return await waiter
        timer = self.clock.call_at_ns(deadline_ns, self._expire, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()

    def _expire(self, waiter: Future[bool]) -> None:
        if not waiter.is_done:
            self._waiters.remove(waiter)
            waiter.set_result(False)


class Queue(Generic[T]):
    """A FIFO queue between tasks."""

    __slots__ = ("_changed", "_values")

    def __init__(self, clock: Clock) -> None:
        self._values: deque[T] = deque()
        self._changed = Signal(clock)

    def __len__(self) -> int:
        return len(self._values)

    def put(self, value: T) -> None:
        """Append a value."""
        self._values.append(value)
        self._changed.notify()

    async def get(self, timeout_s: float | None = None) -> T:
        """Wait for the first value and remove it. Raises `TimeoutError` after `timeout_s` seconds."""
        await self._changed.wait_until(lambda: bool(self._values), timeout_s)
        return self._values.popleft()


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait for `seconds` of virtual time.

    If `seconds` is infinite, wait without a timer until the task is cancelled.
    """
    if seconds == inf:
        await Future[None](clock)
    else:
        await sleep_ns(clock, round(seconds * NS_PER_S))


async def sleep_ns(clock: Clock, nanoseconds: int) -> None:
    """Wait for `nanoseconds` of virtual time."""
    over: Future[None] = Future(clock)
    timer = clock.call_at_ns(clock.now_ns + nanoseconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()


async def wait_for(clock: Clock, awaitable: Future[T] | Coroutine[Any, Any, T], timeout_s: float | None) -> T:
    """Wait for a future, or run a coroutine, and return the result.

    Raises `TimeoutError` after `timeout_s` seconds (`None`: no limit); a coroutine or task is then cancelled.
    """
    future = awaitable if isinstance(awaitable, Future) else Task(clock, awaitable)
    if timeout_s is None:
        return await future
    woken: Future[None] = Future(clock)

    def wake(_: object) -> None:
        if not woken.is_done:
            woken.set_result(None)

    future.add_done_callback(wake)
    timer = clock.call_later(timeout_s, wake, None)
    try:
        await woken
    finally:
        timer.cancel()
        if isinstance(future, Task) and not future.is_done:
            future.cancel()
    if future.is_done and not isinstance(future.error, Cancelled):
        return future.result()
    raise TimeoutError("timed out")


def run_until(clock: Clock, awaitable: Future[T] | Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
    """Run the clock until a future or coroutine is done and return the result; for callers that are not coroutines.

    Raises the future's error. Raises `TimeoutError` if it is not done after `timeout_s` seconds (`None`: no limit),
    or if no scheduled work is left that could complete it.
    """
    future = awaitable if isinstance(awaitable, Future) else Task(clock, awaitable)
    future.add_done_callback(lambda _: None)
    until_s = None if timeout_s is None else clock.now + timeout_s
    clock.run(until_s, stop=lambda: future.is_done)
    if not future.is_done:
        if isinstance(future, Task):
            future.cancel()
        raise TimeoutError(
            "timed out" if timeout_s is not None else "no scheduled work is left that could complete it"
        )
    return future.result()
