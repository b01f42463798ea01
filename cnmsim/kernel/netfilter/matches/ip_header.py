"""Matches on fields of the IP header: length, ttl, hl (xt_length, xt_hl)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import (
    Extension,
    Option,
    ParseContext,
    Setting,
    integer,
    require_option,
    require_settings,
)
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test, each_setting
from cnmsim.kernel.netfilter.option_values import parse_number

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


def _length(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    low_text, colon, high_text = words[0].partition(":")
    low = parse_number(low_text or "0", 65535)
    high = parse_number(high_text or "65535", 65535) if colon else low
    if low is None or high is None or high < low:
        raise ParameterProblemError('length: bad value for option "--length", or out of range.\n')
    return (str(low) if low == high else f"{low}:{high}",)


def _length_test(setting: Setting, family: int, netfilter: PacketFilter) -> Test:
    low_text, _, high_text = setting.value.partition(":")
    low, high = int(low_text), int(high_text or low_text)
    return lambda packet: low <= len(packet.data) <= high


def _describe_length(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    return f"length {'!' if setting.is_inverted else ''}{setting.value}"


_HOPS = integer(255, "ttl: bad integer value for the option, or out of range.\n")
_CHECK_HOPS = require_settings("TTL match: You must specify one of `--ttl-eq', `--ttl-lt', `--ttl-gt", most=1)


def _hops_test(setting: Setting, family: int, netfilter: PacketFilter) -> Test:
    value = int(setting.value)
    comparisons: dict[str, Test] = {
        "eq": lambda packet: packet.ttl == value,
        "lt": lambda packet: packet.ttl < value,
        "gt": lambda packet: packet.ttl > value,
    }
    return comparisons[setting.name[-2:]]


def _describe_hops(match: Extension, is_numeric: bool) -> str:
    setting = match.settings[0]
    signs = {"eq": "!=" if setting.is_inverted else "==", "lt": "<", "gt": ">"}
    label = match.name.upper()
    return f"{label} match {label} {signs[setting.name[-2:]]} {setting.value}"


def _hops_kind(name: str, family: int) -> MatchKind:
    options = (
        Option(f"{name}-eq", _HOPS),
        Option(f"{name}-lt", _HOPS, can_invert=False),
        Option(f"{name}-gt", _HOPS, can_invert=False),
    )
    return MatchKind(name, options, each_setting(_hops_test), _describe_hops, _CHECK_HOPS, families=(family,))


KINDS = (
    MatchKind(
        "length",
        (Option("length", _length),),
        each_setting(_length_test),
        _describe_length,
        require_option("length", "length"),
    ),
    _hops_kind("ttl", 4),
    _hops_kind("hl", 6),
)
