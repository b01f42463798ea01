"""Raft between managers whose messages may be lost: one leader a term, and none without a majority."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.raft_group import Managers


def test_the_only_member_leads_at_once() -> None:
    managers = Managers(1)
    assert managers.leaders == [1]
    assert managers.rafts[1].has_quorum()


@pytest.mark.parametrize("count", [3, 5])
def test_several_elect_one(count: int) -> None:
    managers = Managers(count)
    managers.clock.run_for(60)
    assert len(managers.leaders) == 1
    leader = managers.rafts[managers.leaders[0]]
    assert {raft.leader_id for raft in managers.rafts.values()} == {leader.member.raft_id}
    assert leader.has_quorum()


def test_a_leader_that_is_cut_off_resigns_and_another_is_elected() -> None:
    managers = Managers(3)
    managers.clock.run_for(60)
    first = managers.leaders[0]
    managers.isolate(first)
    managers.clock.run_for(4)
    assert not managers.rafts[first].has_quorum()
    managers.clock.run_for(40)
    assert len(managers.leaders) == 1
    second = managers.leaders[0]
    assert second != first
    managers.cut.clear()
    managers.clock.run_for(40)
    assert len(managers.leaders) == 1
    assert managers.rafts[first].leader_id == managers.leaders[0]


def test_without_a_majority_nobody_leads() -> None:
    managers = Managers(3)
    managers.clock.run_for(60)
    for number in list(managers.rafts):
        managers.isolate(number)
    managers.clock.run_for(40)
    assert managers.leaders == []


def test_a_member_that_missed_entries_is_not_elected() -> None:
    managers = Managers(3)
    managers.clock.run_for(60)
    leader = managers.leaders[0]
    behind, current = (number for number in managers.rafts if number != leader)
    managers.isolate(behind)
    managers.index = 9
    managers.clock.run_for(3)
    managers.cut.clear()
    managers.rafts[leader].stop()
    managers.clock.run_for(0.5)
    managers.rafts[behind].applied = 1
    managers.clock.run_for(120)
    assert managers.leaders == [current]


def test_leadership_is_handed_over_without_a_gap() -> None:
    managers = Managers(3)
    managers.clock.run_for(60)
    first = managers.leaders[0]
    managers.rafts[first].transfer_leadership()
    managers.clock.run_for(1)
    assert len(managers.leaders) == 1
    assert managers.leaders[0] != first


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    cuts=st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.integers(1, 40)), max_size=8),
)
def test_no_term_has_two_leaders(seed: int, cuts: list[tuple[int, bool, int]]) -> None:
    managers = Managers(5, seed)
    for number, heals, seconds in cuts:
        if heals:
            managers.cut.clear()
        managers.isolate(number)
        managers.clock.run_for(seconds)
    managers.cut.clear()
    managers.clock.run_for(120)
    assert all(len(who) == 1 for who in managers.leads.values())
    assert len(managers.leaders) == 1


@pytest.mark.parametrize("seed", range(4))
def test_an_elected_leader_makes_itself_known_before_the_next_tick(seed: int) -> None:
    managers = Managers(3, seed)
    for _ in range(6000):
        managers.clock.run_for(0.01)
        if managers.leaders:
            break
    managers.clock.run_for(0.05)  # a message takes 10 ms, a tick 1 s
    assert {raft.leader_id for raft in managers.rafts.values()} == set(managers.leaders)
