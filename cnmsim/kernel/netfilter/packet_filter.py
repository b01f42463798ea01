"""The interface of the packet filter on which matches, targets, statements and chains depend, as a protocol.

`Netfilter` implements it. As those modules import only the protocol, `netfilter.py` can import them.
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
        """The random number generator of the statistic match."""

    @property
    def set_names(self) -> frozenset[str]:
        """The names of the IP sets that rules may refer to."""

    def next_order(self) -> int:
        """Return a new sequence number for a registration on a hook."""

    def rules_changed(self) -> None:
        """Invalidate everything that depends on rules, chains, policies or sets."""

    def source_mac(self, packet: Packet) -> bytes:
        """Return the MAC address of the packet's sender or of the gateway to it, b"" if it is unknown."""

    def send_as(self, src: Address, dst: Address, protocol: int, message: bytes, *, replied_packet: Packet) -> None:
        """Send an IP packet from `src` to `dst` in reply to `replied_packet`.

        `message` is the payload of the IP packet, `protocol` the payload's protocol number. `src` need not be an
        address of the namespace.
        """
