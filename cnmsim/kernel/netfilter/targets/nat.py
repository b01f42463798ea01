"""Targets that translate addresses: DNAT, SNAT, MASQUERADE, REDIRECT (xt_nat, xt_MASQUERADE, xt_REDIRECT)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.digits import is_number
from cnmsim.kernel.address import IPV4_LOOPBACK, IPV6_LOOPBACK, format_ip
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Canonicalise, Extension, FinalCheck, Option, ParseContext, Setting
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.matches.ports import PORT_PROTOCOLS
from cnmsim.kernel.netfilter.nat import NatRange
from cnmsim.kernel.netfilter.option_values import parse_family_address
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind, Verdict
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

_NEED_PORTS = "Need TCP, UDP, SCTP or DCCP with port specification"


def _has_port_protocol(context: ParseContext) -> bool:
    return context.protocol in PORT_PROTOCOLS and not context.is_protocol_inverted


def _parse_ports(text: str) -> tuple[int, int]:
    low_text, dash, high_text = text.partition("-")
    numbers = []
    for part in (low_text, high_text) if dash else (low_text,):
        if not (is_number(part) and 0 < int(part) <= 65535):
            raise ParameterProblemError(f"Port `{text}' not valid")
        numbers.append(int(part))
    if dash and numbers[1] < numbers[0]:
        raise ParameterProblemError("Port range funky")
    return numbers[0], numbers[-1]


def _split(text: str, family: int) -> tuple[str, str]:
    """Split `address[-address][:ports]` into the addresses and the ports, each "" if missing.

    An IPv6 address followed by ports is in brackets.
    """
    if family == 4:
        addresses, _, ports = text.partition(":")
        return addresses, ports
    if text.startswith("["):
        addresses, closing, rest = text[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            raise ParameterProblemError("Invalid address format" if not closing else f"Port `{rest}' not valid")
        return addresses, rest[1:]
    return text, ""


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
    ports = _parse_ports(ports_text) if ports_text else None
    return NatRange(low, high, ports)


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
    low, high = nat_range.ports
    return f"{text}:{low}" + (f"-{high}" if high != low else "")


def _to(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    nat_range = parse_range(words[0], context.family)
    if nat_range.ports is not None and not _has_port_protocol(context):
        raise ParameterProblemError(_NEED_PORTS)
    return (range_text(nat_range),)


def _to_ports(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    if not _has_port_protocol(context):
        raise ParameterProblemError(_NEED_PORTS)
    low, high = _parse_ports(words[0])
    return (str(low) if low == high else f"{low}-{high}",)


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
        return evolve(bare, ports=_parse_ports(setting.value))
    nat_range = parse_range(setting.value, family)
    return evolve(bare, low=nat_range.low, high=nat_range.high, ports=nat_range.ports)


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
        (_valued("to-destination", _to), _flag("random"), _flag("persistent")),
        _compile_nat("to-destination", False),
        _describe_to,
        _require("DNAT", "to-destination"),
        tables=("nat",),
        chains=("PREROUTING", "OUTPUT"),
        needs_conntrack=True,
    ),
    TargetKind(
        "SNAT",
        (_valued("to-source", _to), _flag("random"), _flag("random-fully"), _flag("persistent")),
        _compile_nat("to-source", True),
        _describe_to,
        _require("SNAT", "to-source"),
        tables=("nat",),
        chains=("POSTROUTING", "INPUT"),
        needs_conntrack=True,
    ),
    TargetKind(
        "MASQUERADE",
        (_valued("to-ports", _to_ports), _flag("random"), _flag("random-fully")),
        _compile_masquerade,
        _describe_ports("masq ports: "),
        tables=("nat",),
        chains=("POSTROUTING",),
        needs_conntrack=True,
    ),
    TargetKind(
        "REDIRECT",
        (_valued("to-ports", _to_ports), _flag("random")),
        _compile_redirect,
        _describe_ports("redir ports "),
        tables=("nat",),
        chains=("PREROUTING", "OUTPUT"),
        needs_conntrack=True,
    ),
)
