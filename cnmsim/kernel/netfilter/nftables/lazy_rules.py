"""Rules of a chain that are created on first access.

Docker (29, with its nftables backend) flushes a chain and writes all its rules again for every published port. Here
each distinct line is parsed only once. The rules themselves are created when a packet traverses the chain or a
command lists it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.netfilter.nftables.statements import Counter

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.nftables.statements import Rule


@frozen(eq=False)
class ParsedRule:
    """A rule parsed from one line of text. `counters` are the indexes of the counters among its statements.

    `translates` and `needs_conntrack` are copied from the rule.
    """

    rule: Rule
    translates: bool
    needs_conntrack: bool
    counters: tuple[int, ...]

    @classmethod
    def of(cls, rule: Rule) -> ParsedRule:
        """Create a parsed rule from `rule`, of which it stores a copy."""
        counters = tuple(at for at, statement in enumerate(rule.statements) if isinstance(statement, Counter))
        return cls(rule.copy(), rule.translates, rule.needs_conntrack, counters)

    def copy(self) -> Rule:
        """Return a new rule equal to this one. Its counters are separate objects with the same values."""
        rule = self.rule
        if not self.counters:
            return rule
        statements = list(rule.statements)
        for at in self.counters:
            statements[at] = Counter(rule.statements[at].packets, rule.statements[at].bytes)  # type: ignore[attr-defined]
        return type(rule)(tuple(statements), rule.comment, rule.anonymous_sets)


@frozen(eq=False)
class LazyRules:
    """The rules of a chain that are created later, by `rules`, from the parsed lines `lines`.

    `handle` is the last handle that the table allocated before these rules. `translates` and `needs_conntrack` are
    True if that is so for one of the rules.
    """

    lines: Sequence[ParsedRule]
    handle: int
    translates: bool
    needs_conntrack: bool

    def rules(self) -> Iterator[tuple[Rule, int]]:
        """Yield a new rule for each line, with its handle.

        The anonymous sets of a rule have the handles just before the rule's own.
        """
        handle = self.handle
        for line in self.lines:
            handle += 1 + line.rule.anonymous_sets
            yield line.copy(), handle
