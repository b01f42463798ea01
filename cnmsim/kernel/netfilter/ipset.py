"""IP sets for the `set` match: hash:ip, hash:net and hash:ip,port (ipset(8))."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from cnmsim.kernel.address import Address, Prefix, parse_ip
from cnmsim.kernel.netfilter.netdb import PROTOCOLS
from cnmsim.kernel.skbuff import Packet

KINDS = ("hash:ip", "hash:net", "hash:ip,port")


@define(eq=False)
class IpSet:
    """One IP set.

    `kind` is one of `KINDS`, `family` 4 or 6.
    """

    name: str
    kind: str = "hash:ip"
    family: int = 4
    _members: set[tuple[int, ...]] = field(factory=set, init=False)
    _lengths: set[int] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown set type {self.kind}")

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: str) -> None:
        """Add a member. Raises `ValueError` if it is invalid.

        Examples for the three kinds are `10.0.0.1`, `10.0.0.0/8` and `10.0.0.1,tcp:80`.
        """
        key = self._key(member)
        self._members.add(key)
        if self.kind == "hash:net":
            self._lengths.add(key[1])

    def remove(self, member: str) -> None:
        """Remove a member. Raises `KeyError` if it is not in the set, `ValueError` if it is invalid."""
        self._members.remove(self._key(member))

    def _key(self, member: str) -> tuple[int, ...]:
        if self.kind == "hash:net":
            prefix = Prefix.parse(member, strict=False)
            self._check(prefix.network)
            return prefix.first_int, prefix.length
        address_text, _, port_text = member.partition(",")
        address = parse_ip(address_text)
        self._check(address)
        if self.kind == "hash:ip":
            return (int.from_bytes(address),)
        protocol, colon, port = port_text.rpartition(":")
        return int.from_bytes(address), PROTOCOLS[protocol] if colon else 6, int(port)

    def _check(self, address: Address) -> None:
        if (len(address) == 16) != (self.family == 6):
            raise ValueError(f"address of another family than set {self.name}")

    def contains(self, packet: Packet, sides: Sequence[str]) -> bool:
        """Return True if the set contains the packet's address or, for hash:ip,port, its address and port.

        The first item of `sides` is `src` or `dst`: which address is looked up. The second item says the same of the
        port; if it is missing, the first one applies to the port, too.
        """
        if packet.family != self.family:
            return False
        address = int.from_bytes(packet.src if sides[0] == "src" else packet.dst)
        if self.kind == "hash:ip":
            return (address,) in self._members
        if self.kind == "hash:net":
            bits = 128 if self.family == 6 else 32
            return any((address >> bits - n << bits - n, n) in self._members for n in self._lengths)
        side = sides[1] if len(sides) > 1 else sides[0]
        port = packet.sport if side == "src" else packet.dport
        return (address, packet.protocol, port) in self._members
