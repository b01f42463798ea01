"""The data types of nft: of values that rules compare, and of set elements, with their text forms (datatype.c).

Every value is a number: an address, a port, an interface name padded to 16 bytes. So every set element, prefix, range
and wildcard is a span of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import field, frozen

from cnmsim.digits import is_number, parse_c_number
from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.netfilter.netdb import PROTOCOLS, SERVICES
from cnmsim.kernel.netfilter.nftables.errors import Location, NftError

_NAME_BYTES = 16


@frozen
class Span:
    """The values from `low` to `high`, both included.

    `is_range` is True if the text was `low-high`; nft lists such a span in this form.
    """

    low: int
    high: int
    is_range: bool = field(default=False, eq=False)

    @property
    def is_single(self) -> bool:
        """Whether the span contains exactly one value."""
        return self.low == self.high

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high


@frozen(eq=False)
class Datatype:
    """A data type. `bits` is the width of its values. `names` maps the names of some values to the values.

    `write` returns the text of a value. If `is_flags` is True, a value is a bit set. `order` returns the sort key of
    a value; nft lists `per_line` elements on a line. `title` is the type's name in errors, `unknown` the error for an
    invalid value.
    """

    name: str
    bits: int
    names: Mapping[str, int] = field(factory=dict)
    write: Callable[[int], str] = str
    is_flags: bool = False
    order: Callable[[int], int] = int
    per_line: int = 1
    unknown: str = ""
    title: str = ""

    def read(self, text: str, location: Location) -> Span:
        """Parse a value, prefix, wildcard or range into the span of its values.

        Raises `NftError` if the text is invalid; `location` is the location of `text` in the input.
        """
        value = self._value(text)
        if value is not None:
            return value
        if text != "-" and "-" in text:
            for at, letter in enumerate(text):
                if letter == "-":
                    low, high = self._value(text[:at]), self._value(text[at + 1 :])
                    if low is not None and high is not None:
                        if high.high < low.low:
                            raise NftError("Range has zero or negative size", location)
                        return Span(low.low, high.high, is_range=True)
        raise NftError(self._complaint(text), location)

    def _value(self, text: str) -> Span | None:
        if text in self.names:
            return Span(self.names[text], self.names[text])
        number = _number(text)
        if number is None or number >= 1 << self.bits:
            return None
        return Span(number, number)

    def _complaint(self, text: str) -> str:
        if self.unknown:
            return self.unknown
        for part in (text, *text.split("-", 1)):
            if (number := _number(part)) is not None and number >= 1 << self.bits:
                return f"Value {part} exceeds valid range 0-{(1 << self.bits) - 1}"
        return f"Could not parse {self.name}" + ("; did you mean one of those values?" if self.names else "")

    def text(self, span: Span) -> str:
        """Return the text of a value or span."""
        if span.is_single:
            return self.write(span.low)
        return f"{self.write(span.low)}-{self.write(span.high)}"


class AddressType(Datatype):
    """The data type of IPv4 or IPv6 addresses, which may be written as prefixes."""

    def _value(self, text: str) -> Span | None:
        host, slash, length_text = text.partition("/")
        try:
            address = parse_ip(host)
        except ValueError:
            return None
        if len(address) * 8 != self.bits:
            return None
        value = int.from_bytes(address)
        if not slash:
            return Span(value, value)
        if not (is_number(length_text) and int(length_text) <= self.bits):
            return None
        rest = (1 << self.bits - int(length_text)) - 1
        return Span(value & ~rest, value | rest)

    def _complaint(self, text: str) -> str:
        return "Could not resolve hostname: Name or service not known"

    def text(self, span: Span) -> str:
        """Return the text of a span: an address, a prefix if the span is one, else a range."""
        size = span.high - span.low + 1
        if size == 1:
            return self.write(span.low)
        if not span.is_range and not size & (size - 1) and not span.low & (size - 1):
            return f"{self.write(span.low)}/{self.bits - size.bit_length() + 1}"
        return f"{self.write(span.low)}-{self.write(span.high)}"


class InterfaceNameType(Datatype):
    """The data type of interface names; a trailing asterisk makes a name a wildcard."""

    def _value(self, text: str) -> Span | None:
        raw = text.encode()
        if raw.endswith(b"\\*"):
            raw = raw[:-2] + b"*"
        elif raw.endswith(b"*"):
            stem = raw[:-1]
            return Span(
                int.from_bytes(stem.ljust(_NAME_BYTES, b"\0")), int.from_bytes(stem.ljust(_NAME_BYTES, b"\xff"))
            )
        if not raw or len(raw) >= _NAME_BYTES:
            return None
        value = name_value(raw.decode())
        return Span(value, value)

    def _complaint(self, text: str) -> str:
        return f"String exceeds maximum length of {_NAME_BYTES}"

    def text(self, span: Span) -> str:
        """Return the name or wildcard that `span` stands for, in quotes."""
        raw = span.low.to_bytes(_NAME_BYTES).rstrip(b"\0").decode()
        return f'"{raw}"' if span.is_single else f'"{raw}*"'


def name_value(name: str) -> int:
    """Return the number that represents an interface name: the name, padded to 16 bytes."""
    return int.from_bytes(name.encode().ljust(_NAME_BYTES, b"\0"))


_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def seconds_of(text: str) -> int:
    """Parse a time as nft prints it, such as `1h5m`, into seconds."""
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([dhms])", text))


def time_text(seconds: int) -> str:
    """Return a time as nft prints it, such as `1h5m`."""
    words = []
    for unit, size in _SECONDS.items():
        count, seconds = divmod(seconds, size)
        words += [f"{count}{unit}"] if count else []
    return "".join(words)


def _number(text: str) -> int | None:
    try:
        return parse_c_number(text)
    except ValueError:
        return None


def _ip(value: int, size: int) -> str:
    return format_ip(value.to_bytes(size))


def _named(names: Mapping[str, int], other: Callable[[int], str] = str) -> Callable[[int], str]:
    by_value: dict[int, str] = {}
    for name, value in names.items():
        by_value.setdefault(value, name)
    return lambda value: by_value.get(value, other(value))


def _flags(names: Mapping[str, int]) -> Callable[[int], str]:
    write_bit = _named(names, hex)

    def write(value: int) -> str:
        bits = [1 << at for at in range(value.bit_length()) if value >> at & 1]
        return ",".join(write_bit(bit) for bit in bits) or "0x0"

    return write


def _symbols(name: str, bits: int, names: Mapping[str, int], **more: object) -> Datatype:
    return Datatype(name, bits, names, _named(names), **more)  # type: ignore[arg-type]


#: The kernel compares names as 16 bytes; nft sorts them with the last byte as the most significant.
def _name_order(value: int) -> int:
    return int.from_bytes(value.to_bytes(_NAME_BYTES), "little")


_PROTOCOL_NAMES = {"icmp": 1, "esp": 50, "ah": 51, "comp": 108, "udp": 17, "udplite": 136, "tcp": 6, "dccp": 33,
                   "sctp": 132, "ipv6-icmp": 58, "icmpv6": 58, "igmp": 2, "gre": 47}  # fmt: skip
CT_STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
CT_STATUSES = {"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32, "dying": 512}
TCP_FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}
_ICMP_TYPES = {"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
               "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
               "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
               "address-mask-request": 17, "address-mask-reply": 18}  # fmt: skip
_ICMPV6_TYPES = {"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
                 "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
                 "mld-listener-done": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
                 "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
                 "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143}  # fmt: skip
ADDRESS_TYPES = {"unspec": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6,
                 "unreachable": 7, "prohibit": 8}  # fmt: skip

IPV4 = AddressType("ipv4_addr", 32, write=lambda value: _ip(value, 4), per_line=2, title="IPv4 address")
IPV6 = AddressType("ipv6_addr", 128, write=lambda value: _ip(value, 16), title="IPv6 address")
PORT = Datatype(
    "inet_service", 16, SERVICES, str, per_line=5, unknown="Service out of range", title="internet network service"
)
PROTOCOL = Datatype("inet_proto", 8, {**PROTOCOLS, **_PROTOCOL_NAMES}, _named({**PROTOCOLS, **_PROTOCOL_NAMES}))
NAME = InterfaceNameType("ifname", 128, order=_name_order, title="network interface name")
MARK = Datatype("mark", 32, write=lambda value: f"0x{value:08x}", title="packet mark")
STATE = Datatype(
    "ct_state", 32, CT_STATES, _flags(CT_STATES), is_flags=True, unknown="Could not parse conntrack state"
)
STATUS = Datatype("ct_status", 32, CT_STATUSES, _flags(CT_STATUSES), is_flags=True)
FLAGS = Datatype("tcp_flag", 8, TCP_FLAGS, _flags(TCP_FLAGS), is_flags=True)
DIRECTION = _symbols("ct_dir", 8, {"original": 0, "reply": 1})
ICMP = _symbols("icmp_type", 8, _ICMP_TYPES)
ICMPV6 = _symbols("icmpv6_type", 8, _ICMPV6_TYPES)
ICMP_CODE = Datatype("icmp_code", 8, {"net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2,
                                      "port-unreachable": 3, "frag-needed": 4, "net-prohibited": 9,
                                      "host-prohibited": 10, "admin-prohibited": 13})  # fmt: skip
ICMPV6_CODE = Datatype("icmpv6_code", 8, {"no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3,
                                          "port-unreachable": 4, "policy-fail": 5, "reject-route": 6})  # fmt: skip
FAMILY = _symbols("nf_proto", 8, {"ipv4": 2, "ipv6": 10})
_ETHER_TYPES = {"ip": 0x0800, "arp": 0x0806, "ip6": 0x86DD, "8021q": 0x8100, "8021ad": 0x88A8, "vlan": 0x8100}
ETHER_TYPE = Datatype("ether_type", 16, _ETHER_TYPES, _named(_ETHER_TYPES, "0x{:04x}".format))
ADDRESS_TYPE = _symbols("fib_addrtype", 32, ADDRESS_TYPES)
PRESENCE = _symbols("boolean", 1, {"exists": 1, "missing": 0})
INTEGER4, INTEGER8, INTEGER16, INTEGER = (Datatype("integer", bits, per_line=5) for bits in (4, 8, 16, 32))

#: Data types by the name that the `type` of a set uses.
BY_NAME = {
    each.name: each
    for each in (IPV4, IPV6, PORT, PROTOCOL, NAME, MARK, STATE, STATUS, FLAGS, DIRECTION, ICMP, ICMPV6, ICMP_CODE,
                 ICMPV6_CODE, FAMILY, ETHER_TYPE, ADDRESS_TYPE)
}  # fmt: skip
