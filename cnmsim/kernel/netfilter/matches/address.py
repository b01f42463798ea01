"""Matches on source and destination: addrtype, iprange, set, mac, pkttype, physdev (xt_addrtype and others)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip, format_mac, is_multicast, parse_ip, parse_mac
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import (
    Canonicalise,
    Extension,
    Option,
    ParseContext,
    Setting,
    require_option,
    require_settings,
    word_list,
)
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.interface import interface_test, parse_interface_name
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test, all_of, each_setting, invert_if
from cnmsim.kernel.netfilter.option_values import parse_family_address
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

_ADDRESS_TYPES = (
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT",
    "THROW", "NAT", "XRESOLVE",
)  # fmt: skip
_TYPES = word_list(_ADDRESS_TYPES, 'addrtype: bad type "{}"')


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
            if device is not None and all(assigned.address != address for assigned in device.addresses):
                return "UNICAST"
        return address_kind

    def test_of(setting: Setting) -> Test:
        types = frozenset(setting.value.split(","))
        if setting.name == "src-type":
            return lambda packet: type_of(packet.src, packet) in types
        return lambda packet: type_of(packet.dst, packet) in types

    return all_of([invert_if(s.is_inverted, test_of(s)) for s in match.settings if s.values])


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
        message = f'iprange: Bad value for "--{option}" option: "{words[0]}"'
        low = parse_family_address(low_text, context.family, message)
        high = parse_family_address(high_text, context.family, message) if dash else low
        return (f"{format_ip(low)}-{format_ip(high)}",)

    return canonicalise


def _range_test(setting: Setting, family: int, netfilter: PacketFilter) -> Test:
    low, high = (parse_ip(text) for text in setting.value.split("-"))
    if setting.name == "src-range":
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


def _mac_test(setting: Setting, family: int, netfilter: PacketFilter) -> Test:
    mac = parse_mac(setting.value)
    return lambda packet: packet.indev is not None and netfilter.source_mac(packet) == mac


def _describe_mac(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    return f"MAC{' !' if setting.is_inverted else ''} {setting.value}"


_PACKET_TYPES = {"unicast": "unicast", "host": "unicast", "broadcast": "broadcast", "multicast": "multicast"}


def _packet_type(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    name = _PACKET_TYPES.get(words[0].lower())
    if name is None:
        raise ParameterProblemError(f"Bad packet type '{words[0]}'")
    return (name,)


def _packet_type_test(setting: Setting, family: int, netfilter: PacketFilter) -> Test:
    packet_type = setting.value
    address_type = netfilter.namespace.address_type

    def test(packet: Packet) -> bool:
        if is_multicast(packet.dst):
            return packet_type == "multicast"
        is_broadcast = len(packet.dst) == 4 and address_type(packet.dst) == "BROADCAST"
        return packet_type == ("broadcast" if is_broadcast else "unicast")

    return test


def _describe_packet_type(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    return f"PKTTYPE {'!=' if setting.is_inverted else '='} {setting.value}"


def _interface(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    return (parse_interface_name(words[0]),)


_PHYSDEV: dict[str, Test] = {
    "physdev-is-in": lambda packet: packet.physindev is not None,
    "physdev-is-out": lambda packet: packet.physoutdev is not None,
    "physdev-is-bridged": lambda packet: packet.physindev is not None and packet.physoutdev is not None,
}


def _physdev_test(setting: Setting, family: int, netfilter: PacketFilter) -> Test:
    if not setting.values:
        return _PHYSDEV[setting.name]
    if setting.name == "physdev-in":
        return interface_test(setting.value, lambda packet: packet.physindev)
    return interface_test(setting.value, lambda packet: packet.physoutdev)


def _match_set(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    name, directions = words
    if name not in context.set_names:
        raise ParameterProblemError(f"Set {name} doesn't exist.\n")
    for direction in directions.split(","):
        if direction not in {"src", "dst"}:
            raise ParameterProblemError("You must specify (the comma separated list of) 'src' or 'dst'.")
    return name, directions


def _set_test(setting: Setting, family: int, netfilter: PacketFilter) -> Test:
    name, directions = setting.values
    contains = netfilter.ip_sets[name].contains
    sides = directions.split(",")
    return lambda packet: contains(packet, sides)


def _describe_set(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    return f"{'! ' if setting.is_inverted else ''}match-set {' '.join(setting.values)}"


KINDS = (
    MatchKind(
        "addrtype",
        (
            Option("src-type", _TYPES),
            Option("dst-type", _TYPES),
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
        each_setting(_range_test),
        _describe_range,
        require_settings("iprange match: You must specify `--src-range' or `--dst-range'"),
        Dependency.FLOW,
    ),
    MatchKind(
        "mac",
        (Option("mac-source", _mac),),
        each_setting(_mac_test),
        _describe_mac,
        require_option("mac", "mac-source"),
    ),
    MatchKind(
        "pkttype",
        (Option("pkt-type", _packet_type),),
        each_setting(_packet_type_test),
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
        each_setting(_physdev_test),
        lambda match, is_numeric: f"PHYSDEV match{match.options_text()}",
        require_settings("PHYSDEV: no physdev option specified"),
        Dependency.FLOW,
    ),
    MatchKind(
        "set",
        (Option("match-set", _match_set, words=2),),
        each_setting(_set_test),
        _describe_set,
        require_option("set", "match-set"),
    ),
)
