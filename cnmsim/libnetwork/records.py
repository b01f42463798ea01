"""The names of one network: what its embedded resolvers answer from (moby `libnetwork/network.go`, svcRecs)."""

from __future__ import annotations

from typing import TypeVar

from attrs import define, field

from cnmsim.kernel.address import Address

_K = TypeVar("_K")
_V = TypeVar("_V")


@define
class NameRecords:
    """Names and the addresses they stand for, each kept on behalf of an owner (an endpoint's id).

    Names are compared without regard to case. The first name an address was added under is the one that
    reverse lookups give.
    """

    _by_name: dict[str, list[tuple[Address, str]]] = field(factory=dict)
    _by_address: dict[Address, list[tuple[str, str]]] = field(factory=dict)

    def add(self, name: str, address: Address, owner: str, *, reverse: bool = False) -> None:
        """Add an address to a name; with `reverse` also the name to the address."""
        lower = name.lower()
        # Most names are in lower case, and known to every node of a network: one text for all takes less room.
        entries = self._by_name.setdefault(name if lower == name else lower, [])
        if (address, owner) not in entries:
            entries.append((address, owner))
        if reverse:
            self._by_address.setdefault(address, []).append((name, owner))

    def remove_owner(self, owner: str) -> None:
        """Remove whatever an owner added."""
        for name in list(self._by_name):
            _put(self._by_name, name, [e for e in self._by_name[name] if e[1] != owner])
        for address in list(self._by_address):
            _put(self._by_address, address, [e for e in self._by_address[address] if e[1] != owner])

    def remove(self, name: str, address: Address, owner: str) -> None:
        """Remove one address of one name that an owner added."""
        kept = [entry for entry in self._by_name.get(name.lower(), []) if entry != (address, owner)]
        _put(self._by_name, name.lower(), kept)
        _put(self._by_address, address, [e for e in self._by_address.get(address, []) if e != (name, owner)])

    def clear(self) -> None:
        """Remove everything."""
        self._by_name.clear()
        self._by_address.clear()

    def lookup(self, name: str) -> list[Address] | None:
        """Give the addresses of a name, of both families, without repetition; `None` if it is not known."""
        entries = self._by_name.get(name.lower())
        if entries is None:
            return None
        return list(dict.fromkeys(address for address, _ in entries))

    def reverse(self, address: Address) -> str | None:
        """Give the name of an address, or `None`."""
        entries = self._by_address.get(address)
        return entries[0][0] if entries else None

    def names(self) -> list[str]:
        """Give every name that is known, in lower case."""
        return list(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


def _put(table: dict[_K, list[_V]], key: _K, kept: list[_V]) -> None:
    if kept:
        table[key] = kept
    else:
        table.pop(key, None)
