"""Virtual time: order of work, observer contexts, running up to a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.kernel.clock import Clock, EndlessInstantError


@given(st.lists(st.floats(0, 10), max_size=20))
def test_work_runs_in_the_order_of_its_time_then_of_asking(delays):
    clock = Clock()
    ran = []
    for number, delay in enumerate(delays):
        clock.call_later(delay, lambda n=number: ran.append((clock.now_ns, n)))
    clock.run()
    assert ran == sorted(ran)
    assert len(ran) == len(delays)


def test_cancelled_work_never_runs():
    clock = Clock()
    timer = clock.call_later(1, lambda: 1 / 0)
    timer.cancel()
    clock.run()
    assert not timer.is_pending
    assert clock.now == 0


def test_time_stops_where_it_was_told_to():
    clock = Clock()
    clock.call_later(5, lambda: 1 / 0)
    clock.run(3)
    assert clock.now == 3


def test_what_is_caused_inherits_the_observer():
    clock = Clock()
    seen = []
    clock.context = observer = object()
    clock.call_later(1, lambda: clock.call_soon(lambda: seen.append(clock.context)))
    clock.context = None
    clock.call_later(1, lambda: seen.append(clock.context))
    clock.run()
    assert seen == [None, observer]
    assert clock.context is None


def test_a_step_does_the_work_of_one_instant():
    clock = Clock()
    ran = []
    clock.call_later(1, ran.append, 1)
    clock.call_later(1, ran.append, 2)
    clock.call_later(2, ran.append, 3)
    assert clock.step()
    assert ran == [1, 2]
    assert clock.step()
    assert not clock.step()


def test_streams_of_different_owners_do_not_shift_each_other():
    one = Clock(7).stream("a").random()
    clock = Clock(7)
    clock.stream("b").random()
    assert clock.stream("a").random() == one
    assert Clock(8).stream("a").random() != one


def test_callback_that_never_lets_time_pass_is_an_error_and_the_rest_goes_on(monkeypatch):
    monkeypatch.setattr("cnmsim.kernel.clock._LARGEST_INSTANT", 1000)
    clock = Clock()
    ran = []

    def again():
        clock.call_soon(again)

    clock.call_later(1, again)
    clock.call_later(2, ran.append, 2)
    with pytest.raises(EndlessInstantError, match=r"callback .*again does not let time pass: .* 1,000 .* at 1\.0"):
        clock.run()
    clock.run()
    assert ran == [2]


def test_work_of_many_instants_is_no_endless_one(monkeypatch):
    monkeypatch.setattr("cnmsim.kernel.clock._LARGEST_INSTANT", 100)
    clock = Clock()
    for number in range(1000):
        clock.call_later(number // 90, int)
    clock.run()
    assert clock.now == 11
