"""Virtual services and destinations (real servers), as `ipvsadm` shows them."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.address import Address, format_endpoint
from cnmsim.kernel.interning import InternedMultiMap

if TYPE_CHECKING:
    from cnmsim.kernel.ipvs.scheduler import Scheduler

#: The balanced protocols; the load balancer itself answers ICMP to a virtual address.
PROTOCOLS = {"tcp": 6, "udp": 17}
PROTOCOL_NAMES = {number: name.upper() for name, number in PROTOCOLS.items()}


class Method(Enum):
    """The packet forwarding method of a destination. The value is libnetwork's name: `masq`, `dr` or `tunnel`."""

    MASQUERADING = "masq"
    DIRECT_ROUTING = "dr"
    TUNNELING = "tunnel"

    @property
    def title(self) -> str:
        """The name that `ipvsadm -L` prints, e.g. `Masq`."""
        return {"masq": "Masq", "dr": "Route", "tunnel": "Tunnel"}[self.value]

    @property
    def match_name(self) -> str:
        """The name in the iptables match `ipvs --vmethod`, e.g. `MASQ`."""
        return {"masq": "MASQ", "dr": "GATE", "tunnel": "IPIP"}[self.value]


@define(eq=False)
class Counters:
    """The counters that `ipvsadm --stats` shows: connections, packets in and out, and bytes in and out.

    The bytes are those of whole IP packets.
    """

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0

    def zero(self) -> None:
        """Reset the counters, as `ipvsadm -Z` does."""
        self.connections = self.in_packets = self.out_packets = self.in_bytes = self.out_bytes = 0


@define(eq=False)
class Destination:
    """A real server of one service.

    If `port` is 0, a packet keeps the port of the request. If `weight` is 0, the server gets no new connections.
    `active` and `inactive` count its connections. `is_available` is False if the server was removed from the service
    while connections still used it.
    """

    address: Address
    port: int
    weight: int
    method: Method
    service: Service
    is_available: bool = True
    active: int = 0
    inactive: int = 0
    counters: Counters = field(factory=Counters)

    @property
    def overhead(self) -> int:
        """The load of the server: 256 for each active and 1 for each inactive connection.

        Source: ip_vs_dest_conn_overhead.
        """
        return (self.active << 8) + self.inactive

    def __str__(self) -> str:
        return f"{format_endpoint(self.address, self.port)} {self.method.title} weight {self.weight}"


#: The key of a service in its namespace: family, firewall mark, protocol, address, port.
ServiceKey = tuple[int, int, int, Address, int]
#: The key of a destination in its service: address and port.
DestinationKey = tuple[Address, int]
#: The configuration of a destination: weight and method.
DestinationParameters = tuple[int, Method]


@lru_cache(maxsize=1024)
def destination_parameters(weight: int, method: str) -> DestinationParameters:
    """Return (weight, method). Equal arguments return the same object, which saves memory."""
    return weight, Method(method)


@define(eq=False)
class Service:
    """A virtual service, selected by firewall mark (`fwmark`, if not 0) or by protocol, address and port.

    To save memory, `Destination` objects are created only when `destinations` is first read.
    """

    family: int
    scheduler: Scheduler
    fwmark: int = 0
    protocol: int = 0
    address: Address = b""
    port: int = 0
    counters: Counters = field(factory=Counters)
    #: Destinations are stored in compact form until the first access creates `Destination` objects: most nodes of a
    #: large swarm never balance most services.
    _entries: InternedMultiMap[DestinationKey, DestinationParameters] = field(factory=InternedMultiMap)
    _materialised: list[Destination] | None = field(default=None, init=False)

    @property
    def key(self) -> ServiceKey:
        """The key of the service in its namespace."""
        return self.family, self.fwmark, self.protocol, self.address, self.port

    @property
    def destinations(self) -> list[Destination]:
        """The destinations, newest first, as in the kernel and its schedulers."""
        if self._materialised is None:
            entries = [(*place, *terms) for place, terms in self._entries.items()]
            self._materialised = [Destination(*fields, self) for fields in reversed(entries)]
            self._entries.clear()
        return self._materialised

    def __str__(self) -> str:
        if self.fwmark:
            return f"FWM {self.fwmark}{' IPv6' if self.family == 6 else ''} {self.scheduler.name}"
        return f"{PROTOCOL_NAMES[self.protocol]} {format_endpoint(self.address, self.port)} {self.scheduler.name}"

    def add_entry(self, address: Address, port: int, terms: DestinationParameters) -> bool:
        """Add a destination, as the newest one. `terms` are its weight and method.

        Return False, without a change, if the service has a destination with that address and port.
        """
        if self._materialised is None and not self.scheduler.tracks_changes:
            return self._entries.add_key((address, port), terms)
        if self.find(address, port) is not None:
            return False
        self.add(Destination(address, port, *terms, self))
        return True

    def add(self, destination: Destination) -> None:
        """Add a destination object at the head of the service's list."""
        self.destinations.insert(0, destination)
        self.scheduler.changed(self.destinations)

    def has(self, address: Address, port: int) -> bool:
        """Return True if there is a destination with that address and port."""
        if self._materialised is None:
            return (address, port) in self._entries
        return self.find(address, port) is not None

    def change(self, address: Address, port: int, terms: DestinationParameters) -> None:
        """Set the weight and method, `terms`, of the destination with that address and port."""
        if self._materialised is None:
            self._entries.set((address, port), terms)
            return
        destination = self.find(address, port)
        assert destination is not None
        destination.weight, destination.method = terms
        self.scheduler.changed(self._materialised)

    def remove(self, address: Address, port: int) -> Destination | None:
        """Remove the destination with that address and port.

        Return its `Destination` object, or `None` if the service has not created such objects yet (see `Service`).
        """
        if self._materialised is None:
            self._entries.pop((address, port))
            return None
        destination = self.find(address, port)
        assert destination is not None
        at = self._materialised.index(destination)
        del self._materialised[at]
        self.scheduler.removed(self._materialised, destination, at)
        return destination

    def clear(self) -> list[Destination]:
        """Remove all destinations.

        Return their `Destination` objects; [] if the service has not created any (see `Service`).
        """
        used, self._materialised = self._materialised or [], []
        self._entries.clear()
        return used

    def find(self, address: Address, port: int) -> Destination | None:
        """Return the destination with that address and port, or `None` if there is none."""
        for destination in self.destinations:
            if destination.address == address and destination.port == port:
                return destination
        return None
