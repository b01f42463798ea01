"""What the nodes of a lab know, told once: versions of entries, and for each node which version it has.

Every node of a real cluster keeps its own copy of every entry. Here an entry has one *slot* in the whole lab, each
state it ever had is one `Version` object, and a node's *view* is an array with one small number per slot. What a node
knows still changes only by messages that reach it; but a thousand nodes with the same hundred thousand entries cost
two bytes an entry and node, and two views are compared as fast as memory is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import count, zip_longest
from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

#: What identifies an entry in its space: (table, key) of a network, (node, network) of the attachments.
Key = tuple[str, str]

_CODES = 0xFFFF
#: So many numbers of two views are compared at once.
_CHUNK = 256


class Version:
    """One state of one entry, as its owner's node made it. `ltime` is its Lamport time, `value` any immutable value.

    `event` is what bulk syncs tell of it, once one did.
    """

    __slots__ = ("code", "event", "holders", "is_deleted", "ltime", "owner", "slot", "value")

    def __init__(self, slot: Slot, ltime: int, owner: str, value: Any, *, is_deleted: bool = False) -> None:
        self.slot = slot
        self.ltime = ltime
        self.owner = owner
        self.value = value
        self.is_deleted = is_deleted
        self.code = 0
        self.holders = 0
        self.event: Any = None

    def __repr__(self) -> str:
        state = " deleted" if self.is_deleted else ""
        return f"<Version {self.slot.key} @{self.ltime} by {self.owner}{state}>"


class Slot:
    """The place of one entry in the views of all nodes, and those of its versions that some node has."""

    __slots__ = ("_last_code", "key", "number", "versions")

    def __init__(self, key: Key, number: int) -> None:
        self.key = key
        self.number = number
        self.versions: dict[int, Version] = {}
        self._last_code = 0

    def code_of(self, version: Version) -> int:
        """Give the number by which views refer to a version."""
        if not version.code:
            # Numbers go round, so that one that was given up is not soon another version's.
            code = self._last_code % _CODES + 1
            while code in self.versions:
                code = code % _CODES + 1
            self._last_code = version.code = code
            self.versions[code] = version
        return version.code

    def release(self, version: Version) -> None:
        """Forget a version that no view has any more."""
        self.versions.pop(version.code, None)
        version.code = 0
        version.event = None


class Space:
    """A set of slots: the entries of one network, or the attachments of nodes to networks.

    `group_of` tells to which group of slots a key belongs, where groups are wanted. `views` are those of it with
    something in them, now or before; `changes` grows with each change of any.
    """

    __slots__ = ("_by_group", "_by_key", "_by_owner", "_group_of", "changes", "slots", "views")

    def __init__(self, group_of: Callable[[Key], str] | None = None) -> None:
        self.slots: list[Slot] = []
        self._by_key: dict[Key, Slot] = {}
        self._by_owner: dict[str, dict[int, None]] = {}
        self._by_group: dict[str, list[int]] = {}
        self._group_of = group_of
        self.views: set[View] = set()
        self.changes = 0

    def slot(self, key: Key) -> Slot:
        """Give the slot of a key, made if there is none."""
        found = self._by_key.get(key)
        if found is None:
            found = self._by_key[key] = Slot(key, len(self.slots))
            self.slots.append(found)
            if self._group_of is not None:
                self._by_group.setdefault(self._group_of(key), []).append(found.number)
        return found

    def find(self, key: Key) -> Slot | None:
        """Give the slot of a key, or `None`."""
        return self._by_key.get(key)

    def version(self, key: Key, ltime: int, owner: str, value: Any, *, is_deleted: bool = False) -> Version:
        """Make a version of the entry of that key."""
        slot = self.slot(key)
        self._by_owner.setdefault(owner, {})[slot.number] = None
        return Version(slot, ltime, owner, value, is_deleted=is_deleted)

    def owned_by(self, owner: str) -> list[int]:
        """Give the numbers of the slots that ever were this owner's."""
        return list(self._by_owner.get(owner, ()))

    def group(self, name: str) -> list[int]:
        """Give the numbers of the slots of a group."""
        return self._by_group.get(name, [])


