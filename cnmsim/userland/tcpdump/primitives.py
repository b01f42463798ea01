"""The primitives of tcpdump's filters: predicates on the addresses, ports and protocols of a frame."""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import frozen

from cnmsim.digits import is_number, parse_c_number
from cnmsim.kernel.address import Prefix, parse_ip, parse_mac
from cnmsim.kernel.netfilter.netdb import SERVICES
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.skbuff import Packet

#: The keywords of protocols that run over IP, with their IP protocol numbers.
PROTOCOLS = {
    "tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58, "esp": 50, "ah": 51, "sctp": 132, "igmp": 2, "pim": 103,
    "vrrp": 112,
}  # fmt: skip
#: The keywords of protocols that run over Ethernet, with their Ethernet types.
ETHERTYPES = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806, "rarp": 0x8035}
SYNTAX = "can't parse filter expression: syntax error"


HEADS = (*PROTOCOLS, *ETHERTYPES, "ether")


class FilterError(Exception):
    """The expression is invalid. The text is libpcap's error message."""


@frozen
class CapturedFrame:
    """A captured frame and its IP packet, if it contains one.

    `direction` is `in`, `out`, or "" if unknown.
    """

    frame: bytes
    ethertype: int
    packet: Packet | None
    direction: str = ""

    @classmethod
    def of(cls, frame: bytes, direction: str = "") -> CapturedFrame:
        """Parse a frame. `direction` is `in`, `out`, or "" if unknown."""
        at, ethertype = 12, int.from_bytes(frame[12:14])
        if ethertype == 0x8100:
            at, ethertype = 16, int.from_bytes(frame[16:18])
        if ethertype in (0x0800, 0x86DD):
            try:
                return cls(frame, ethertype, Packet(frame[at + 2 :]), direction)
            except MalformedPacketError:
                pass  # the frame is printed as bytes; predicates on addresses reject it
        return cls(frame, ethertype, None, direction)

    @property
    def payload(self) -> bytes:
        """The bytes after the Ethernet header and the VLAN tag (if any)."""
        return self.frame[18 if self.frame[12:14] == VLAN_TAG else 14 :]

    @property
    def arp_addresses(self) -> tuple[bytes, bytes]:
        """The sender's and the target's IP address in an ARP message."""
        message = self.payload
        return message[14:18], message[24:28]


Predicate = Callable[[CapturedFrame], bool]
VLAN_TAG = b"\x81\x00"


@frozen
class Qualifiers:
    """The qualifiers before a value: for `tcp src port 80`, protocol `tcp`, side `src` and kind `port`."""

    protocol: str = ""
    side: str = ""
    kind: str = ""


def either(one: Predicate, other: Predicate) -> Predicate:
    """Return a predicate that is true if `one` or `other` is true."""
    return lambda captured: one(captured) or other(captured)


def both(one: Predicate, other: Predicate) -> Predicate:
    """Return a predicate that is true if both `one` and `other` are true."""
    return lambda captured: one(captured) and other(captured)


def read_number(text: str, message: str) -> int:
    """Parse a number in C's notation, such as `0x1f`. Raises `FilterError` with `message` for an invalid number."""
    try:
        return parse_c_number(text)
    except ValueError:
        raise FilterError(message) from None


def _sided(side: str, pair: tuple[bool, bool]) -> bool:
    """Combine the results of a test of a frame's source and of its destination.

    `pair` is (result for the source, result for the destination). With `src` or `dst` in `side` only that result
    counts, with `src and dst` both must be True. With any other `side` one True result is enough.
    """
    return {"src": pair[0], "dst": pair[1], "src and dst": all(pair)}.get(side, any(pair))


def protocol_predicate(name: str) -> Predicate:
    """Return the predicate for a protocol keyword such as `tcp`.

    It is true for IPv4 and IPv6 if the protocol exists in both.
    """
    if name in PROTOCOLS:
        number = PROTOCOLS[name]
        family = {"icmp": 4, "igmp": 4, "icmp6": 6}.get(name)
        return lambda captured: (
            captured.packet is not None
            and captured.packet.protocol == number
            and family in {None, captured.packet.family}
        )
    ethertype = ETHERTYPES[name]
    return lambda captured: captured.ethertype == ethertype


def cast_predicate(protocol: str, kind: str) -> Predicate:
    """Return the predicate for `PROTOCOL broadcast` or `PROTOCOL multicast`. `kind` is the second word."""
    if kind == "broadcast":
        return lambda captured: captured.frame[:6] == b"\xff" * 6
    if protocol == "ether":
        return lambda captured: bool(captured.frame[0] & 1)
    first, family = (0xE0, 4) if protocol == "ip" else (0xFF, 6)
    return lambda captured: (
        captured.packet is not None and captured.packet.family == family and captured.packet.dst[0] >= first
    )


