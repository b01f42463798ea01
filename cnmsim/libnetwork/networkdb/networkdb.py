"""NetworkDB: the tables of a swarm's networks, replicated by gossip.

A table belongs to one network and holds entries by key; each entry has one owner, the node that created it. Owners
gossip their creations, updates and deletions, ordered by Lamport time; lost ones are repaired by periodic bulk syncs.
Only nodes that are attached to a network receive its entries. libnetwork has two tables: `endpoint_table` with names
and services, and the overlay driver's `overlay_peer_table` with tunnel endpoints. Source: moby
`libnetwork/networkdb/*.go` (docker-v29.7.2, v28.5.2), `docs/networkdb.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any

from attrs import define, field

from cnmsim.errors import NotFound, SystemFault
from cnmsim.kernel.address import Address
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.interning import InternedMultiMap, intern_pool
from cnmsim.kernel.process import Process
from cnmsim.kernel.task import Future, Signal
from cnmsim.libnetwork.networkdb.attachments import Attachments
from cnmsim.libnetwork.networkdb.broadcast import BroadcastQueue, SlotIndex, get_broadcasts
from cnmsim.libnetwork.networkdb.bulksync import BulkSynchronizer
from cnmsim.libnetwork.networkdb.context import NetworkDBConfig, NodeContext
from cnmsim.libnetwork.networkdb.databases import databases_of
from cnmsim.libnetwork.networkdb.memberlist import GOSSIP_INTERVAL_S, GOSSIP_NODES, Memberlist
from cnmsim.libnetwork.networkdb.messages import (
    TABLE_COMPOUND_HEADER,
    TABLE_COMPOUND_OVERHEAD,
    BulkSync,
    Member,
    NetworkEvent,
    NetworkState,
    NodeEvent,
    TableEvent,
    TableEventBatch,
    TableOperation,
)
from cnmsim.libnetwork.networkdb.nodes import Nodes, random_nodes
from cnmsim.libnetwork.networkdb.rejoin import Rejoiner, complete
from cnmsim.libnetwork.networkdb.store import EntryVersion, EntryView, SharedStore, store_of
from cnmsim.libnetwork.networkdb.tables import REAP_ENTRY_S, REAP_NETWORK_S, REAP_PERIOD_S, NetworkTables, WatchEvent
from cnmsim.libnetwork.networkdb.ticker import Ticker
from cnmsim.libnetwork.networkdb.transport import Keyring
from cnmsim.libnetwork.networkdb.watchers import Watchers

#: If more messages than this are queued, events of a bulk sync are not relayed.
LONGEST_QUEUE_ON_SYNC = 500


@define(eq=False)
class NetworkDB:
    """The replicated database on one node. `process` owns its sockets. Raises `OSError` if its port is in use.

    `on_node` is called with the address of a node, and True if the node joined or False if it left or failed.
    `networks` holds, by network id, the tables of the networks to which this node is attached, or was until recently.
    """

    process: Process
    random: Random
    config: NetworkDBConfig
    on_node: Callable[[Address, bool], None] | None = None
    #: The lab's clock.
    clock: Clock = field(init=False)
    #: The store that all nodes of the lab share.
    store: SharedStore = field(init=False)
    #: This node's name in the cluster.
    name: str = field(init=False)
    nodes: Nodes = field(init=False)
    networks: dict[str, NetworkTables] = field(init=False)
    context: NodeContext = field(init=False)
    members: Memberlist = field(init=False)
    bulk: BulkSynchronizer = field(init=False)
    rejoiner: Rejoiner = field(init=False)
    network_queue: BroadcastQueue = field(init=False)
    node_queue: BroadcastQueue = field(init=False)
    attachments: Attachments = field(init=False)
    _watchers: Watchers = field(init=False)
    _synced: Signal = field(init=False)
    _gossip: Ticker = field(init=False)
    _reap: Ticker = field(init=False)

    def __attrs_post_init__(self) -> None:
        config = self.config
        clock = self.clock = self.process.clock
        self.store, self.name = store_of(clock), config.name
        self.nodes = Nodes(clock, (config.name, config.advertise_addr, config.port), self._node_gone)
        context = self.context = NodeContext(self.process, self.random, config, self.nodes)
        self.networks = context.networks
        self.network_queue = BroadcastQueue(lambda: len(self.nodes.active), self._schedule_member_gossip, SlotIndex())
        self.node_queue = BroadcastQueue(lambda: len(self.nodes.active), self._schedule_member_gossip)
        self._gossip = Ticker(clock, self.random, GOSSIP_INTERVAL_S, self._gossip_tables)
        self._reap = Ticker(clock, self.random, REAP_PERIOD_S, self._reap_tick)
        self.attachments = Attachments(context, self.store.attachments, self.network_queue, self._reap.arm)
        self._watchers = Watchers(clock)
        self._synced = Signal(clock)
        self.bulk = BulkSynchronizer(context, partial(self.handle_table_event, is_bulk=True))
        self.rejoiner = Rejoiner(context, self.bulk, self.send_node_event, self.stop)
        context.members = self.members = Memberlist(
            self.process,
            config.name,
            config.bind_addr,
            (config.advertise_addr, config.port),
            Keyring(list(config.keys)),
            self.random,
            self,
            config.packet_size,
        )
        self.bulk.start()
        self.rejoiner.start()
        databases_of(clock).append(self)
        self.process.exited.add_done_callback(lambda _: self.stop())

    @property
    def keyring(self) -> Keyring:
        """The keys with which gossip is encrypted."""
        return self.members.keyring

    # --- the cluster

    def join(self, addresses: Iterable[Address]) -> None:
        """Join the cluster through the nodes at these addresses.

        The attempt is repeated later whenever none of these nodes is a member.
        """
        self.rejoiner.join([(address, self.config.port) for address in addresses])

    def close(self, on_closed: Callable[[], None] | None = None) -> None:
        """Announce that this node leaves, stop the database, then call `on_closed`.

        If the database is stopped before the announcement, as by `stop`, `on_closed` is not called.
        """
        self.context.run_in_background(lambda: self.rejoiner.leave(on_closed))

    def stop(self) -> None:
        """Stop at once without any message, as a crash does."""
        if self.context.is_stopped:
            return
        self.context.is_stopped = True
        self._synced.notify()
        self.bulk.stop()
        self.rejoiner.stop()
        self._gossip.stop()
        self._reap.stop()
        self.members.stop()
        for tables in self.networks.values():
            tables.view.clear()
        self.attachments.view.clear()
        databases_of(self.clock).remove(self)

    def send_node_event(self, is_join: bool) -> Future[None]:
        """Broadcast that this node has joined or, if `is_join` is False, is about to leave.

        The returned future is done when the event was transmitted often enough, or at once if there is no other node.
        """
        ltime = self.context.network_clock.increment()
        sent: Future[None] = Future(self.clock)
        self.node_queue.queue(NodeEvent(ltime, self.name, is_join), lambda: complete(sent))
        if len(self.nodes.active) <= 1:
            complete(sent)
        return sent

    # --- tables

    def watch(self, table: str, network: str, callback: Callable[[WatchEvent], None]) -> Callable[[], None]:
        """Subscribe `callback` to remote changes of a table, for one network or for all ("").

        In 29.x it is also called for each entry of other nodes that exists in the network already. Return a function
        that unsubscribes.
        """
        unwatch = self._watchers.add(table, network, callback)
        if self.config.profile.table_updates_are_replaced and network in self.networks:
            for version in list(self.networks[network].view):
                name, key = version.slot.key
                if name == table and version.owner != self.name and not version.is_deleted:
                    event = WatchEvent(network, table, key, TableOperation.CREATE, None, version.value, version.value)
                    self.clock.call_soon(callback, event)
        return unwatch

    def get_entry(self, table: str, network: str, key: str) -> Any:
        """Return the value of an entry. Raises `NotFound` if there is none."""
        version = self._entry(table, network, key)
        if version is None:
            raise NotFound(f"could not get entry in table {table} with network id {network} and key {key}")
        if version.is_deleted:
            raise NotFound(
                f"entry in table {table} network id {network} and key {key} deleted and pending garbage collection"
            )
        return version.value

    def entries(self, table: str, network: str) -> dict[str, Any]:
        """Return the entries of a network's table that this node has, as a dict from keys to values.

        The dict is empty if this node is not attached to the network.
        """
        tables = self.networks.get(network)
        values: dict[str, Any] = {}
        for version in tables.view if tables is not None else ():
            name, key = version.slot.key
            if name == table and not version.is_deleted:
                values[key] = version.value
        return values

    def _entry(self, table: str, network: str, key: str) -> EntryVersion | None:
        tables = self.networks.get(network)
        return None if tables is None else tables.view.get((table, key))

    def create_entry(self, table: str, network: str, key: str, value: Any) -> None:
        """Create an entry and gossip it.

        Raises `SystemFault` if the key has an entry already, or one whose deletion is still recorded.
        """
        if self._entry(table, network, key) is not None:
            raise SystemFault(
                f"cannot create entry in table {table} with network id {network} and key {key}, already exists"
            )
        self._write(TableOperation.CREATE, table, network, key, value)

    def update_entry(self, table: str, network: str, key: str, value: Any) -> None:
        """Update an entry and gossip it. Raises `SystemFault` if the key has no entry, not even a deleted one."""
        if self._entry(table, network, key) is None:
            raise SystemFault(
                f"cannot update entry as the entry in table {table} with network id {network} and key {key} "
                "does not exist"
            )
        self._write(TableOperation.UPDATE, table, network, key, value)

    def delete_entry(self, table: str, network: str, key: str) -> None:
        """Delete an entry and gossip the deletion. Raises `SystemFault` if the entry does not exist."""
        version = self._entry(table, network, key)
        if version is None or version.is_deleted:
            raise SystemFault(
                f"cannot delete entry {table} with network id {network} and key {key} "
                "does not exist or is already being deleted"
            )
        self._write(TableOperation.DELETE, table, network, key, version.value)

    def _write(self, operation: TableOperation, table: str, network: str, key: str, value: Any) -> None:
        tables = self.networks.get(network) or self._tables(network)
        ltime = self.context.table_clock.increment()
        is_deleted = operation is TableOperation.DELETE
        version = tables.view.pool.version((table, key), ltime, self.name, value, is_deleted=is_deleted)
        tables.put(version)
        if is_deleted:
            self._reap.arm()
        residual_s = int(REAP_ENTRY_S) if is_deleted else 0
        tables.own.queue(TableEvent(operation, network, version, residual_s))

    # --- networks

    def _tables(self, network: str) -> NetworkTables:
        profile = self.config.profile
        own = relayed = BroadcastQueue(lambda: tables.node_count, self._schedule_table_gossip, SlotIndex())
        if profile.networkdb_relays_last:
            relayed = BroadcastQueue(lambda: tables.node_count, self._schedule_table_gossip, SlotIndex())
        view = EntryView(self.store.network(network))
        nodes = InternedMultiMap[str, None](intern_pool(self.clock, "attached", network))
        tables = NetworkTables(
            network, self.name, self.clock, profile, view, own, relayed, self._watchers.notify, nodes
        )
        self.networks[network] = tables
        return tables

    def join_network(self, network: str) -> None:
        """Attach this node to a network, and sync the tables with every other attached node in the background.

        Raises `SystemFault` if this node is attached already (29.x).
        """
        tables = self.networks.get(network)
        if tables is not None and not tables.is_leaving and self.config.profile.networkdb_keeps_unknown_deletions:
            raise SystemFault(f"networkdb: network {network} is already joined")
        tables = tables or self._tables(network)
        tables.is_leaving = tables.is_in_sync = False
        tables.detach_all()
        for node in self.attachments.other_nodes_on(network):
            tables.attach(node)
        tables.attach(self.name)
        self.attachments.announce(network, is_leaving=False)
        self.context.run_in_background(lambda: self._initial_sync(tables))

    async def _initial_sync(self, tables: NetworkTables) -> None:
        await self.bulk.sync(list(tables.nodes), every=True)
        tables.is_in_sync = True
        self._synced.notify()

    async def wait_until_synced(self, network: str) -> None:
        """Wait until this node has requested a network's tables from every other attached node in turn.

        Each node has then sent its entries, or was unreachable, or did not answer in time. Return early if this node
        is detached from the network, or if the database is stopped.
        """
        await self._synced.wait_until(lambda: self.context.is_stopped or not self._is_syncing(network))

    def _is_syncing(self, network: str) -> bool:
        tables = self.networks.get(network)
        return tables is not None and not (tables.is_in_sync or tables.is_leaving)

    def leave_network(self, network: str) -> None:
        """Detach this node from a network. Raises `SystemFault` if the node is not attached."""
        tables = self.networks.get(network)
        if tables is None:
            raise SystemFault(f"could not find network {network} while trying to leave")
        self.attachments.announce(network, is_leaving=True)
        tables.detach(self.name)
        for version in list(tables.view):
            if version.owner != self.name:
                tables.drop(version.slot.number)
            elif not version.is_deleted:
                # The deletion has a new Lamport time. So other nodes apply it even if this node attaches again before
                # they receive the detachment.
                tables.put(tables.tombstone_of(version, self.context.table_clock.increment()))
            tables.notify_deleted(version)
        tables.is_leaving = True
        self._synced.notify()
        tables.reap_ns = self.clock.now_ns + round(REAP_NETWORK_S * NS_PER_S)
        self._reap.arm()

    def peers(self, network: str) -> list[Member]:
        """Return the nodes attached to a network, including this one."""
        tables = self.networks.get(network)
        members = [self.nodes.active.get(name) for name in tables.nodes] if tables is not None else []
        return [member for member in members if member is not None]

    # --- gossip

    def _schedule_member_gossip(self) -> None:
        self.members.schedule_gossip()

    def _schedule_table_gossip(self) -> None:
        if not self.context.is_stopped:
            self._gossip.arm()

    def _gossip_tables(self) -> None:
        if self.members.is_paused:
            self._gossip.arm()
            return
        capacity = self.config.packet_size - TABLE_COMPOUND_HEADER
        active = self.nodes.active
        is_pending = False
        packets: list[tuple[TableEventBatch, tuple[Address, int]]] = []
        for tables in self.networks.values():
            own, relayed = tables.own, tables.relayed
            if not own.messages and not relayed.messages:
                continue
            messages = get_broadcasts((own,) if relayed is own else (own, relayed), TABLE_COMPOUND_OVERHEAD, capacity)
            if own.messages or relayed.messages:
                is_pending = True
            if not messages:
                continue
            news = TableEventBatch(tables.id, messages, tables.view.pool)
            for name in random_nodes(self.random, tables.others(), GOSSIP_NODES):
                member = active.get(name)
                if member is None:
                    break
                packets.append((news, member.socket_address))
        self.members.transport.gossip(packets)
        if is_pending:
            self._gossip.arm()

    # --- memberlist's delegate

    @property
    def queues(self) -> list[BroadcastQueue]:
        """The queues of messages to the whole cluster."""
        return [self.network_queue, self.node_queue]

    def notify_message(self, message: Any) -> None:
        """Apply a gossiped event, and queue it to be gossiped further if it changed this node's database."""
        match message:
            case TableEventBatch():
                self.notify_batch(message)
            case TableEvent():
                self.handle_table_event(message, is_bulk=False)
            case NetworkEvent():
                if self.attachments.handle_event(message.version):
                    self.network_queue.queue(message)
            case NodeEvent():
                if self._handle_node_event(message):
                    self.node_queue.queue(message)

    def is_redundant(self, message: Any) -> bool:
        """Return True if a gossiped message contains nothing new. False means that it may contain something new."""
        return message.__class__ is NetworkEvent and self.attachments.is_current(message.version)

    def is_redundant_batch(self, news: TableEventBatch) -> bool:
        """Return True if a packet of table events contains nothing new."""
        tables = self.networks.get(news.network)
        return news.latest < self.context.table_clock.time if tables is None else news.is_redundant_for(tables.view)

    def notify_batch(self, news: TableEventBatch) -> None:
        """Apply those events of a packet that this node does not have yet, and queue them for relaying."""
        tables = self.networks.get(news.network)
        # Nearly all gossip is redundant. Skipping it here is correct for the Lamport clock too: the clock is ahead of
        # every version that this node has seen.
        if tables is not None and news.is_redundant_for(tables.view):
            return
        for event in news.parts:
            if tables is None or not tables.is_current(event.version):
                self.handle_table_event(event, is_bulk=False)

    def notify_stream_message(self, message: Any) -> None:
        """Apply a message that arrived over TCP: the entries of a bulk sync, or an event."""
        if isinstance(message, BulkSync):
            self.bulk.handle_message(message)
        else:
            self.notify_message(message)

    def handle_table_event(self, event: TableEvent, *, is_bulk: bool) -> None:
        """Apply a table event if it is new, and queue it to be gossiped further.

        `is_bulk` is True if the event was part of a bulk sync; it is then not queued if the queue is long already.
        """
        version = event.version
        if version.owner == self.name:
            return
        self.context.table_clock.witness(version.ltime)
        tables = self.networks.get(event.network)
        if tables is None or tables.is_current(version):
            return
        is_relayed = tables.apply(event, is_bulk=is_bulk)
        if version.is_deleted:
            self._reap.arm()
        if is_relayed and not (is_bulk and len(tables.relayed) > LONGEST_QUEUE_ON_SYNC):
            tables.relayed.queue(event)

    def _handle_node_event(self, event: NodeEvent) -> bool:
        self.context.network_clock.witness(event.ltime)
        nodes = self.nodes
        if nodes.find(event.name) is None or nodes.ltimes.get(event.name, 0) >= event.ltime:
            return False
        nodes.ltimes[event.name] = event.ltime
        if event.name not in nodes.active:
            return False
        return nodes.activate(event.name) if event.is_join else nodes.retire(event.name)

    def local_state(self, *, is_join: bool) -> NetworkState:
        """Return this node's state for a push/pull. `is_join` is True if this node is joining the cluster.

        In that case this node's own attachments get a new Lamport time, so that they supersede older events about
        this node.
        """
        renewed = self.attachments.renew() if is_join else ()
        snapshot = self.attachments.view.snapshot()
        return NetworkState(
            self.context.network_clock.time, self.name, snapshot, len(snapshot) - snapshot.count(0), renewed
        )

    def merge_remote_state(self, state: NetworkState) -> None:
        """Merge the state that another node sent in a push/pull."""
        self._handle_node_event(NodeEvent(state.ltime, state.name, is_join=True))
        for version in (*self.attachments.view.unseen_in(state.attachments), *state.renewed):
            self.attachments.handle_event(version)

    def notify_join(self, member: Member) -> None:
        """Add a member that joined to the nodes, and call `on_node` (memberlist callback)."""
        self.nodes.handle_join(member)
        if self.on_node is not None:
            self.clock.call_soon(self.on_node, member.address, True)

    def notify_leave(self, member: Member) -> None:
        """Handle a member that left or failed, and call `on_node` (memberlist callback).

        A member that left announced it before. Any other member counts as failed, and this node tries to reconnect to
        it.
        """
        if self.on_node is not None:
            self.clock.call_soon(self.on_node, member.address, False)
        if member.name in self.nodes.active:
            self.nodes.fail(member.name)
            self.rejoiner.schedule_reconnect()

    def _node_gone(self, name: str) -> None:
        self.attachments.forget_node(name)
        for tables in self.networks.values():
            tables.detach(name)
            tables.delete_entries_of(name)

    # --- reaping

    def _reap_tick(self) -> None:
        for network, tables in list(self.networks.items()):
            tables.reap()
            if tables.is_leaving and tables.reap_ns <= self.clock.now_ns:
                tables.view.clear()
                tables.detach_all()
                del self.networks[network]
                self.attachments.forget_own(network)
        are_detached = self.attachments.reap()
        if are_detached or any(tables.next_reap_ns() is not None for tables in self.networks.values()):
            self._reap.arm()
