"""Rules of a chain that was written as a whole and that nobody has looked at yet.

Who keeps a chain by flushing it and writing all its rules again, as Docker does for every published port, pays in the kernel for each
rule each time. Here a rule is read once, and made when a packet or a listing comes to it.
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
    """A rule that was read from a line of its own, and which of its statements are counters."""

    rule: Rule
    translates: bool
    needs_conntrack: bool
    counters: tuple[int, ...]

    @classmethod
    def of(cls, rule: Rule) -> ParsedRule:
        """Take note of a rule as it was read."""
        counters = tuple(at for at, each in enumerate(rule.statements) if isinstance(each, Counter))
        return cls(rule.copy(), rule.translates, rule.needs_conntrack, counters)

    def copy(self) -> Rule:
        """Give the rule with counters of its own, for less than `Rule.fresh` costs."""
        rule = self.rule
        if not self.counters:
            return rule
        statements = list(rule.statements)
        for at in self.counters:
            statements[at] = Counter(rule.statements[at].packets, rule.statements[at].bytes)  # type: ignore[attr-defined]
        return type(rule)(tuple(statements), rule.comment, rule.anonymous_sets)


@frozen(eq=False)
class LazyRules:
    """The lines of a chain, and the handle that was given before them."""

    lines: Sequence[ParsedRule]
    handle: int
    translates: bool
    needs_conntrack: bool

    def rules(self) -> Iterator[tuple[Rule, int]]:
        """Make the rules, with their handles; sets without a name take theirs before the rule's."""
        handle = self.handle
        for line in self.lines:
            handle += 1 + line.rule.anonymous_sets
            yield line.copy(), handle
