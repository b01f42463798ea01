"""Raft between managers whose messages may be lost: one leader a term, and none without a majority."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.task import sleep
from cnmsim.swarm.manager.raft import Heartbeat, Member, Membership, Raft, Reply, TimeoutNow, VoteRequest
from cnmsim.swarm.rpc import RpcError


class Managers:
    """Several members on one clock; `cut` are pairs that do not hear each other."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.clock = Clock(seed)
        self.cut: set[frozenset[int]] = set()
        self.index = 1
        self.leads: dict[int, set[int]] = {}
        members = tuple(Member(number, f"n{number}", f"10.0.0.{number}:2377") for number in range(1, count + 1))
        self.rafts = {each.raft_id: self._make(each, Membership(members)) for each in members}
        for raft in self.rafts.values():
            raft.start()

    def _make(self, me: Member, membership: Membership) -> Raft:
        def become_leader() -> None:
            self.leads.setdefault(raft.term, set()).add(me.raft_id)

        raft = Raft(
            self.clock, self.clock.stream(me.node_id), me, membership, self._sender(me), lambda: self.index,
            become_leader, lambda: None, lambda: None,
        )  # fmt: skip
        return raft

    def _sender(self, me: Member) -> Callable[[Member, object], object]:
        async def send(other: Member, message: object) -> Reply:
            await sleep(self.clock, 0.01)
            if frozenset({me.raft_id, other.raft_id}) in self.cut or not self.rafts[other.raft_id].is_running:
                await sleep(self.clock, 2)
                raise RpcError("no answer")
            target = self.rafts[other.raft_id]
            if isinstance(message, Heartbeat):
                return target.on_heartbeat(message)
            if isinstance(message, TimeoutNow):
                return target.on_timeout_now(message)
            assert isinstance(message, VoteRequest)
            return target.on_vote_request(message)

        return send  # type: ignore[return-value]

    @property
    def leaders(self) -> list[int]:
        return [number for number, raft in self.rafts.items() if raft.is_leading]

    def isolate(self, *numbers: int) -> None:
        others = set(self.rafts) - set(numbers)
        self.cut |= {frozenset({one, other}) for one in numbers for other in others}


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
    assert {raft.leader_id for raft in managers.rafts.values()} == {leader.me.raft_id}
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
