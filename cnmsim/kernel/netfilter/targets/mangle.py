"""Targets that rewrite header fields: TCPMSS, CHECKSUM, TTL, HL (xt_TCPMSS, xt_CHECKSUM, xt_HL)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.checksum import update
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Extension, Option, ParseContext, integer, require_settings
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.option_values import parse_number
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind, Verdict, compile_to_nothing
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


def _mss(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    most = 65535 - (60 if context.family == 6 else 40)
    value = parse_number(words[0], most)
    if value is None:
        raise ParameterProblemError('TCPMSS: bad integer value for option "--set-mss", or out of range.\n')
    return (str(value),)


def _compile_tcpmss(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    fixed = target.get("set-mss")
    headers = 60 if family == 6 else 40

    def clamp(packet: Packet) -> int:
        outdev = packet.outdev
        widths = [outdev.mtu] if outdev is not None else []
        for address in (packet.dst, packet.src):
            try:
                widths.append(netfilter.namespace.mtu_of(address))
            except OSError:
                continue  # there is no route, so no MTU applies
        return min(widths, default=65535) - headers

    def action(packet: Packet, hook: Hook) -> Verdict | None:
        if packet.fragment_offset:
            return None
        message = packet.payload
        if len(message) < 20 or not 20 <= (message[12] >> 4) * 4 <= len(message):
            return Verdict.DROP  # a truncated or invalid header
        mss = int(fixed.value) if fixed is not None else clamp(packet)
        if mss <= 0 and fixed is None:
            return Verdict.DROP  # the path's MTU has no room for data
        _lower_mss(packet, mss)
        return None

    return action


#: The MSS of a peer that sends no such option, by address family (RFC 9293 section 3.7.1).
_DEFAULT_MSS = {4: 536, 6: 1220}


def _lower_mss(packet: Packet, mss: int) -> None:
    """Lower the MSS option of a segment to `mss`, or add the option where it is missing (tcpmss_mangle_packet)."""
    message = packet.payload
    size = (message[12] >> 4) * 4
    at = 20
    while at <= size - 4:
        if message[at] == 2 and message[at + 1] == 4:
            if int.from_bytes(message[at + 2 : at + 4]) > mss:
                _write_mss(packet, message, at, mss)
            return
        at += 1 if message[at] <= 1 else message[at + 1] or 1
    if len(message) > size or size == 60:
        return  # data follows the header, or the header is full
    option = b"\2\4" + min(mss, _DEFAULT_MSS[packet.family]).to_bytes(2)
    offset = bytes([message[12] + 0x10])
    # The segment's length is part of the pseudo header.
    old, new = size.to_bytes(2) + message[12:14], (size + 4).to_bytes(2) + offset + message[13:14]
    total = update(int.from_bytes(message[16:18]), old, new + option)
    packet.replace_payload(
        message[:12] + offset + message[13:16] + total.to_bytes(2) + message[18:20] + option + message[20:]
    )


def _write_mss(packet: Packet, message: bytes, at: int, mss: int) -> None:
    # The checksum covers whole words: an option at an odd offset spans three bytes of two words.
    start, end = (at + 2) & ~1, (at + 5) & ~1
    changed = message[: at + 2] + mss.to_bytes(2) + message[at + 4 :]
    total = update(int.from_bytes(message[16:18]), message[start:end], changed[start:end])
    packet.replace_payload(changed[:16] + total.to_bytes(2) + changed[18:])


def _describe_tcpmss(target: Extension, is_numeric: bool) -> str:
    setting = target.settings[0]
    return f"TCPMSS set {setting.value}" if setting.values else "TCPMSS clamp to PMTU"


_HOPS = integer(255, "bad integer value for the option, or out of range.\n")


def _hops_kind(name: str, family: int) -> TargetKind:
    option = name.lower()

    def compile_(target: Extension, rule_family: int, netfilter: PacketFilter) -> Action:
        setting = target.settings[0]
        value, mode = int(setting.value), setting.name[-3:]

        def action(packet: Packet, hook: Hook) -> None:
            hops = {"set": value, "dec": packet.ttl - value, "inc": packet.ttl + value}[mode]
            packet.set_ttl(min(255, max(0, hops)))

        return action

    def describe(target: Extension, is_numeric: bool) -> str:
        setting = target.settings[0]
        words = {"set": "set to", "dec": "decrement by", "inc": "increment by"}
        return f"{name} {words[setting.name[-3:]]} {setting.value}"

    options = tuple(Option(f"{option}-{mode}", _HOPS, can_invert=False) for mode in ("set", "dec", "inc"))
    return TargetKind(
        name,
        options,
        compile_,
        describe,
        require_settings(f"{name}: You must specify an action", most=1),
        tables=("mangle",),
        families=(family,),
    )


KINDS = (
    TargetKind(
        "TCPMSS",
        (Option("set-mss", _mss, can_invert=False), Option("clamp-mss-to-pmtu", words=0, can_invert=False)),
        _compile_tcpmss,
        _describe_tcpmss,
        require_settings("TCPMSS target: At least one parameter is required", most=1),
    ),
    TargetKind(
        "CHECKSUM",
        (Option("checksum-fill", words=0, can_invert=False),),
        # The checksums of frames are always filled in.
        compile_to_nothing,
        lambda target, is_numeric: "CHECKSUM fill",
        require_settings("CHECKSUM target: Parameter --checksum-fill is required"),
        tables=("mangle",),
    ),
    _hops_kind("TTL", 4),
    _hops_kind("HL", 6),
)
