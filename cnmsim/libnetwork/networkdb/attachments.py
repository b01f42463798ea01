"""The attachments of nodes to networks, in one node's database.

Source: moby `libnetwork/networkdb/networkdb.go` (JoinNetwork, LeaveNetwork), `delegate.go` (handleNetworkEvent),
docker-v29.7.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.libnetwork.networkdb.messages import NetworkEvent
from cnmsim.libnetwork.networkdb.store import EntryVersion, EntryView
from cnmsim.libnetwork.networkdb.tables import REAP_NETWORK_S

if TYPE_CHECKING:
    from cnmsim.libnetwork.networkdb.broadcast import BroadcastQueue
    from cnmsim.libnetwork.networkdb.context import NodeContext
    from cnmsim.libnetwork.networkdb.store import EntryPool


@define(eq=False)
class Attachments:
    """The attachments of nodes to networks in one node's database.

    Events to be gossiped are added to `queue`. `arm_reaper` is called when an attachment has ended, and must cause a
    later call of `reap`.
    """

    context: NodeContext
    pool: EntryPool
    queue: BroadcastQueue
    arm_reaper: Callable[[], None]
    view: EntryView = field(init=False)
    _reaps: dict[int, int] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.view = EntryView(self.pool)

    def other_nodes_on(self, network: str) -> Iterator[str]:
        """Yield the other nodes that are attached to a network."""
        for number in self.view.pool.of_network(network):
            version = self.view.at(number)
            if version is not None and not version.is_deleted and version.owner != self.context.name:
                yield version.owner

    def announce(self, network: str, *, is_leaving: bool) -> None:
        """Attach this node to a network, or detach it if `is_leaving` is True, and queue the event for gossip."""
        self.context.network_clock.increment()
        version = self._own(network, is_leaving=is_leaving)
        self.queue.queue(NetworkEvent(version))

    def renew(self) -> tuple[EntryVersion, ...]:
        """Set a new Lamport time on this node's own attachments and return them.

        With the new time they supersede older events about this node.
        """
        self.context.network_clock.increment()
        own = self.context.networks.items()
        return tuple(self._own(network, is_leaving=tables.is_leaving) for network, tables in own)

    def _own(self, network: str, *, is_leaving: bool) -> EntryVersion:
        context = self.context
        version = self.view.pool.version(
            (context.name, network), context.network_clock.time, context.name, None, is_deleted=is_leaving
        )
        self.view.set(version)
        return version

    def is_current(self, version: EntryVersion) -> bool:
        """Return True if the event that carries `version` changes nothing in this node's database.

        It changes nothing if the version is stored already and its Lamport time does not advance this node's Lamport
        clock.
        """
        return version.ltime < self.context.network_clock.time and self.view.has(version)

    def handle_event(self, version: EntryVersion) -> bool:
        """Apply the event that another node attached to a network, or detached from it.

        Return True if the event is to be relayed. `version` is the new state of the attachment. Older events than the
        stored one are ignored.
        """
        context = self.context
        context.network_clock.witness(version.ltime)
        known = self.view.at(version.slot.number)
        if known is not None and known.ltime >= version.ltime:
            return False
        node, network = version.slot.key
        if node == context.name:
            return False
        if known is None and (version.is_deleted or node not in context.nodes.active):
            return False
        self.view.set(version)
        tables = context.networks.get(network)
        if version.is_deleted:
            self._reaps[version.slot.number] = context.clock.now_ns + round(REAP_NETWORK_S * NS_PER_S)
            self.arm_reaper()
            if tables is not None:
                tables.detach(node)
                if context.config.profile.networkdb_keeps_tombstones_of_leavers:
                    tables.mark_deleted(node)
                else:
                    tables.delete_entries_of(node)
        else:
            self._reaps.pop(version.slot.number, None)
            if tables is not None and not tables.is_leaving:
                tables.attach(node)
        return True

    # --- removal

    def forget_node(self, name: str) -> None:
        """Remove all attachments of the node `name`, which has left or failed."""
        for number in self.view.pool.owned_by(name):
            self.view.discard(number)
            self._reaps.pop(number, None)

    def forget_own(self, network: str) -> None:
        """Remove this node's own attachment to a network, without an event."""
        slot = self.view.pool.find((self.context.name, network))
        if slot is not None:
            self.view.discard(slot.number)

    def reap(self) -> bool:
        """Remove the attachments that ended long enough ago. Return True if other ended attachments are left."""
        for number, until_ns in list(self._reaps.items()):
            if until_ns <= self.context.clock.now_ns:
                del self._reaps[number]
                self.view.discard(number)
        return bool(self._reaps)
