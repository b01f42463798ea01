"""Entries that the tables of many nodes have alike, told once: a table keeps a number for each.

On a real cluster every node has its own copy of every peer, name and forwarding entry of a network. Here an entry is one
object in the whole lab, and what a node has of it is a small number: zero, or when it came in. What a table holds, and in
which order, is its own all the same, so that two nodes that heard the same in another order list it in that order.
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

_COMMONS = "entries"
#: What fits in two bytes, as most tables' numbers do.
_LONGEST = 0xFFFF
#: So many values of a key are looked through; more have an index.
_FEW = 4


class InternPool(Generic[_K, _V]):
    """The entries, each a key and a value, that some table has. `entries_of` gives those of a lab by name.

    Which tables share them is of no consequence but for the room they take.
    """

    __slots__ = ("__weakref__", "_free", "entries", "holders", "numbers")

    def __init__(self) -> None:
        self.entries: list[tuple[_K, _V] | None] = []
        #: The number of a key's entry; where it has several those of all, by value if they are many.
        self.numbers: dict[_K, int | tuple[int, ...] | dict[_V, int]] = {}
        #: How many tables have each entry.
        self.holders = array("I")
        self._free: list[int] = []

    def find(self, key: _K, value: _V) -> int | None:
        """Give the number of an entry, or `None`."""
        found = self.numbers.get(key)
        if found is None:
            return None
        entries = self.entries
        # Most often it is the very object: many values are not so fast to compare.
        if isinstance(found, int):
            entry = entries[found]
            assert entry is not None
            return found if entry[1] is value or entry[1] == value else None
        if isinstance(found, dict):
            return found.get(value)
        for number in found:
            entry = entries[number]
            if entry is not None and entry[1] is value:
                return number
        return next((number for number in found if entries[number] == (key, value)), None)

    def numbers_of(self, key: _K) -> Collection[int]:
        """Give the numbers of the entries with that key."""
        found = self.numbers.get(key)
        if found is None:
            return ()
        if isinstance(found, int):
            return (found,)
        return found.values() if isinstance(found, dict) else found

    def number(self, key: _K, value: _V) -> int:
        """Give the number of an entry, made if there is none."""
        number = self.find(key, value)
        if number is not None:
            return number
        if self._free:
            number = self._free.pop()
            self.entries[number] = key, value
        else:
            number = len(self.entries)
            self.entries.append((key, value))
            self.holders.append(0)
        found = self.numbers.get(key)
        if isinstance(found, dict):
            found[value] = number
        elif found is None:
            self.numbers[key] = number
        else:
            several = (found, number) if isinstance(found, int) else (*found, number)
            self.numbers[key] = several if len(several) <= _FEW else self._by_value(several)
        return number

    def _by_value(self, numbers: Iterable[int]) -> dict[_V, int]:
        entries = [(number, self.entries[number]) for number in numbers]
        return {entry[1]: number for number, entry in entries if entry is not None}

    def release(self, number: int) -> None:
        """Take note that a table has an entry no more; with the last one it is forgotten."""
        self.holders[number] -= 1
        entry = self.entries[number]
        if self.holders[number] or entry is None:
            return
        self.entries[number] = None
        self._free.append(number)
        key, value = entry
        found = self.numbers[key]
        if isinstance(found, dict):
            del found[value]
            if found:
                return
        elif isinstance(found, tuple):
            left = tuple(each for each in found if each != number)
            self.numbers[key] = left if len(left) > 1 else left[0]
            return
        del self.numbers[key]


def entries_of(clock: Clock, *name: Hashable) -> InternPool[_K, _V]:
    """Give the entries of that name in the lab a clock belongs to: one object as long as some table is made of it."""
    known: WeakValueDictionary[Hashable, InternPool[_K, _V]] | None = clock.registry.get(_COMMONS)
    if known is None:
        known = clock.registry[_COMMONS] = WeakValueDictionary()
    found = known.get(name)
    if found is None:
        found = known[name] = InternPool()
    return found


class InternedMultiMap(Generic[_K, _V]):
    """What one node has of some entries: keys in the order they came in, and the values of each key likewise.

    As in a `dict` a key keeps its place until its last value goes. Whoever throws a table away clears it first.
    """

    __slots__ = ("_last", "_shared", "_stamps")

    def __init__(self, shared: InternPool[_K, _V] | None = None) -> None:
        self._shared: InternPool[_K, _V] = InternPool() if shared is None else shared
        self._stamps = array("H")
        self._last = 0

    def add(self, key: _K, value: _V, stamp: int = 0) -> bool:
        """Add a value to a key's; `False` if it is there. `stamp` tells its place, greater than all there are, where that matters."""
        shared, stamps = self._shared, self._stamps
        number = shared.find(key, value)
        if number is None:
            number = shared.number(key, value)
        if number >= len(stamps):
            stamps.frombytes(bytes((len(shared.entries) - len(stamps)) * stamps.itemsize))
        elif stamps[number]:
            return False
        self._last = stamp = stamp or self._last + 1
        if stamp > _LONGEST and stamps.typecode == "H":
            stamps = self._stamps = array("I", stamps)
        stamps[number] = stamp
        shared.holders[number] += 1
        return True

    def add_key(self, key: _K, value: _V, stamp: int = 0) -> bool:
        """Add a key with its value; `False` if the key is there, whatever its values."""
        return key not in self and self.add(key, value, stamp)

    def set(self, key: _K, value: _V, stamp: int = 0) -> None:
        """Let a key have this value alone, in the place the key has, if it has one."""
        old = self._present(key)
        self.add(key, value, stamp)
        if old:
            kept = self._shared.find(key, value)
            for number in old:
                if number != kept:
                    self._drop(number)

    def discard(self, key: _K, value: _V) -> bool:
        """Remove a value of a key; `False` if it is not there."""
        number = self._shared.find(key, value)
        if number is None or not self._stamp(number):
            return False
        self._drop(number)
        return True

    def pop(self, key: _K) -> tuple[int, _V] | None:
        """Remove a key that has one value at most: gives its place and that value, or `None` if there is none."""
        for number in self._present(key):
            entry, stamp = self._shared.entries[number], self._stamps[number]
            assert entry is not None
            self._drop(number)
            return stamp, entry[1]
        return None

    def clear(self) -> None:
        """Remove everything."""
        release = self._shared.release
        for number, stamp in enumerate(self._stamps):
            if stamp:
                release(number)
        self._stamps = self._stamps[:0]
        self._last = 0

    def has(self, key: _K, value: _V) -> bool:
        """Tell whether a key has a value."""
        number = self._shared.find(key, value)
        return number is not None and self._stamp(number) != 0

    def first(self, key: _K) -> _V | None:
        """Give the first value of a key, or `None`."""
        present = self._present(key)
        entry = self._shared.entries[present[0]] if present else None
        return None if entry is None else entry[1]

    def all(self, key: _K) -> list[_V]:
        """Give the values of a key."""
        entries = self._shared.entries
        return [entry[1] for number in self._present(key) if (entry := entries[number]) is not None]

    def stamped(self) -> Iterator[tuple[int, _K, _V]]:
        """Give the place of each entry, its key and its value, in order."""
        entries, stamps = self._shared.entries, self._stamps
        for number in sorted([number for number, stamp in enumerate(stamps) if stamp], key=stamps.__getitem__):
            entry = entries[number]
            assert entry is not None
            yield stamps[number], *entry

    def items(self) -> list[tuple[_K, _V]]:
        """Give each key with each of its values."""
        values_of: dict[_K, list[_V]] = {}
        for _, key, value in self.stamped():
            values_of.setdefault(key, []).append(value)
        return [(key, value) for key, values in values_of.items() for value in values]

    def values(self) -> list[_V]:
        """Give the values, key by key."""
        return [value for _, value in self.items()]

    def keys(self) -> list[_K]:
        """Give the keys, each once."""
        return list(dict.fromkeys(key for _, key, _ in self.stamped()))

    def is_same_as(self, other: InternedMultiMap[_K, _V]) -> bool:
        """Tell whether it has the same entries as another table of the same, in whatever order."""
        return bytes(map(bool, self._stamps)).rstrip(b"\0") == bytes(map(bool, other._stamps)).rstrip(b"\0")

    def __iter__(self) -> Iterator[_K]:
        return iter(self.keys())

    def __contains__(self, key: _K) -> bool:
        found = self._shared.numbers.get(key)
        if found is None:
            return False
        if isinstance(found, int):
            return self._stamp(found) != 0
        return any(map(self._stamp, found.values() if isinstance(found, dict) else found))

    def __len__(self) -> int:
        """Tell how many keys there are."""
        return len(self.keys())

    def __bool__(self) -> bool:
        return any(self._stamps)

    def _stamp(self, number: int) -> int:
        stamps = self._stamps
        return stamps[number] if number < len(stamps) else 0

    def _present(self, key: _K) -> list[int]:
        stamps = self._stamps
        count = len(stamps)
        present = [number for number in self._shared.numbers_of(key) if number < count and stamps[number]]
        if len(present) > 1:
            present.sort(key=stamps.__getitem__)
        return present

    def _drop(self, number: int) -> None:
        stamps, shared = self._stamps, self._shared
        stamp, stamps[number] = stamps[number], 0
        entry = shared.entries[number]
        assert entry is not None
        following, least = number, 0
        for other in shared.numbers_of(entry[0]):
            if other != number and (place := self._stamp(other)):
                if place < stamp:
                    break
                if not least or place < least:
                    following, least = other, place
        else:  # it was the first of its key, whose place stays
            if least:
                stamps[following] = stamp
        shared.release(number)
