"""Targets that translate addresses: DNAT, SNAT, MASQUERADE, REDIRECT (xt_nat, xt_MASQUERADE, xt_REDIRECT)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.kernel.address import IPV4_LOOPBACK, IPV6_LOOPBACK, format_ip
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Canonicalise, Extension, FinalCheck, Option, ParseContext, Setting
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.matches.ports import PORT_PROTOCOLS
from cnmsim.kernel.netfilter.nat import NatRange
from cnmsim.kernel.netfilter.netdb import SERVICES
from cnmsim.kernel.netfilter.option_values import parse_family_address
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind, Verdict
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

#: A number at the start of a text, as strtoul(3) with base 0 reads it.
_C_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
#: The base of a shifted range of SNAT and MASQUERADE, whose structures have no field for it.
_NO_BASE = 0
_NEED_PORTS = "Need TCP, UDP, SCTP or DCCP with port specification"


def _has_port_protocol(context: ParseContext) -> bool:
    return context.protocol in PORT_PROTOCOLS and not context.is_protocol_inverted


def _parse_ports(text: str) -> tuple[int, int, int | None]:
    """Parse `PORT`, `PORT-PORT` or `PORT-PORT/BASE`: return the first and the last port, and the base or None.

    A single port may be the name of a service. Source: iptables `extensions/libxt_NAT.c` (parse_ports).
    """
    low, end = _port_at(text)
    if low is None:
        if text not in SERVICES:
            raise ParameterProblemError(f"Port `{text}' not valid")
        return SERVICES[text], SERVICES[text], None
    if not end:
        return low, low, None
    if not end.startswith("-"):
        raise ParameterProblemError(f"Garbage after port value: `{end}'")
    high_text = end[1:]
    high, end = _port_at(high_text)
    if high is None:
        raise ParameterProblemError(f"Port `{high_text}' not valid")
    if high < low:
        raise ParameterProblemError(f"Port range `{high_text}' funky")
    if not end:
        return low, high, None
    if not end.startswith("/"):
        raise ParameterProblemError(f"Garbage after port range: `{end}'")
    base, rest = _port_at(end[1:])
    if base is None or rest:
        raise ParameterProblemError(f"Port `{end[1:]}' not valid")
    return low, high, base


def _port_at(text: str) -> tuple[int | None, str]:
    """Parse the number that `text` begins with, as strtoul(3) with base 0: return it and the rest of the text.

    Return None instead of the number if there is none, or if it is greater than 65535.
    """
    match = _C_NUMBER.match(text)
    if match is None:
        return None, text
    digits = match[0]
    number = int(digits, 16 if digits[:2] in {"0x", "0X"} else 8 if digits[0] == "0" else 10)
    return (number, text[match.end() :]) if number <= 65535 else (None, text)


def _ports_text(ports: tuple[int, int, int | None]) -> str:
    low, high, base = ports
    if low == high:
        return str(low)
    return f"{low}-{high}" + (f"/{base}" if base is not None else "")


def _split(text: str, family: int) -> tuple[str, str | None]:
    """Split `address[-address][:ports]` into the addresses, "" if missing, and the ports, None if missing.

    An IPv6 address followed by ports is in brackets.
    """
    if family == 4:
        addresses, colon, ports = text.partition(":")
        return addresses, ports if colon else None
    if text.startswith("["):
        addresses, closing, rest = text[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            raise ParameterProblemError("Invalid address format" if not closing else f"Port `{rest}' not valid")
        return addresses, rest[1:] if rest else None
    return text, None


def parse_range(text: str, family: int) -> NatRange:
    """Parse the argument of --to-destination or --to-source, such as `10.0.0.2-10.0.0.9:80`.

    Raises `ParameterProblemError` if an address or a port is invalid.
    """
    addresses, ports_text = _split(text, family)
    low = high = None
    if addresses:
        low_text, dash, high_text = addresses.partition("-")
        low = parse_family_address(low_text, family, f'Bad IP address "{low_text}"')
        high = parse_family_address(high_text, family, f'Bad IP address "{high_text}"') if dash else low
    if ports_text is None:
        return NatRange(low, high)
    first, last, base = _parse_ports(ports_text)
    return NatRange(low, high, (first, last), base)


def range_text(nat_range: NatRange) -> str:
    """Return a NAT range as iptables-save prints it after --to-destination or --to-source."""
    text = ""
    if nat_range.low is not None and nat_range.high is not None:
        text = format_ip(nat_range.low)
        if nat_range.high != nat_range.low:
            text += f"-{format_ip(nat_range.high)}"
    if nat_range.ports is None:
        return text
    if nat_range.low is not None and len(nat_range.low) == 16:
        text = f"[{text}]"
    return f"{text}:{_ports_text((*nat_range.ports, nat_range.base))}"


def _to_destination(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    return (range_text(_checked_range(words[0], context)),)


def _to_source(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    nat_range = _checked_range(words[0], context)
    return (range_text(nat_range if nat_range.base is None else evolve(nat_range, base=_NO_BASE)),)


def _checked_range(text: str, context: ParseContext) -> NatRange:
    nat_range = parse_range(text, context.family)
    if nat_range.ports is not None and not _has_port_protocol(context):
        raise ParameterProblemError(_NEED_PORTS)
    return nat_range


def _masquerade_ports(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    low, high, base = _checked_ports(words[0], context)
    return (_ports_text((low, high, None if base is None else _NO_BASE)),)


def _redirect_ports(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    ports = _checked_ports(words[0], context)
    if ports[2] is not None:
        raise ParameterProblemError("Shifted portmap ranges not supported with this kernel")
    return (_ports_text(ports),)


def _checked_ports(text: str, context: ParseContext) -> tuple[int, int, int | None]:
    if not _has_port_protocol(context):
        raise ParameterProblemError(_NEED_PORTS)
    return _parse_ports(text)


def _target_range(target: Extension, option: str, family: int) -> NatRange:
    setting = target.get(option)
    bare = NatRange(
        is_random=target.get("random") is not None,
        is_fully_random=target.get("random-fully") is not None,
        is_persistent=target.get("persistent") is not None,
    )
    if setting is None:
        return bare
    if option == "to-ports":
        first, last, base = _parse_ports(setting.value)
        return evolve(bare, ports=(first, last), base=base)
    nat_range = parse_range(setting.value, family)
    return evolve(bare, low=nat_range.low, high=nat_range.high, ports=nat_range.ports, base=nat_range.base)


def _compile_nat(option: str, is_source: bool) -> Callable[[Extension, int, PacketFilter], Action]:
    def compile_(target: Extension, family: int, netfilter: PacketFilter) -> Action:
        nat_range = _target_range(target, option, family)
        setup = netfilter.nat.setup

        def action(packet: Packet, hook: Hook) -> Verdict:
            return Verdict.ACCEPT if setup(packet, nat_range, is_source=is_source) else Verdict.DROP

        return action

    return compile_


def _compile_masquerade(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    nat_range = _target_range(target, "to-ports", family)

    def action(packet: Packet, hook: Hook) -> Verdict:
        outdev = packet.outdev
        assert outdev is not None
        # The source address that a route to the next hop selects now (nf_nat_masquerade_ipv4).
        source = netfilter.namespace.select_source(packet.nexthop or packet.dst, outdev)
        if source is None:
            return Verdict.DROP
        bound = nat_range.with_address(source)
        return (
            Verdict.ACCEPT if netfilter.nat.setup(packet, bound, is_source=True, masquerade=outdev) else Verdict.DROP
        )

    return action


def _compile_redirect(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    nat_range = _target_range(target, "to-ports", family)

    def action(packet: Packet, hook: Hook) -> Verdict:
        if hook is Hook.OUTPUT:
            address: bytes | None = IPV6_LOOPBACK if family == 6 else IPV4_LOOPBACK
        else:
            # The first address of the input device (nf_nat_redirect).
            device = packet.indev
            assert device is not None
            addresses = [a for a in device.addresses if a.family == family and (family == 4 or a.scope != "link")]
            address = addresses[0].address if addresses else None
        if address is None:
            return Verdict.DROP
        setup = netfilter.nat.setup
        return Verdict.ACCEPT if setup(packet, nat_range.with_address(address), is_source=False) else Verdict.DROP

    return action


def _require(name: str, option: str) -> FinalCheck:
    def final_check(settings: dict[str, Setting], context: ParseContext) -> None:
        if option not in settings:
            raise ParameterProblemError(f'{name}: option "--{option}" must be specified\n')
        if parse_range(settings[option].value, context.family).ports and not _has_port_protocol(context):
            raise ParameterProblemError(_NEED_PORTS)

    return final_check


def _describe_to(target: Extension, is_numeric: bool) -> str:
    return " ".join(["to:" + target.settings[0].value, *(s.name for s in target.settings[1:])])


def _describe_ports(label: str) -> Callable[[Extension, bool], str]:
    return lambda target, is_numeric: " ".join(f"{label}{s.value}" if s.values else s.name for s in target.settings)


def _flag(name: str) -> Option:
    return Option(name, words=0, can_invert=False)


def _valued(name: str, canonicalise: Canonicalise) -> Option:
    return Option(name, canonicalise, can_invert=False)


KINDS = (
    TargetKind(
        "DNAT",
        (_valued("to-destination", _to_destination), _flag("random"), _flag("persistent")),
        _compile_nat("to-destination", False),
        _describe_to,
        _require("DNAT", "to-destination"),
        tables=("nat",),
        chains=("PREROUTING", "OUTPUT"),
        needs_conntrack=True,
    ),
    TargetKind(
        "SNAT",
        (_valued("to-source", _to_source), _flag("random"), _flag("random-fully"), _flag("persistent")),
        _compile_nat("to-source", True),
        _describe_to,
        _require("SNAT", "to-source"),
        tables=("nat",),
        chains=("POSTROUTING", "INPUT"),
        needs_conntrack=True,
    ),
    TargetKind(
        "MASQUERADE",
        (_valued("to-ports", _masquerade_ports), _flag("random"), _flag("random-fully")),
        _compile_masquerade,
        _describe_ports("masq ports: "),
        tables=("nat",),
        chains=("POSTROUTING",),
        needs_conntrack=True,
    ),
    TargetKind(
        "REDIRECT",
        (_valued("to-ports", _redirect_ports), _flag("random")),
        _compile_redirect,
        _describe_ports("redir ports "),
        tables=("nat",),
        chains=("PREROUTING", "OUTPUT"),
        needs_conntrack=True,
    ),
)