class View:
    """What one node knows of a space."""

    __slots__ = ("codes", "space")

    def __init__(self, space: Space) -> None:
        self.space = space
        self.codes = array("H")

    def at(self, number: int) -> Version | None:
        """Give the version this node has of a slot, or `None`."""
        code = self.codes[number] if number < len(self.codes) else 0
        return self.space.slots[number].versions[code] if code else None

    def get(self, key: Key) -> Version | None:
        """Give the version this node has of the entry of a key, or `None`."""
        slot = self.space.find(key)
        return None if slot is None else self.at(slot.number)

    def put(self, version: Version) -> None:
        """Take a version in, in place of the one there was."""
        slot, codes, space = version.slot, self.codes, self.space
        number = slot.number
        space.changes += 1
        if number >= len(codes):
            space.views.add(self)
            codes.frombytes(bytes((len(space.slots) - len(codes)) * codes.itemsize))
        old = codes[number]
        version.holders += 1
        codes[number] = version.code or slot.code_of(version)
        if old:
            _let_go(slot, old)

    def drop(self, number: int) -> None:
        """Forget what this node knows of a slot."""
        if number < len(self.codes) and self.codes[number]:
            old, self.codes[number] = self.codes[number], 0
            self.space.changes += 1
            _let_go(self.space.slots[number], old)

    def clear(self) -> None:
        """Forget everything."""
        for version in list(self):
            self.drop(version.slot.number)
        self.codes = array("H")
        self.space.views.discard(self)

    def __iter__(self) -> Iterator[Version]:
        slots = self.space.slots
        for number, code in enumerate(self.codes):
            if code:
                yield slots[number].versions[code]

    def __len__(self) -> int:
        return len(self.codes) - self.codes.count(0)

    def snapshot(self) -> array[int]:
        """Give what this node knows at this instant, to be sent to others."""
        return self.codes[:]

    def newer_in(self, snapshot: array[int]) -> list[Version]:
        """Give the versions of a snapshot that are not the ones this node has, in the order of their slots."""
        found: list[Version] = []
        own, slots = self.codes, self.space.slots
        for start in range(0, len(snapshot), _CHUNK):
            theirs, ours = snapshot[start : start + _CHUNK], own[start : start + _CHUNK]
            if theirs == ours:
                continue
            ours.frombytes(bytes(max(0, len(theirs) - len(ours)) * ours.itemsize))
            for number, code, mine in zip(count(start), theirs, ours, strict=False):
                if code != mine and code:
                    version = slots[number].versions.get(code)
                    if version is not None:
                        found.append(version)
        return found

    def unlike(self, other: View) -> Iterator[tuple[Version | None, Version | None]]:
        """Give what this node and another have of each slot in which their views of one space differ."""
        own, others = self.codes, other.codes
        for start in range(0, max(len(own), len(others)), _CHUNK):
            ours, theirs = own[start : start + _CHUNK], others[start : start + _CHUNK]
            if ours == theirs:
                continue
            for number, (one, another) in enumerate(zip_longest(ours, theirs, fillvalue=0), start):
                if one != another:
                    yield self.at(number), other.at(number)


def _let_go(slot: Slot, code: int) -> None:
    version = slot.versions[code]
    version.holders -= 1
    if not version.holders:
        slot.release(version)


def _network_of(key: Key) -> str:
    return key[1]


@define(eq=False)
class SharedStore:
    """The spaces of one lab."""

    attachments: Space = field(factory=lambda: Space(group_of=_network_of))
    networks: dict[str, Space] = field(factory=dict)

    def network(self, network_id: str) -> Space:
        """Give the space of a network's entries."""
        space = self.networks.get(network_id)
        if space is None:
            space = self.networks[network_id] = Space()
        return space


def store_of(clock: Clock) -> SharedStore:
    """Give the store of the lab a clock belongs to."""
    store: SharedStore | None = clock.registry.get("networkdb")
    if store is None:
        store = clock.registry["networkdb"] = SharedStore()
    return store
