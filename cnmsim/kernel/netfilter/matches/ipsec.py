"""The matches used by encrypted overlay networks: bpf (xt_bpf) and policy (xt_policy)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.netfilter import bpf
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import (
    Canonicalise,
    Extension,
    Option,
    ParseContext,
    Setting,
    integer,
    one_of,
    require_settings,
)
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test
from cnmsim.kernel.netfilter.option_values import parse_protocol
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter
    from cnmsim.kernel.xfrm import XfrmState

_TRANSPORT_HEADERS = {6: 20, 17: 8, 1: 8, 58: 8, 132: 12}
_NUMBER = re.compile(r"\s*([0-9]+)\s+([0-9]+)\s+([0-9]+)\s+([0-9]+)\s*")


def _program(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    """Parse a bpf program written as `COUNT,code jt jf k,…`, the output of `nfbpf_compile`, into canonical form."""
    count_text, comma, rest = words[0].partition(",")
    if not comma or not is_number(count_text.strip()):
        raise ParameterProblemError("bpf: error parsing program length")
    count = int(count_text)
    if not count:
        raise ParameterProblemError("bpf: illegal zero length program")
    if count > bpf.LONGEST:
        raise ParameterProblemError("bpf: number of instructions exceeds maximum")
    parts = rest.removesuffix(",").split(",")
    program = []
    for number, part in enumerate(parts):
        if number == count:
            raise ParameterProblemError("bpf: real program length exceeds the encoded length parameter")
        fields = _NUMBER.fullmatch(part)
        if fields is None:
            raise ParameterProblemError(f"bpf: error at instr {number}")
        code, if_true, if_false, k = (int(text) for text in fields.groups())
        program.append(bpf.Instruction(code & 0xFFFF, if_true & 0xFF, if_false & 0xFF, k & 0xFFFFFFFF))
    if len(program) < count:
        raise ParameterProblemError("bpf: parsed program length is less than the encoded length parameter")
    return (",".join([str(count), *map(str, program)]),)


def program_of(match: Extension) -> list[bpf.Instruction]:
    """Return the instructions of the program in a bpf match."""
    return [bpf.Instruction(*map(int, part.split())) for part in match.settings[0].value.split(",")[1:]]


def _compile_bpf(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    program = program_of(match)

    def test(packet: Packet) -> bool:
        return bool(bpf.run(program, packet.data, lambda number: _ancillary(packet, number)))

    return test


def _ancillary(packet: Packet, number: int) -> int:
    if number == bpf.PAYLOAD_OFFSET:
        return _payload_offset(packet)
    if number == bpf.PROTOCOL:
        return 0x0800 if packet.family == 4 else 0x86DD
    if number == bpf.MARK:
        return packet.mark
    if number == bpf.INTERFACE:
        device = packet.indev or packet.outdev
        return device.index if device is not None else 0
    return 0  # PACKET_HOST


def _payload_offset(packet: Packet) -> int:
    """Return the offset in the packet, in bytes, of the data after the transport header (skb_get_poff)."""
    protocol, at = packet.protocol, packet.l4
    if packet.fragment_offset:
        return at
    if protocol == 6 and len(packet.data) > at + 12:
        return at + max(20, (packet.data[at + 12] >> 4) * 4)
    return at + _TRANSPORT_HEADERS.get(protocol, 0)


# --- policy

_PROTOCOLS = {50: "esp", 51: "ah", 108: "ipcomp"}
_NUMBERS = {name: number for number, name in _PROTOCOLS.items()}


def _number(option: str, form: str) -> Canonicalise:
    return integer(0xFFFFFFFF, f'policy: bad value for option "--{option}", or out of range (0-4294967295).\n', form)


def _protocol(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    number = parse_protocol(words[0])
    if number not in _PROTOCOLS:
        raise ParameterProblemError("policy match: protocol must be ah/esp/ipcomp")
    return (_PROTOCOLS[number],)


def _check_policy(settings: dict[str, Setting], context: ParseContext) -> None:
    if "dir" not in settings:
        raise ParameterProblemError("policy match: neither --dir in nor --dir out specified")
    if "pol" not in settings:
        settings["pol"] = Setting("pol", ("ipsec",))
    elements = settings.keys() & {"reqid", "spi", "proto", "mode"}
    if settings["pol"].value == "none":
        if "strict" in settings:
            raise ParameterProblemError("policy match: policy none but --strict given")
        for name in elements:
            del settings[name]
    elif "strict" in settings and not elements:
        raise ParameterProblemError(
            "policy match: empty policy element 0. --strict is in effect, but at least one of reqid, spi, "
            "tunnel-src, tunnel-dst, proto or mode is required."
        )


def _compile_policy(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    settings = {setting.name: setting for setting in match.settings}
    is_inward = settings["dir"].value == "in"
    wants_none = settings["pol"].value == "none"
    is_strict = "strict" in settings

    def fits(state: XfrmState) -> bool:
        values = {"reqid": str(state.reqid), "spi": f"0x{state.spi:x}", "proto": "esp", "mode": "transport"}
        return all(
            (values[name] == settings[name].value) is not settings[name].is_inverted
            for name in values
            if name in settings
        )

    def test(packet: Packet) -> bool:
        xfrm = netfilter.namespace.xfrm
        states = packet.secpath if is_inward else xfrm.bundle(packet) if xfrm is not None else ()
        if wants_none or not states:
            return wants_none and not states
        if is_strict:
            return len(states) == 1 and fits(states[0])
        return any(fits(state) for state in states)

    return test


def _describe_policy(match: Extension, is_numeric: bool) -> str:
    words = ["policy match"]
    for setting in match.settings:
        invert = "! " if setting.is_inverted else ""
        value = _NUMBERS[setting.value] if setting.name == "proto" else " ".join(setting.values)
        name = f"{setting.name} {value}".rstrip()
        words.append(f"{invert}{name}")
    return " ".join(words)


KINDS = (
    MatchKind(
        "bpf",
        (Option("bytecode", _program, can_invert=False, is_text=True),),
        _compile_bpf,
        # The real iptables prints the NUL, too.
        lambda match, is_numeric: f"match bpf {match.settings[0].value.partition(',')[2]}\0",
        require_settings("bpf: one of --bytecode or --pinned is required"),
        has_no_leading_space=True,
    ),
    MatchKind(
        "policy",
        (
            Option("dir", one_of('policy_match: invalid dir "{}"', "in", "out"), can_invert=False),
            Option("pol", one_of('policy match: invalid policy "{}"', "none", "ipsec"), can_invert=False),
            Option("strict", words=0, can_invert=False),
            Option("reqid", _number("reqid", "{}")),
            Option("spi", _number("spi", "{:#x}")),
            Option("proto", _protocol),
            Option("mode", one_of('policy match: invalid mode "{}"', "transport", "tunnel")),
        ),
        _compile_policy,
        _describe_policy,
        _check_policy,
    ),
)
