"""The NetworkDB entries of one lab: versions of table entries and of nodes' attachments to networks.

Each node has its own view, which changes only by messages that reach the node. To save memory, a version that many
nodes have is stored once: a view holds only a small number, the version's code, for each entry. Two views are
compared by comparing memory. Tests: tests/libnetwork/networkdb/test_known_views.py. Cost:
bench/endpoint_growth.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import count, zip_longest
from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

#: The key of an entry in its pool: (table, key) for a table entry, (node, network) for an attachment.
Key = tuple[str, str]
_MAX_UINT16 = 0xFFFF
#: Views are compared in slices of this many codes.
_CHUNK = 256


class EntryVersion:
    """One state of one table entry or attachment, created by the node `owner`.

    `ltime` is the Lamport time of the state, `value` any immutable value. `refcount` is the number of views that
    contain this version; while it is not 0, `code` identifies the version within its slot. `event` caches the message
    in which bulk syncs send the version.
    """

    __slots__ = ("code", "event", "is_deleted", "ltime", "owner", "refcount", "slot", "value")

    def __init__(self, slot: EntrySlot, ltime: int, owner: str, value: Any, *, is_deleted: bool = False) -> None:
        self.slot = slot
        self.code = 0
        self.refcount = 0
        self.ltime = ltime
        self.owner = owner
        self.value = value
        self.is_deleted = is_deleted
        self.event: Any = None

    def __repr__(self) -> str:
        state = " deleted" if self.is_deleted else ""
        return f"<EntryVersion {self.slot.key} @{self.ltime} by {self.owner}{state}>"


class EntrySlot:
    """One entry of an `EntryPool`, with all its versions that at least one view contains.

    `number` is the entry's index in every view; `versions` maps codes to versions.
    """

    __slots__ = ("_last_code", "key", "number", "versions")

    def __init__(self, key: Key, number: int) -> None:
        self.key = key
        self.number = number
        self.versions: dict[int, EntryVersion] = {}
        self._last_code = 0

    def code_of(self, version: EntryVersion) -> int:
        """Return the code of a version, assigning one if it has none."""
        if not version.code:
            # Codes are assigned in a cycle, so that a released code is not reused soon. Otherwise an old snapshot
            # that contains the code could refer to another version.
            code = self._last_code % _MAX_UINT16 + 1
            while code in self.versions:
                code = code % _MAX_UINT16 + 1
            self._last_code = version.code = code
            self.versions[code] = version
        return version.code

    def release(self, code: int) -> None:
        """Drop one view's reference to the version with this code. Without references the version is removed."""
        version = self.versions[code]
        version.refcount -= 1
        if not version.refcount:
            del self.versions[code]
            version.code, version.event = 0, None


class EntryPool:
    """The entries of one network, or all attachments of nodes to networks, with an index by owner.

    A key keeps its slot, also after its entry is deleted. `by_second` adds an index by the second part of the key,
    an attachment's network. `views` are the views that were changed and not cleared since; `change_count` is
    incremented with each change of a view.
    """

    __slots__ = ("_by_key", "_by_owner", "_by_second", "change_count", "slots", "views")

    def __init__(self, *, by_second: bool = False) -> None:
        self.slots: list[EntrySlot] = []
        self._by_key: dict[Key, EntrySlot] = {}
        self.views: set[EntryView] = set()
        self.change_count = 0
        self._by_owner: dict[str, dict[int, None]] = {}
        self._by_second: dict[str, list[int]] | None = {} if by_second else None

    def version(self, key: Key, ltime: int, owner: str, value: Any, *, is_deleted: bool = False) -> EntryVersion:
        """Create a version of the entry with this key, and return it. No view contains it yet.

        `ltime` is its Lamport time, `owner` the name of the node that created it. `is_deleted` marks it as deleted.
        """
        slot = self.slot(key)
        self._by_owner.setdefault(owner, {})[slot.number] = None
        return EntryVersion(slot, ltime, owner, value, is_deleted=is_deleted)

    def slot(self, key: Key) -> EntrySlot:
        """Return the slot of a key, creating it if there is none."""
        slot = self._by_key.get(key)
        if slot is None:
            number = len(self.slots)
            slot = self._by_key[key] = EntrySlot(key, number)
            self.slots.append(slot)
            if self._by_second is not None:
                self._by_second.setdefault(key[1], []).append(number)
        return slot

    def find(self, key: Key) -> EntrySlot | None:
        """Return the slot of a key, or `None` if it has none."""
        return self._by_key.get(key)

    def owned_by(self, owner: str) -> list[int]:
        """Return the slot numbers of all entries that ever had this owner."""
        return list(self._by_owner.get(owner, ()))

    def of_network(self, network_id: str) -> list[int]:
        """Return the slot numbers of all attachments to a network."""
        return [] if self._by_second is None else self._by_second.get(network_id, [])


