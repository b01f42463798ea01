"""The NetworkDB entries of one lab: interned versions of table entries and of nodes' attachments to networks.

A node's knowledge changes only by messages that reach it, but entries that many nodes know are stored once: see
`kernel/interning.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.kernel.interning import EntrySlot, NodeView, Version, VersionPool

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

#: What identifies an entry in its pool: (table, key) within a network, (node, network) for an attachment.
Key = tuple[str, str]


class EntryVersion(Version):
    """One state of one table entry or attachment, as its owner's node created it.

    `ltime` is its Lamport time, `value` any immutable value. `event` caches the message by which bulk syncs send it.
    """

    __slots__ = ("event", "is_deleted", "ltime", "owner", "value")
    slot: EntrySlot[EntryVersion]

    def __init__(
        self, slot: EntrySlot[EntryVersion], ltime: int, owner: str, value: Any, *, is_deleted: bool = False
    ) -> None:
        super().__init__(slot)
        self.ltime = ltime
        self.owner = owner
        self.value = value
        self.is_deleted = is_deleted
        self.event: Any = None

    def __repr__(self) -> str:
        state = " deleted" if self.is_deleted else ""
        return f"<EntryVersion {self.slot.key} @{self.ltime} by {self.owner}{state}>"

    def released(self) -> None:
        """Clear the code and the cached message, because no view has this version any more."""
        super().released()
        self.event = None


class EntryPool(VersionPool[EntryVersion]):
    """The entries of one network or, with `EntryPool(by_second=True)`, all attachments of nodes to networks.

    Attachments are also indexed by network. Slots are indexed by every owner that they ever had.
    """

    __slots__ = ("_by_owner", "_by_second")

    def __init__(self, *, by_second: bool = False) -> None:
        super().__init__()
        self._by_owner: dict[str, dict[int, None]] = {}
        self._by_second: dict[str, list[int]] | None = {} if by_second else None

    def version(self, key: Key, ltime: int, owner: str, value: Any, *, is_deleted: bool = False) -> EntryVersion:
        """Create a version of the entry with this key."""
        slot = self.slot(key)
        self._by_owner.setdefault(owner, {})[slot.number] = None
        return EntryVersion(slot, ltime, owner, value, is_deleted=is_deleted)

    def slot(self, key: Key) -> EntrySlot[EntryVersion]:
        """Return the slot of a key, creating it if there is none."""
        count = len(self.slots)
        slot = super().slot(key)
        if self._by_second is not None and slot.number == count:
            self._by_second.setdefault(key[1], []).append(count)
        return slot

    def owned_by(self, owner: str) -> list[int]:
        """Return the numbers of the slots that ever had this owner."""
        return list(self._by_owner.get(owner, ()))

    def of_network(self, network_id: str) -> list[int]:
        """Return the numbers of the slots of attachments to a network."""
        return [] if self._by_second is None else self._by_second.get(network_id, [])


class EntryView(NodeView[EntryVersion]):
    """One node's view of a pool: the version that the node has of each entry."""

    __slots__ = ()
    pool: EntryPool

    def __init__(self, pool: EntryPool) -> None:
        super().__init__(pool)


@define(eq=False)
class SharedStore:
    """The entry pools of one lab."""

    attachments: EntryPool = field(factory=lambda: EntryPool(by_second=True))
    networks: dict[str, EntryPool] = field(factory=dict)

    def network(self, network_id: str) -> EntryPool:
        """Return the pool of a network's entries, creating it if there is none."""
        pool = self.networks.get(network_id)
        if pool is None:
            pool = self.networks[network_id] = EntryPool()
        return pool


def store_of(clock: Clock) -> SharedStore:
    """Return the store of the clock's lab, creating it if there is none."""
    store: SharedStore | None = clock.registry.get("networkdb")
    if store is None:
        store = clock.registry["networkdb"] = SharedStore()
    return store
