"""The DNS records of one network: names and aliases of endpoints, for the embedded resolver (`--network-alias`).

Source: moby `libnetwork/network.go` (svcRecs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.address import Address
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.interning import InternedMultiMap, intern_pool

if TYPE_CHECKING:
    from cnmsim.libnetwork.endpoint import Endpoint


@define(eq=False)
class NameRecords:
    """The names of one network and their addresses.

    Each record has an owner: the id of an endpoint or a service. Names are compared case-insensitively. A reverse
    lookup returns the first name that was added for the address.
    """

    _by_name: InternedMultiMap[str, tuple[Address, str]] = field(factory=InternedMultiMap)
    _by_address: InternedMultiMap[Address, tuple[str, str]] = field(factory=InternedMultiMap)

    @classmethod
    def of_network(cls, clock: Clock, network_id: str) -> NameRecords:
        """Create one node's records for a network.

        To save memory, all nodes of a lab share one copy of identical records.
        """
        return cls(
            InternedMultiMap(intern_pool(clock, "names", network_id)),
            InternedMultiMap(intern_pool(clock, "reverse names", network_id)),
        )

    def add(self, name: str, address: Address, owner: str, *, reverse: bool = False) -> None:
        """Add an address to the addresses of `name`.

        If `reverse` is True, a reverse lookup of the address returns `name`. `owner` is the id of the endpoint or
        service to which the record belongs.
        """
        # Keep the string if it is in lower case: a new string would be hashed again.
        self._by_name.add(name if name.islower() else name.lower(), (address, owner))
        if reverse:
            self._by_address.add(address, (name, owner))

    def add_endpoint(self, endpoint: Endpoint) -> None:
        """Add the names and aliases of an endpoint with its addresses; a reverse lookup returns the first name."""
        for number, name in enumerate(endpoint.dns_names):
            for assigned in (endpoint.interface.ipv4, endpoint.interface.ipv6):
                if assigned is not None:
                    self.add(name, assigned[0], endpoint.id, reverse=number == 0)

    def remove_owner(self, owner: str) -> None:
        """Remove all records of an owner."""
        for name, entry in self._by_name.items():
            if entry[1] == owner:
                self._by_name.discard(name, entry)
        for address, named in self._by_address.items():
            if named[1] == owner:
                self._by_address.discard(address, named)

    def remove(self, name: str, address: Address, owner: str) -> None:
        """Remove the record of `owner` that maps `name` to `address`, in both directions.

        Do nothing if there is none.
        """
        self._by_name.discard(name.lower(), (address, owner))
        self._by_address.discard(address, (name, owner))

    def clear(self) -> None:
        """Remove all records of the network on this node."""
        self._by_name.clear()
        self._by_address.clear()

    def lookup(self, name: str) -> list[Address] | None:
        """Return the addresses of a name, IPv4 and IPv6, without duplicates; `None` for an unknown name."""
        entries = self._by_name.all(name.lower())
        return list(dict.fromkeys(address for address, _ in entries)) if entries else None

    def reverse(self, address: Address) -> str | None:
        """Return the name of an address for a reverse lookup, or `None` if the address has no name."""
        named = self._by_address.first(address)
        return None if named is None else named[0]

    def names(self) -> list[str]:
        """Return every name, in lower case."""
        return self._by_name.keys()

    def __len__(self) -> int:
        return len(self._by_name)
