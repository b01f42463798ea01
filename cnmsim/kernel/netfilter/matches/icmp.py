"""Matches on type and code of ICMP and ICMPv6 messages (RFC 792, RFC 4443; the ICMP part of xt_tcpudp)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Extension, Option, ParseContext, Setting, require_option
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test, each_setting

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

#: ICMP types by name. An entry with two numbers is a type and a code.
_ICMP: dict[str, tuple[int, int | None]] = {
    "echo-reply": (0, None), "pong": (0, None), "destination-unreachable": (3, None),
    "network-unreachable": (3, 0), "host-unreachable": (3, 1), "protocol-unreachable": (3, 2),
    "port-unreachable": (3, 3), "fragmentation-needed": (3, 4), "source-route-failed": (3, 5),
    "network-unknown": (3, 6), "host-unknown": (3, 7), "network-prohibited": (3, 9), "host-prohibited": (3, 10),
    "TOS-network-unreachable": (3, 11), "TOS-host-unreachable": (3, 12), "communication-prohibited": (3, 13),
    "host-precedence-violation": (3, 14), "precedence-cutoff": (3, 15), "source-quench": (4, None),
    "redirect": (5, None), "network-redirect": (5, 0), "host-redirect": (5, 1), "TOS-network-redirect": (5, 2),
    "TOS-host-redirect": (5, 3), "echo-request": (8, None), "ping": (8, None), "router-advertisement": (9, None),
    "router-solicitation": (10, None), "time-exceeded": (11, None), "ttl-exceeded": (11, None),
    "ttl-zero-during-transit": (11, 0), "ttl-zero-during-reassembly": (11, 1), "parameter-problem": (12, None),
    "ip-header-bad": (12, 0), "required-option-missing": (12, 1), "timestamp-request": (13, None),
    "timestamp-reply": (14, None), "address-mask-request": (17, None), "address-mask-reply": (18, None),
}  # fmt: skip

_ICMPV6: dict[str, tuple[int, int | None]] = {
    "destination-unreachable": (1, None), "no-route": (1, 0), "communication-prohibited": (1, 1),
    "beyond-scope": (1, 2), "address-unreachable": (1, 3), "port-unreachable": (1, 4), "failed-policy": (1, 5),
    "reject-route": (1, 6), "packet-too-big": (2, None), "time-exceeded": (3, None), "ttl-exceeded": (3, None),
    "ttl-zero-during-transit": (3, 0), "ttl-zero-during-reassembly": (3, 1), "parameter-problem": (4, None),
    "bad-header": (4, 0), "unknown-header-type": (4, 1), "unknown-option": (4, 2), "echo-request": (128, None),
    "ping": (128, None), "echo-reply": (129, None), "pong": (129, None), "mld-listener-query": (130, None),
    "mld-listener-report": (131, None), "mld-listener-done": (132, None), "mld-listener-reduction": (132, None),
    "router-solicitation": (133, None), "router-advertisement": (134, None), "neighbour-solicitation": (135, None),
    "neighbor-solicitation": (135, None), "neighbour-advertisement": (136, None),
    "neighbor-advertisement": (136, None), "redirect": (137, None),
}  # fmt: skip


def _parse(text: str, names: dict[str, tuple[int, int | None]], label: str) -> tuple[int, int | None]:
    if text.lower() == "any" and label == "ICMP":
        return 255, None
    candidates = [name for name in names if name.lower().startswith(text.lower())]
    exact = [name for name in candidates if name.lower() == text.lower()]
    if exact or len(candidates) == 1:
        return names[(exact or candidates)[0]]
    if candidates and not is_number(text[:1]):
        raise ParameterProblemError(f"Ambiguous {label} type `{text}': `{candidates[0]}' or `{candidates[1]}'?")
    type_text, slash, code_text = text.partition("/")
    if not is_number(type_text):
        raise ParameterProblemError(f"Unknown {label} type `{text}'")
    if int(type_text) > 255:
        raise ParameterProblemError(f"Invalid {label} type `{type_text}'\n")
    if slash and not (is_number(code_text) and int(code_text) <= 255):
        raise ParameterProblemError(f"Invalid {label} code `{code_text}'\n")
    return int(type_text), int(code_text) if slash else None


def _kind(name: str, option: str, label: str, number: int, family: int, aliases: tuple[str, ...]) -> MatchKind:
    names = _ICMPV6 if family == 6 else _ICMP

    def canonicalise(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
        icmp_type, code = _parse(words[0], names, label)
        if icmp_type == 255 and family == 4:
            return ("any",)
        return (str(icmp_type) if code is None else f"{icmp_type}/{code}",)

    program = "ipv6-icmp" if family == 6 else "icmp"
    require = require_option(name, option)

    def final_check(settings: dict[str, Setting], context: ParseContext) -> None:
        require(settings, context)
        if context.protocol != number or context.is_protocol_inverted:
            raise ParameterProblemError(f"{name} match requires '-p {program}'")

    def test_of(setting: Setting, rule_family: int, netfilter: PacketFilter) -> Test:
        icmp_type, code = _parse(setting.value, names, label)
        if icmp_type == 255 and family == 4:
            return lambda packet: packet.icmp_type >= 0
        if code is None:
            return lambda packet: packet.icmp_type == icmp_type
        return lambda packet: packet.icmp_type == icmp_type and packet.icmp_code == code

    def describe(match: Extension, is_numeric: bool) -> str:
        setting = match.settings[0]
        icmp_type, code = _parse(setting.value, names, label)
        text = f"type {icmp_type}" + ("" if code is None else f" code {code}")
        if setting.is_inverted:
            return f"{program} !{'any' if setting.value == 'any' and not is_numeric else text}"
        if not is_numeric:
            named = next((title for title, value in names.items() if value == (icmp_type, code)), None)
            if named is not None or icmp_type == 255:
                return f"{program} {named or 'any'}"
        return f"{program}{text}"

    return MatchKind(
        name,
        (Option(option, canonicalise),),
        each_setting(test_of),
        describe,
        final_check,
        Dependency.FLOW,
        families=(family,),
        aliases=aliases,
    )


KINDS = (
    _kind("icmp", "icmp-type", "ICMP", 1, 4, ()),
    _kind("icmp6", "icmpv6-type", "ICMPv6", 58, 6, ("icmpv6", "ipv6-icmp")),
)
