"""The part of the packet filter that matches, targets, statements and chains depend on, as a protocol.

`Netfilter` implements it. The protocol keeps those modules below `netfilter.py`, which is composed of them.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.ipvs import Ipvs
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.netfilter.conntrack import Conntrack
    from cnmsim.kernel.netfilter.ipset import IpSet
    from cnmsim.kernel.netfilter.nat import Nat
    from cnmsim.kernel.skbuff import Packet


class PacketFilter(Protocol):
    """The packet filter of one namespace; its attributes are documented at `Netfilter`."""

    namespace: NetworkNamespace
    conntrack: Conntrack
    nat: Nat
    ipvs: Ipvs | None
    ip_sets: dict[str, IpSet]
    log: list[str]
    generation: int

    @property
    def random(self) -> Random:
        """The random numbers of the statistic match."""

    @property
    def set_names(self) -> frozenset[str]:
        """The names of the IP sets that rules may refer to."""

    def next_order(self) -> int:
        """Return the sequence number of a new registration on the hooks."""

    def rules_changed(self) -> None:
        """Invalidate what depends on rules, chains, policies or sets."""

    def source_mac(self, packet: Packet) -> bytes:
        """Return the hardware address of the sender of a packet, b"" if it is unknown."""

    def send_as(self, src: Address, dst: Address, protocol: int, message: bytes, *, replied_packet: Packet) -> None:
        """Send a message from any address in reply to a packet."""
