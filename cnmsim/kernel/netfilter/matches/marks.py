"""Matches on marks: mark of the packet, connmark of its connection (xt_mark, xt_connmark)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.extension import Canonicalise, Extension, Option, ParseContext, require_option
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test, invert_if
from cnmsim.kernel.netfilter.option_values import parse_mark

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.connection import Connection
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


def _of_connection(reads: Callable[[Connection], bool]) -> Test:
    return lambda packet: packet.connection is not None and reads(packet.connection)


def _mark(module: str) -> Canonicalise:
    def canonicalise(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
        value, mask = parse_mark(words[0], module, "mark")
        return (f"0x{value:x}" if mask == 0xFFFFFFFF else f"0x{value:x}/0x{mask:x}",)

    return canonicalise


def _compile_mark(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    setting = match.settings[0]
    value, mask = parse_mark(setting.value, "mark", "mark")
    return invert_if(setting.is_inverted, lambda packet: packet.mark & mask == value)


def _compile_connmark(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    setting = match.settings[0]
    value, mask = parse_mark(setting.value, "connmark", "mark")
    test = _of_connection(lambda connection: connection.mark & mask == value)
    if not setting.is_inverted:
        return test
    return _of_connection(lambda connection: connection.mark & mask != value)


def _describe_mark(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    label = "mark match" if match.name == "mark" else "connmark match "
    return f"{label} {'! ' if setting.is_inverted else ''}{setting.value}"


KINDS = (
    MatchKind(
        "mark",
        (Option("mark", _mark("mark")),),
        _compile_mark,
        _describe_mark,
        require_option("mark", "mark"),
        Dependency.FLOW,
    ),
    MatchKind(
        "connmark",
        (Option("mark", _mark("connmark")),),
        _compile_connmark,
        _describe_mark,
        require_option("connmark", "mark"),
        needs_conntrack=True,
    ),
)
