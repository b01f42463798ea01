"""Failure detection: every second one member is probed, first directly, then through other members and over TCP.

Source: memberlist `state.go` (probeNode), `net.go` (handlePing, handleIndirectPing), v0.5.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.clock import Timer
from cnmsim.libnetwork.networkdb.messages import Ack, Compound, IndirectPing, Member, Nack, Ping, State, Suspect
from cnmsim.libnetwork.networkdb.suspicion import INDIRECT_CHECKS, PROBE_INTERVAL_S, PROBE_TIMEOUT_S, Awareness
from cnmsim.libnetwork.networkdb.ticker import Ticker
from cnmsim.libnetwork.networkdb.transport import SocketAddress, Stream

if TYPE_CHECKING:
    from cnmsim.libnetwork.networkdb.memberlist import Memberlist


@define(eq=False)
class _Round:
    """The state of one probe of the member `target`, and the answers received so far.

    `seq` is the sequence number in the probe's messages. The probe has failed if there is no answer at the virtual
    time `deadline_s`, in seconds. `expected_nacks` is the number of helpers: members that probe the target, too, and
    send a Nack if it does not answer. `nacks` counts the Nacks received, and `acked_over_tcp` is True after an answer
    over TCP. `was_sent` is False if no packet could leave this host.
    """

    target: Member
    seq: int
    deadline_s: float
    timer: Timer | None = None
    expected_nacks: int = 0
    nacks: int = 0
    acked_over_tcp: bool = False
    was_sent: bool = False


@define(eq=False)
class Prober:
    """The failure detector of one node.

    `awareness` is the node's own health score. A failed probe worsens the score if helpers did not send the expected
    Nacks, since the fault may then be on this node.
    """

    members: Memberlist
    awareness: Awareness = field(factory=Awareness)
    _ticker: Ticker = field(init=False)
    _seq: int = field(default=0, init=False)
    _round: _Round | None = field(default=None, init=False)
    _is_late: bool = field(default=False, init=False)
    _relayed: dict[int, Callable[[], None]] = field(factory=dict, init=False)
    _index: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._ticker = Ticker(self.members.clock, self.members.random, PROBE_INTERVAL_S, self._tick)

    def start(self) -> None:
        """Start probing."""
        self._ticker.arm()

    def stop(self) -> None:
        """Stop probing."""
        self._ticker.stop()
        if self._round is not None and self._round.timer is not None:
            self._round.timer.cancel()
        self._round = None

    def restart_after_fork(self) -> None:
        """Abandon the probe that is running: a forked lab does not contain the connection that may carry the answer.

        The next probe starts within a second.
        """
        if self._round is not None:
            self._end(0)

    # --- the prober's side

    def _tick(self) -> None:
        self._ticker.arm()
        if self.members.is_paused:
            return
        if self._round is not None:
            self._is_late = True
            return
        self._begin()

    def _begin(self) -> None:
        target = self._next()
        if target is None:
            return
        self._seq += 1
        self._round = current = _Round(target, self._seq, self.awareness.scale(PROBE_INTERVAL_S))
        ping = Ping(current.seq, target.name, self.members.advertised)
        message: Ping | Compound = ping
        if target.state is not State.ALIVE:
            # Included so that the suspected member can refute at once.
            message = Compound((ping, Suspect(target.name, target.incarnation, self.members.name)))
        begun = self.members.clock.now
        current.deadline_s += begun
        if not self.members.send(message, (target.address, target.port)):
            self._probe_indirectly()
            return
        current.was_sent = True
        current.timer = self.members.clock.call_later(PROBE_TIMEOUT_S, self._probe_indirectly)

    def _next(self) -> Member | None:
        ring, members = self.members.ring, self.members.members
        for _ in range(len(ring) + 1):
            if self._index >= len(ring):
                self.members.reset_nodes()
                self._index = 0
                if not ring:
                    return None
            member = members[ring[self._index]]
            self._index += 1
            if member.name != self.members.name and not member.is_gone:
                return member
        return None

    def _probe_indirectly(self) -> None:
        current = self._round
        assert current is not None
        members = self.members
        helpers = members.random_members(
            INDIRECT_CHECKS, lambda member: member.state is State.ALIVE and member.name != current.target.name
        )
        request = IndirectPing(current.seq, current.target, members.advertised)
        for helper in helpers:
            current.expected_nacks += 1
            members.send(request, (helper.address, helper.port))
        members.task(self._ping_over_tcp(current))
        left_s = current.deadline_s - members.clock.now
        current.timer = members.clock.call_later(left_s, self._fail_round)

    async def _ping_over_tcp(self, current: _Round) -> None:
        members, target = self.members, current.target
        left_s = current.deadline_s - members.clock.now
        try:
            stream = await members.transport.dial((target.address, target.port), left_s)
        except OSError:
            return
        try:
            stream.send(Ping(current.seq, target.name, members.advertised))
            answer = await stream.recv(max(0.001, current.deadline_s - members.clock.now))
            current.acked_over_tcp = isinstance(answer, Ack) and answer.seq == current.seq
        except OSError:
            return
        finally:
            stream.close()

    def _fail_round(self) -> None:
        current = self._round
        assert current is not None
        if current.acked_over_tcp:
            self._end(-1 if current.was_sent else 0)
            return
        missing = max(0, current.expected_nacks - current.nacks) if current.expected_nacks else 1
        target = current.target
        self.members.suspect(Suspect(target.name, target.incarnation, self.members.name))
        self._end(missing)

    def _end(self, delta: int) -> None:
        if self._round is not None and self._round.timer is not None:
            self._round.timer.cancel()
        self._round = None
        self.awareness.apply(delta)
        if self._is_late:
            self._is_late = False
            self._begin()

    def ack(self, message: Ack) -> None:
        """Handle an Ack, for this node's own probe or for one that it sent on behalf of another node."""
        current = self._round
        if current is not None and current.seq == message.seq:
            self._end(-1 if current.was_sent else 0)
            return
        relay = self._relayed.pop(message.seq, None)
        if relay is not None:
            relay()

    def nack(self, message: Nack) -> None:
        """Handle a Nack: the member that was asked to probe the target got no answer from it."""
        if self._round is not None and self._round.seq == message.seq:
            self._round.nacks += 1

    # --- the other side

    def ping(self, message: Ping) -> None:
        """Answer a probe. Ignore a probe for another name, which is meant for a node that had this address before."""
        if message.name == self.members.name:
            self.members.send(Ack(message.seq), message.source)

    async def answer_stream(self, stream: Stream, message: Ping) -> None:
        """Answer a probe that arrived over TCP."""
        if message.name == self.members.name:
            stream.send(Ack(message.seq))

    def indirect_ping(self, message: IndirectPing, sender: SocketAddress) -> None:
        """Probe `message.target`, and send an Ack or, after a timeout, a Nack to `message.source`."""
        del sender  # the request contains the address to answer to
        self._seq += 1
        seq, clock = self._seq, self.members.clock

        def relay() -> None:
            timer.cancel()
            self.members.send(Ack(message.seq), message.source)

        def give_up() -> None:
            if self._relayed.pop(seq, None) is not None:
                self.members.send(Nack(message.seq), message.source)

        self._relayed[seq] = relay
        timer = clock.call_later(PROBE_TIMEOUT_S, give_up)
        target = message.target
        self.members.send(Ping(seq, target.name, self.members.advertised), (target.address, target.port))
