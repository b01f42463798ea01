"""Fields that rules read: the payload, ct, meta and fib expressions of nft.

A field is read as a number, or as None if the packet has no such field; then no comparison matches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.netfilter.nftables import datatypes as types
from cnmsim.kernel.netfilter.nftables.datatypes import Datatype
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.netfilter.connection import Connection

Read = Callable[[Packet], int | None]


@frozen(eq=False)
class Key:
    """A field that a rule can read; `text` is its canonical syntax, such as `tcp dport`.

    `reader_for(namespace)` returns the function that reads the field of a packet in a namespace. `protocol` and
    `family` are those that the packet must have (0: any). `offset` is the position of a payload field in its header,
    in bytes; it is -1 for any other field. nft merges comparisons of adjacent fields.
    """

    text: str
    type: Datatype
    reader_for: Callable[[NetworkNamespace], Read]
    protocol: int = 0
    family: int = 0
    needs_conntrack: bool = False
    offset: int = -1

    @property
    def is_flow_constant(self) -> bool:
        """Whether the field is the same in all packets of a flow, until an address, route or link changes."""
        return self.text in _FLOW_KEYS

    @property
    def header(self) -> str:
        """The first word of the field: a header such as `tcp` or `ip`, or else `meta`, `ct` or `fib`."""
        return self.text.partition(" ")[0]

    @property
    def is_payload(self) -> bool:
        """Whether the field is part of a header."""
        return self.offset >= 0

    def reader(self, namespace: NetworkNamespace) -> Read:
        """Return the function that reads the field from packets of a namespace.

        The function returns None for packets of another protocol or family.
        """
        read = self.reader_for(namespace)
        protocol, family = self.protocol, self.family
        if protocol:
            return lambda packet: read(packet) if packet.protocol == protocol and not packet.fragment_offset else None
        if family:
            return lambda packet: read(packet) if packet.family == family else None
        return read


def _header_key(
    text: str, datatype: Datatype, read: Read, offset: int = -1, *, protocol: int = 0, family: int = 0
) -> Key:
    return Key(text, datatype, lambda namespace: read, protocol, family, offset=offset)


def _byte(offset: int, size: int = 1) -> Read:
    return lambda packet: int.from_bytes(packet.data[offset : offset + size])


def _transport(offset: int, size: int) -> Read:
    def read(packet: Packet) -> int | None:
        at = packet.l4 + offset
        return int.from_bytes(packet.data[at : at + size]) if len(packet.data) >= at + size else None

    return read


def _device_name(device_of: Callable[[Packet], Device | None]) -> Read:
    cache: dict[str, int] = {}

    def read(packet: Packet) -> int:
        device = device_of(packet)
        if device is None:
            return 0
        value = cache.get(device.name)
        if value is None:
            value = cache[device.name] = types.name_value(device.name)
        return value

    return read


def _device_index(device_of: Callable[[Packet], Device | None]) -> Read:
    def read(packet: Packet) -> int:
        device = device_of(packet)
        return device.index if device is not None else 0

    return read


class IndexType(Datatype):
    """The data type of interface indexes, which are listed as interface names."""


INDEX = IndexType("iface_index", 32)


def _of_connection(read: Callable[[Connection], int | None]) -> Read:
    return lambda packet: read(packet.connection) if packet.connection is not None else None


def _conntrack_key(text: str, datatype: Datatype, read: Read, family: int = 0) -> Key:
    return Key(text, datatype, lambda namespace: read, family=family, needs_conntrack=True)


_STATE_BITS = {CtState[name.upper()]: bit for name, bit in types.CT_STATES.items()}


def _state(packet: Packet) -> int:
    return 1 if packet.ct_state is None else _STATE_BITS[packet.ct_state]


def _status(connection: Connection) -> int:
    bits = 8 if connection.is_confirmed else 0
    bits |= 2 if connection.seen_reply else 0
    bits |= 4 if connection.is_assured else 0
    return bits | (16 if connection.has_source_nat else 0) | (32 if connection.has_destination_nat else 0)


def _tuple_part(direction: str, at: int) -> Read:
    def read(connection: Connection) -> int:
        part = (connection.original if direction == "original" else connection.reply)[at]
        return part if isinstance(part, int) else int.from_bytes(part)

    return _of_connection(read)


def _address_type(which: str) -> Callable[[NetworkNamespace], Read]:
    def make(namespace: NetworkNamespace) -> Read:
        lookup = namespace.address_type

        def read(packet: Packet) -> int:
            address_type = lookup(packet.src if which == "saddr" else packet.dst)
            return types.ADDRESS_TYPES.get(address_type.lower(), 0)

        return read

    return make


def _address_type_on(which: str, device_of: Callable[[Packet], Device | None]) -> Callable[[NetworkNamespace], Read]:
    def make(namespace: NetworkNamespace) -> Read:
        general = _address_type(which)(namespace)

        def read(packet: Packet) -> int | None:
            address_type, device = general(packet), device_of(packet)
            address = packet.src if which == "saddr" else packet.dst
            is_elsewhere = device is not None and not any(
                assigned.address == address for assigned in device.addresses
            )
            if address_type == types.ADDRESS_TYPES["local"] and is_elsewhere:
                return types.ADDRESS_TYPES["unicast"]
            return address_type

        return read

    return make


def _reverse_path_reader(namespace: NetworkNamespace) -> Read:
    """Return a function that returns 1 if the route to a packet's source leaves by its input device, else 0.

    This is the field `fib saddr . iif oif`.
    """

    def read(packet: Packet) -> int:
        if namespace.address_type(packet.src) == "LOCAL":
            return int(packet.indev is namespace.loopback)
        route = namespace.find_route(packet.src, src=packet.dst)
        return int(route is not None and route.device is packet.indev)

    return read


def _input_device(packet: Packet) -> Device | None:
    return packet.indev


def _output_device(packet: Packet) -> Device | None:
    return packet.outdev


def _fields(header: str, protocol: int, *fields: tuple[str, Datatype, int, int]) -> list[Key]:
    return [
        _header_key(f"{header} {name}", datatype, _transport(offset, size), offset, protocol=protocol)
        for name, datatype, offset, size in fields
    ]


_PORTS = (("sport", types.PORT, 0, 2), ("dport", types.PORT, 2, 2))


def _ports_of_any(offset: int) -> Read:
    read = _transport(offset, 2)
    return lambda packet: None if packet.fragment_offset else read(packet)


_DEFINITIONS = [
    _header_key("iifname", types.NAME, _device_name(_input_device)),
    _header_key("oifname", types.NAME, _device_name(_output_device)),
    _header_key("iif", INDEX, _device_index(_input_device)),
    _header_key("oif", INDEX, _device_index(_output_device)),
    _header_key("meta mark", types.MARK, lambda packet: packet.mark),
    _header_key("meta nfproto", types.FAMILY, lambda packet: 2 if packet.family == 4 else 10),
    _header_key("meta l4proto", types.PROTOCOL, lambda packet: packet.protocol),
    _header_key("meta protocol", types.ETHER_TYPE, lambda packet: 0x0800 if packet.family == 4 else 0x86DD),
    _header_key("meta length", types.INTEGER, lambda packet: len(packet.data)),
    _header_key("meta ipsec", types.PRESENCE, lambda packet: int(bool(packet.secpath))),
    _header_key("ip version", types.INTEGER4, lambda packet: packet.data[0] >> 4, 0, family=4),
    _header_key("ip length", types.INTEGER16, _byte(2, 2), 2, family=4),
    _header_key("ip id", types.INTEGER16, _byte(4, 2), 4, family=4),
    _header_key("ip ttl", types.INTEGER8, lambda packet: packet.ttl, 8, family=4),
    _header_key("ip protocol", types.PROTOCOL, lambda packet: packet.protocol, 9, family=4),
    _header_key("ip saddr", types.IPV4, lambda packet: int.from_bytes(packet.src), 12, family=4),
    _header_key("ip daddr", types.IPV4, lambda packet: int.from_bytes(packet.dst), 16, family=4),
    _header_key("ip6 length", types.INTEGER16, _byte(4, 2), 4, family=6),
    _header_key("ip6 nexthdr", types.PROTOCOL, _byte(6), 6, family=6),
    _header_key("ip6 hoplimit", types.INTEGER8, lambda packet: packet.ttl, 7, family=6),
    _header_key("ip6 saddr", types.IPV6, lambda packet: int.from_bytes(packet.src), 8, family=6),
    _header_key("ip6 daddr", types.IPV6, lambda packet: int.from_bytes(packet.dst), 24, family=6),
    *_fields("tcp", 6, *_PORTS, ("flags", types.FLAGS, 13, 1)),
    *_fields("udp", 17, *_PORTS, ("length", types.INTEGER16, 4, 2)),
    *_fields("sctp", 132, *_PORTS),
    *_fields("icmp", 1, ("type", types.ICMP, 0, 1), ("code", types.ICMP_CODE, 1, 1)),
    *_fields("icmpv6", 58, ("type", types.ICMPV6, 0, 1), ("code", types.ICMPV6_CODE, 1, 1)),
    _header_key("th sport", types.PORT, _ports_of_any(0), 0),
    _header_key("th dport", types.PORT, _ports_of_any(2), 2),
    _conntrack_key("ct state", types.STATE, _state),
    _conntrack_key("ct status", types.STATUS, _of_connection(_status)),
    _conntrack_key("ct mark", types.MARK, _of_connection(lambda connection: connection.mark)),
    _conntrack_key("ct direction", types.DIRECTION, lambda p: int(p.ct_reply) if p.connection is not None else None),
    _conntrack_key("ct protocol", types.PROTOCOL, _tuple_part("original", 0)),
    *(
        _conntrack_key(f"ct {direction} {name}", datatype, _tuple_part(direction, at), family)
        for direction in ("original", "reply")
        for name, datatype, at, family in (
            ("ip saddr", types.IPV4, 1, 4), ("ip daddr", types.IPV4, 2, 4),
            ("ip6 saddr", types.IPV6, 1, 6), ("ip6 daddr", types.IPV6, 2, 6), ("proto-src", types.PORT, 3, 0),
            ("proto-dst", types.PORT, 4, 0),
        )
    ),
    *(Key(f"fib {which} type", types.ADDRESS_TYPE, _address_type(which)) for which in ("saddr", "daddr")),
    *(
        Key(f"fib {which} . {name} type", types.ADDRESS_TYPE, _address_type_on(which, device_of))
        for which in ("saddr", "daddr")
        for name, device_of in (("iif", _input_device), ("oif", _output_device))
    ),
    Key("fib saddr . iif oif", types.PRESENCE, _reverse_path_reader),
]  # fmt: skip

#: Keys with one value for all packets of a flow. A key that is not listed, or a raw payload expression, is never
#: cached.
_FLOW_KEYS = frozenset({
    "iifname", "oifname", "iif", "oif", "meta mark", "meta nfproto", "meta l4proto", "meta protocol",
    "ip version", "ip protocol", "ip saddr", "ip daddr", "ip6 nexthdr", "ip6 saddr", "ip6 daddr",
    *(f"{header} {port}" for header in ("tcp", "udp", "sctp", "th") for port in ("sport", "dport")),
    *(f"{header} {field}" for header in ("icmp", "icmpv6") for field in ("type", "code")),
    "ct state", "ct direction", "ct protocol",
    *(f"ct {direction} {field}" for direction in ("original", "reply") for field in (
        "ip saddr", "ip daddr", "ip6 saddr", "ip6 daddr", "proto-src", "proto-dst",
    )),
    *(f"fib {which}{on} type" for which in ("saddr", "daddr") for on in ("", " . iif", " . oif")),
    "fib saddr . iif oif",
})  # fmt: skip

KEYS: dict[str, Key] = {key.text: key for key in _DEFINITIONS}
#: Alternative syntax of fields, by which they may be written in the input.
ALIASES = {
    **{f"meta {name}": name for name in ("iifname", "oifname", "iif", "oif")},
    "mark": "meta mark",
    "ct original protocol": "ct protocol",
    "ct reply protocol": "ct protocol",
    "meta secpath": "meta ipsec",
}
#: The maximum number of words in a field.
MAX_WORDS = max(len(text.split()) for text in (*KEYS, *ALIASES))


def raw_key(base: str, offset: int, bits: int) -> Key:
    """Return the raw payload field `@base,offset,bits`, such as `@th,16,16`.

    `base` is `nh` (network header) or `th` (transport header). `offset` and `bits` are the field's position in that
    header and its width, both in bits.
    """

    def read(packet: Packet) -> int | None:
        if base == "th" and packet.fragment_offset:
            return None
        begin = offset + 8 * (packet.l4 if base == "th" else 0)
        last = (begin + bits + 7) // 8
        if len(packet.data) < last:
            return None
        value = int.from_bytes(packet.data[begin // 8 : last])
        return value >> (last * 8 - begin - bits) & (1 << bits) - 1

    return _header_key(f"@{base},{offset},{bits}", Datatype("integer", bits, write=hex, per_line=5), read)


def key_of(text: str) -> Key:
    """Return the field with the canonical syntax `text`."""
    if not text.startswith("@"):
        return KEYS[text]
    base, offset, bits = text[1:].split(",")
    return raw_key(base, int(offset), int(bits))
