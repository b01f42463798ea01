"""Matches on source and destination: addrtype, iprange, set, mac, pkttype, physdev (xt_addrtype and others)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip, format_mac, is_multicast, parse_ip, parse_mac
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Canonicalise, Extension, Option, ParseContext, Setting, require_option
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.interface import interface_test, parse_interface_name
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test, all_of, invert_if
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

_ADDRESS_TYPES = (
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT",
    "THROW", "NAT", "XRESOLVE",
)  # fmt: skip


def _type_list(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    names = {word.upper() for word in words[0].split(",")}
    for word in words[0].split(","):
        if word.upper() not in _ADDRESS_TYPES:
            raise ParameterProblemError(f'addrtype: bad type "{word}"')
    return (",".join(name for name in _ADDRESS_TYPES if name in names),)


def _check_addrtype(settings: dict[str, Setting], context: ParseContext) -> None:
    if "limit-iface-in" in settings and "limit-iface-out" in settings:
        raise ParameterProblemError(
            'addrtype: option "--limit-iface-in" cannot be used together with "--limit-iface-out".\n'
        )
    if "src-type" not in settings and "dst-type" not in settings:
        raise ParameterProblemError("addrtype: you must specify --src-type or --dst-type")


def _compile_addrtype(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    address_type = netfilter.namespace.address_type
    limit_in, limit_out = match.get("limit-iface-in"), match.get("limit-iface-out")

    def type_of(address: bytes, packet: Packet) -> str:
        address_kind = address_type(address)
        if address_kind == "LOCAL" and (limit_in or limit_out):
            device = packet.indev if limit_in else packet.outdev
            if device is not None and not _is_on(device, address):
                return "UNICAST"
        return address_kind

    tests: list[Test] = []
    for name in ("src-type", "dst-type"):
        setting = match.get(name)
        if setting is None:
            continue
        types = frozenset(setting.value.split(","))
        tests.append(invert_if(setting.is_inverted, _type_test(type_of, types, name == "src-type")))
    return all_of(tests)


def _type_test(type_of: Callable[[bytes, Packet], str], types: frozenset[str], is_source: bool) -> Test:
    if is_source:
        return lambda packet: type_of(packet.src, packet) in types
    return lambda packet: type_of(packet.dst, packet) in types


def _is_on(device: Device, address: bytes) -> bool:
    return any(assigned.address == address for assigned in device.addresses)


def _describe_addrtype(match: Extension, is_numeric: bool) -> str:
    words = ["ADDRTYPE match"]
    for setting in match.settings:
        if setting.values:
            words.append(f"{setting.name} {'!' if setting.is_inverted else ''}{setting.value}")
        else:
            words.append(setting.name.replace("-iface", ""))
    return " ".join(words)


def _range(option: str) -> Canonicalise:
    def canonicalise(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
        low_text, dash, high_text = words[0].partition("-")
        try:
            low = parse_ip(low_text)
            high = parse_ip(high_text) if dash else low
        except ValueError:
            low = high = b""
        size = 16 if context.family == 6 else 4
        if len(low) != size or len(high) != size:
            raise ParameterProblemError(f'iprange: Bad value for "--{option}" option: "{words[0]}"')
        return (f"{format_ip(low)}-{format_ip(high)}",)

    return canonicalise


def _check_range(settings: dict[str, Setting], context: ParseContext) -> None:
    if not settings:
        raise ParameterProblemError("iprange match: You must specify `--src-range' or `--dst-range'")


def _compile_range(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    tests: list[Test] = []
    for setting in match.settings:
        low_text, _, high_text = setting.value.partition("-")
        low, high = parse_ip(low_text), parse_ip(high_text)
        tests.append(invert_if(setting.is_inverted, _range_test(low, high, setting.name == "src-range")))
    return all_of(tests)


def _range_test(low: bytes, high: bytes, is_source: bool) -> Test:
    # Addresses in network byte order compare as numbers.
    if is_source:
        return lambda packet: low <= packet.src <= high
    return lambda packet: low <= packet.dst <= high


def _describe_range(match: Extension, is_numeric: bool) -> str:
    return " ".join(
        f"{'source' if setting.name == 'src-range' else 'destination'} IP range "
        f"{'! ' if setting.is_inverted else ''}{setting.value}"
        for setting in match.settings
    )


def _mac(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    try:
        return (format_mac(parse_mac(words[0])),)
    except ValueError:
        raise ParameterProblemError("Invalid MAC address specified.") from None


def _compile_mac(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    setting = match.settings[0]
    mac = parse_mac(setting.value)

    def test(packet: Packet) -> bool:
        # Only received packets have a source hardware address (xt_mac).
        return packet.indev is not None and netfilter.source_mac(packet) == mac

    return invert_if(setting.is_inverted, test)


def _describe_mac(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    return f"MAC{' !' if setting.is_inverted else ''} {setting.value}"


_PACKET_TYPES = {"unicast": "unicast", "host": "unicast", "broadcast": "broadcast", "multicast": "multicast"}


def _packet_type(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    name = _PACKET_TYPES.get(words[0].lower())
    if name is None:
        raise ParameterProblemError(f"Bad packet type '{words[0]}'")
    return (name,)


def _compile_packet_type(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    setting = match.settings[0]
    packet_type = setting.value
    address_type = netfilter.namespace.address_type

    def test(packet: Packet) -> bool:
        if is_multicast(packet.dst):
            return packet_type == "multicast"
        is_broadcast = len(packet.dst) == 4 and address_type(packet.dst) == "BROADCAST"
        return packet_type == ("broadcast" if is_broadcast else "unicast")

    return invert_if(setting.is_inverted, test)


def _describe_packet_type(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    return f"PKTTYPE {'!=' if setting.is_inverted else '='} {setting.value}"


def _interface(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    return (parse_interface_name(words[0]),)


def _check_physdev(settings: dict[str, Setting], context: ParseContext) -> None:
    if not settings:
        raise ParameterProblemError("PHYSDEV: no physdev option specified")


_PHYSDEV: dict[str, Test] = {
    "physdev-is-in": lambda packet: packet.physindev is not None,
    "physdev-is-out": lambda packet: packet.physoutdev is not None,
    "physdev-is-bridged": lambda packet: packet.physindev is not None and packet.physoutdev is not None,
}


def _physical_in(packet: Packet) -> Device | None:
    return packet.physindev


def _physical_out(packet: Packet) -> Device | None:
    return packet.physoutdev


def _compile_physdev(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    tests: list[Test] = []
    for setting in match.settings:
        if setting.values:
            reads: Callable[[Packet], Device | None]
            reads = _physical_in if setting.name == "physdev-in" else _physical_out
            tests.append(invert_if(setting.is_inverted, interface_test(setting.value, reads)))
        else:
            tests.append(invert_if(setting.is_inverted, _PHYSDEV[setting.name]))
    return all_of(tests)


def _describe_physdev(match: Extension, is_numeric: bool) -> str:
    return f"PHYSDEV match{match.options_text()}"


def _match_set(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    name, directions = words
    if name not in context.set_names:
        raise ParameterProblemError(f"Set {name} doesn't exist.\n")
    for direction in directions.split(","):
        if direction not in {"src", "dst"}:
            raise ParameterProblemError("You must specify (the comma separated list of) 'src' or 'dst'.")
    return name, directions


def _compile_set(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    setting = match.settings[0]
    name, directions = setting.values
    contains = netfilter.ip_sets[name].contains
    sides = directions.split(",")
    return invert_if(setting.is_inverted, lambda packet: contains(packet, sides))


def _describe_set(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    return f"{'! ' if setting.is_inverted else ''}match-set {' '.join(setting.values)}"


KINDS = (
    MatchKind(
        "addrtype",
        (
            Option("src-type", _type_list),
            Option("dst-type", _type_list),
            Option("limit-iface-in", words=0, can_invert=False),
            Option("limit-iface-out", words=0, can_invert=False),
        ),
        _compile_addrtype,
        _describe_addrtype,
        _check_addrtype,
        Dependency.FLOW,
    ),
    MatchKind(
        "iprange",
        (Option("src-range", _range("src-range")), Option("dst-range", _range("dst-range"))),
        _compile_range,
        _describe_range,
        _check_range,
        Dependency.FLOW,
    ),
    MatchKind("mac", (Option("mac-source", _mac),), _compile_mac, _describe_mac, require_option("mac", "mac-source")),
    MatchKind(
        "pkttype",
        (Option("pkt-type", _packet_type),),
        _compile_packet_type,
        _describe_packet_type,
        require_option("pkttype", "pkt-type"),
        Dependency.FLOW,
    ),
    MatchKind(
        "physdev",
        (
            Option("physdev-is-in", words=0),
            Option("physdev-in", _interface),
            Option("physdev-is-out", words=0),
            Option("physdev-out", _interface),
            Option("physdev-is-bridged", words=0),
        ),
        _compile_physdev,
        _describe_physdev,
        _check_physdev,
        Dependency.FLOW,
    ),
    MatchKind(
        "set",
        (Option("match-set", _match_set, words=2),),
        _compile_set,
        _describe_set,
        require_option("set", "match-set"),
    ),
)