class EntryView:
    """One node's view of an entry pool: the version of each entry that the node has.

    `codes[slot.number]` is the version's code, 0 if the node does not have the entry.
    """

    __slots__ = ("codes", "pool")

    def __init__(self, pool: EntryPool) -> None:
        self.pool = pool
        self.codes = array("H")

    def at(self, number: int) -> EntryVersion | None:
        """Return this node's version of the entry with the slot number `number`, or `None` if it has none."""
        code = self.codes[number] if number < len(self.codes) else 0
        return self.pool.slots[number].versions[code] if code else None

    def get(self, key: Key) -> EntryVersion | None:
        """Return this node's version of the entry with that key, or `None` if it has none."""
        slot = self.pool.find(key)
        return None if slot is None else self.at(slot.number)

    def has(self, version: EntryVersion) -> bool:
        """Return True if this node's version of the entry is exactly `version`."""
        codes, number = self.codes, version.slot.number
        return version.code != 0 and number < len(codes) and codes[number] == version.code

    def set(self, version: EntryVersion) -> None:
        """Store a version in place of this node's previous version of the same entry."""
        slot, codes, pool = version.slot, self.codes, self.pool
        number = slot.number
        pool.change_count += 1
        if number >= len(codes):
            pool.views.add(self)
            codes.frombytes(bytes((len(pool.slots) - len(codes)) * codes.itemsize))
        old = codes[number]
        version.refcount += 1
        codes[number] = version.code or slot.code_of(version)
        if old:
            slot.release(old)

    def discard(self, number: int) -> None:
        """Remove this node's version of the entry with the slot number `number`, if there is one."""
        if number < len(self.codes) and self.codes[number]:
            old, self.codes[number] = self.codes[number], 0
            self.pool.change_count += 1
            self.pool.slots[number].release(old)

    def clear(self) -> None:
        """Remove all versions from this view, and remove this view from the pool's `views`."""
        for version in list(self):
            self.discard(version.slot.number)
        self.codes = array("H")
        self.pool.views.discard(self)

    def __iter__(self) -> Iterator[EntryVersion]:
        slots = self.pool.slots
        for number, code in enumerate(self.codes):
            if code:
                yield slots[number].versions[code]

    def __len__(self) -> int:
        return len(self.codes) - self.codes.count(0)

    def snapshot(self) -> array[int]:
        """Return a copy of `codes`, to be passed to `unseen_in` of another node's view of the same pool."""
        return self.codes[:]

    def unseen_in(self, snapshot: array[int]) -> list[EntryVersion]:
        """Return the versions in `snapshot` that this view lacks, in order of slots.

        `snapshot` is a copy of another node's codes, made by `snapshot()`.
        """
        unseen: list[EntryVersion] = []
        own, slots = self.codes, self.pool.slots
        for start in range(0, len(snapshot), _CHUNK):
            theirs, ours = snapshot[start : start + _CHUNK], own[start : start + _CHUNK]
            if theirs == ours:
                continue
            ours.frombytes(bytes(max(0, len(theirs) - len(ours)) * ours.itemsize))
            for number, code, own_code in zip(count(start), theirs, ours, strict=False):
                if code != own_code and code:
                    version = slots[number].versions.get(code)
                    if version is not None:
                        unseen.append(version)
        return unseen

    def differences(self, other: EntryView) -> Iterator[tuple[EntryVersion | None, EntryVersion | None]]:
        """Yield (version in this view, version in `other`) for each entry that differs between the two views.

        Both must be views of the same `EntryPool`. A version is `None` if that view does not have the entry.
        """
        own, others = self.codes, other.codes
        for start in range(0, max(len(own), len(others)), _CHUNK):
            ours, theirs = own[start : start + _CHUNK], others[start : start + _CHUNK]
            if ours == theirs:
                continue
            for number, (our_code, their_code) in enumerate(zip_longest(ours, theirs, fillvalue=0), start):
                if our_code != their_code:
                    yield self.at(number), other.at(number)


@define(eq=False)
class SharedStore:
    """The entry pools of one lab."""

    attachments: EntryPool = field(factory=lambda: EntryPool(by_second=True))
    networks: dict[str, EntryPool] = field(factory=dict)

    def network(self, network_id: str) -> EntryPool:
        """Return the pool of the entries of one network, creating it if there is none."""
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
