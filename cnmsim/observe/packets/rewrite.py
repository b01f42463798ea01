"""Replace addresses in recorded frames, and update the checksums."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Address, Mac, Prefix, from_int, parse_ip, parse_mac, to_int
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.skbuff import Packet

_ARP = b"\x08\x06"
_IP = frozenset({b"\x08\x00", b"\x86\xdd"})
_VLAN = b"\x81\x00"


@frozen
class Rewrite:
    """A mapping of MAC addresses, IP addresses and subnets to those that replace them.

    An address in a mapped subnet becomes the address with the same host bits in the new subnet. If the address itself
    is mapped too, that mapping is used.
    """

    macs: Mapping[Mac, Mac] = field(factory=dict)
    addresses: Mapping[Address, Address] = field(factory=dict)
    subnets: Mapping[Prefix, Prefix] = field(factory=dict)

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> Rewrite:
        """Parse a mapping of texts such as `{"10.0.0.0/24": "172.18.0.0/24", "02:42:…": "8e:…"}`.

        Raises `InvalidParameter` for a pair that is not two addresses of one kind.
        """
        macs: dict[Mac, Mac] = {}
        addresses: dict[Address, Address] = {}
        subnets: dict[Prefix, Prefix] = {}
        for old, new in texts.items():
            try:
                if old.count(":") == 5 and "::" not in old:
                    macs[parse_mac(old)] = parse_mac(new)
                elif "/" in old:
                    prefix = Prefix.parse(old, strict=False)
                    subnets[prefix] = _same_size(prefix, Prefix.parse(new, strict=False))
                else:
                    address = parse_ip(old)
                    addresses[address] = _same_family(address, parse_ip(new))
            except (ValueError, AttributeError, TypeError) as error:
                raise InvalidParameter(
                    f"rewrite {old!r} to {new!r}: {error}; both are MAC addresses, IP addresses or subnets"
                ) from None
        return cls(macs, addresses, subnets)

    def frame(self, frame: bytes) -> bytes:
        """Return a frame with its addresses replaced: Ethernet, ARP, and the outermost IP header."""
        if len(frame) < 14:
            return frame
        frame = self.mac(frame[:6]) + self.mac(frame[6:12]) + frame[12:]
        at = 18 if frame[12:14] == _VLAN else 14
        ethertype = frame[at - 2 : at]
        if ethertype == _ARP and len(frame) >= at + 28:
            body = frame[at:]
            sender = self.mac(body[8:14]) + self.ip(body[14:18])
            target = self.mac(body[18:24]) + self.ip(body[24:28])
            return frame[:at] + body[:8] + sender + target + body[28:]
        if ethertype in _IP:
            try:
                packet = Packet(frame[at:])
            except MalformedPacketError:
                return frame
            source, destination = self.ip(packet.src), self.ip(packet.dst)
            if (source, destination) != (packet.src, packet.dst):
                size = len(packet.data)
                packet.translate(source, destination)
                return frame[:at] + packet.data + frame[at + size :]
        return frame

    def mac(self, mac: Mac) -> Mac:
        """Return the MAC address that replaces `mac`; `mac` itself if it is not mapped."""
        return self.macs.get(mac, mac)

    def ip(self, address: Address) -> Address:
        """Return the IP address that replaces `address`; `address` itself if it is not mapped."""
        known = self.addresses.get(address)
        if known is not None:
            return known
        for old, new in self.subnets.items():
            if address in old:
                return from_int(to_int(new.network) + to_int(address) - to_int(old.network), old.family)
        return address


def _same_size(old: Prefix, new: Prefix) -> Prefix:
    if (old.family, old.length) != (new.family, new.length):
        raise ValueError("the subnets differ in size")
    return new


def _same_family(old: Address, new: Address) -> Address:
    if len(old) != len(new):
        raise ValueError("one is IPv4, the other IPv6")
    return new
