"""Targets of the raw table: NOTRACK, CT, TRACE (xt_CT, xt_TRACE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Extension, Option, ParseContext, Setting
from cnmsim.kernel.netfilter.hooks import Dependency, Hook
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind, nothing_to_say
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.netfilter import Netfilter


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


def _compile_nothing(target: Extension, family: int, netfilter: Netfilter) -> Action:  # noqa: ARG001
    def action(packet: Packet, hook: Hook) -> None:  # noqa: ARG001 - an Action
        # Checksums are always complete here; a packet is traced whenever somebody observes it.
        return None

    return action


KINDS = (
    TargetKind("NOTRACK", (), _compile_notrack, nothing_to_say, tables=("raw",), depends=Dependency.FLOW),
    TargetKind(
        "CT",
        (Option("notrack", words=0, can_invert=False),),
        _compile_notrack,
        _describe_ct,
        _finish_ct,
        tables=("raw",),
        depends=Dependency.FLOW,
    ),
    TargetKind("TRACE", (), _compile_nothing, nothing_to_say, tables=("raw",), depends=Dependency.FLOW),
)
