"""Tasks, futures and waiting in virtual time."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.task import Cancelled, Future, Gate, Queue, Signal, Task, run_until, sleep, wait_for


def test_a_task_runs_when_time_passes_and_not_before() -> None:
    clock = Clock()
    seen: list[float] = []

    async def program() -> None:
        seen.append(clock.now)
        await sleep(clock, 2.5)
        seen.append(clock.now)

    Task(clock, program())
    assert seen == []
    clock.run()
    assert seen == [0, 2.5]


def test_an_infinite_sleep_leaves_no_timer() -> None:
    clock = Clock()
    task = Task(clock, sleep(clock, math.inf))
    clock.run()
    assert clock.now == 0
    assert not task.is_done


def test_a_future_wakes_every_waiter_with_its_value() -> None:
    clock = Clock()
    future: Future[int] = Future(clock)

    async def waiter() -> int:
        return await future

    tasks = [Task(clock, waiter()) for _ in range(3)]
    clock.run()
    future.set_result(7)
    clock.run()
    assert [task.result() for task in tasks] == [7, 7, 7]


def test_a_future_is_completed_once() -> None:
    future: Future[int] = Future(Clock())
    future.set_result(1)
    with pytest.raises(RuntimeError, match="done already"):
        future.set_result(2)


def test_an_error_nobody_waits_for_leaves_the_clock() -> None:
    clock = Clock()

    async def buggy() -> None:
        raise LookupError("bug")

    Task(clock, buggy())
    with pytest.raises(LookupError, match="bug"):
        clock.run()


def test_an_error_somebody_waits_for_reaches_the_waiter_only() -> None:
    clock = Clock()

    async def failing() -> None:
        await sleep(clock, 1)
        raise LookupError("expected")

    async def waiting() -> str:
        try:
            await Task(clock, failing())
        except LookupError as error:
            return str(error)
        return ""

    assert run_until(clock, waiting()) == "expected"


def test_cancel_throws_into_the_task_where_it_waits() -> None:
    clock = Clock()
    seen: list[str] = []

    async def program() -> None:
        try:
            await sleep(clock, 100)
        finally:
            seen.append("cleaned up")

    task = Task(clock, program())
    clock.run_for(1)
    task.cancel()
    assert seen == ["cleaned up"]
    assert isinstance(task.error, Cancelled)
    clock.run()
    assert clock.now == 1, "the cancelled sleep leaves no work behind"


def test_cancel_ends_a_task_whose_awaited_coroutine_the_garbage_collector_has_closed() -> None:
    clock = Clock()
    ended = []

    async def inner() -> None:
        await Future[None](clock)

    async def outer() -> None:
        try:
            await awaited
        finally:
            ended.append("outer")

    awaited = inner()
    task = Task(clock, outer())
    clock.run()
    awaited.close()
    task.cancel()
    assert task.is_done
    assert isinstance(task.error, Cancelled)
    assert ended == ["outer"]


def test_cancel_before_the_start_means_it_never_starts() -> None:
    clock = Clock()

    async def program() -> None:
        raise AssertionError("started")

    Task(clock, program()).cancel()
    clock.run()


def test_a_task_can_cancel_itself() -> None:
    clock = Clock()
    tasks: list[Task[None]] = []

    async def program() -> None:
        tasks[0].cancel()
        await sleep(clock, 10)

    tasks.append(Task(clock, program()))
    clock.run()
    assert clock.now == 0
    assert isinstance(tasks[0].error, Cancelled)


def test_a_stale_wake_up_does_not_end_a_later_wait() -> None:
    clock = Clock()
    first: Future[None] = Future(clock)
    seen: list[float] = []

    async def program() -> None:
        try:
            await first
        except Cancelled:
            await sleep(clock, 5)
            seen.append(clock.now)

    task = Task(clock, program())
    clock.run()
    first.set_result(None)
    task.cancel()
    clock.run()
    assert seen == [5]


def test_waiters_go_on_in_the_context_of_whoever_completed_the_future() -> None:
    clock = Clock()
    future: Future[None] = Future(clock)
    seen: list[Any] = []

    async def server() -> None:
        await future
        seen.append(clock.context)

    Task(clock, server())
    clock.run()

    class Trace:
        def report(self, event: object) -> None: ...

    trace = Trace()
    clock.context = trace
    future.set_result(None)
    clock.context = None
    clock.run()
    assert seen == [trace]


def test_a_shut_gate_holds_its_tasks_until_it_opens() -> None:
    clock = Clock()
    gate = Gate()
    seen: list[float] = []

    async def program() -> None:
        while clock.now < 3:
            await sleep(clock, 1)
            seen.append(clock.now)

    Task(clock, program(), gate)
    clock.call_later(1.5, gate.shut)
    clock.call_later(2.75, gate.open)
    clock.run()
    assert seen == [1, 2.75, 3.75]


def test_tasks_made_by_a_task_pass_the_same_gate() -> None:
    clock = Clock()
    gate = Gate()
    inner: list[Task[None]] = []

    async def child() -> None:
        await sleep(clock, 1)

    async def parent() -> None:
        inner.append(Task(clock, child()))

    Task(clock, parent(), gate)
    clock.run()
    assert inner[0].gate is gate


@pytest.mark.parametrize(("takes_s", "outcome"), [(1, "done"), (3, "timed out")])
def test_wait_for_gives_the_result_or_times_out(takes_s: float, outcome: str) -> None:
    clock = Clock()

    async def work() -> str:
        await sleep(clock, takes_s)
        return "done"

    async def program() -> str:
        try:
            return await wait_for(clock, work(), 2)
        except TimeoutError as error:
            return str(error)

    assert run_until(clock, program()) == outcome
    assert clock.now == min(takes_s, 2)


def test_wait_for_that_is_cancelled_cancels_what_it_ran() -> None:
    clock = Clock()
    seen: list[str] = []

    async def work() -> None:
        try:
            await sleep(clock, 9)
        finally:
            seen.append("stopped")

    async def program() -> None:
        await wait_for(clock, work(), 5)

    task = Task(clock, program())
    clock.run_for(1)
    task.cancel()
    assert seen == ["stopped"]


def test_run_until_says_when_nothing_can_complete_it() -> None:
    clock = Clock()
    future: Future[None] = Future(clock)
    with pytest.raises(TimeoutError, match="no scheduled work is left"):
        run_until(clock, future)


def test_run_until_stops_at_its_timeout() -> None:
    clock = Clock()
    with pytest.raises(TimeoutError):
        run_until(clock, sleep(clock, 10), timeout_s=4)
    assert clock.now == 4


def test_a_signal_wakes_waiters_whose_condition_holds() -> None:
    clock = Clock()
    signal = Signal(clock)
    values: list[int] = []

    async def waiter(count: int) -> float:
        await signal.wait_until(lambda: len(values) >= count)
        return clock.now

    tasks = [Task(clock, waiter(count)) for count in (1, 2)]

    def produce() -> None:
        values.append(0)
        signal.notify()

    clock.call_later(1, produce)
    clock.call_later(2, produce)
    clock.run()
    assert [task.result() for task in tasks] == [1, 2]


def test_a_queue_hands_over_in_order() -> None:
    clock = Clock()
    queue: Queue[int] = Queue(clock)

    async def taker() -> list[int]:
        return [await queue.get() for _ in range(3)]

    task = Task(clock, taker())
    for value in (1, 2, 3):
        clock.call_later(value, queue.put, value)
    clock.run()
    assert task.result() == [1, 2, 3]


def test_a_queue_read_can_time_out() -> None:
    clock = Clock()
    queue: Queue[int] = Queue(clock)
    with pytest.raises(TimeoutError):
        run_until(clock, queue.get(timeout_s=1.5))
    assert clock.now == 1.5
