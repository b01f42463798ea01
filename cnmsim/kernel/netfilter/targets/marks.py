"""Targets that set marks: MARK of the packet, CONNMARK of its connection (xt_mark, xt_connmark)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import (
    Canonicalise,
    Extension,
    Option,
    ParseContext,
    Setting,
    integer,
    require_settings,
)
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.option_values import parse_mark, parse_number
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


_ALL = 0xFFFFFFFF


def _bits(value: int, mask: int) -> str:
    return f"0x{value:x}/0x{mask:x}"


def _set_mark(module: str, option: str) -> Canonicalise:
    def canonicalise(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
        value, mask = parse_mark(words[0], module, option)
        if option == "set-mark" and module == "MARK":
            mask |= value
        return (_bits(value, mask),)

    return canonicalise


def _bitwise(module: str, option: str) -> Canonicalise:
    def canonicalise(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
        bits = parse_number(words[0], _ALL)
        if bits is None:
            raise ParameterProblemError(f'{module}: bad integer value for option "--{option}", or out of range.\n')
        return (
            {"and-mark": _bits(0, bits ^ _ALL), "or-mark": _bits(bits, bits), "xor-mark": _bits(bits, 0)}[option],
        )

    return canonicalise


def _mark_options(module: str) -> tuple[Option, ...]:
    return (
        Option("set-xmark", _set_mark(module, "set-xmark"), can_invert=False),
        Option("set-mark", _set_mark(module, "set-mark"), can_invert=False, stored_as="set-xmark"),
        *(
            Option(name, _bitwise(module, name), can_invert=False, stored_as="set-xmark")
            for name in ("and-mark", "or-mark", "xor-mark")
        ),
    )


def _value_and_mask(text: str) -> tuple[int, int]:
    value, _, mask = text.partition("/")
    return int(value, 16), int(mask, 16)


def _compile_mark(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    value, mask = _value_and_mask(target.settings[0].value)
    keep = mask ^ _ALL

    def action(packet: Packet, hook: Hook) -> None:
        packet.mark = packet.mark & keep ^ value

    return action


def _describe_set(target: Extension, is_numeric: bool) -> str:
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


def _mask(option: str) -> Option:
    message = f'CONNMARK: bad integer value for option "--{option}", or out of range.\n'
    return Option(option, integer(_ALL, message, "0x{:x}"), can_invert=False)


def _check_connmark(settings: dict[str, Setting], context: ParseContext) -> None:
    both = settings.pop("mask", None)
    actions = [name for name in ("set-xmark", "save-mark", "restore-mark") if name in settings]
    if len(actions) != 1:
        raise ParameterProblemError("CONNMARK target: No operation specified")
    if actions[0] == "set-xmark":
        return
    for name in ("nfmask", "ctmask"):
        default = both.value if both is not None else "0xffffffff"
        settings.setdefault(name, Setting(name, (default,)))


def _compile_connmark(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    stored = target.get("set-xmark")
    if stored is not None:
        value, mask = _value_and_mask(stored.value)

        def set_mark(packet: Packet, hook: Hook) -> None:
            if packet.connection is not None:
                packet.connection.mark = packet.connection.mark & (mask ^ _ALL) ^ value

        return set_mark
    nfmask, ctmask = target.get("nfmask"), target.get("ctmask")
    assert nfmask is not None
    assert ctmask is not None
    packet_bits, connection_bits = int(nfmask.value, 16), int(ctmask.value, 16)

    def save(packet: Packet, hook: Hook) -> None:
        connection = packet.connection
        if connection is not None:
            connection.mark = connection.mark & (connection_bits ^ _ALL) ^ packet.mark & packet_bits

    def restore(packet: Packet, hook: Hook) -> None:
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


KINDS = (
    TargetKind(
        "MARK",
        _mark_options("MARK"),
        _compile_mark,
        _describe_set,
        require_settings("MARK: One of the --set-xmark, --{and,or,xor,set}-mark options is required"),
    ),
    TargetKind(
        "CONNMARK",
        (
            *_mark_options("CONNMARK"),
            Option("save-mark", words=0, can_invert=False),
            Option("restore-mark", words=0, can_invert=False),
            _mask("mask"),
            _mask("nfmask"),
            _mask("ctmask"),
        ),
        _compile_connmark,
        _describe_connmark,
        _check_connmark,
        needs_conntrack=True,
    ),
)
