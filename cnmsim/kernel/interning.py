"""Interning of table entries: one object per lab for an entry that many nodes have.

On a real cluster every node has its own copy of every peer, name and forwarding entry. A thousand nodes with a
hundred thousand entries each would not fit in memory here. An `InternedMultiMap` is one node's map from a key to
values, over an `InternPool` of (key, value) entries. For each entry the node stores only its insertion order, so two
nodes that learned the same entries in another order list them in that order. (For NetworkDB's entries, which change
over time: `libnetwork/networkdb/store.py`.)

Tests: tests/laws/test_shared_entries.py. Cost: bench/endpoint_growth.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V", bound=Hashable)

_REGISTRY_KEY = "intern pools"
_MAX_UINT16 = 0xFFFF
#: Up to this many values of a key are searched one by one; more are indexed by value.
_MAX_UNINDEXED = 4


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
        """Return the index of the entry (key, value), or `None` if the pool does not contain it."""
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
        """Return the indices of all entries with that key."""
        known = self.numbers.get(key)
        if known is None:
            return ()
        if isinstance(known, int):
            return (known,)
        return known.values() if isinstance(known, dict) else known

    def intern(self, key: _K, value: _V) -> int:
        """Return the index of the entry (key, value), creating the entry if it does not exist.

        The caller must increment the entry's count of references.
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
        """Drop one map's reference to the entry with the index `number`. The last release deletes the entry."""
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

        `order` is the value's position in the insertion order, a number greater than the positions of all present
        entries. 0 means the next one.
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
        """Add a new key with one value. Return `False`, without a change, if the key already has any value.

        `order` is the value's position in the insertion order, as in `add`.
        """
        return key not in self and self.add(key, value, order)

    def set(self, key: _K, value: _V, order: int = 0) -> None:
        """Replace all values of a key by one value. An existing key keeps its position; `order` is as in `add`."""
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
        """Return True if `other`, a map over the same pool, has the same entries. Their order does not matter."""
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
        """Remove the entry with the index `number` from this map.

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
