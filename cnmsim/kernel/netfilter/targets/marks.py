"""The targets that mark or change packets: MARK, CONNMARK, NOTRACK, CT, TCPMSS, CHECKSUM, TTL, HL, TRACE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.checksum import update
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Canonical, Extension, Option, ParseContext, Setting
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.option_values import parse_mark, parse_number
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind, Verdict, nothing_to_say
from cnmsim.kernel.packet import TCP_SYN
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.netfilter import Netfilter

_ALL = 0xFFFFFFFF


def _bits(value: int, mask: int) -> str:
    return f"0x{value:x}/0x{mask:x}"


def _set_mark(module: str, option: str) -> Canonical:
    def canonical(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
        value, mask = parse_mark(words[0], module, option)
        if option == "set-mark" and module == "MARK":
            mask |= value
        return (_bits(value, mask),)

    return canonical


def _bitwise(module: str, option: str) -> Canonical:
    def canonical(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
        bits = parse_number(words[0], _ALL)
        if bits is None:
            raise ParameterProblemError(f'{module}: bad integer value for option "--{option}", or out of range.\n')
        return (
            {"and-mark": _bits(0, bits ^ _ALL), "or-mark": _bits(bits, bits), "xor-mark": _bits(bits, 0)}[option],
        )

    return canonical


def _mark_options(module: str) -> tuple[Option, ...]:
    return (
        Option("set-xmark", _set_mark(module, "set-xmark"), can_invert=False),
        Option("set-mark", _set_mark(module, "set-mark"), can_invert=False, stored_as="set-xmark"),
        *(
            Option(name, _bitwise(module, name), can_invert=False, stored_as="set-xmark")
            for name in ("and-mark", "or-mark", "xor-mark")
        ),
    )


def _finish_mark(settings: dict[str, Setting], context: ParseContext) -> None:  # noqa: ARG001 - a Finish
    if not settings:
        raise ParameterProblemError("MARK: One of the --set-xmark, --{and,or,xor,set}-mark options is required")


def _value_and_mask(text: str) -> tuple[int, int]:
    value, _, mask = text.partition("/")
    return int(value, 16), int(mask, 16)


def _compile_mark(target: Extension, family: int, netfilter: Netfilter) -> Action:  # noqa: ARG001
    value, mask = _value_and_mask(target.settings[0].value)
    keep = mask ^ _ALL

    def action(packet: Packet, hook: Hook) -> None:  # noqa: ARG001 - an Action
        packet.mark = packet.mark & keep ^ value

    return action


def _describe_set(target: Extension, is_numeric: bool) -> str:  # noqa: ARG001
    value, mask = _value_and_mask(target.settings[0].value)
    if mask == _ALL:
        return f"{target.name} set 0x{value:x}"
    if value == 0:
        return f"{target.name} and 0x{mask ^ _ALL:x}"
    if value == mask:
        return f"{target.name} or 0x{value:x}"
    if mask == 0:
        return f"{target.name} xor 0x{value:x}"
    return f"{target.name} xset 0x{value:x}/0x{mask:x}"


def _mask(option: str) -> Canonical:
    def canonical(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
        bits = parse_number(words[0], _ALL)
        if bits is None:
            raise ParameterProblemError(f'CONNMARK: bad integer value for option "--{option}", or out of range.\n')
        return (f"0x{bits:x}",)

    return canonical


def _finish_connmark(settings: dict[str, Setting], context: ParseContext) -> None:  # noqa: ARG001 - a Finish
    both = settings.pop("mask", None)
    actions = [name for name in ("set-xmark", "save-mark", "restore-mark") if name in settings]
    if len(actions) != 1:
        raise ParameterProblemError("CONNMARK target: No operation specified")
    if actions[0] == "set-xmark":
        return
    for name in ("nfmask", "ctmask"):
        default = both.value if both is not None else "0xffffffff"
        settings.setdefault(name, Setting(name, (default,)))


def _compile_connmark(target: Extension, family: int, netfilter: Netfilter) -> Action:  # noqa: ARG001
    stored = target.get("set-xmark")
    if stored is not None:
        value, mask = _value_and_mask(stored.value)

        def set_mark(packet: Packet, hook: Hook) -> None:  # noqa: ARG001 - an Action
            if packet.connection is not None:
                packet.connection.mark = packet.connection.mark & (mask ^ _ALL) ^ value

        return set_mark
    nfmask, ctmask = target.get("nfmask"), target.get("ctmask")
    assert nfmask is not None
    assert ctmask is not None
    packet_bits, connection_bits = int(nfmask.value, 16), int(ctmask.value, 16)

    def save(packet: Packet, hook: Hook) -> None:  # noqa: ARG001 - an Action
        connection = packet.connection
        if connection is not None:
            connection.mark = connection.mark & (connection_bits ^ _ALL) ^ packet.mark & packet_bits

    def restore(packet: Packet, hook: Hook) -> None:  # noqa: ARG001 - an Action
        connection = packet.connection
        if connection is not None:
            packet.mark = packet.mark & (packet_bits ^ _ALL) ^ connection.mark & connection_bits

    return save if target.get("save-mark") is not None else restore


def _describe_connmark(target: Extension, is_numeric: bool) -> str:
    if target.get("set-xmark") is not None:
        return _describe_set(target, is_numeric)
    nfmask, ctmask = target.get("nfmask"), target.get("ctmask")
    assert nfmask is not None
    assert ctmask is not None
    word = "save" if target.get("save-mark") is not None else "restore"
    if nfmask.value == ctmask.value:
        mask = "" if nfmask.value == "0xffffffff" else f" mask {nfmask.value}"
        return f"CONNMARK {word}{mask}"
    return f"CONNMARK {word} nfmask {nfmask.value} ctmask {ctmask.value}"


def _finish_ct(settings: dict[str, Setting], context: ParseContext) -> None:  # noqa: ARG001 - a Finish
    if not settings:
        raise ParameterProblemError("CT: No operation specified")


def _compile_notrack(target: Extension, family: int, netfilter: Netfilter) -> Action:  # noqa: ARG001
    def action(packet: Packet, hook: Hook) -> None:  # noqa: ARG001 - an Action
        if packet.connection is None:
            packet.ct_state = CtState.UNTRACKED

    return action


def _describe_ct(target: Extension, is_numeric: bool) -> str:  # noqa: ARG001
    return "CT notrack"


def _mss(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    most = 65535 - (60 if context.family == 6 else 40)
    value = parse_number(words[0], most)
    if value is None:
        raise ParameterProblemError('TCPMSS: bad integer value for option "--set-mss", or out of range.\n')
    return (str(value),)


def _finish_tcpmss(settings: dict[str, Setting], context: ParseContext) -> None:  # noqa: ARG001 - a Finish
    if len(settings) != 1:
        raise ParameterProblemError("TCPMSS target: At least one parameter is required")


def _compile_tcpmss(target: Extension, family: int, netfilter: Netfilter) -> Action:
    fixed = target.get("set-mss")
    headers = 60 if family == 6 else 40

    def clamp(packet: Packet) -> int:
        outdev = packet.outdev
        widths = [outdev.mtu] if outdev is not None else []
        for address in (packet.dst, packet.src):
            try:
                widths.append(netfilter.namespace.mtu_of(address))
            except OSError:
                continue  # no way there, so no MTU to respect
        return min(widths, default=65535) - headers

    def action(packet: Packet, hook: Hook) -> Verdict | None:  # noqa: ARG001 - an Action
        if not packet.tcp_flags & TCP_SYN:
            return None
        message = packet.payload
        if not 20 <= (message[12] >> 4) * 4 <= len(message):
            return Verdict.DROP  # a header that is cut off or impossible (tcpmss_mangle_packet)
        set_mss(packet, int(fixed.value) if fixed is not None else clamp(packet), is_clamp=fixed is None)
        return None

    return action


def set_mss(packet: Packet, mss: int, *, is_clamp: bool) -> None:
    """Write the MSS option of a SYN; a clamp never raises it, nor adds one that is missing (xt_TCPMSS)."""
    message = packet.payload
    size = (message[12] >> 4) * 4
    at = 20
    while at + 1 < size:
        kind = message[at]
        if kind == 0:
            return
        if kind == 1:
            at += 1
            continue
        length = message[at + 1]
        if kind == 2 and length == 4 and at + 4 <= size:
            old = int.from_bytes(message[at + 2 : at + 4])
            if old <= mss and (is_clamp or old == mss):
                return
            _write_mss(packet, message, at, mss)
            return
        if length < 2:
            return
        at += length


def _write_mss(packet: Packet, message: bytes, at: int, mss: int) -> None:
    # The checksum is taken over whole words: an option at an odd place spans three bytes of two words.
    start, end = (at + 2) & ~1, (at + 5) & ~1
    changed = message[: at + 2] + mss.to_bytes(2) + message[at + 4 :]
    total = update(int.from_bytes(message[16:18]), message[start:end], changed[start:end])
    packet.replace_payload(changed[:16] + total.to_bytes(2) + changed[18:])


def _describe_tcpmss(target: Extension, is_numeric: bool) -> str:  # noqa: ARG001
    setting = target.settings[0]
    return f"TCPMSS set {setting.value}" if setting.values else "TCPMSS clamp to PMTU"


def _finish_checksum(settings: dict[str, Setting], context: ParseContext) -> None:  # noqa: ARG001 - a Finish
    if not settings:
        raise ParameterProblemError("CHECKSUM target: Parameter --checksum-fill is required")


def _compile_nothing(target: Extension, family: int, netfilter: Netfilter) -> Action:  # noqa: ARG001
    def action(packet: Packet, hook: Hook) -> None:  # noqa: ARG001 - an Action
        # Checksums are always complete here; a packet is traced whenever somebody observes it.
        return None

    return action


def _describe_checksum(target: Extension, is_numeric: bool) -> str:  # noqa: ARG001
    return "CHECKSUM fill"


def _hops(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
    value = parse_number(words[0], 255)
    if value is None:
        raise ParameterProblemError("bad integer value for the option, or out of range.\n")
    return (str(value),)


def _hops_kind(name: str, family: int) -> TargetKind:
    option = name.lower()

    def finish(settings: dict[str, Setting], context: ParseContext) -> None:  # noqa: ARG001 - a Finish
        if len(settings) != 1:
            raise ParameterProblemError(f"{name}: You must specify an action")

    def compile_(target: Extension, rule_family: int, netfilter: Netfilter) -> Action:  # noqa: ARG001
        setting = target.settings[0]
        value, mode = int(setting.value), setting.name[-3:]

        def action(packet: Packet, hook: Hook) -> None:  # noqa: ARG001 - an Action
            wanted = {"set": value, "dec": packet.ttl - value, "inc": packet.ttl + value}[mode]
            packet.set_ttl(min(255, max(0, wanted)))

        return action

    def describe(target: Extension, is_numeric: bool) -> str:  # noqa: ARG001
        setting = target.settings[0]
        words = {"set": "set to", "dec": "decrement by", "inc": "increment by"}
        return f"{name} {words[setting.name[-3:]]} {setting.value}"

    options = tuple(Option(f"{option}-{mode}", _hops, can_invert=False) for mode in ("set", "dec", "inc"))
    return TargetKind(name, options, compile_, describe, finish, tables=("mangle",), families=(family,))


KINDS = (
    TargetKind("MARK", _mark_options("MARK"), _compile_mark, _describe_set, _finish_mark),
    TargetKind(
        "CONNMARK",
        (
            *_mark_options("CONNMARK"),
            Option("save-mark", words=0, can_invert=False),
            Option("restore-mark", words=0, can_invert=False),
            Option("mask", _mask("mask"), can_invert=False),
            Option("nfmask", _mask("nfmask"), can_invert=False),
            Option("ctmask", _mask("ctmask"), can_invert=False),
        ),
        _compile_connmark,
        _describe_connmark,
        _finish_connmark,
        needs_conntrack=True,
        reads_connmark=True,
    ),
    TargetKind("NOTRACK", (), _compile_notrack, nothing_to_say, tables=("raw",)),
    TargetKind(
        "CT",
        (Option("notrack", words=0, can_invert=False),),
        _compile_notrack,
        _describe_ct,
        _finish_ct,
        tables=("raw",),
    ),
    TargetKind(
        "TCPMSS",
        (Option("set-mss", _mss, can_invert=False), Option("clamp-mss-to-pmtu", words=0, can_invert=False)),
        _compile_tcpmss,
        _describe_tcpmss,
        _finish_tcpmss,
    ),
    TargetKind(
        "CHECKSUM",
        (Option("checksum-fill", words=0, can_invert=False),),
        _compile_nothing,
        _describe_checksum,
        _finish_checksum,
        tables=("mangle",),
    ),
    TargetKind("TRACE", (), _compile_nothing, nothing_to_say, tables=("raw",)),
    _hops_kind("TTL", 4),
    _hops_kind("HL", 6),
)
