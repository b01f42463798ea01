"""SWIM membership: the members of the gossip cluster that one node knows.

Members are probed. A member that does not answer is suspected, and declared dead unless it refutes the suspicion in
time. These events are gossiped. Periodically, two nodes also exchange all state over TCP (push/pull). Source:
memberlist `state.go`, `net.go`, `memberlist.go` (v0.5.4), with `DefaultLANConfig`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any, Protocol

from attrs import define, evolve, field

from cnmsim.kernel.address import Address
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.process import Process
from cnmsim.kernel.task import Task
from cnmsim.libnetwork.networkdb.broadcast import BroadcastQueue, NameIndex, get_broadcasts
from cnmsim.libnetwork.networkdb.messages import (
    COMPOUND_HEADER,
    COMPOUND_OVERHEAD,
    ENCRYPTION_OVERHEAD,
    Ack,
    Compound,
    Dead,
    IndirectPing,
    Member,
    Nack,
    NetworkState,
    Ping,
    PushPull,
    State,
    Suspect,
    TableEventBatch,
)
from cnmsim.libnetwork.networkdb.probe import Prober
from cnmsim.libnetwork.networkdb.suspicion import (
    SUSPICION_MAX_MULT,
    SUSPICION_MULT,
    Suspicion,
    push_pull_interval_s,
    suspicion_timeout_s,
)
from cnmsim.libnetwork.networkdb.ticker import Ticker
from cnmsim.libnetwork.networkdb.transport import Keyring, SocketAddress, Stream, Transport

GOSSIP_INTERVAL_S = 0.2
GOSSIP_NODES = 3
#: For how many seconds a dead member still gets gossip, so that it can refute its death.
GOSSIP_TO_THE_DEAD_S = 30.0


class Delegate(Protocol):
    """The interface through which memberlist calls the layer above it, NetworkDB (memberlist's `Delegate`).

    The delegate sends messages of its own by gossip, and state of its own in push/pulls. It is notified of members
    that join or leave.
    """

    @property
    def queues(self) -> list[BroadcastQueue]:
        """The delegate's queues of messages to the whole cluster."""

    def notify_message(self, message: Any) -> None:
        """Process a message of the delegate that arrived by gossip. memberlist does not interpret it."""

    def notify_batch(self, news: TableEventBatch) -> None:
        """Process a packet of several table events."""

    def is_redundant(self, message: Any) -> bool:
        """Return True if a message of the delegate contains nothing new; False if it may contain something new."""

    def is_redundant_batch(self, news: TableEventBatch) -> bool:
        """Return True if a packet of table events contains nothing new."""

    def notify_stream_message(self, message: Any) -> None:
        """Process a message of the delegate that arrived over TCP."""

    def local_state(self, *, is_join: bool) -> NetworkState:
        """Return the delegate's state for a push/pull. `is_join` is True if this node is joining the cluster."""

    def merge_remote_state(self, state: NetworkState) -> None:
        """Merge the state that another node's delegate sent in a push/pull."""

    def notify_join(self, member: Member) -> None:
        """Record that a member has joined."""

    def notify_leave(self, member: Member) -> None:
        """Record that a member has left or failed."""


@define(eq=False)
class Memberlist:
    """The members of the gossip cluster that one node knows.

    `members` maps names to members. `ring` contains their names in the order in which they are probed. `bind` is the
    address that the sockets bind, `advertised` the address and port that other nodes use.
    """

    process: Process
    name: str
    bind: Address
    advertised: SocketAddress
    keyring: Keyring
    random: Random
    delegate: Delegate
    packet_size: int
    members: dict[str, Member] = field(factory=dict, init=False)
    ring: list[str] = field(factory=list, init=False)
    is_leaving: bool = field(default=False, init=False)
    is_stopped: bool = field(default=False, init=False)
    queue: BroadcastQueue = field(init=False)
    transport: Transport = field(init=False)
    prober: Prober = field(init=False)
    suspicions: dict[str, Suspicion] = field(factory=dict, init=False)
    _changed_ns: dict[str, int] = field(factory=dict, init=False)
    _gossip: Ticker = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.queue = BroadcastQueue(lambda: len(self.members), self.schedule_gossip, NameIndex())
        self.transport = Transport(
            self.process,
            self.bind,
            self.advertised[1],
            self.keyring,
            self._handle_packet,
            self._handle_stream,
            self._is_known,
        )
        self.prober = Prober(self)
        self._gossip = Ticker(self.clock, self.random, GOSSIP_INTERVAL_S, self._gossip_tick)
        self.alive(Member(self.name, *self.advertised, 1))
        self.prober.start()
        self._schedule_push_pull(self.random.random() * push_pull_interval_s(1))

    @property
    def clock(self) -> Clock:
        """The lab's clock."""
        return self.process.clock

    @property
    def is_paused(self) -> bool:
        """Whether the daemon's process was stopped by SIGSTOP."""
        return self.process.is_paused

    @property
    def is_alone(self) -> bool:
        """Whether no other member is alive."""
        return all(member.is_gone or member.name == self.name for member in self.members.values())

    @property
    def me(self) -> Member:
        """The member that is this node itself."""
        return self.members[self.name]

    def task(self, coroutine: Coroutine[Any, Any, Any]) -> Task[Any]:
        """Run a coroutine in the daemon's process. Return its task."""
        return self.process.task(coroutine)

    # --- sending

    @property
    def _capacity(self) -> int:
        return self.packet_size - COMPOUND_HEADER - ENCRYPTION_OVERHEAD

    def _get_broadcasts(self, used: int) -> list[Any]:
        return get_broadcasts([self.queue, *self.delegate.queues], COMPOUND_OVERHEAD, self._capacity - used)

    def send(self, message: Any, to: SocketAddress, *, carries_gossip: bool = True) -> bool:
        """Send a packet that contains `message` and, if `carries_gossip` is True, as many queued messages as fit.

        Return `False` if the packet could not leave this host.
        """
        if carries_gossip and (extra := self._get_broadcasts(COMPOUND_OVERHEAD + message.size)):
            message = Compound((message, *extra))
        try:
            self.transport.send(message, to)
        except OSError:
            return False
        return True

    def schedule_gossip(self) -> None:
        """Plan a round of gossip at the next tick of the gossip timer, because a message was queued."""
        if not self.is_stopped:
            self._gossip.arm()

    def _gossip_tick(self) -> None:
        if self.is_paused:
            self._gossip.arm()
            return
        horizon_ns = self.clock.now_ns - round(GOSSIP_TO_THE_DEAD_S * NS_PER_S)

        def is_gossip_target(member: Member) -> bool:
            if member.state is State.DEAD:
                return self._changed_ns.get(member.name, 0) >= horizon_ns
            return member.state is not State.LEFT

        chosen = self.random_members(GOSSIP_NODES, is_gossip_target)
        packets: list[tuple[Any, SocketAddress]] = []
        for member in chosen:
            messages = self._get_broadcasts(0)
            if not messages:
                break
            packets.append((messages[0] if len(messages) == 1 else Compound(tuple(messages)), member.socket_address))
        self.transport.gossip(packets)
        # Without other members the messages stay queued. Gossip starts when a new member joins, as this queues an
        # event.
        if chosen and (self.queue or any(self.delegate.queues)):
            self._gossip.arm()

    def random_members(self, count: int, fits: Callable[[Member], bool]) -> list[Member]:
        """Return up to `count` random members for which `fits` returns True, excluding this node."""
        ring, members, own, size = self.ring, self.members, self.name, len(self.ring)
        chosen: list[Member] = []
        looked_at: set[int] = set()
        numbers: Iterable[int]
        if size < 3 * count:
            numbers = self.random.sample(range(size), size)
        else:
            numbers = (int(self.random.random() * size) for _ in range(3 * size))
        for number in numbers:
            if number in looked_at:
                continue
            looked_at.add(number)
            member = members[ring[number]]
            if member.name != own and fits(member):
                chosen.append(member)
                if len(chosen) == count:
                    break
        return chosen

    # --- receiving

    def _handle_packet(self, message: Any, sender: SocketAddress) -> None:
        if message.__class__ is TableEventBatch:
            self.delegate.notify_batch(message)
            return
        if message.__class__ is Compound:
            members, is_redundant = self.members, self.delegate.is_redundant
            for part in message.parts:
                # Nearly all gossip is redundant.
                if not (members.get(part.name) is part if part.__class__ is Member else is_redundant(part)):
                    self._handle_packet(part, sender)
            return
        match message:
            case Ping():
                self.prober.ping(message)
            case Ack():
                self.prober.ack(message)
            case Nack():
                self.prober.nack(message)
            case IndirectPing():
                self.prober.indirect_ping(message, sender)
            case Member():
                self.alive(message)
            case Suspect():
                self.suspect(message)
            case Dead():
                self.dead(message)
            case _:
                self.delegate.notify_message(message)

    def _is_known(self, message: Any) -> bool:
        if message.__class__ is TableEventBatch:
            return self.delegate.is_redundant_batch(message)
        members, is_redundant = self.members, self.delegate.is_redundant
        for part in message.parts if message.__class__ is Compound else (message,):
            if not (members.get(part.name) is part if part.__class__ is Member else is_redundant(part)):
                return False
        return True

    async def _handle_stream(self, stream: Stream) -> None:
        message = await stream.recv()
        match message:
            case Ping():
                await self.prober.answer_stream(stream, message)
            case PushPull():
                stream.send(self._push_pull(is_join=message.is_join))
                self._merge(message)
            case _:
                self.delegate.notify_stream_message(message)

    # --- member states

    def alive(self, member: Member) -> None:
        """Process the message that a member is alive: add the member, or end a suspicion, and gossip the message.

        A message is ignored if its incarnation is not higher than the known one. If the member is this node itself,
        refute a message with a higher incarnation.
        """
        is_me = member.name == self.name
        if self.is_leaving and is_me:
            return
        known = self.members.get(member.name)
        if known is not None:
            if known.socket_address != member.socket_address and known.state is not State.LEFT:
                return
            if is_me:
                if member.incarnation > known.incarnation:
                    self._refute(known, member.incarnation)
                return
            if member.incarnation <= known.incarnation:
                return
        else:
            self.members[member.name] = member
            self._insert(member.name)
        self._clear_suspicion(member.name)
        self.members[member.name] = member
        self.queue.queue(member)
        if known is None or known.is_gone:
            self.delegate.notify_join(member)

    def _insert(self, name: str) -> None:
        # Inserted at a random position of the ring, so that on average a new member is soon probed.
        ring = self.ring
        ring.append(name)
        place = int(self.random.random() * len(ring))
        ring[place], ring[-1] = ring[-1], ring[place]

    def _clear_suspicion(self, name: str) -> None:
        suspicion = self.suspicions.pop(name, None)
        if suspicion is not None:
            suspicion.cancel()

    def _refute(self, me: Member, incarnation: int) -> None:
        mine = max(me.incarnation, incarnation) + 1
        self.members[self.name] = member = evolve(me, incarnation=mine)
        self.prober.awareness.apply(1)
        self.queue.queue(member)

    def suspect(self, message: Suspect) -> None:
        """Process a message that a member is suspected to be dead, and gossip it.

        It starts the suspicion's timer or, if that runs already, counts as a confirmation, which shortens the timer.
        If the member is this node itself, refute the suspicion with a higher incarnation.
        """
        name = message.name
        known = self.members.get(name)
        if known is None or message.incarnation < known.incarnation:
            return
        suspicion = self.suspicions.get(name)
        if suspicion is not None:
            if suspicion.confirm(message.sender):
                self.queue.queue(message)
            return
        if known.state is not State.ALIVE:
            return
        if name == self.name:
            self._refute(known, message.incarnation)
            return
        self.queue.queue(message)
        self._update_state(evolve(known, incarnation=message.incarnation, state=State.SUSPECT))
        confirmations = SUSPICION_MULT - 2
        count = len(self.members)
        if count - 2 < confirmations:
            confirmations = 0
        shortest_s = suspicion_timeout_s(count)

        def expired() -> None:
            suspected = self.members.get(name)
            if suspected is not None and suspected.state is State.SUSPECT:
                self.dead(Dead(name, suspected.incarnation, self.name))

        self.suspicions[name] = Suspicion(
            self.clock, message.sender, confirmations, shortest_s, shortest_s * SUSPICION_MAX_MULT, expired
        )

    def dead(self, message: Dead, on_sent: Callable[[], None] | None = None) -> None:
        """Process a message that a member is dead, and gossip it. If the member itself sent the message, it has left.

        If the member is this node itself, refute the message, unless this node is leaving. `on_sent` is called when
        the message was transmitted often enough.
        """
        name = message.name
        known = self.members.get(name)
        if known is None or message.incarnation < known.incarnation:
            return
        self._clear_suspicion(name)
        if known.is_gone:
            return
        if name == self.name and not self.is_leaving:
            self._refute(known, message.incarnation)
            return
        self.queue.queue(message, on_sent)
        state = State.LEFT if message.sender == name else State.DEAD
        gone = evolve(known, incarnation=message.incarnation, state=state)
        self._update_state(gone)
        self.delegate.notify_leave(gone)

    def _update_state(self, member: Member) -> None:
        self.members[member.name] = member
        self._changed_ns[member.name] = self.clock.now_ns

    def reset_nodes(self) -> None:
        """Remove members that died or left more than 30 seconds ago, and shuffle the order of probing."""
        horizon_ns = self.clock.now_ns - round(GOSSIP_TO_THE_DEAD_S * NS_PER_S)
        for name, changed_ns in list(self._changed_ns.items()):
            if not self.members[name].is_gone:
                if self.members[name].state is State.ALIVE:
                    del self._changed_ns[name]
            elif changed_ns < horizon_ns and name != self.name:
                del self._changed_ns[name], self.members[name]
                self.ring.remove(name)
        self.random.shuffle(self.ring)

    # --- push/pull

    def _schedule_push_pull(self, delay_s: float) -> None:
        self.clock.call_later(delay_s + push_pull_interval_s(len(self.members)), self._push_pull_tick)

    def _push_pull_tick(self) -> None:
        if self.is_stopped:
            return
        partners = self.random_members(1, lambda member: member.state is State.ALIVE)
        if partners and not self.is_paused:
            self.task(self._try_push_pull(partners[0].socket_address))
        self._schedule_push_pull(0.0)

    async def _try_push_pull(self, to: SocketAddress) -> None:
        try:
            await self.push_pull(to, is_join=False)
        except OSError:
            return  # the next one is with another node

    async def push_pull(self, to: SocketAddress, *, is_join: bool) -> None:
        """Exchange this node's state with that of the node at the address `to`.

        Raises `OSError` if that node cannot be reached. `is_join` is True if this node is joining the cluster.
        """
        stream = await self.transport.dial(to)
        try:
            stream.send(self._push_pull(is_join=is_join))
            answer = await stream.recv()
        finally:
            stream.close()
        if isinstance(answer, PushPull):
            self._merge(answer)

    def _push_pull(self, *, is_join: bool) -> PushPull:
        state = self.delegate.local_state(is_join=is_join)
        return PushPull(is_join, tuple(self.members.values()), state)

    def _merge(self, message: PushPull) -> None:
        members = self.members
        for member in message.members:
            if members.get(member.name) is member:
                continue
            if member.state is State.ALIVE:
                self.alive(member)
            elif member.state is State.LEFT:
                self.dead(Dead(member.name, member.incarnation, member.name))
            else:
                # A member that the other node reports as dead is only suspected, so that it can refute that.
                self.suspect(Suspect(member.name, member.incarnation, self.name))
        self.delegate.merge_remote_state(message.state)

    async def join(self, addresses: Iterable[SocketAddress]) -> int:
        """Exchange states with the nodes at these addresses, one after another. Return how many of them responded."""
        count = 0
        for address in addresses:
            try:
                await self.push_pull(address, is_join=True)
            except OSError:
                continue
            count += 1
        return count

    async def send_reliably(self, message: Any, member: Member) -> None:
        """Send a message of the delegate to a member over TCP. Raises `OSError` if the member cannot be reached."""
        stream = await self.transport.dial(member.socket_address)
        try:
            stream.send(message)
        finally:
            stream.close()

    def leave(self, on_sent: Callable[[], None]) -> bool:
        """Broadcast that this node leaves. Return `False` if no other member is alive.

        `on_sent` is called when the message was transmitted often enough.
        """
        self.is_leaving = True
        self.dead(Dead(self.name, self.me.incarnation, self.name), on_sent)
        return not self.is_alone

    def stop(self) -> None:
        """Stop at once, without announcing that this node leaves."""
        if self.is_stopped:
            return
        self.is_stopped = True
        self.prober.stop()
        self._gossip.stop()
        for suspicion in self.suspicions.values():
            suspicion.cancel()
        self.transport.close()
