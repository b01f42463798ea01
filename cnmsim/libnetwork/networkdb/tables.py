"""One node's copy of the tables of one network: entries, tombstones, attached nodes and queued events.

A tombstone is a deleted entry that is remembered for a while, so that a late event does not create it again. Source:
moby `libnetwork/networkdb/{networkdb,delegate}.go` (docker-v29.7.2, v28.5.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.interning import InternedMultiMap
from cnmsim.libnetwork.networkdb.broadcast import BroadcastQueue
from cnmsim.libnetwork.networkdb.messages import TableEvent, TableOperation
from cnmsim.libnetwork.networkdb.store import EntryVersion, EntryView
from cnmsim.libnetwork.profile import Profile

#: For how many seconds a deleted entry is remembered.
REAP_ENTRY_S = 1800.0
#: The interval in seconds at which deleted entries are checked.
REAP_PERIOD_S = 5.0
#: For how many seconds an ended attachment is remembered: five intervals longer than a deleted entry.
REAP_NETWORK_S = REAP_ENTRY_S + 5 * REAP_PERIOD_S


class WatchEvent(NamedTuple):
    """A change of an entry, as delivered to the subscribers of its table.

    `previous` is the entry's value before the change, `None` if the entry did not exist. `value` is the value after
    the change, `None` if the entry was deleted. `operation` and `message_value` are those of the gossip message,
    which contains a value even if it deletes the entry.
    """

    network: str
    table: str
    key: str
    operation: TableOperation
    previous: Any
    value: Any
    message_value: Any = None


@define(eq=False)
class NetworkTables:
    """The tables of one network to which this node is attached, or was until recently (`is_leaving`).

    `node` is this node's name. `nodes` are the attached nodes, `node_count` is their number; both include this node.
    `view` holds the entries. `own` queues this node's own events for gossip, `relayed` those of other nodes, which
    are queued only if `is_in_sync` is set. `notify` is called with each change of an entry.
    """

    id: str
    node: str
    clock: Clock
    profile: Profile
    view: EntryView
    own: BroadcastQueue
    relayed: BroadcastQueue
    notify: Callable[[WatchEvent], None]
    nodes: InternedMultiMap[str, None] = field(factory=InternedMultiMap)
    is_in_sync: bool = False
    is_leaving: bool = False
    reap_ns: int = 0
    _tombstones: dict[int, int] = field(factory=dict)
    _others: list[str] | None = None
    node_count: int = field(default=0, init=False)

    def attach(self, node: str) -> None:
        """Record that a node is attached to the network."""
        if not self.nodes.add(node, None):
            return
        self.node_count += 1
        if self._others is not None and node != self.node:
            self._others.append(node)

    def detach(self, node: str) -> None:
        """Record that a node is no longer attached to the network."""
        if not self.nodes.discard(node, None):
            return
        self.node_count -= 1
        if self._others is not None and node != self.node:
            self._others.remove(node)

    def detach_all(self) -> None:
        """Forget all nodes that are attached to the network, including this one. Nothing is sent."""
        self.nodes.clear()
        self._others = None
        self.node_count = 0

    def others(self) -> list[str]:
        """Return the names of the other attached nodes, in order of attachment.

        The caller must not change the list or store it: it is the list that this object itself updates.
        """
        if self._others is None:
            self._others = [name for name in self.nodes if name != self.node]
        return self._others

    def put(self, version: EntryVersion, residual_s: float = REAP_ENTRY_S) -> None:
        """Store a version. If it is deleted, it is removed after `residual_s` seconds."""
        number = version.slot.number
        if version.is_deleted:
            self._tombstones[number] = self.clock.now_ns + round(residual_s * NS_PER_S)
        elif self._tombstones:
            self._tombstones.pop(number, None)
        self.view.set(version)

    def is_current(self, version: EntryVersion) -> bool:
        """Return True if exactly this version is stored, so that its event is redundant, as most gossip is."""
        return self.view.has(version)

    def drop(self, number: int) -> None:
        """Remove the entry with the slot number `number`, without a tombstone."""
        self._tombstones.pop(number, None)
        self.view.discard(number)

    def residual_s(self, number: int) -> int:
        """Return the number of whole seconds, at least 1, after which a deleted entry will be removed.

        `number` is the entry's slot number.
        """
        return max(1, (self._tombstones[number] - self.clock.now_ns) // NS_PER_S)

    def residuals(self) -> Mapping[int, int]:
        """Return the number of whole seconds after which each deleted entry will be removed, by slot number."""
        return {number: self.residual_s(number) for number in self._tombstones}

    def apply(self, event: TableEvent, *, is_bulk: bool) -> bool:
        """Apply an event if it is new. Return True if this node is to gossip it further.

        `is_bulk` is True if the event was part of a bulk sync.
        """
        version = event.version
        if self.is_leaving or version.owner not in self.nodes:
            return False
        previous = self.view.at(version.slot.number)
        if previous is not None and previous.ltime >= version.ltime:
            return False
        is_deletion = event.operation is TableOperation.DELETE
        if previous is None and is_deletion and not is_bulk and not self.profile.networkdb_keeps_unknown_deletions:
            return False
        self.put(version, event.residual_s or REAP_ENTRY_S)
        if previous is None and is_deletion:
            return is_bulk and self.is_in_sync and event.residual_s > REAP_ENTRY_S / 6
        self._notify_watchers(version, previous, event.operation)
        return self.is_in_sync

    def _notify_watchers(
        self, version: EntryVersion, previous: EntryVersion | None, operation: TableOperation
    ) -> None:
        message_value = version.value
        before = previous.value if previous is not None and not previous.is_deleted else None
        value = None if operation is TableOperation.DELETE else message_value
        if value is None and before is None and self.profile.table_updates_are_replaced:
            return
        table, key = version.slot.key
        self.notify(WatchEvent(self.id, table, key, operation, before, value, message_value))

    def notify_deleted(self, version: EntryVersion) -> None:
        """Notify the subscribers that the entry of `version` is deleted. Do nothing if `version` itself is deleted.

        Called for deletions that are not caused by a gossip message about that entry.
        """
        if not version.is_deleted:
            table, key = version.slot.key
            self.notify(WatchEvent(self.id, table, key, TableOperation.DELETE, version.value, None, version.value))

    def owned_by(self, owner: str) -> list[EntryVersion]:
        """Return this node's versions of the entries whose owner is the node `owner`."""
        versions = (self.view.at(number) for number in self.view.pool.owned_by(owner))
        return [version for version in versions if version is not None and version.owner == owner]

    def delete_entries_of(self, owner: str) -> None:
        """Delete every entry of the node `owner`, which has left the cluster or failed, without tombstones."""
        for version in self.owned_by(owner):
            self.drop(version.slot.number)
            self.notify_deleted(version)

    def mark_deleted(self, owner: str) -> None:
        """Delete every entry of the node `owner`, which has left the network, with tombstones (26.1, 28.5)."""
        for version in self.owned_by(owner):
            if not version.is_deleted:
                self.put(self.tombstone_of(version, version.ltime))
            self.notify_deleted(version)

    def tombstone_of(self, version: EntryVersion, ltime: int) -> EntryVersion:
        """Return a deleted version of the same entry, with the Lamport time `ltime`.

        To save memory, the object is shared if another node has such a version already.
        """
        for other in version.slot.versions.values():
            if other.is_deleted and other.ltime == ltime and other.owner == version.owner:
                return other
        return self.view.pool.version(version.slot.key, ltime, version.owner, version.value, is_deleted=True)

    def next_reap_ns(self) -> int | None:
        """Return the time in ns at which the first deleted entry, or this node's ended attachment, may be removed.

        Return `None` if there is nothing to remove.
        """
        moments = list(self._tombstones.values())
        if self.is_leaving:
            moments.append(self.reap_ns)
        return min(moments, default=None)

    def reap(self) -> None:
        """Remove the deleted entries whose time will be over before the next call, about `REAP_PERIOD_S` later."""
        horizon_ns = self.clock.now_ns + round((REAP_PERIOD_S + 1) * NS_PER_S)
        for number in [number for number, until_ns in self._tombstones.items() if until_ns <= horizon_ns]:
            self.drop(number)
