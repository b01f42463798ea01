"""A Raft group on one clock, without hosts: messages are delivered by calls, and pairs of members can be cut off."""

from __future__ import annotations

from collections.abc import Callable

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.task import sleep
from cnmsim.swarm.raft import Heartbeat, Member, Membership, Raft, Reply, TimeoutNow, VoteRequest
from cnmsim.swarm.rpc import RpcError


class Managers:
    """Several members on one clock; `cut` are pairs of members between which messages are lost."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.clock = Clock(seed)
        self.cut: set[frozenset[int]] = set()
        self.index = 1
        self.leads: dict[int, set[int]] = {}
        members = tuple(Member(number, f"n{number}", f"10.0.0.{number}:2377") for number in range(1, count + 1))
        self.rafts = {each.raft_id: self._make(each, Membership(members)) for each in members}
        for raft in self.rafts.values():
            raft.start()

    def _make(self, member: Member, membership: Membership) -> Raft:
        def become_leader() -> None:
            self.leads.setdefault(raft.term, set()).add(member.raft_id)

        raft = Raft(
            self.clock, self.clock.stream(member.node_id), member, membership, self._sender(member),
            lambda: self.index,
            become_leader, lambda: None, lambda: None,
        )  # fmt: skip
        return raft

    def _sender(self, member: Member) -> Callable[[Member, object], object]:
        async def send(other: Member, message: object) -> Reply:
            await sleep(self.clock, 0.01)
            if frozenset({member.raft_id, other.raft_id}) in self.cut or not self.rafts[other.raft_id].is_running:
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
