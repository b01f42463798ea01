"""Rules of a chain that was written as a whole, created on first access.

Docker flushes a chain and writes all its rules again for every published port. Each line is parsed only once; the
rules are created when a packet traverses or a command lists the chain.
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
    """A rule parsed from one line, with the positions of its counters."""

    rule: Rule
    translates: bool
    needs_conntrack: bool
    counters: tuple[int, ...]

    @classmethod
    def of(cls, rule: Rule) -> ParsedRule:
        """Return the parsed form of a rule."""
        counters = tuple(at for at, statement in enumerate(rule.statements) if isinstance(statement, Counter))
        return cls(rule.copy(), rule.translates, rule.needs_conntrack, counters)

    def copy(self) -> Rule:
        """Return the rule with counters of its own; cheaper than `Rule.copy`."""
        rule = self.rule
        if not self.counters:
            return rule
        statements = list(rule.statements)
        for at in self.counters:
            statements[at] = Counter(rule.statements[at].packets, rule.statements[at].bytes)  # type: ignore[attr-defined]
        return type(rule)(tuple(statements), rule.comment, rule.anonymous_sets)


@frozen(eq=False)
class LazyRules:
    """The rules of a chain before their creation, and the last handle allocated before theirs."""

    lines: Sequence[ParsedRule]
    handle: int
    translates: bool
    needs_conntrack: bool

    def rules(self) -> Iterator[tuple[Rule, int]]:
        """Yield the rules with their handles; anonymous sets take theirs before the rule's."""
        handle = self.handle
        for line in self.lines:
            handle += 1 + line.rule.anonymous_sets
            yield line.copy(), handle
