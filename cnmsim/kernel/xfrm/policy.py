"""Policies: the packets to protect, and how (RFC 4301 §4.4.1; Linux: net/xfrm/xfrm_policy.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.kernel.address import IPV4_ANY, IPV6_ANY, Address, Prefix, format_ip
from cnmsim.kernel.packet import Protocol

if TYPE_CHECKING:
    from cnmsim.kernel.skbuff import Packet

_NAMES: dict[int, int | str] = {
    Protocol.TCP: "tcp",
    Protocol.UDP: "udp",
    Protocol.ICMP: "icmp",
    Protocol.ICMPV6: "ipv6-icmp",
    Protocol.SCTP: "sctp",
}


@frozen
class Mark:
    """A condition on the mark of a packet: it must be equal to `value` in the bits of `mask`.

    The default matches every packet.
    """

    value: int = 0
    mask: int = 0

    def matches(self, mark: int) -> bool:
        """Return True if the packet mark `mark` satisfies the condition."""
        return mark & self.mask == self.value

    def __str__(self) -> str:
        return f"mark {self.value:#x}/{self.mask:#x} "


@frozen
class Selector:
    """A match on addresses, protocol (0: any) and ports (0: any)."""

    src: Prefix
    dst: Prefix
    protocol: int = 0
    sport: int = 0
    dport: int = 0

    @classmethod
    def match_all(cls, family: int = 4) -> Selector:
        """Return the selector that matches every packet of a family (4 or 6)."""
        everywhere = Prefix(IPV4_ANY if family == 4 else IPV6_ANY, 0)
        return cls(everywhere, everywhere)

    def matches(self, packet: Packet) -> bool:
        """Return True if a packet matches."""
        if self.protocol and packet.protocol != self.protocol:
            return False
        if (self.sport and packet.sport != self.sport) or (self.dport and packet.dport != self.dport):
            return False
        return len(packet.src) == len(self.src.network) and packet.src in self.src and packet.dst in self.dst

    def __str__(self) -> str:
        """Format the selector as `ip xfrm` does."""
        words = [f"src {self.src} dst {self.dst}"]
        if self.protocol:
            words.append(f"proto {_NAMES.get(self.protocol, self.protocol)}")
        words += [f"{name} {port}" for name, port in (("sport", self.sport), ("dport", self.dport)) if port]
        return " ".join(words) + " "


@frozen
class Template:
    """The protection that a policy requires: an ESP state between these addresses.

    An `spi` of 0 means any. A `reqid` of 0 means any for received packets; for sent packets the state must have
    exactly this `reqid`.
    """

    src: Address = IPV4_ANY
    dst: Address = IPV4_ANY
    spi: int = 0
    reqid: int = 0
    protocol: int = Protocol.ESP
    mode: str = "transport"

    def __str__(self) -> str:
        """Format the template as `ip xfrm policy` does, in two lines."""
        spi = f"spi 0x{self.spi:08x} " if self.spi else ""
        return (
            f"\ttmpl src {format_ip(self.src)} dst {format_ip(self.dst)}\n"
            f"\t\tproto esp {spi}reqid {self.reqid} mode {self.mode}\n"
        )


@define(eq=False)
class XfrmPolicy:
    """A policy: `selector` and `mark` select packets, `templates` are the states (SAs) that must protect them.

    `direction` is `out`, `in` or `fwd`, `action` is `allow` or `block`. A lower `priority` takes precedence. `index`
    is assigned by the kernel. `added_ns` is the virtual time at which the policy was added.
    """

    direction: str
    selector: Selector
    templates: tuple[Template, ...] = ()
    mark: Mark = field(factory=Mark)
    priority: int = 0
    action: str = "allow"
    index: int = 0
    added_ns: int = 0

    @property
    def identity(self) -> tuple[str, Selector, Mark]:
        """The unique key: direction, selector and mark."""
        return self.direction, self.selector, self.mark

    @property
    def family(self) -> int:
        """The address family: 4 or 6."""
        return 6 if len(self.selector.src.network) == 16 else 4

    def matches(self, packet: Packet) -> bool:
        """Return True if a packet matches the policy's mark and selector."""
        return self.mark.matches(packet.mark) and self.selector.matches(packet)

    def __str__(self) -> str:
        """Format the policy as `ip xfrm policy` does."""
        action = "" if self.action == "allow" else f"action {self.action} "
        mark = f"\t{self.mark}\n" if self.mark.mask else ""
        head = f"{self.selector}\n\tdir {self.direction} {action}priority {self.priority} ptype main \n{mark}"
        return head + "".join(str(template) for template in self.templates)
