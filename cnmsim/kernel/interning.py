"""Interning of table entries: one object per lab for an entry that many nodes have.

Each node keeps only a small number for the entry.

On a real cluster every node has its own copy of every peer, name, forwarding entry and NetworkDB entry. A thousand
nodes with a hundred thousand entries each would not fit in memory here. Two structures avoid the copies:

- `InternedMultiMap`: one node's map from a key to values, over an `InternPool` of (key, value) entries. For each
  entry the node stores its insertion order, so two nodes that learned the same entries in another order list them in
  that order.
- `NodeView`: one node's versions of entries that change over time, over a `VersionPool`. For each entry the node
  stores the code of its version, so comparing two views is as fast as comparing memory.

Law tests: tests/laws/test_shared_entries.py, tests/libnetwork/networkdb/test_known_views.py. Cost:
bench/endpoint_growth.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Hashable, Iterable, Iterator
from itertools import count, zip_longest
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V", bound=Hashable)

_REGISTRY_KEY = "intern pools"
_MAX_UINT16 = 0xFFFF
#: Up to this many values of a key are searched one by one; more are indexed by value.
_MAX_UNINDEXED = 4
#: Views are compared in slices of this many codes.
_CHUNK = 256


class InternPool(Generic[_K, _V]):
    """The (key, value) entries in the maps of all nodes, each stored once.

    `intern_pool` returns the pool of a lab by name. An entry is identified by its index in `entries`; the index is
    reused once no map contains the entry.
    """

    __slots__ = ("__weakref__", "_free", "entries", "numbers", "refcounts")

    def __init__(self) -> None:
        self.entries: list[tuple[_K, _V] | None] = []
        #: For each key, the index of its entry; for a key with several values, all indices, and an index by value if
        #: there are many.
        self.numbers: dict[_K, int | tuple[int, ...] | dict[_V, int]] = {}
        #: The number of maps that contain each entry, by index.
        self.refcounts = array("I")
        self._free: list[int] = []

    def find(self, key: _K, value: _V) -> int | None:
        """Return the index of the entry (key, value), or `None`."""
        known = self.numbers.get(key)
        if known is None:
            return None
        entries = self.entries
        # Identity first: comparing values can be slow, and most often it is the same object.
        if isinstance(known, int):
            entry = entries[known]
            assert entry is not None
            return known if entry[1] is value or entry[1] == value else None
        if isinstance(known, dict):
            return known.get(value)
        for number in known:
            entry = entries[number]
            if entry is not None and entry[1] is value:
                return number
        return next((number for number in known if entries[number] == (key, value)), None)

    def numbers_of(self, key: _K) -> Collection[int]:
        """Return the indices of the entries with that key."""
        known = self.numbers.get(key)
        if known is None:
            return ()
        if isinstance(known, int):
            return (known,)
        return known.values() if isinstance(known, dict) else known

    def intern(self, key: _K, value: _V) -> int:
        """Return the index of an entry, creating the entry if it does not exist.

        The caller increments the reference count.
        """
        number = self.find(key, value)
        if number is not None:
            return number
        if self._free:
            number = self._free.pop()
            self.entries[number] = key, value
        else:
            number = len(self.entries)
            self.entries.append((key, value))
            self.refcounts.append(0)
        known = self.numbers.get(key)
        if isinstance(known, dict):
            known[value] = number
        elif known is None:
            self.numbers[key] = number
        else:
            several = (known, number) if isinstance(known, int) else (*known, number)
            self.numbers[key] = several if len(several) <= _MAX_UNINDEXED else self._by_value(several)
        return number

    def _by_value(self, numbers: Iterable[int]) -> dict[_V, int]:
        entries = [(number, self.entries[number]) for number in numbers]
        return {entry[1]: number for number, entry in entries if entry is not None}

    def release(self, number: int) -> None:
        """Drop one map's reference to an entry. The last release deletes the entry."""
        self.refcounts[number] -= 1
        entry = self.entries[number]
        if self.refcounts[number] or entry is None:
            return
        self.entries[number] = None
        self._free.append(number)
        key, value = entry
        known = self.numbers[key]
        if isinstance(known, dict):
            del known[value]
            if known:
                return
        elif isinstance(known, tuple):
            rest = tuple(other for other in known if other != number)
            self.numbers[key] = rest if len(rest) > 1 else rest[0]
            return
        del self.numbers[key]


