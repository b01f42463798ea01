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
    """A rule parsed from one line of text. `counters` are the indexes of the counters among its statements."""

    rule: Rule
    translates: bool
    needs_conntrack: bool
    counters: tuple[int, ...]

    @classmethod
    def of(cls, rule: Rule) -> ParsedRule:
        """Return the parsed rule for a rule, which is copied."""
        counters = tuple(at for at, statement in enumerate(rule.statements) if isinstance(statement, Counter))
        return cls(rule.copy(), rule.translates, rule.needs_conntrack, counters)

    def copy(self) -> Rule:
        """Return the rule, with counters of its own at the same values. Other statements are shared."""
        rule = self.rule
        if not self.counters:
            return rule
        statements = list(rule.statements)
        for at in self.counters:
            statements[at] = Counter(rule.statements[at].packets, rule.statements[at].bytes)  # type: ignore[attr-defined]
        return type(rule)(tuple(statements), rule.comment, rule.anonymous_sets)


@frozen(eq=False)
class LazyRules:
    """The rules of a chain as parsed lines, from which `rules` creates the rules themselves.

    `handle` is the last handle that the table allocated before these rules.
    """

    lines: Sequence[ParsedRule]
    handle: int
    translates: bool
    needs_conntrack: bool

    def rules(self) -> Iterator[tuple[Rule, int]]:
        """Create the rules: yield each with its handle.

        The anonymous sets of a rule have the handles just before the rule's own.
        """
        handle = self.handle
        for line in self.lines:
            handle += 1 + line.rule.anonymous_sets
            yield line.copy(), handle
