"""Virtual services and destinations (real servers), as `ipvsadm` shows them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

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


@define(eq=False)
class Service:
    """A virtual service: by firewall mark (`fwmark`, not 0) or by protocol, address and port.

    `destinations` stands in the kernel's order, the newest first: that is the order schedulers take them in.
    """

    family: int
    scheduler: Scheduler
    fwmark: int = 0
    protocol: int = 0
    address: Address = b""
    port: int = 0
    destinations: list[Destination] = field(factory=list)
    counters: Counters = field(factory=Counters)

    @property
    def key(self) -> tuple[int, int, int, Address, int]:
        """What tells services of one namespace apart."""
        return self.family, self.fwmark, self.protocol, self.address, self.port

    def __str__(self) -> str:
        if self.fwmark:
            return f"FWM {self.fwmark}{' IPv6' if self.family == 6 else ''} {self.scheduler.name}"
        return f"{PROTOCOL_NAMES[self.protocol]} {endpoint_text(self.address, self.port)} {self.scheduler.name}"

    def find(self, address: Address, port: int) -> Destination | None:
        """Give the destination with that address and port, or `None`."""
        for destination in self.destinations:
            if destination.address == address and destination.port == port:
                return destination
        return None