def intern_pool(clock: Clock, *name: Hashable) -> InternPool[_K, _V]:
    """Return the lab's pool with that name, creating it if needed. It is deleted with the last map that uses it."""
    pools: WeakValueDictionary[Hashable, InternPool[_K, _V]] | None = clock.registry.get(_REGISTRY_KEY)
    if pools is None:
        pools = clock.registry[_REGISTRY_KEY] = WeakValueDictionary()
    pool = pools.get(name)
    if pool is None:
        pool = pools[name] = InternPool()
    return pool


class InternedMultiMap(Generic[_K, _V]):
    """One node's map from keys to values, in insertion order like a `dict`; a key may have several values.

    A key keeps its position until its last value is removed. Call `clear` before discarding a map, otherwise its
    entries stay in the pool. Without a `pool` argument the map has a pool of its own.
    """

    __slots__ = ("_last", "_orders", "_pool")

    def __init__(self, pool: InternPool[_K, _V] | None = None) -> None:
        self._pool: InternPool[_K, _V] = InternPool() if pool is None else pool
        #: The insertion order of each entry, by its index in the pool; 0 for entries that are not in this map.
        self._orders = array("H")
        self._last = 0

    def add(self, key: _K, value: _V, order: int = 0) -> bool:
        """Add a value to a key. Return `False` if the key already has this value.

        `order` overrides the insertion order. It must be greater than the order of every present entry.
        """
        pool, orders = self._pool, self._orders
        number = pool.find(key, value)
        if number is None:
            number = pool.intern(key, value)
        if number >= len(orders):
            orders.frombytes(bytes((len(pool.entries) - len(orders)) * orders.itemsize))
        elif orders[number]:
            return False
        self._last = order = order or self._last + 1
        if order > _MAX_UINT16 and orders.typecode == "H":
            orders = self._orders = array("I", orders)
        orders[number] = order
        pool.refcounts[number] += 1
        return True

    def add_key(self, key: _K, value: _V, order: int = 0) -> bool:
        """Add a new key with one value. Return `False`, without a change, if the key already has any value."""
        return key not in self and self.add(key, value, order)

    def set(self, key: _K, value: _V, order: int = 0) -> None:
        """Replace all values of a key by one value. An existing key keeps its position."""
        old = self._present(key)
        self.add(key, value, order)
        if old:
            kept = self._pool.find(key, value)
            for number in old:
                if number != kept:
                    self._remove(number)

    def discard(self, key: _K, value: _V) -> bool:
        """Remove a value of a key. Return `False` if it is not present."""
        number = self._pool.find(key, value)
        if number is None or not self._order(number):
            return False
        self._remove(number)
        return True

    def pop(self, key: _K) -> tuple[int, _V] | None:
        """Remove a key that has at most one value.

        Return its insertion order and its value, or `None` if the key is not present.
        """
        for number in self._present(key):
            entry, order = self._pool.entries[number], self._orders[number]
            assert entry is not None
            self._remove(number)
            return order, entry[1]
        return None

    def clear(self) -> None:
        """Remove everything."""
        release = self._pool.release
        for number, order in enumerate(self._orders):
            if order:
                release(number)
        self._orders = self._orders[:0]
        self._last = 0

    def has(self, key: _K, value: _V) -> bool:
        """Return True if the key has this value."""
        number = self._pool.find(key, value)
        return number is not None and self._order(number) != 0

    def first(self, key: _K) -> _V | None:
        """Return the first value of a key, or `None` if the key is not present."""
        present = self._present(key)
        entry = self._pool.entries[present[0]] if present else None
        return None if entry is None else entry[1]

    def all(self, key: _K) -> list[_V]:
        """Return the values of a key."""
        entries = self._pool.entries
        return [entry[1] for number in self._present(key) if (entry := entries[number]) is not None]

    def ordered(self) -> Iterator[tuple[int, _K, _V]]:
        """Iterate over (order, key, value) in insertion order."""
        entries, orders = self._pool.entries, self._orders
        for number in sorted([number for number, order in enumerate(orders) if order], key=orders.__getitem__):
            entry = entries[number]
            assert entry is not None
            yield orders[number], *entry

    def items(self) -> list[tuple[_K, _V]]:
        """Return each key with each of its values, keys in insertion order."""
        values_of: dict[_K, list[_V]] = {}
        for _, key, value in self.ordered():
            values_of.setdefault(key, []).append(value)
        return [(key, value) for key, values in values_of.items() for value in values]

    def values(self) -> list[_V]:
        """Return the values, key by key."""
        return [value for _, value in self.items()]

    def keys(self) -> list[_K]:
        """Return the keys, each once."""
        return list(dict.fromkeys(key for _, key, _ in self.ordered()))

    def is_same_as(self, other: InternedMultiMap[_K, _V]) -> bool:
        """Return True if another map over the same pool has the same entries. Order does not matter."""
        return bytes(map(bool, self._orders)).rstrip(b"\0") == bytes(map(bool, other._orders)).rstrip(b"\0")

    def __iter__(self) -> Iterator[_K]:
        return iter(self.keys())

    def __contains__(self, key: _K) -> bool:
        known = self._pool.numbers.get(key)
        if known is None:
            return False
        if isinstance(known, int):
            return self._order(known) != 0
        return any(map(self._order, known.values() if isinstance(known, dict) else known))

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self.keys())

    def __bool__(self) -> bool:
        return any(self._orders)

    def _order(self, number: int) -> int:
        orders = self._orders
        return orders[number] if number < len(orders) else 0

    def _present(self, key: _K) -> list[int]:
        """Return the pool indices of a key's entries in this map, in insertion order."""
        orders = self._orders
        size = len(orders)
        present = [number for number in self._pool.numbers_of(key) if number < size and orders[number]]
        if len(present) > 1:
            present.sort(key=orders.__getitem__)
        return present

    def _remove(self, number: int) -> None:
        """Remove an entry.

        If it was the first entry of its key, the next one inherits its order, so that the key keeps its position.
        """
        orders, pool = self._orders, self._pool
        order, orders[number] = orders[number], 0
        entry = pool.entries[number]
        assert entry is not None
        heir, least = number, 0
        for other in pool.numbers_of(entry[0]):
            if other != number and (place := self._order(other)):
                if place < order:
                    break
                if not least or place < least:
                    heir, least = other, place
        else:
            if least:
                orders[heir] = order
        pool.release(number)


