"""Normalises rules to the form in which nft lists them.

Source: nftables src/payload.c (payload_dependency_kill).
"""

from __future__ import annotations

from cnmsim.kernel.netfilter.nftables.action_statements import Reject
from cnmsim.kernel.netfilter.nftables.datatypes import Span
from cnmsim.kernel.netfilter.nftables.keys import Key
from cnmsim.kernel.netfilter.nftables.statements import FieldStatement, Match, Statement

#: NFT_REG32_SIZE, in bits.
_REGISTER_BITS = 32


def normalise(statements: list[Statement], family: str) -> list[Statement]:
    """Return the statements of a rule in the form in which nft lists them.

    Comparisons that other statements imply are removed, and comparisons of adjacent fields of a header are sorted by
    their position.
    """
    return _in_header_order(_without_implied(statements, family))


def _without_implied(statements: list[Statement], family: str) -> list[Statement]:
    """Return the statements without comparisons of a protocol that a later field implies, as `tcp dport` implies TCP.

    Source: payload_dependency_kill.
    """
    kept: list[Statement] = []
    pending: int | None = None
    for statement in statements:
        if isinstance(statement, Match) and statement.is_equality and _tells_protocol(statement, family):
            pending = len(kept)
            kept.append(statement)
            continue
        key = _first_key(statement)
        if pending is not None and key is not None:
            comparison = kept[pending]
            assert isinstance(comparison, Match)
            if _implies(key, comparison):
                del kept[pending]
                pending = None
            elif not key.is_payload:
                pending = None
        elif isinstance(statement, Reject):
            if pending is not None and _rejects_the_family(statement, kept[pending]):
                del kept[pending]
            pending = None
        elif key is None:
            pending = None
        kept.append(statement)
    return kept


def _first_key(statement: Statement) -> Key | None:
    return statement.keys[0] if isinstance(statement, FieldStatement) else None


def _tells_protocol(match: Match, family: str) -> bool:
    implied = {"meta l4proto", "meta nfproto", *({"ip protocol"} if family == "ip" else ())}
    return match.keys[0].text in implied


def _implies(key: Key, comparison: Match) -> bool:
    assert isinstance(comparison.operand, Span)
    if comparison.keys[0].text == "meta nfproto":
        return (key.is_payload or key.header == "ct") and key.family == (4 if comparison.operand.low == 2 else 6)
    return bool(key.protocol) and key.protocol == comparison.operand.low


def _rejects_the_family(reject: Reject, comparison: Statement) -> bool:
    assert isinstance(comparison, Match)
    assert isinstance(comparison.operand, Span)
    family = {"icmp": 2, "icmpv6": 10}.get(reject.how.partition(" ")[0])
    return comparison.keys[0].text == "meta nfproto" and comparison.operand.low == family


def _in_header_order(statements: list[Statement]) -> list[Statement]:
    """Sort comparisons of adjacent fields of one header by the offset of the field.

    The order matters because nft merges such comparisons if one register holds both (payload_can_merge).
    """
    ordered = list(statements)
    for at in range(len(ordered) - 1):
        first_match, second_match = ordered[at], ordered[at + 1]
        if not (
            isinstance(first_match, Match)
            and isinstance(second_match, Match)
            and first_match.is_equality
            and second_match.is_equality
        ):
            continue
        first, second = first_match.keys[0], second_match.keys[0]
        is_one_header = first.is_payload and second.is_payload and first.header == second.header
        fits = first.type.bits + second.type.bits <= _REGISTER_BITS
        if is_one_header and fits and first.offset - second.offset == second.type.bits // 8:
            ordered[at], ordered[at + 1] = second_match, first_match
    return ordered
