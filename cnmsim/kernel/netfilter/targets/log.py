"""The LOG target: one line of the kernel log per packet (nf_log_syslog)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.events import Step
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Extension, Option, ParseContext, Setting
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.option_values import parse_number
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

_LEVELS = {
    "emerg": 0, "panic": 0, "alert": 1, "crit": 2, "error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7,
}  # fmt: skip
_LEVEL_NAMES = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
_FLAGS = ("log-tcp-sequence", "log-tcp-options", "log-ip-options", "log-uid", "log-macdecode")
_FLAG_BITS = dict(zip(_FLAGS, (1, 2, 4, 8, 32), strict=True))
_TCP_FLAG_WORDS = ((32, "URG"), (16, "ACK"), (8, "PSH"), (4, "RST"), (2, "SYN"), (1, "FIN"))


def _level(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    text = words[0]
    number = parse_number(text, 7)
    if number is None:
        number = next((value for name, value in _LEVELS.items() if name == text.lower()), None)
    if number is None:
        raise ParameterProblemError(f'log level "{text}" unknown\n')
    return (str(number),)


def _prefix(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    if len(words[0]) > 29:
        raise ParameterProblemError(f"Maximum prefix length 29 for --log-prefix: {words[0]}")
    return (words[0],)


def _check_log(settings: dict[str, Setting], context: ParseContext) -> None:
    level = settings.get("log-level")
    if level is not None and level.value == "4":
        del settings["log-level"]


def _compile_log(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    setting = target.get("log-prefix")
    prefix = setting.value if setting is not None else ""
    with_sequence = target.get("log-tcp-sequence") is not None

    def action(packet: Packet, hook: Hook) -> None:
        line = prefix + log_line(packet, netfilter, with_sequence=with_sequence)
        netfilter.log.append(line)
        namespace = netfilter.namespace
        # Only the initial namespace writes to the machine's log (net.netfilter.nf_log_all_netns = 0).
        if namespace.machine is not None and namespace is namespace.machine.root:
            namespace.machine.kernel_log.append((namespace.clock.now_ns, line))
        if namespace.clock.context is not None:
            namespace.report(Step.NOTE, "logged by a LOG rule", packet, decision=line)

    return action


def log_line(packet: Packet, netfilter: PacketFilter, *, with_sequence: bool = False) -> str:
    """Return the log line for a packet, without the prefix: `IN=eth0 OUT= MAC=… SRC=… DST=…` and so on.

    `with_sequence` adds the TCP sequence numbers (--log-tcp-sequence).
    """
    words = [f"IN={packet.indev.name if packet.indev else ''}", f"OUT={packet.outdev.name if packet.outdev else ''}"]
    if packet.physindev is not None:
        words.append(f"PHYSIN={packet.physindev.name}")
    if packet.physoutdev is not None:
        words.append(f"PHYSOUT={packet.physoutdev.name}")
    if packet.indev is not None:
        source = netfilter.source_mac(packet)
        ethertype = b"\x86\xdd" if packet.family == 6 else b"\x08\x00"
        words.append(f"MAC={(packet.indev.mac + source + ethertype).hex(':')}" if source else "MAC=")
    words += [f"SRC={format_ip(packet.src)}", f"DST={format_ip(packet.dst)}", f"LEN={len(packet.data)}"]
    words += _ipv4_words(packet) if packet.family == 4 else _ipv6_words(packet)
    words += _transport_words(packet, with_sequence)
    if packet.mark:
        words.append(f"MARK=0x{packet.mark:x}")
    return " ".join(words)


def _ipv4_words(packet: Packet) -> list[str]:
    tos = packet.data[1]
    words = [
        f"TOS=0x{tos & 0x1E:02X}",
        f"PREC=0x{tos & 0xE0:02X}",
        f"TTL={packet.ttl}",
        f"ID={packet.identification}",
    ]
    if packet.dont_fragment:
        words.append("DF")
    if packet.more_fragments:
        words.append("MF")
    if packet.fragment_offset:
        words.append(f"FRAG:{packet.fragment_offset // 8}")
    return words


def _ipv6_words(packet: Packet) -> list[str]:
    word = int.from_bytes(packet.data[:4])
    return [f"TC={word >> 20 & 0xFF}", f"HOPLIMIT={packet.ttl}", f"FLOWLBL={word & 0xFFFFF}"]


def _transport_words(packet: Packet, with_sequence: bool) -> list[str]:
    message = packet.payload
    if packet.protocol == 6 and len(message) >= 20 and not packet.fragment_offset:
        words = ["PROTO=TCP", f"SPT={packet.sport}", f"DPT={packet.dport}"]
        if with_sequence:
            words += [f"SEQ={int.from_bytes(message[4:8])}", f"ACK={int.from_bytes(message[8:12])}"]
        flags = packet.tcp_flags
        words += [f"WINDOW={int.from_bytes(message[14:16])}", f"RES=0x{message[12] & 0xF:02x}"]
        return [*words, *(name for bit, name in _TCP_FLAG_WORDS if flags & bit), "URGP=0"]
    if packet.protocol == 17 and not packet.fragment_offset:
        return ["PROTO=UDP", f"SPT={packet.sport}", f"DPT={packet.dport}", f"LEN={len(message)}"]
    if packet.icmp_type >= 0:
        name = "ICMPv6" if packet.family == 6 else "ICMP"
        words = [f"PROTO={name}", f"TYPE={packet.icmp_type}", f"CODE={packet.icmp_code}"]
        if packet.icmp_type in ({128, 129} if packet.family == 6 else {0, 8}):
            words += [f"ID={int.from_bytes(message[4:6])}", f"SEQ={int.from_bytes(message[6:8])}"]
        return words
    return [f"PROTO={packet.protocol}"]


def _describe_log(target: Extension, is_numeric: bool) -> str:
    level_setting, prefix = target.get("log-level"), target.get("log-prefix")
    level = int(level_setting.value) if level_setting is not None else 4
    flags = [name for name in _FLAGS if target.get(name) is not None]
    if is_numeric:
        words = ["LOG", "flags", str(sum(_FLAG_BITS[name] for name in flags)), "level", str(level)]
    else:
        words = ["LOG", "level", _LEVEL_NAMES[level], *(name.removeprefix("log-") for name in flags)]
    if prefix is not None:
        words.append(f'prefix "{prefix.value}"')
    return " ".join(words)


KINDS = (
    TargetKind(
        "LOG",
        (
            Option("log-prefix", _prefix, can_invert=False, is_text=True),
            Option("log-level", _level, can_invert=False),
            *(Option(name, words=0, can_invert=False) for name in _FLAGS),
        ),
        _compile_log,
        _describe_log,
        _check_log,
    ),
)