class Version:
    """One state of an entry in a `VersionPool`.

    `refcount` is the number of views that contain this version. While it is not 0, `code` identifies the version
    within its slot.
    """

    __slots__ = ("code", "refcount", "slot")

    def __init__(self, slot: EntrySlot[Any]) -> None:
        self.slot = slot
        self.code = 0
        self.refcount = 0

    def released(self) -> None:
        """Reset the code, because no view contains this version any more."""
        self.code = 0


_Version = TypeVar("_Version", bound=Version)


class EntrySlot(Generic[_Version]):
    """One entry of a `VersionPool`, with all its versions that are in use.

    `number` is the entry's index in every view; `versions` maps codes to versions.
    """

    __slots__ = ("_last_code", "key", "number", "versions")

    def __init__(self, key: tuple[str, str], number: int) -> None:
        self.key = key
        self.number = number
        self.versions: dict[int, _Version] = {}
        self._last_code = 0

    def code_of(self, version: _Version) -> int:
        """Return the code of a version, assigning one if it has none."""
        if not version.code:
            # Codes are assigned in a cycle: a released code is not soon reused, so an old snapshot does not find
            # another version.
            code = self._last_code % _MAX_UINT16 + 1
            while code in self.versions:
                code = code % _MAX_UINT16 + 1
            self._last_code = version.code = code
            self.versions[code] = version
        return version.code

    def release(self, code: int) -> None:
        """Drop one view's reference to a version. The last release deletes the version."""
        version = self.versions[code]
        version.refcount -= 1
        if not version.refcount:
            del self.versions[code]
            version.released()


