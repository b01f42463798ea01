"""Targets of the raw table: NOTRACK, CT, TRACE (xt_CT, xt_TRACE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Extension, Option, ParseContext, Setting
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind, no_listing_text
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


def _check_ct(settings: dict[str, Setting], context: ParseContext) -> None:
    if not settings:
        raise ParameterProblemError("CT: No operation specified")


def _compile_notrack(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    def action(packet: Packet, hook: Hook) -> None:
        if packet.connection is None:
            packet.ct_state = CtState.UNTRACKED

    return action


def _describe_ct(target: Extension, is_numeric: bool) -> str:
    return "CT notrack"


def _compile_nothing(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    def action(packet: Packet, hook: Hook) -> None:
        # Every observed packet is traced anyway.
        return None

    return action


KINDS = (
    TargetKind("NOTRACK", (), _compile_notrack, no_listing_text, tables=("raw",)),
    TargetKind(
        "CT",
        (Option("notrack", words=0, can_invert=False),),
        _compile_notrack,
        _describe_ct,
        _check_ct,
        tables=("raw",),
    ),
    TargetKind("TRACE", (), _compile_nothing, no_listing_text, tables=("raw",)),
)
