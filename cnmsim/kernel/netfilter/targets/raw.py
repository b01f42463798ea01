"""Targets of the raw table: NOTRACK, CT, TRACE (xt_CT, xt_TRACE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.extension import Extension, Option, require_settings
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind, compile_to_nothing, no_listing_text
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


def _compile_notrack(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    def action(packet: Packet, hook: Hook) -> None:
        if packet.connection is None:
            packet.ct_state = CtState.UNTRACKED

    return action


KINDS = (
    TargetKind("NOTRACK", (), _compile_notrack, no_listing_text, tables=("raw",)),
    TargetKind(
        "CT",
        (Option("notrack", words=0, can_invert=False),),
        _compile_notrack,
        lambda target, is_numeric: "CT notrack",
        require_settings("CT: No operation specified"),
        tables=("raw",),
    ),
    # Every observed packet is traced anyway.
    TargetKind("TRACE", (), compile_to_nothing, no_listing_text, tables=("raw",)),
)