def payload_predicate(protocol: str, text: str) -> Predicate:
    """Return the predicate for `PROTOCOL proto TEXT`. It is true for frames in which `protocol` carries `text`.

    For example, `ip proto udp` matches UDP over IPv4. `text` is the name or number of a protocol. Raises
    `FilterError` for an unknown protocol.
    """
    if protocol == "ether":
        number = ETHERTYPES.get(text)
        number = read_number(text, f"unknown ether proto '{text}'") if number is None else number
        return lambda captured: captured.ethertype == number
    if not protocol and text in ETHERTYPES:
        return protocol_predicate(text)
    if protocol not in ("", "ip", "ip6"):
        raise FilterError(SYNTAX)
    protocol_number = PROTOCOLS.get(text)
    protocol_number = read_number(text, f"unknown ip proto '{text}'") if protocol_number is None else protocol_number
    family = {"ip": 4, "ip6": 6}.get(protocol)
    return lambda captured: (
        captured.packet is not None
        and captured.packet.protocol == protocol_number
        and family in {None, captured.packet.family}
    )


def mac_predicate(qualifiers: Qualifiers, text: str) -> Predicate:
    """Return the predicate for the MAC address `text` after `qualifiers` such as `ether src`.

    Raises `FilterError` if the qualifiers or the text are invalid.
    """
    if qualifiers.kind != "host":
        raise FilterError(f"illegal qualifier of '{qualifiers.kind}'")
    try:
        mac = parse_mac(text)
    except ValueError:
        raise FilterError(f"unknown ether host '{text}'") from None
    return lambda captured: _sided(qualifiers.side, (captured.frame[6:12] == mac, captured.frame[:6] == mac))


def _port(text: str) -> int:
    number = int(text) if is_number(text) else SERVICES.get(text)
    if number is None:
        raise FilterError(f"unknown port '{text}'")
    if number > 0xFFFF:
        raise FilterError(f"illegal port number {number} > 65535")
    return number


def port_predicate(qualifiers: Qualifiers, text: str) -> Predicate:
    """Return the predicate for the port or port range `text` after `qualifiers` such as `tcp dst port`.

    Raises `FilterError` if the qualifiers or the text are invalid.
    """
    low, dash, high = (
        text.partition("-") if qualifiers.kind == "portrange" or text not in SERVICES else (text, "", "")
    )
    if dash and qualifiers.kind == "port":
        raise FilterError(f"unknown port '{text}'")
    first, last = sorted((_port(low), _port(high or low)))
    if qualifiers.protocol not in ("", "tcp", "udp", "sctp"):
        raise FilterError(f"illegal qualifier of '{qualifiers.kind}'")
    protocols = (PROTOCOLS[qualifiers.protocol],) if qualifiers.protocol else (6, 17, 132)

    def test(captured: CapturedFrame) -> bool:
        packet = captured.packet
        if packet is None or packet.protocol not in protocols or packet.fragment_offset:
            return False
        return _sided(qualifiers.side, (first <= packet.sport <= last, first <= packet.dport <= last))

    return test


def read_address(text: str) -> bytes:
    """Parse an IP address. Raises `FilterError` for an invalid address."""
    try:
        return parse_ip(text)
    except ValueError:
        raise FilterError(f"unknown host '{text}'") from None


def address_predicate(qualifiers: Qualifiers, text: str) -> Predicate:
    """Return the predicate for the address or network `text` after `qualifiers` such as `src net`.

    Raises `FilterError` if the qualifiers or the text are invalid.
    """
    if qualifiers.kind != "net" and "/" in text:
        raise FilterError("Mask syntax for networks only")
    if qualifiers.kind == "net" or re.fullmatch(r"[0-9]+(\.[0-9]+){0,2}", text):
        prefix = _net(text)
    else:
        address = read_address(text)
        prefix = Prefix(address, len(address) * 8)
    ethertype = ETHERTYPES.get(qualifiers.protocol)
    if qualifiers.protocol in ("ip", "ip6") and (qualifiers.protocol == "ip6") != (prefix.family == 6):
        kind = "ip" if prefix.family == 4 else "ip6"
        raise FilterError(f"'{qualifiers.protocol}' modifier applied to {kind} {qualifiers.kind}")

    def test(captured: CapturedFrame) -> bool:
        if ethertype not in {None, captured.ethertype}:
            return False
        if captured.packet is not None:
            src, dst = captured.packet.src, captured.packet.dst
        elif captured.ethertype in (0x0806, 0x8035):
            src, dst = captured.arp_addresses
        else:
            return False
        return _sided(qualifiers.side, (src in prefix, dst in prefix))

    return test


def _net(text: str) -> Prefix:
    """Parse a network: `172.18.0.0/16`, or only its first bytes (`172.18` is 172.18.0.0/16).

    Raises `FilterError` for an invalid network.
    """
    head, slash, length = text.partition("/")
    parts = head.split(".")
    if ":" not in head and len(parts) < 4 and all(is_number(part) for part in parts):
        head = ".".join([*parts, "0", "0", "0"][:4])
        length = length or str(8 * len(parts))
    bits = 128 if ":" in head else 32
    length = length or str(bits)
    if is_number(length) and int(length) > bits:
        raise FilterError(f"mask length must be <= {bits}")
    try:
        prefix = Prefix.parse(f"{head}/{length}", strict=False)
    except ValueError:
        raise FilterError(f"unknown network '{text}'") from None
    if slash and ":" not in head and prefix.network != read_address(head):
        raise FilterError(f'non-network bits set in "{text}"')
    return prefix
