"""Addresses as bytes in network order: 4 bytes for IPv4, 16 for IPv6, 6 for a MAC.

The length tells the family, an address can be cut out of a packet without conversion, and hashing is cheap. Text is
used only for input and output.
"""

from __future__ import annotations

import re
import socket
from functools import lru_cache

from attrs import field, frozen

from cnmsim.digits import is_number

#: An IPv4 (4 bytes) or IPv6 (16 bytes) address in network order.
Address = bytes
#: An Ethernet address, 6 bytes.
Mac = bytes

IPV4_ANY: Address = bytes(4)
IPV6_ANY: Address = bytes(16)
IPV4_BROADCAST: Address = b"\xff" * 4
IPV4_LOOPBACK: Address = b"\x7f\x00\x00\x01"
IPV6_LOOPBACK: Address = bytes(15) + b"\x01"
MAC_BROADCAST: Mac = b"\xff" * 6
MAC_ZERO: Mac = bytes(6)


@lru_cache(maxsize=8192)
def parse_ip(text: str) -> Address:
    """Parse an IPv4 or IPv6 address. Raises `ValueError` if the text is neither."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return socket.inet_pton(family, text)
    except (OSError, ValueError):
        raise ValueError(f"invalid IP address: {text}") from None


@lru_cache(maxsize=8192)
def format_ip(address: Address) -> str:
    """Format an address, IPv6 in the form of RFC 5952."""
    return socket.inet_ntop(socket.AF_INET6 if len(address) == 16 else socket.AF_INET, address)


def literal_address(text: str) -> Address | None:
    """Parse an IP address. Return `None` if the text is something else, e.g. a host name."""
    try:
        return parse_ip(text)
    except ValueError:
        return None


def bracketed(address: Address) -> str:
    """Format an address as in a URL: IPv6 addresses are enclosed in brackets."""
    return f"[{format_ip(address)}]" if len(address) == 16 else format_ip(address)


def format_endpoint(address: Address, port: int) -> str:
    """Format an address and a port as `10.0.0.1:80` or `[::1]:80`."""
    return f"{bracketed(address)}:{port}"


def join_host_port(host: str, port: int | str) -> str:
    """Join a host and a port as `name:80`, `10.0.0.1:80` or `[::1]:80` (Go `net.JoinHostPort`)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_MAC = re.compile("[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}")


@lru_cache(maxsize=8192)
def parse_mac(text: str) -> Mac:
    """Parse `02:42:ac:11:00:02` (or with hyphens). Raises `ValueError` for anything else."""
    if not _MAC.fullmatch(text):
        raise ValueError(f"invalid MAC address: {text}")
    return bytes.fromhex(text.replace("-", "").replace(":", ""))


@lru_cache(maxsize=8192)
def format_mac(mac: Mac) -> str:
    """Format a MAC address as `02:42:ac:11:00:02`."""
    return mac.hex(":")


def family_of(address: Address) -> int:
    """Return the family of an IP address: 4 for IPv4, 6 for IPv6."""
    return 6 if len(address) == 16 else 4


def to_int(address: Address) -> int:
    """Return the address as a number, for arithmetic, e.g. 167772161 for 10.0.0.1."""
    return int.from_bytes(address)


def from_int(value: int, family: int) -> Address:
    """Return the address of `family` (4 or 6) whose number is `value`, the inverse of `to_int`."""
    return value.to_bytes(16 if family == 6 else 4)


