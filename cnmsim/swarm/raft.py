"""Raft: election of a leader among the managers of a swarm, by terms, votes and heartbeats.

No log is replicated: all managers of a swarm share one `Store`, whose index takes the place of the log's last index.
Each member only keeps the index up to which it has applied changes. As in Raft, a leader that loses its majority
steps down, and a member that lacks the newest entries is not elected. Ticks and timeouts are SwarmKit's: a tick is
one second, a heartbeat is sent every tick, and an election starts after 10 to 19 ticks without a heartbeat.

Source: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", sections 5.2, 5.4.1 and 6;
moby/swarmkit `manager/state/raft/raft.go`.
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
#: A leader has a quorum if a majority has replied to it within this many ticks.
_QUORUM_TICKS = 3


@frozen
class Member:
    """A manager that is a member of the Raft group. `address` is the address of its RPC server."""

    raft_id: int
    node_id: str
    address: str


@frozen
class Membership:
    """The members of one Raft group. `version` grows with each change."""

    members: tuple[Member, ...]
    version: int = 0

    def without(self, raft_id: int) -> Membership:
        """Return a new membership without the member that has this Raft id."""
        return Membership(tuple(member for member in self.members if member.raft_id != raft_id), self.version + 1)

    def with_member(self, member: Member) -> Membership:
        """Return a new membership with `member` added, in place of any member with the same Raft id."""
        others = tuple(other for other in self.members if other.raft_id != member.raft_id)
        return Membership((*others, member), self.version + 1)

    @property
    def quorum(self) -> int:
        """The number of members that form a majority."""
        return len(self.members) // 2 + 1


@frozen
class Heartbeat:
    """Message from the leader to every follower, sent each tick (AppendEntries without entries).

    `leader` is the leader's Raft id, `applied` the index of the leader's last log entry.
    """

    term: int
    leader: int
    applied: int
    membership: Membership


@frozen
class VoteRequest:
    """Message from a candidate to every other member (RequestVote).

    `applied` is the index of the candidate's last log entry. `is_transfer` is True if the leader asked for the
    election.
    """

    term: int
    candidate: int
    applied: int
    #: Whether the former leader started this election to transfer leadership.
    is_transfer: bool = False


@frozen
class TimeoutNow:
    """Message from a leader to another member, which asks that member to start an election at once."""

    term: int


@frozen
class Reply:
    """The reply to a heartbeat, a vote request or `TimeoutNow`.

    It contains the replying member's term, and whether the member accepts the message or grants the vote.
    """

    term: int
    is_granted: bool


Send = Callable[[Member, object], Coroutine[Any, Any, Reply]]


@define(eq=False)
class Raft:
    """One Raft member.

    `send` delivers a message to another member and returns the reply; `store_index` returns the log's last index.
    `on_elected` is called when this member becomes leader, `on_step_down` when it ceases to be leader, and
    `on_removed` when it has been removed from the group. `term` is the present term, `leader_id` the Raft id of the
    leader (`None`: unknown), and `applied` the index up to which this member has applied the log. `gate` returns a
    gate that is shut while the daemon's process is stopped (SIGSTOP); the member's coroutines do not run meanwhile.
    """

    clock: Clock
    random: Random
    member: Member
    membership: Membership
    send: Send = field(repr=False)
    store_index: Callable[[], int] = field(repr=False)
    on_elected: Callable[[], None] = field(repr=False)
    on_step_down: Callable[[], None] = field(repr=False)
    on_removed: Callable[[], None] = field(repr=False)
    #: Suspends the coroutines while the daemon is stopped by SIGSTOP.
    gate: Callable[[], Gate | None] = field(default=lambda: None, repr=False)
    term: int = 0
    leader_id: int | None = None
    applied: int = 0
    _voted_for: int | None = field(default=None, init=False)
    #: Whether this member is the leader.
    is_leading: bool = field(default=False, init=False)
    _has_had_leader: bool = field(default=False, init=False)
    _election_elapsed: int = field(default=0, init=False)
    _election_timeout: int = field(default=ELECTION_TICKS, init=False)
    _last_reply_ns: dict[int, int] = field(factory=dict, init=False, repr=False)
    _votes: set[int] = field(factory=set, init=False, repr=False)
    _timer: Timer | None = field(default=None, init=False, repr=False)

    # --- life cycle

    def start(self) -> None:
        """Start ticking. The only member of a group is elected at once."""
        self._has_had_leader = False
        self._draw_election_timeout()
        self._timer = self.clock.call_later(TICK_S, self._tick)
        if len(self.membership.members) == 1:
            self._campaign()

    def stop(self) -> None:
        """Stop ticking, and step down."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._step_down(self.term)

    @property
    def is_running(self) -> bool:
        """Whether the member is started."""
        return self._timer is not None

    @property
    def is_starting(self) -> bool:
        """Whether the member is started but has had no leader since its start."""
        return self.is_running and not self._has_had_leader

    @property
    def leader(self) -> Member | None:
        """The current leader, or `None` if it is unknown."""
        return next((member for member in self.membership.members if member.raft_id == self.leader_id), None)

    def has_quorum(self) -> bool:
        """Return True if this member is the leader and a majority has recently replied to it."""
        return self.is_leading and self._count_active(_QUORUM_TICKS) >= self.membership.quorum

    def is_reachable(self, raft_id: int) -> bool:
        """Return True if the member with the Raft id `raft_id` has recently replied to this member, the leader."""
        return raft_id == self.member.raft_id or self._replied_within(raft_id, _QUORUM_TICKS)

    def can_remove(self, raft_id: int) -> bool:
        """Return True if the group would keep a quorum without the member with this Raft id.

        Source: swarmkit `raft.CanRemoveMember`.
        """
        remaining = [member for member in self.membership.members if member.raft_id != raft_id]
        reachable = sum(self.is_reachable(member.raft_id) for member in remaining)
        return bool(remaining) and reachable >= len(remaining) // 2 + 1

    def _replied_within(self, raft_id: int, ticks: int) -> bool:
        answered = self._last_reply_ns.get(raft_id)
        return answered is not None and self.clock.now_ns - answered <= ticks * TICK_S * 1e9

    def _count_active(self, ticks: int) -> int:
        others = (member.raft_id for member in self.membership.members if member.raft_id != self.member.raft_id)
        return 1 + sum(self._replied_within(raft_id, ticks) for raft_id in others)

    # --- ticks

    def _draw_election_timeout(self) -> None:
        self._election_timeout = ELECTION_TICKS + self.random.randrange(ELECTION_TICKS)

    def _tick(self) -> None:
        self._timer = self.clock.call_later(TICK_S, self._tick)
        gate = self.gate()
        is_stopped = gate is not None and gate.is_shut
        if self.is_leading:
            # A leader whose daemon is stopped (SIGSTOP) would step down when the daemon continues. As it does nothing
            # until then, it can just as well step down now.
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
        """Send a heartbeat to every follower now."""
        self.applied = self.store_index()
        message = Heartbeat(self.term, self.member.raft_id, self.applied, self.membership)
        for member in self.membership.members:
            if member.raft_id != self.member.raft_id:
                Task(self.clock, self._exchange(member, message), self.gate())

    async def _exchange(self, member: Member, message: Heartbeat | VoteRequest | TimeoutNow) -> None:
        try:
            reply = await self.send(member, message)
        except CnmsimError:
            return  # unreachable: Raft counts missing replies
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
            and not self.is_leading
            and self._voted_for == self.member.raft_id
        ):
            self._votes.add(member.raft_id)
            self._count_votes()

    # --- elections

    def _campaign(self, is_transfer: bool = False) -> None:
        self.term += 1
        self.leader_id = None
        self._voted_for = self.member.raft_id
        self._votes = {self.member.raft_id}
        self._election_elapsed = 0
        self._draw_election_timeout()
        self._count_votes()
        if self.is_leading:
            return
        message = VoteRequest(self.term, self.member.raft_id, self.applied, is_transfer)
        for member in self.membership.members:
            if member.raft_id != self.member.raft_id:
                Task(self.clock, self._exchange(member, message), self.gate())

    def _count_votes(self) -> None:
        if len(self._votes) < self.membership.quorum:
            return
        self.is_leading = self._has_had_leader = True
        self.leader_id = self.member.raft_id
        self._election_elapsed = 0
        now = self.clock.now_ns
        self._last_reply_ns = {raft_id: now for raft_id in self._votes if raft_id != self.member.raft_id}
        self.send_heartbeats()
        self.on_elected()

    def transfer_leadership(self) -> None:
        """Step down, and ask the member that replied last to start an election (TimeoutNow, Raft dissertation 3.10).

        Does nothing if this member is not the leader, or if no other member has replied recently.
        """
        others = [member for member in self.membership.members if self._replied_within(member.raft_id, _QUORUM_TICKS)]
        if not self.is_leading or not others:
            return
        successor = max(others, key=lambda member: self._last_reply_ns[member.raft_id])
        Task(self.clock, self._exchange(successor, TimeoutNow(self.term)), self.gate())
        self._step_down(self.term)

    def on_timeout_now(self, message: TimeoutNow) -> Reply:
        """Start an election at once, as requested by a leader that transfers its leadership."""
        if message.term >= self.term:
            self.clock.call_soon(self._campaign, True)
        return Reply(self.term, is_granted=True)

    def _step_down(self, term: int) -> None:
        if term > self.term:
            self.term = term
            self._voted_for = None
            # Draw a new timeout. Otherwise a member that cannot win could time out before the others again and again
            # (etcd raft `reset`).
            self._draw_election_timeout()
        if self.is_leading or self.leader_id == self.member.raft_id:
            self.leader_id = None
        self._election_elapsed = 0
        if self.is_leading:
            self.is_leading = False
            self._last_reply_ns = {}
            self.on_step_down()

    # --- received messages

    def on_heartbeat(self, message: Heartbeat) -> Reply:
        """Process a heartbeat from a leader.

        The reply accepts the heartbeat, unless the heartbeat's term is older than this member's term.
        """
        if message.term < self.term:
            return Reply(self.term, is_granted=False)
        if message.term > self.term or self.is_leading:
            self._step_down(message.term)
        self.leader_id, self._has_had_leader = message.leader, True
        self._election_elapsed = 0
        self.applied = max(self.applied, message.applied)
        if message.membership.version >= self.membership.version:
            self.set_membership(message.membership)
        return Reply(self.term, is_granted=True)

    def on_vote_request(self, message: VoteRequest) -> Reply:
        """Process a vote request and reply whether the vote is granted.

        While this member receives heartbeats, it grants its vote only to their sender, unless the leader asked for
        the election (SwarmKit sets CheckQuorum).
        """
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

    # --- membership

    def set_membership(self, membership: Membership) -> None:
        """Set the membership of the group. A leader sends it to the other members with its next heartbeat."""
        was_member = any(member.raft_id == self.member.raft_id for member in self.membership.members)
        if self.is_leading:
            # A new member counts as reachable until it has had time to reply (etcd raft `confchange`, RecentActive).
            new = {member.raft_id for member in membership.members} - {
                member.raft_id for member in self.membership.members
            }
            self._last_reply_ns |= dict.fromkeys(new, self.clock.now_ns)
        self.membership = membership
        if was_member and all(member.raft_id != self.member.raft_id for member in membership.members):
            self.on_removed()
