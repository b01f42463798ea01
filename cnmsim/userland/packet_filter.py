"""tcpdump's filter expressions (pcap-filter(7)): host, net, port, portrange, protocols, and, or, not, parentheses."""

# ruff: noqa: S105 - tokens of a language, not secrets

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import define, frozen

from cnmsim.kernel.address import Prefix, parse_ip, parse_mac
from cnmsim.kernel.packet import MalformedPacketError, Packet

_TOKEN = re.compile(r"\s*(\(|\)|&&|\|\||!|[^\s()!&|]+)")
_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58, "esp": 50, "sctp": 132}


class FilterFault(Exception):
    """The expression makes no sense."""


@frozen
class Seen:
    """A captured frame, and the IP packet in it if there is one."""

    frame: bytes
    ethertype: int
    packet: Packet | None

    @classmethod
    def of(cls, frame: bytes) -> Seen:
        """Look at a frame."""
        at, ethertype = 12, int.from_bytes(frame[12:14])
        if ethertype == 0x8100:
            at, ethertype = 16, int.from_bytes(frame[16:18])
        if ethertype in (0x0800, 0x86DD):
            try:
                return cls(frame, ethertype, Packet(frame[at + 2 :]))
            except MalformedPacketError:
                pass  # shown as bytes, and no filter on addresses fits it
        return cls(frame, ethertype, None)

    @property
    def payload(self) -> bytes:
        """What follows the Ethernet type, and the VLAN tag if there is one."""
        return self.frame[18 if self.frame[12:14] == _VLAN_TAG else 14 :]

    @property
    def arp_addresses(self) -> tuple[bytes, bytes]:
        """Sender and target of an ARP message."""
        message = self.payload
        return message[14:18], message[24:28]


Test = Callable[[Seen], bool]
_VLAN_TAG = b"\x81\x00"


@define
class _Parser:
    tokens: list[str]
    at: int = 0

    @property
    def token(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.token
        if not token:
            raise FilterFault("syntax error in filter expression")
        self.at += 1
        return token

    def alternatives(self) -> Test:
        test = self.conjunction()
        while self.token in ("or", "||"):
            self.take()
            one, other = test, self.conjunction()
            test = _either(one, other)
        return test

    def conjunction(self) -> Test:
        test = self.negation()
        while self.token in ("and", "&&"):
            self.take()
            one, other = test, self.negation()
            test = _both(one, other)
        return test

    def negation(self) -> Test:
        if self.token in ("not", "!"):
            self.take()
            inner = self.negation()
            return lambda seen: not inner(seen)
        if self.token == "(":
            self.take()
            inner = self.alternatives()
            if self.take() != ")":
                raise FilterFault("syntax error in filter expression")
            return inner
        return self.primitive()

    def primitive(self) -> Test:
        protocol: Test | None = None
        if self.token in (*_PROTOCOLS, "ip", "ip6", "arp", "ether", "vlan", "broadcast", "multicast"):
            name = self.take()
            protocol = _protocol(name)
            if name == "ether":
                return self.ether()
            if name == "vlan" and self.token.isdigit():
                vlan = int(self.take())
                return lambda seen: protocol(seen) and int.from_bytes(seen.frame[14:16]) & 0xFFF == vlan
            if self.token not in ("src", "dst", "host", "net", "port", "portrange", "proto"):
                return protocol
        side = self.take() if self.token in ("src", "dst") else ""
        kind = self.take() if self.token in ("host", "net", "port", "portrange", "proto") else "host"
        test = self.value(kind, side)
        return _both(protocol, test) if protocol is not None else test

    def ether(self) -> Test:
        side = self.take() if self.token in ("src", "dst", "host", "proto") else "host"
        text = self.take()
        if side == "proto":
            number = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806}.get(text) or _number(text)
            return lambda seen: seen.ethertype == number
        try:
            mac = parse_mac(text)
        except ValueError:
            raise FilterFault(f"unknown ether host '{text}'") from None
        if side == "src":
            return lambda seen: seen.frame[6:12] == mac
        if side == "dst":
            return lambda seen: seen.frame[:6] == mac
        return lambda seen: mac in (seen.frame[:6], seen.frame[6:12])

    def value(self, kind: str, side: str) -> Test:
        text = self.take()
        if kind == "proto":
            number = _PROTOCOLS.get(text.lstrip("\\")) or _number(text)
            return lambda seen: seen.packet is not None and seen.packet.protocol == number
        if kind in ("port", "portrange"):
            low, _, high = text.partition("-")
            first, last = _port(low), _port(high or low)
            return lambda seen: any(first <= port <= last for port in _ports(seen, side))
        try:
            prefix = Prefix.parse(text, strict=False) if kind == "net" else Prefix.parse(text)
        except ValueError:
            try:
                address = parse_ip(text)
            except ValueError:
                raise FilterFault(f"unknown host '{text}'") from None
            prefix = Prefix(address, len(address) * 8)
        return lambda seen: any(address in prefix for address in _addresses(seen, side))


def _either(one: Test, other: Test) -> Test:
    return lambda seen: one(seen) or other(seen)


def _both(one: Test, other: Test) -> Test:
    return lambda seen: one(seen) and other(seen)


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise FilterFault(f"unknown protocol '{text}'") from None


def _port(text: str) -> int:
    names = {"http": 80, "https": 443, "domain": 53, "ssh": 22, "bootps": 67, "ntp": 123}
    if text.isdigit():
        return int(text)
    if text not in names:
        raise FilterFault(f"unknown port '{text}'")
    return names[text]


def _protocol(name: str) -> Test:
    if name in _PROTOCOLS:
        number = _PROTOCOLS[name]
        return lambda seen: seen.packet is not None and seen.packet.protocol == number
    if name == "broadcast":
        return lambda seen: seen.frame[:6] == b"\xff" * 6
    if name == "multicast":
        return lambda seen: bool(seen.frame[0] & 1)
    if name == "vlan":
        return lambda seen: seen.frame[12:14] == _VLAN_TAG
    ethertype = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806}.get(name, 0)
    return lambda seen: seen.ethertype == ethertype


def _ports(seen: Seen, side: str) -> tuple[int, ...]:
    packet = seen.packet
    if packet is None or packet.protocol not in (6, 17, 132):
        return ()
    return {"src": (packet.sport,), "dst": (packet.dport,)}.get(side, (packet.sport, packet.dport))


def _addresses(seen: Seen, side: str) -> tuple[bytes, ...]:
    if seen.packet is not None:
        pair = (seen.packet.src, seen.packet.dst)
    elif seen.ethertype == 0x0806:
        pair = seen.arp_addresses
    else:
        return ()
    return {"src": pair[:1], "dst": pair[1:]}.get(side, pair)


def _everything(_: Seen) -> bool:
    return True


def compile_filter(expression: str) -> Test:
    """Give the test that a filter expression stands for; an empty one lets everything through.

    Raises `FilterFault`.
    """
    tokens = _TOKEN.findall(expression)
    if not tokens:
        return _everything
    parser = _Parser(tokens)
    test = parser.alternatives()
    if parser.token:
        raise FilterFault("syntax error in filter expression")
    return test
