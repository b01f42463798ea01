"""The comment match (xt_comment): a text for people, which matches every packet."""

from __future__ import annotations

from collections.abc import Sequence

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Option, ParseContext, require_option
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.matches.kind import MatchKind, always


def _comment(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    if len(words[0]) > 256:
        raise ParameterProblemError("COMMENT must be shorter than 256 characters")
    return (words[0],)


KINDS = (
    MatchKind(
        "comment",
        (Option("comment", _comment, can_invert=False, is_text=True),),
        lambda match, family, netfilter: always,
        lambda match, is_numeric: f"/* {match.settings[0].value} */",
        require_option("comment", "comment"),
        Dependency.FLOW,
    ),
)
