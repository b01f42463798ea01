"""Virtual services and destinations (real servers), as `ipvsadm` shows them."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from attrs import define, field

from cnmsim.kernel.address import Address, format_ip

if TYPE_CHECKING:
    from cnmsim.kernel.ipvs.scheduler import Scheduler

#: The protocols that are balanced; ICMP to a virtual address is answered by the balancer itself.
PROTOCOLS = {"tcp": 6, "udp": 17}
PROTOCOL_NAMES = {number: name.upper() for name, number in PROTOCOLS.items()}


class Method(Enum):
    """How packets reach a destination; the value is what drivers call it."""

    MASQUERADING = "masq"
    DIRECT_ROUTING = "dr"
    TUNNELING = "tunnel"

    @property
    def title(self) -> str:
        """What `ipvsadm -L` prints."""
        return {"masq": "Masq", "dr": "Route", "tunnel": "Tunnel"}[self.value]

    @property
    def match_name(self) -> str:
        """What the iptables match `ipvs --vmethod` calls it."""
        return {"masq": "MASQ", "dr": "GATE", "tunnel": "IPIP"}[self.value]


@define(eq=False)
class Counters:
    """What `ipvsadm --stats` prints: connections, packets and bytes (of whole IP packets) in and out."""

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0

    def zero(self) -> None:
        """Begin anew, as `ipvsadm -Z`."""
        self.connections = self.in_packets = self.out_packets = self.in_bytes = self.out_bytes = 0


def endpoint_text(address: Address, port: int) -> str:
    """Write `10.0.1.4:80` or `[fd01::4]:80`."""
    return f"[{format_ip(address)}]:{port}" if len(address) == 16 else f"{format_ip(address)}:{port}"


@define(eq=False)
class Destination:
    """A real server of one service.

    `port` 0 keeps the port a packet came to. `weight` 0 gives it no new connections. `active` and `inactive` count its
    connections. `is_available` turns false when it is removed while connections still refer to it.
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
        """Its load as the least-connection schedulers count it (ip_vs_dest_conn_overhead)."""
        return (self.active << 8) + self.inactive

    def __str__(self) -> str:
        return f"{endpoint_text(self.address, self.port)} {self.method.title} weight {self.weight}"


#: What tells services of one namespace apart: family, firewall mark, protocol, address, port.
ServiceKey = tuple[int, int, int, Address, int]
#: What tells one destination from others before it has served anybody: address, port, weight, method.
NewDestination = tuple[Address, int, int, Method]


@lru_cache(maxsize=1 << 17)
def new_destination(address: Address, port: int, weight: int, method: Method) -> NewDestination:
    """Give what a destination is added with. It is one object for all nodes that balance a service's load."""
    return address, port, weight, method


@define(eq=False)
class Service:
    """A virtual service: by firewall mark (`fwmark`, not 0) or by protocol, address and port."""

    family: int
    scheduler: Scheduler
    fwmark: int = 0
    protocol: int = 0
    address: Address = b""
    port: int = 0
    counters: Counters = field(factory=Counters)
    _destinations: list[Destination | NewDestination] = field(factory=list, init=False)
    _has_new: bool = field(default=False, init=False)

    @property
    def key(self) -> ServiceKey:
        """What tells services of one namespace apart."""
        return self.family, self.fwmark, self.protocol, self.address, self.port

    @property
    def destinations(self) -> list[Destination]:
        """Its destinations in the kernel's order, the newest first: that is the order schedulers take them in.

        Until somebody asks for them they are no more than what they were added with: most nodes of a large swarm never balance
        the load of most services.
        """
        if self._has_new:
            for at in range(len(self._destinations)):
                self._real(at)
            self._has_new = False
        return cast("list[Destination]", self._destinations)

    def __str__(self) -> str:
        if self.fwmark:
            return f"FWM {self.fwmark}{' IPv6' if self.family == 6 else ''} {self.scheduler.name}"
        return f"{PROTOCOL_NAMES[self.protocol]} {endpoint_text(self.address, self.port)} {self.scheduler.name}"

    def add(self, destination: Destination | NewDestination) -> None:
        """Take in a destination, as the newest."""
        self._destinations.insert(0, destination)
        self._has_new = self._has_new or isinstance(destination, tuple)
        if self.scheduler.minds_changes:
            self.scheduler.changed(self.destinations)

    def remove(self, at: int) -> Destination | None:
        """Take out the destination at index `at`: gives it, unless it has never been looked at."""
        gone = self._destinations.pop(at)
        if isinstance(gone, tuple):
            return None
        self.scheduler.removed(self.destinations, gone, at)
        return gone

    def clear(self) -> list[Destination]:
        """Take out all destinations: gives those that have been looked at."""
        used = [each for each in self._destinations if isinstance(each, Destination)]
        self._destinations.clear()
        return used

    def index(self, address: Address, port: int) -> int | None:
        """Give the index of the destination with that address and port, or `None`."""
        for at, each in enumerate(self._destinations):
            if isinstance(each, tuple):
                if each[0] == address and each[1] == port:
                    return at
            elif each.address == address and each.port == port:
                return at
        return None

    def find(self, address: Address, port: int) -> Destination | None:
        """Give the destination with that address and port, or `None`."""
        at = self.index(address, port)
        return None if at is None else self._real(at)

    def _real(self, at: int) -> Destination:
        found = self._destinations[at]
        if isinstance(found, tuple):
            found = self._destinations[at] = Destination(*found, self)
        return found
