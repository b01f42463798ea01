"""Tables, chains and rules with counters: the state that packets traverse and iptables edits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.netfilter.hooks import BUILT_IN_CHAINS
from cnmsim.kernel.netfilter.rule import Rule
from cnmsim.kernel.netfilter.targets import TARGETS

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.matches import Test
    from cnmsim.kernel.netfilter.targets import Action, Verdict


#: Chains with fewer rules are searched linearly.
_INDEX_MIN_RULES = 16


@define(eq=False)
class CompiledRule:
    """A rule as functions that test a packet, and the action of its target.

    `flow_tests` depend only on the flow. They run first; `packet_tests` begin with the first test that depends on
    more. If all tests pass, one of three things happens: `action` is executed, `verdict` is returned, or the chain
    `jump` is entered, with -g if `is_goto` is True.
    """

    flow_tests: tuple[Test, ...]
    packet_tests: tuple[Test, ...]
    action: Action | None
    verdict: Verdict | None
    jump: Chain | None
    is_goto: bool


@define(eq=False)
class RuleEntry:
    """A rule of a chain, with its counters. `compiled` is set when a packet first reaches the rule."""

    rule: Rule
    packets: int = 0
    bytes: int = 0
    compiled: CompiledRule | None = None

    @property
    def chain_name(self) -> str:
        """The name of the chain that the rule enters (-j or -g), "" if its target is not a chain."""
        target = self.rule.target
        if target is None or (target.name in TARGETS and not self.rule.is_goto):
            return ""
        return target.name


@define(eq=False)
class Chain:
    """A chain. `policy` is None for a user-defined one; `packets` and `bytes` count the packets that got the policy.

    `order` is a sequence number: nft lists chains in order of creation. It is 0 for a built-in chain that was never
    used and therefore does not exist in the kernel. In a long chain equal rules are one `Rule` object, which
    makes the search for a rule fast.
    """

    name: str
    policy: str | None = None
    packets: int = 0
    bytes: int = 0
    rules: list[RuleEntry] = field(factory=list)
    order: int = 0
    #: Each distinct rule with its number of occurrences; None for a short chain.
    _rule_index: dict[Rule, tuple[Rule, int]] | None = field(default=None, init=False, repr=False)

    def insert(self, at: int, entry: RuleEntry) -> None:
        """Insert a rule before position `at`, counted from 0."""
        if self._rule_index is None and len(self.rules) >= _INDEX_MIN_RULES:
            self._build_index()
        if self._rule_index is not None:
            rule, count = self._rule_index.get(entry.rule, (entry.rule, 0))
            entry.rule = rule
            self._rule_index[rule] = (rule, count + 1)
        self.rules.insert(at, entry)

    def _build_index(self) -> None:
        index: dict[Rule, tuple[Rule, int]] = {}
        self._rule_index = index
        for entry in self.rules:
            rule, count = index.get(entry.rule, (entry.rule, 0))
            entry.rule = rule
            index[rule] = (rule, count + 1)

    def remove(self, at: int) -> RuleEntry:
        """Remove and return the rule at position `at`, counted from 0."""
        entry = self.rules.pop(at)
        if self._rule_index is not None:
            rule, count = self._rule_index[entry.rule]
            if count > 1:
                self._rule_index[rule] = (rule, count - 1)
            else:
                del self._rule_index[rule]
        return entry

    def clear(self) -> None:
        """Remove all rules."""
        self.rules.clear()
        self._rule_index = None

    def index_of(self, rule: Rule) -> int | None:
        """Return the index of the first rule equal to `rule`, or None if there is none."""
        if self._rule_index is None:
            return next((at for at, entry in enumerate(self.rules) if entry.rule == rule), None)
        indexed = self._rule_index.get(rule)
        if indexed is None:
            return None
        same = indexed[0]
        return next(at for at, entry in enumerate(self.rules) if entry.rule is same)

    def __contains__(self, rule: Rule) -> bool:
        return rule in self._rule_index if self._rule_index is not None else self.index_of(rule) is not None


class Table:
    """One table of one family.

    `exists` is True once the table exists in the kernel: with iptables-nft, from the first command that changes it.
    `order` is the table's sequence number for the registration on the hooks; `label` is its name in traces.
    """

    __slots__ = ("_chains", "exists", "family", "label", "name", "order")

    def __init__(self, name: str, family: int, label: str = "") -> None:
        self.name = name
        self.family = family
        self.label = label + name  # the same as `name`, except for iptables-legacy
        self.exists = False
        self.order = 0
        self._chains: dict[str, Chain] | None = None

    @property
    def chains(self) -> dict[str, Chain]:
        """The chains by name: first the built-in ones, then the user-defined ones in order of creation."""
        # Created on first use: most tables of a namespace are never touched.
        if self._chains is None:
            self._chains = {chain: Chain(chain, "ACCEPT") for chain in BUILT_IN_CHAINS[self.name]}
        return self._chains

    @chains.setter
    def chains(self, chains: dict[str, Chain]) -> None:
        self._chains = chains

    @property
    def rules(self) -> Iterator[RuleEntry]:
        """The rules of all chains."""
        return (entry for chain in (self._chains or {}).values() for entry in chain.rules)

    def built_in_chains(self) -> Iterator[Chain]:
        """Return the built-in chains in the order in which iptables prints them."""
        return (self.chains[name] for name in BUILT_IN_CHAINS[self.name])

    def user_defined_chains(self) -> list[Chain]:
        """Return the user-defined chains in alphabetical order, as iptables-nft lists them."""
        return [self.chains[name] for name in sorted(self.chains) if self.chains[name].policy is None]

    def chains_in_order(self) -> list[Chain]:
        """Return all chains in the order in which iptables lists them."""
        return [*self.built_in_chains(), *self.user_defined_chains()]

    def count_references(self, name: str) -> int:
        """Return the number of rules that jump to a chain."""
        return sum(entry.chain_name == name for chain in self.chains.values() for entry in chain.rules)

    def reaches(self, start: str, goal: str) -> bool:
        """Return True if the chain `start` is the chain `goal`, or leads to it by one or several jumps."""
        waiting, visited = [start], set()
        while waiting:
            name = waiting.pop()
            if name == goal:
                return True
            if name in visited or name not in self.chains:
                continue
            visited.add(name)
            waiting.extend(entry.chain_name for entry in self.chains[name].rules if entry.chain_name)
        return False

    @property
    def has_effect(self) -> bool:
        """Whether the table has a rule or a policy other than ACCEPT."""
        return self._chains is not None and any(
            chain.rules or chain.policy == "DROP" for chain in self._chains.values()
        )
