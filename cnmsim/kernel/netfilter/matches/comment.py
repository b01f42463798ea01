"""The comment match (xt_comment): a text for people, which matches every packet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Extension, Option, ParseContext, require_option
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test, always

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


def _comment(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    if len(words[0]) > 256:
        raise ParameterProblemError("COMMENT must be shorter than 256 characters")
    return (words[0],)


def _compile_comment(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    return always


def _describe_comment(match: Extension, is_numeric: bool) -> str:
    return f"/* {match.settings[0].value} */"


KINDS = (
    MatchKind(
        "comment",
        (Option("comment", _comment, can_invert=False, is_text=True),),
        _compile_comment,
        _describe_comment,
        require_option("comment", "comment"),
        Dependency.FLOW,
    ),
)
