"""Matches on transport headers: tcp, udp, sctp, multiport (xt_tcpudp, xt_sctp, xt_multiport)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Extension, FinalCheck, Option, ParseContext, Setting
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test, all_of, canonical_port_range, invert_if
from cnmsim.kernel.netfilter.option_values import parse_port_range, port_range_text, port_text
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

_FLAG_BITS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32}
#: Protocols whose header starts with two ports, as multiport requires.
PORT_PROTOCOLS = frozenset({6, 17, 33, 132, 136})


def _parse_flags(text: str) -> int:
    bits = 0
    for word in text.split(","):
        name = word.upper()
        if name == "ALL":
            bits |= 0x3F
        elif name in _FLAG_BITS:
            bits |= _FLAG_BITS[name]
        elif name != "NONE":
            raise ParameterProblemError(f"Unknown TCP flag `{word}'")
    return bits


def _flags_text(bits: int) -> str:
    return ",".join(name for name, bit in _FLAG_BITS.items() if bits & bit) or "NONE"


def _tcp_flags(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    return _flags_text(_parse_flags(words[0])), _flags_text(_parse_flags(words[1]))


_PORT_OPTIONS = (
    Option("sport", canonical_port_range, aliases=("source-port",)),
    Option("dport", canonical_port_range, aliases=("destination-port",)),
)


def _requires(name: str, label: str, number: int) -> FinalCheck:
    def final_check(settings: dict[str, Setting], context: ParseContext) -> None:
        if context.protocol != number or context.is_protocol_inverted:
            raise ParameterProblemError(f"{label} match requires '-p {name}'")
        for port in ("sport", "dport"):
            # A range of all ports matches everything and is dropped.
            setting = settings.get(port)
            if setting is not None and setting.value == "0:65535" and not setting.is_inverted:
                del settings[port]

    return final_check


def _compile_ports(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    tests: list[Test] = [_has_ports]
    for name, reads in (("sport", _sport_in), ("dport", _dport_in)):
        setting = match.get(name)
        if setting is not None:
            tests.append(invert_if(setting.is_inverted, reads(*parse_port_range(setting.value))))
    flags = match.get("tcp-flags")
    if flags is not None:
        mask, bits = _parse_flags(flags.values[0]), _parse_flags(flags.values[1])
        tests.append(invert_if(flags.is_inverted, lambda packet: packet.tcp_flags & mask == bits))
    return all_of(tests)


def _has_ports(packet: Packet) -> bool:
    # A later fragment has no transport header, so no test of ports matches it (xt_tcpudp).
    return not packet.fragment_offset


def _sport_in(low: int, high: int) -> Test:
    if low == high:
        return lambda packet: packet.sport == low
    return lambda packet: low <= packet.sport <= high


def _dport_in(low: int, high: int) -> Test:
    if low == high:
        return lambda packet: packet.dport == low
    return lambda packet: low <= packet.dport <= high


def _describe_ports(match: Extension, is_numeric: bool) -> str:
    words = [match.name]
    for name, single, several in (("sport", "spt", "spts"), ("dport", "dpt", "dpts")):
        setting = match.get(name)
        if setting is not None:
            low, high = parse_port_range(setting.value)
            ports = ":".join(
                port_text(port, is_numeric=is_numeric) for port in ((low,) if low == high else (low, high))
            )
            words.append(f"{single if low == high else several}:{'!' if setting.is_inverted else ''}{ports}")
    flags = match.get("tcp-flags")
    if flags is not None:
        mask, bits = flags.values
        if is_numeric:
            mask, bits = f"0x{_parse_flags(mask):02X}", f"0x{_parse_flags(bits):02X}"
        words.append(f"flags:{'!' if flags.is_inverted else ''}{mask}/{bits}")
    return " ".join(words)


def _port_list(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    if context.protocol not in PORT_PROTOCOLS or context.is_protocol_inverted:
        raise ParameterProblemError("multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'")
    ranges = [parse_port_range(word) for word in words[0].split(",")]
    if sum(1 if low == high else 2 for low, high in ranges) > 15:
        raise ParameterProblemError("too many ports specified")
    return (",".join(port_range_text(low, high) for low, high in ranges),)


def _check_multiport(settings: dict[str, Setting], context: ParseContext) -> None:
    if not settings:
        raise ParameterProblemError("no ports specified")
    if len(settings) > 1:
        raise ParameterProblemError("multiport: only one of --sports, --dports and --ports may be used")


def _compile_multiport(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    setting = match.settings[0]
    ports: set[int] = set()
    for word in setting.value.split(","):
        low, high = parse_port_range(word)
        ports.update(range(low, high + 1))
    matching_ports = frozenset(ports)
    test: Test
    if setting.name == "sports":
        test = lambda packet: packet.sport in matching_ports  # noqa: E731
    elif setting.name == "dports":
        test = lambda packet: packet.dport in matching_ports  # noqa: E731
    else:
        test = lambda packet: packet.sport in matching_ports or packet.dport in matching_ports  # noqa: E731
    return all_of([_has_ports, invert_if(setting.is_inverted, test)])


def _describe_multiport(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    words = [
        ":".join(port_text(int(port), is_numeric=is_numeric or ":" in word) for port in word.split(":"))
        for word in setting.value.split(",")
    ]
    return f"multiport {setting.name} {' !' if setting.is_inverted else ''}{','.join(words)}"


_require_tcp = _requires("tcp", "TCP", 6)


def _check_tcp(settings: dict[str, Setting], context: ParseContext) -> None:
    _require_tcp(settings, context)
    flags = settings.get("tcp-flags")
    if flags is not None and flags.values == ("NONE", "NONE") and not flags.is_inverted:
        del settings["tcp-flags"]  # an empty mask is not listed


KINDS = (
    MatchKind(
        "tcp",
        (
            *_PORT_OPTIONS,
            Option("tcp-flags", _tcp_flags, words=2),
            Option("syn", lambda words, context: ("FIN,SYN,RST,ACK", "SYN"), words=0, stored_as="tcp-flags"),
        ),
        _compile_ports,
        _describe_ports,
        _check_tcp,
        depends={"": Dependency.FLOW, "tcp-flags": Dependency.ANYTHING},
    ),
    MatchKind("udp", _PORT_OPTIONS, _compile_ports, _describe_ports, _requires("udp", "UDP", 17), Dependency.FLOW),
    MatchKind(
        "sctp", _PORT_OPTIONS, _compile_ports, _describe_ports, _requires("sctp", "SCTP", 132), Dependency.FLOW
    ),
    MatchKind(
        "multiport",
        (
            Option("sports", _port_list, aliases=("source-ports",)),
            Option("dports", _port_list, aliases=("destination-ports",)),
            Option("ports", _port_list),
        ),
        _compile_multiport,
        _describe_multiport,
        _check_multiport,
        Dependency.FLOW,
    ),
)