class VersionPool(Generic[_Version]):
    """The slots of a set of entries. A key keeps its slot for ever.

    `views` are the views that contain or contained a version; `change_count` is incremented with each change of a
    view.
    """

    __slots__ = ("_by_key", "change_count", "slots", "views")

    def __init__(self) -> None:
        self.slots: list[EntrySlot[_Version]] = []
        self._by_key: dict[tuple[str, str], EntrySlot[_Version]] = {}
        self.views: set[NodeView[_Version]] = set()
        self.change_count = 0

    def slot(self, key: tuple[str, str]) -> EntrySlot[_Version]:
        """Return the slot of a key, creating it if it does not exist."""
        slot = self._by_key.get(key)
        if slot is None:
            slot = self._by_key[key] = EntrySlot(key, len(self.slots))
            self.slots.append(slot)
        return slot

    def find(self, key: tuple[str, str]) -> EntrySlot[_Version] | None:
        """Return the slot of a key, or `None`."""
        return self._by_key.get(key)


class NodeView(Generic[_Version]):
    """The version of each entry of a pool that one node has.

    `codes[slot.number]` is the version's code, 0 for none.
    """

    __slots__ = ("codes", "pool")

    def __init__(self, pool: VersionPool[_Version]) -> None:
        self.pool = pool
        self.codes = array("H")

    def at(self, number: int) -> _Version | None:
        """Return this node's version of the entry with slot number `number`, or `None`."""
        code = self.codes[number] if number < len(self.codes) else 0
        return self.pool.slots[number].versions[code] if code else None

    def get(self, key: tuple[str, str]) -> _Version | None:
        """Return this node's version of the entry with that key, or `None`."""
        slot = self.pool.find(key)
        return None if slot is None else self.at(slot.number)

    def has(self, version: _Version) -> bool:
        """Return True if this node has exactly this version of its entry."""
        codes, number = self.codes, version.slot.number
        return version.code != 0 and number < len(codes) and codes[number] == version.code

    def set(self, version: _Version) -> None:
        """Store a version. It replaces this node's previous version of the same entry."""
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
        """Remove this node's version of the entry with slot number `number`, if it has one."""
        if number < len(self.codes) and self.codes[number]:
            old, self.codes[number] = self.codes[number], 0
            self.pool.change_count += 1
            self.pool.slots[number].release(old)

    def clear(self) -> None:
        """Remove all versions, and the view from its pool."""
        for version in list(self):
            self.discard(version.slot.number)
        self.codes = array("H")
        self.pool.views.discard(self)

    def __iter__(self) -> Iterator[_Version]:
        slots = self.pool.slots
        for number, code in enumerate(self.codes):
            if code:
                yield slots[number].versions[code]

    def __len__(self) -> int:
        return len(self.codes) - self.codes.count(0)

    def snapshot(self) -> array[int]:
        """Return a copy of the codes, to be passed to `unseen_in` of another view of the same pool."""
        return self.codes[:]

    def unseen_in(self, snapshot: array[int]) -> list[_Version]:
        """Return the versions in `snapshot` (another node's codes) that this node does not have, in slot order."""
        unseen: list[_Version] = []
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

    def differences(self, other: NodeView[_Version]) -> Iterator[tuple[_Version | None, _Version | None]]:
        """Yield (this node's version, the other's version) for each entry in which two views of one pool differ.

        A version is `None` if that node does not have the entry.
        """
        own, others = self.codes, other.codes
        for start in range(0, max(len(own), len(others)), _CHUNK):
            ours, theirs = own[start : start + _CHUNK], others[start : start + _CHUNK]
            if ours == theirs:
                continue
            for number, (our_code, their_code) in enumerate(zip_longest(ours, theirs, fillvalue=0), start):
                if our_code != their_code:
                    yield self.at(number), other.at(number)