@frozen(slots=True)
class Prefix:
    """A network prefix such as 172.17.0.0/16; the bits of `network` beyond `length` must be zero.

    `address in prefix` tests membership.
    """

    network: Address
    length: int
    _mask: int = field(init=False, eq=False, repr=False)
    _value: int = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        bits = len(self.network) * 8
        if not 0 <= self.length <= bits:
            raise ValueError(f"invalid prefix length: /{self.length}")
        mask = ((1 << self.length) - 1) << (bits - self.length)
        object.__setattr__(self, "_mask", mask)
        value = int.from_bytes(self.network)
        if value & ~mask:
            raise ValueError(f"{format_ip(self.network)}/{self.length} has host bits set")
        object.__setattr__(self, "_value", value)

    @classmethod
    def parse(cls, text: str, *, strict: bool = True) -> Prefix:
        """Parse `10.0.0.0/8`, or an address without a prefix length, which then is 32 or 128.

        With `strict=False`, set host bits to zero. Raises `ValueError` if the text is not a prefix, or if `strict` is
        True and host bits are set.
        """
        address_text, slash, length_text = text.partition("/")
        address = parse_ip(address_text)
        bits = len(address) * 8
        if slash and not is_number(length_text):
            raise ValueError(f"invalid prefix: {text}")
        length = int(length_text) if slash else bits
        if length > bits:
            raise ValueError(f"invalid prefix: {text}")
        return cls(address, length) if strict else cls.of(address, length)

    @classmethod
    def of(cls, address: Address, length: int) -> Prefix:
        """Return the prefix with the given length that contains `address`."""
        bits = len(address) * 8
        mask = ((1 << length) - 1) << (bits - length)
        return cls((int.from_bytes(address) & mask).to_bytes(len(address)), length)

    def __contains__(self, address: Address) -> bool:
        return len(address) == len(self.network) and int.from_bytes(address) & self._mask == self._value

    def __str__(self) -> str:
        return f"{format_ip(self.network)}/{self.length}"

    @property
    def family(self) -> int:
        """The address family: 4 or 6."""
        return 6 if len(self.network) == 16 else 4

    @property
    def first_int(self) -> int:
        """The lowest address as a number."""
        return self._value

    @property
    def last_int(self) -> int:
        """The highest address as a number."""
        return self._value | (~self._mask & ((1 << len(self.network) * 8) - 1))

    @property
    def broadcast(self) -> Address:
        """The highest address: in IPv4 the directed broadcast address."""
        return self.last_int.to_bytes(len(self.network))

    def overlaps(self, other: Prefix) -> bool:
        """Return True if the two prefixes have an address in common."""
        return self.family == other.family and self.first_int <= other.last_int and other.first_int <= self.last_int


def parse_interface(text: str) -> tuple[Address, int]:
    """Parse `10.0.0.15/24` into address and prefix length (without a slash: the full length).

    Raises `ValueError` if the text is not an interface address.
    """
    address_text, slash, length_text = text.partition("/")
    address = parse_ip(address_text)
    bits = len(address) * 8
    if slash and not (is_number(length_text) and int(length_text) <= bits):
        raise ValueError(f"invalid interface address: {text}")
    return address, int(length_text) if slash else bits


def is_multicast(address: Address) -> bool:
    """Return True for a multicast address (224.0.0.0/4, ff00::/8)."""
    return address[0] == 0xFF if len(address) == 16 else 224 <= address[0] <= 239


def is_loopback(address: Address) -> bool:
    """Return True for an address in 127.0.0.0/8, or ::1."""
    return address == IPV6_LOOPBACK if len(address) == 16 else address[0] == 127


def is_link_local(address: Address) -> bool:
    """Return True for an address in 169.254.0.0/16 or fe80::/10."""
    if len(address) == 16:
        return address[0] == 0xFE and address[1] & 0xC0 == 0x80
    return address[0] == 169 and address[1] == 254


def eui64_link_local(mac: Mac) -> Address:
    """Return the fe80::/64 address that Linux derives from a MAC address (RFC 4291 appendix A)."""
    return b"\xfe\x80" + bytes(6) + bytes((mac[0] ^ 2, mac[1], mac[2], 0xFF, 0xFE, mac[3], mac[4], mac[5]))


def multicast_mac(group: Address) -> Mac:
    """Return the Ethernet address of a multicast group (RFC 1112 §6.4, RFC 2464 §7)."""
    if len(group) == 16:
        return b"\x33\x33" + group[12:]
    return b"\x01\x00\x5e" + bytes((group[1] & 0x7F, group[2], group[3]))


def solicited_node(address: Address) -> Address:
    """Return the solicited-node multicast group of an IPv6 address (RFC 4291 §2.7.1)."""
    return b"\xff\x02" + bytes(9) + b"\x01\xff" + address[13:]


def is_lan_address(address: Address) -> bool:
    """Return True for a private address (RFC 1918) of 10.0.0.0/8 or 192.168.0.0/16, the subnets of most LANs.

    Bridges of containers use the third private subnet, 172.16.0.0/12.
    """
    return len(address) == 4 and (address[0] == 10 or address[:2] == b"\xc0\xa8")
