"""Matches on marks: mark of the packet, connmark of its connection (xt_mark, xt_connmark)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.extension import Canonicalise, Extension, Option, ParseContext, Setting, require_option
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test, each_setting, of_connection
from cnmsim.kernel.netfilter.option_values import parse_mark

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


def _mark(module: str) -> Canonicalise:
    def canonicalise(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
        value, mask = parse_mark(words[0], module, "mark")
        return (f"0x{value:x}" if mask == 0xFFFFFFFF else f"0x{value:x}/0x{mask:x}",)

    return canonicalise


def _mark_test(setting: Setting, family: int, netfilter: PacketFilter) -> Test:
    value, mask = parse_mark(setting.value, "mark", "mark")
    return lambda packet: packet.mark & mask == value


def _compile_connmark(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    setting = match.settings[0]
    value, mask = parse_mark(setting.value, "connmark", "mark")
    test = of_connection(lambda connection: connection.mark & mask == value)
    if not setting.is_inverted:
        return test
    return of_connection(lambda connection: connection.mark & mask != value)


def _describe_mark(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    label = "mark match" if match.name == "mark" else "connmark match "
    return f"{label} {'! ' if setting.is_inverted else ''}{setting.value}"


KINDS = (
    MatchKind(
        "mark",
        (Option("mark", _mark("mark")),),
        each_setting(_mark_test),
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
