"""Which manager leads: Raft's terms, votes and heartbeats between the managers of one swarm.

The log's content is the one `Store` that all managers of a swarm share; what each member keeps for itself is how far it has come
in it (`applied`). A manager that hears from no majority leads no more, and no manager without the newest entries is elected.
Ticks and timeouts are SwarmKit's: a tick is a second, the leader's heartbeat one tick, an election 10 to 19 ticks of silence.
Source: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", sections 5.2, 5.4.1 and 6; moby/swarmkit
`manager/state/raft/raft.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from attrs import define, field, frozen

from cnmsim.errors import CnmsimError
from cnmsim.kernel.clock import Clock, Timer
from cnmsim.kernel.task import Gate, Task

TICK_S = 1.0
ELECTION_TICKS = 10
#: A leader that a majority answered within so many ticks may commit.
_QUORUM_TICKS = 3


@frozen
class Member:
    """A manager as the others know it. `address` is where its RPCs are answered."""

    raft_id: int
    node_id: str
    address: str


@frozen
class Membership:
    """The members of one swarm; `version` grows with each change."""

    members: tuple[Member, ...]
    version: int = 0

    def without(self, raft_id: int) -> Membership:
        """Give it without one member."""
        return Membership(tuple(member for member in self.members if member.raft_id != raft_id), self.version + 1)

    def with_member(self, member: Member) -> Membership:
        """Give it with one member more, or changed."""
        others = tuple(other for other in self.members if other.raft_id != member.raft_id)
        return Membership((*others, member), self.version + 1)

    @property
    def quorum(self) -> int:
        """How many of them decide."""
        return len(self.members) // 2 + 1


@frozen
class Heartbeat:
    """What a leader tells its followers every tick."""

    term: int
    leader: int
    applied: int
    membership: Membership


@frozen
class VoteRequest:
    """What a candidate asks."""

    term: int
    candidate: int
    applied: int
    #: Whether the leader itself asked for this election.
    is_transfer: bool = False


@frozen
class TimeoutNow:
    """What a leader tells the one that is to take over."""

    term: int


@frozen
class Reply:
    """The answer to either: the term of who answers, and whether it agreed."""

    term: int
    is_granted: bool


Send = Callable[[Member, object], Coroutine[Any, Any, Reply]]


@define(eq=False)
class Raft:
    """One member. `send` carries a message to another one and gives its reply; `store_index` tells how far the log goes.

    `on_elected` and `on_step_down` are called when this member begins and ceases to lead, `on_removed` when it is no member any more.
    """

    clock: Clock
    random: Random
    me: Member
    membership: Membership
    send: Send = field(repr=False)
    store_index: Callable[[], int] = field(repr=False)
    on_elected: Callable[[], None] = field(repr=False)
    on_step_down: Callable[[], None] = field(repr=False)
    on_removed: Callable[[], None] = field(repr=False)
    #: What holds its tasks while the daemon is stopped (SIGSTOP).
    gate: Callable[[], Gate | None] = field(default=lambda: None, repr=False)
    term: int = 0
    leader_id: int | None = None
    applied: int = 0
    _voted_for: int | None = field(default=None, init=False)
    _is_leading: bool = field(default=False, init=False)
    _has_had_leader: bool = field(default=False, init=False)
    _election_elapsed: int = field(default=0, init=False)
    _election_timeout: int = field(default=ELECTION_TICKS, init=False)
    _last_reply_ns: dict[int, int] = field(factory=dict, init=False, repr=False)
    _votes: set[int] = field(factory=set, init=False, repr=False)
    _timer: Timer | None = field(default=None, init=False, repr=False)

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take part. The only member of a new swarm leads at once."""
        self._has_had_leader = False
        self._draw_election_timeout()
        self._timer = self.clock.call_later(TICK_S, self._tick)
        if len(self.membership.members) == 1:
            self._campaign()

    def stop(self) -> None:
        """Take part no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._step_down(self.term)

    @property
    def is_running(self) -> bool:
        """Whether it takes part."""
        return self._timer is not None

    @property
    def is_starting(self) -> bool:
        """Whether it takes part and there has been no leader since it began."""
        return self.is_running and not self._has_had_leader

    @property
    def is_leading(self) -> bool:
        """Whether this member leads."""
        return self._is_leading

    @property
    def leader(self) -> Member | None:
        """The leader as far as this member knows."""
        return next((member for member in self.membership.members if member.raft_id == self.leader_id), None)

    def has_quorum(self) -> bool:
        """Tell whether a majority answered this leader of late."""
        return self._is_leading and self._count_active(_QUORUM_TICKS) >= self.membership.quorum

    def is_reachable(self, raft_id: int) -> bool:
        """Tell whether a member answered this leader of late."""
        return raft_id == self.me.raft_id or self._replied_within(raft_id, _QUORUM_TICKS)

    def can_remove(self, raft_id: int) -> bool:
        """Tell whether a quorum stays without a member (swarmkit `raft.CanRemoveMember`)."""
        rest = [member for member in self.membership.members if member.raft_id != raft_id]
        reachable = sum(self.is_reachable(member.raft_id) for member in rest)
        return bool(rest) and reachable >= len(rest) // 2 + 1

    def _replied_within(self, raft_id: int, ticks: int) -> bool:
        answered = self._last_reply_ns.get(raft_id)
        return answered is not None and self.clock.now_ns - answered <= ticks * TICK_S * 1e9

    def _count_active(self, ticks: int) -> int:
        others = (member.raft_id for member in self.membership.members if member.raft_id != self.me.raft_id)
        return 1 + sum(self._replied_within(raft_id, ticks) for raft_id in others)

    # --- ticks ---------------------------------------------------------------------------------------------------

    def _draw_election_timeout(self) -> None:
        self._election_timeout = ELECTION_TICKS + self.random.randrange(ELECTION_TICKS)

    def _tick(self) -> None:
        self._timer = self.clock.call_later(TICK_S, self._tick)
        gate = self.gate()
        is_stopped = gate is not None and gate.is_shut
        if self._is_leading:
            # A stopped leader learns of its loss when it goes on; what it does till then is nothing, so it may as well know now.
            self.applied = self.store_index()
            if (
                self._election_elapsed >= ELECTION_TICKS
                and self._count_active(ELECTION_TICKS) < self.membership.quorum
            ):
                self._step_down(self.term)
                return
            self._election_elapsed += 1
            if not is_stopped:
                self.send_heartbeats()
            return
        if is_stopped:
            return
        self._election_elapsed += 1
        if self._election_elapsed >= self._election_timeout:
            self._campaign()

    def send_heartbeats(self) -> None:
        """Send every follower a heartbeat now."""
        self.applied = self.store_index()
        message = Heartbeat(self.term, self.me.raft_id, self.applied, self.membership)
        for member in self.membership.members:
            if member.raft_id != self.me.raft_id:
                Task(self.clock, self._exchange(member, message), self.gate())

    async def _exchange(self, member: Member, message: Heartbeat | VoteRequest | TimeoutNow) -> None:
        try:
            reply = await self.send(member, message)
        except CnmsimError:
            return  # it is not there now; silence is what Raft counts
        if not self.is_running:
            return
        if reply.term > self.term:
            self._step_down(reply.term)
            return
        if reply.term != self.term or message.term != self.term:
            return
        if isinstance(message, Heartbeat):
            self._last_reply_ns[member.raft_id] = self.clock.now_ns
        elif (
            isinstance(message, VoteRequest)
            and reply.is_granted
            and not self._is_leading
            and self._voted_for == self.me.raft_id
        ):
            self._votes.add(member.raft_id)
            self._count_votes()

    # --- elections -----------------------------------------------------------------------------------------------

    def _campaign(self, is_transfer: bool = False) -> None:
        self.term += 1
        self.leader_id = None
        self._voted_for = self.me.raft_id
        self._votes = {self.me.raft_id}
        self._election_elapsed = 0
        self._draw_election_timeout()
        self._count_votes()
        if self._is_leading:
            return
        message = VoteRequest(self.term, self.me.raft_id, self.applied, is_transfer)
        for member in self.membership.members:
            if member.raft_id != self.me.raft_id:
                Task(self.clock, self._exchange(member, message), self.gate())

    def _count_votes(self) -> None:
        if len(self._votes) < self.membership.quorum:
            return
        self._is_leading = self._has_had_leader = True
        self.leader_id = self.me.raft_id
        self._election_elapsed = 0
        now = self.clock.now_ns
        self._last_reply_ns = {raft_id: now for raft_id in self._votes if raft_id != self.me.raft_id}
        self.send_heartbeats()
        self.on_elected()

    def transfer_leadership(self) -> None:
        """Lead no more, and let the member that has heard most take over at once (`TimeoutNow` of Raft's section 3.10)."""
        others = [member for member in self.membership.members if self._replied_within(member.raft_id, _QUORUM_TICKS)]
        if not self._is_leading or not others:
            return
        heir = max(others, key=lambda member: self._last_reply_ns[member.raft_id])
        Task(self.clock, self._exchange(heir, TimeoutNow(self.term)), self.gate())
        self._step_down(self.term)

    def on_timeout_now(self, message: TimeoutNow) -> Reply:
        """Stand for election without waiting."""
        if message.term >= self.term:
            self.clock.call_soon(self._campaign, True)
        return Reply(self.term, is_granted=True)

    def _step_down(self, term: int) -> None:
        if term > self.term:
            self.term = term
            self._voted_for = None
            # Or who cannot win would keep those that can from standing (etcd raft `reset`).
            self._draw_election_timeout()
        if self._is_leading or self.leader_id == self.me.raft_id:
            self.leader_id = None
        self._election_elapsed = 0
        if self._is_leading:
            self._is_leading = False
            self._last_reply_ns = {}
            self.on_step_down()

    # --- what others say -----------------------------------------------------------------------------------------

    def on_heartbeat(self, message: Heartbeat) -> Reply:
        """Hear a leader."""
        if message.term < self.term:
            return Reply(self.term, is_granted=False)
        if message.term > self.term or self._is_leading:
            self._step_down(message.term)
        self.leader_id, self._has_had_leader = message.leader, True
        self._election_elapsed = 0
        self.applied = max(self.applied, message.applied)
        if message.membership.version >= self.membership.version:
            self.set_membership(message.membership)
        return Reply(self.term, is_granted=True)

    def on_vote_request(self, message: VoteRequest) -> Reply:
        """Hear a candidate. Nobody is elected away from a leader that is heard (swarmkit sets CheckQuorum)."""
        if message.is_transfer:
            self.leader_id = None
        if (
            self.leader_id is not None
            and self._election_elapsed < ELECTION_TICKS
            and message.candidate != self.leader_id
        ):
            return Reply(self.term, is_granted=False)
        if message.term < self.term:
            return Reply(self.term, is_granted=False)
        if message.term > self.term:
            self._step_down(message.term)
        is_granted = self._voted_for in {None, message.candidate} and message.applied >= self.applied
        if is_granted:
            self._voted_for = message.candidate
            self._election_elapsed = 0
        return Reply(self.term, is_granted=is_granted)

    # --- membership ----------------------------------------------------------------------------------------------

    def set_membership(self, membership: Membership) -> None:
        """Go by a changed membership; a leader tells the others with its next heartbeat."""
        was_member = any(member.raft_id == self.me.raft_id for member in self.membership.members)
        if self._is_leading:
            # A new member counts as heard until it has had the time to answer (etcd raft `confchange`, RecentActive).
            new = {member.raft_id for member in membership.members} - {
                member.raft_id for member in self.membership.members
            }
            self._last_reply_ns |= dict.fromkeys(new, self.clock.now_ns)
        self.membership = membership
        if was_member and all(member.raft_id != self.me.raft_id for member in membership.members):
            self.on_removed()
