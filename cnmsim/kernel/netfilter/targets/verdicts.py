"""Targets that decide: ACCEPT, DROP, RETURN (built in) and REJECT (ipt_REJECT, ip6t_REJECT)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Extension, Option, ParseContext, Setting
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind, Verdict, no_listing_text
from cnmsim.kernel.packet import TCP_ACK, TCP_RST, TCP_SYN, MalformedPacketError
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import TcpSegment

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

#: The kinds of --reject-with by family: long name → (short name, ICMP type, code).
_REJECTS: dict[int, dict[str, tuple[str, int, int]]] = {
    4: {
        "icmp-net-unreachable": ("net-unreach", 3, 0),
        "icmp-host-unreachable": ("host-unreach", 3, 1),
        "icmp-proto-unreachable": ("proto-unreach", 3, 2),
        "icmp-port-unreachable": ("port-unreach", 3, 3),
        "icmp-net-prohibited": ("net-prohib", 3, 9),
        "icmp-host-prohibited": ("host-prohib", 3, 10),
        "tcp-reset": ("tcp-rst", -1, -1),
        "icmp-admin-prohibited": ("admin-prohib", 3, 13),
    },
    6: {
        "icmp6-no-route": ("no-route", 1, 0),
        "icmp6-adm-prohibited": ("adm-prohibited", 1, 1),
        "icmp6-addr-unreachable": ("addr-unreach", 1, 3),
        "icmp6-port-unreachable": ("port-unreach", 1, 4),
        "tcp-reset": ("tcp-reset", -1, -1),
        "icmp6-policy-fail": ("policy-fail", 1, 5),
        "icmp6-reject-route": ("reject-route", 1, 6),
    },
}


def _reject_with(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    kinds = _REJECTS[context.family]
    text = words[0]
    for name, (short, _, _) in kinds.items():
        if name.startswith(text) or short.startswith(text):
            return (name,)
    raise ParameterProblemError(f'unknown reject type "{text}"')


def _check_reject(settings: dict[str, Setting], context: ParseContext) -> None:
    default = "icmp6-port-unreachable" if context.family == 6 else "icmp-port-unreachable"
    settings.setdefault("reject-with", Setting("reject-with", (default,)))


def _compile_reject(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    name = target.settings[0].value
    _, icmp_type, code = _REJECTS[family][name]
    if name == "tcp-reset":

        def reset(packet: Packet, hook: Hook) -> Verdict:
            _send_reset(packet, netfilter)
            return Verdict.REJECT

        return reset

    def answer(packet: Packet, hook: Hook) -> Verdict:
        # The checksum of a fragment cannot be verified, so it gets no reply (nf_reject_verify_csum).
        if not packet.is_fragment:
            netfilter.namespace.send_icmp_error(packet, icmp_type, code)
        return Verdict.REJECT

    return answer


def _send_reset(packet: Packet, netfilter: PacketFilter) -> None:
    """Send a RST in reply to a TCP segment, unless the segment is itself a RST.

    Source: RFC 9293 section 3.10.7.1, nf_reject_ipv4.
    """
    if packet.protocol != 6 or packet.is_fragment:
        return
    try:
        segment = TcpSegment.parse(packet.payload)
    except MalformedPacketError:
        return
    if segment.flags & TCP_RST:
        return
    if segment.flags & TCP_ACK:
        answer = TcpSegment(segment.dport, segment.sport, segment.ack, 0, TCP_RST, 0)
    else:
        length = len(segment.payload) + bool(segment.flags & TCP_SYN) + (segment.flags & 1)
        acknowledged = (segment.seq + length) & 0xFFFFFFFF
        answer = TcpSegment(segment.dport, segment.sport, 0, acknowledged, TCP_RST | TCP_ACK, 0)
    netfilter.send_as(packet.dst, packet.src, 6, answer.to_wire(packet.dst, packet.src), replied_packet=packet)


def _fixed(verdict: Verdict) -> TargetKind:
    def compile_(target: Extension, family: int, netfilter: PacketFilter) -> Action:
        return lambda packet, hook: verdict

    return TargetKind(verdict.value, (), compile_, no_listing_text)


KINDS = (
    _fixed(Verdict.ACCEPT),
    _fixed(Verdict.DROP),
    _fixed(Verdict.RETURN),
    TargetKind(
        "REJECT",
        (Option("reject-with", _reject_with, can_invert=False),),
        _compile_reject,
        lambda target, is_numeric: f"reject-with {target.settings[0].value}",
        _check_reject,
        chains=("INPUT", "FORWARD", "OUTPUT"),
    ),
)
