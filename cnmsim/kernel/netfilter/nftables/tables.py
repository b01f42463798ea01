"""Tables of nf_tables with their chains, rules, sets and maps, and their listings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.kernel.netfilter.hooks import ChainType, Hook
from cnmsim.kernel.netfilter.nftables.datatypes import Datatype
from cnmsim.kernel.netfilter.nftables.elements import Elements, Jump
from cnmsim.kernel.netfilter.nftables.lazy_rules import LazyRules, ParsedRule
from cnmsim.kernel.netfilter.nftables.list_options import PLAIN, ListOptions

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.nftables.statements import Evaluate, Rule, Statement

#: Hooks by nft's names.
HOOKS = {hook.value.lower(): hook for hook in Hook}
#: The IP versions of the packets that pass the chains of a table, by the table's family.
FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6), "arp": (), "bridge": (), "netdev": ()}
#: Named priorities, and the hooks on which each name is allowed (nftables src/rule.c, std_prios).
PRIORITIES: dict[str, tuple[int, frozenset[Hook]]] = {
    "raw": (-300, frozenset(Hook)),
    "mangle": (-150, frozenset(Hook)),
    "dstnat": (-100, frozenset({Hook.PREROUTING, Hook.OUTPUT})),
    "filter": (0, frozenset(Hook)),
    "security": (50, frozenset(Hook)),
    "srcnat": (100, frozenset({Hook.POSTROUTING, Hook.INPUT})),
}
_NAMED_PRIORITY_DISTANCE = 10


@define(eq=False)
class RuleEntry:
    """A rule of a chain, with its handle.

    `compiled` contains a pair for each statement: the function that applies the statement, and the statement. It is
    None until a packet first reaches the rule.
    """

    rule: Rule
    handle: int
    compiled: tuple[tuple[Evaluate, Statement], ...] | None = None


@frozen
class BaseChainSpec:
    """Type, hook and priority of a base chain."""

    type: ChainType
    hook: Hook
    priority: int

    def text(self, policy: str) -> str:
        """Return the line `type … hook … priority …; policy …;` as nft lists it."""
        hook, priority = self.hook.value.lower(), self._priority_text()
        return f"type {self.type.value} hook {hook} priority {priority}; policy {policy};"

    def _priority_text(self) -> str:
        for name, (value, hooks) in PRIORITIES.items():
            distance = self.priority - value
            if self.hook in hooks and abs(distance) <= _NAMED_PRIORITY_DISTANCE:
                if not distance:
                    return name
                return f"{name} {'+' if distance > 0 else '-'} {abs(distance)}"
        return str(self.priority)


@define(eq=False)
class Chain:
    """A chain. `base` is None for a chain that is only entered by jumps.

    `order` is the sequence number of a base chain's registration on its hook.
    """

    name: str
    handle: int
    base: BaseChainSpec | None = None
    policy: str = "accept"
    comment: str = ""
    order: int = 0
    _rules: list[RuleEntry] = field(factory=list)
    _lazy_rules: LazyRules | None = None

    @property
    def rules(self) -> list[RuleEntry]:
        """The rules in order. Rules that have only been parsed so far (`set_lazy_rules`) are created now."""
        if self._lazy_rules is not None:
            self._rules = [RuleEntry(rule, handle) for rule, handle in self._lazy_rules.rules()]
            self._lazy_rules = None
        return self._rules

    @property
    def is_empty(self) -> bool:
        """Whether the chain has no rules."""
        return not self._rules and (self._lazy_rules is None or not self._lazy_rules.lines)

    @property
    def translates(self) -> bool:
        """Whether any rule translates addresses."""
        lazy_rules = self._lazy_rules
        return any(entry.rule.translates for entry in self._rules) if lazy_rules is None else lazy_rules.translates

    @property
    def needs_conntrack(self) -> bool:
        """Whether any rule reads the connection of packets, so that packets must pass connection tracking."""
        lazy_rules = self._lazy_rules
        return (
            any(entry.rule.needs_conntrack for entry in self._rules)
            if lazy_rules is None
            else lazy_rules.needs_conntrack
        )

    def set_lazy_rules(self, lines: Sequence[ParsedRule], table: Table) -> Callable[[], None]:
        """Set the rules of an empty chain of `table` to the parsed rules `lines`. They are created on first access.

        Return a function that undoes this.
        """
        undo = self._undo()
        self._lazy_rules = LazyRules(
            lines,
            table.last_handle,
            any(line.translates for line in lines),
            any(line.needs_conntrack for line in lines),
        )
        table.last_handle += sum(1 + line.rule.anonymous_sets for line in lines)
        return undo

    def flush(self) -> Callable[[], None]:
        """Remove all rules. Return a function that restores them."""
        undo = self._undo()
        self._rules, self._lazy_rules = [], None
        return undo

    def _undo(self) -> Callable[[], None]:
        rules, lazy_rules = self._rules, self._lazy_rules

        def undo() -> None:
            self._rules, self._lazy_rules = rules, lazy_rules

        return undo

    def find(self, handle: int) -> int | None:
        """Return the index of the rule with the handle `handle`, or None if there is none."""
        return next((at for at, entry in enumerate(self.rules) if entry.handle == handle), None)

    def lines(self, options: ListOptions) -> list[str]:
        """Return the lines of the chain in the listing of its table."""
        mark = f" # handle {self.handle}" if options.show_handles else ""
        lines = [f"\tchain {self.name} {{{mark}"]
        if self.comment:
            lines.append(f'\t\tcomment "{self.comment}"')
        if self.base is not None:
            lines.append(f"\t\t{self.base.text(self.policy)}")
        for entry in self.rules:
            mark = f" # handle {entry.handle}" if options.show_handles else ""
            lines.append(f"\t\t{entry.rule.text(show_counters=options.show_counters)}{mark}")
        return [*lines, "\t}"]


@define(eq=False)
class Set:
    """A named set or map.

    `key_text` is the declaration of its key type, such as `type ipv4_addr` or `typeof ip saddr`; `value_text` is the
    type of a map's data, such as `verdict`. `values` are the data types of a map's data: () for verdicts, and None
    for a set.
    """

    name: str
    handle: int
    key_text: str
    elements: Elements
    values: tuple[Datatype, ...] | None = None
    value_text: str = ""
    flags: tuple[str, ...] = ()
    timeout: str = ""
    gc_interval: str = ""
    size: int = 0
    auto_merge: bool = False
    policy: str = ""
    comment: str = ""

    @property
    def is_map(self) -> bool:
        """Whether this is a map: its elements have data."""
        return self.values is not None

    @property
    def is_interval(self) -> bool:
        """Whether the keys of its elements may be ranges."""
        return "interval" in self.flags

    def lines(self, options: ListOptions) -> list[str]:
        """Return the lines of the set in the listing of its table."""
        mark = f" # handle {self.handle}" if options.show_handles else ""
        lines = [f"\t{'map' if self.is_map else 'set'} {self.name} {{{mark}", f"\t\t{self._type_text()}"]
        if self.policy == "memory":
            lines.append(f"\t\tpolicy {self.policy}")
        if self.size:
            lines.append(f"\t\tsize {self.size}")
        flags = [flag for flag in self.flags if flag != "timeout" or not self.timeout]
        if flags:
            lines.append(f"\t\tflags {','.join(flags)}")
        lines += [f"\t\ttimeout {self.timeout}"] if self.timeout else []
        lines += [f"\t\tgc-interval {self.gc_interval}"] if self.gc_interval else []
        lines += ["\t\tauto-merge"] if self.auto_merge else []
        lines += [f'\t\tcomment "{self.comment}"'] if self.comment else []
        if options.show_elements and len(self.elements):
            lines.append(f"\t\t{self.elements.block(chr(9) * 3)}")
        return [*lines, "\t}"]

    def _type_text(self) -> str:
        return f"{self.key_text} : {self.value_text}" if self.is_map else self.key_text


@define(eq=False)
class Table:
    """A table with its chains, sets and maps in order of creation."""

    family: str
    name: str
    handle: int
    flags: tuple[str, ...] = ()
    comment: str = ""
    chains: dict[str, Chain] = field(factory=dict)
    sets: dict[str, Set] = field(factory=dict)
    last_handle: int = 0

    @property
    def label(self) -> str:
        """The name of the table in traces, such as `nft inet filter`."""
        return f"nft {self.family} {self.name}"

    def next_handle(self) -> int:
        """Allocate the next handle; handles are not reused."""
        self.last_handle += 1
        return self.last_handle

    def rules(self) -> Iterator[Rule]:
        """Yield the rules of all chains."""
        for chain in self.chains.values():
            for entry in chain.rules:
                yield entry.rule

    @property
    def translates(self) -> bool:
        """Whether any rule translates addresses."""
        return any(chain.translates for chain in self.chains.values())

    @property
    def needs_conntrack(self) -> bool:
        """Whether any rule reads the connection of packets, so that packets must pass connection tracking."""
        return any(chain.needs_conntrack for chain in self.chains.values())

    def types_of(self, name: str) -> tuple[tuple[Datatype, ...], tuple[Datatype, ...] | None] | None:
        """Return the data types of the set or map `name`, or None if there is none of that name.

        These are the types of its key fields, and the types of its data: None for a set, () for a map of verdicts.
        """
        set_ = self.sets.get(name)
        return None if set_ is None else (set_.elements.types, set_.values)

    def suggestion(self, name: str) -> str:
        """Return the "did you mean" part of the error for an unknown set, "" if the table has no sets."""
        nearest = nearest_name(name, self.sets)
        return f"; did you mean set '{nearest}' in table {self.family} '{self.name}'?" if nearest else ""

    def references(self, chain: str) -> int:
        """Return the number of jumps to a chain, in rules and in maps."""
        count = sum(name == chain for rule in self.rules() for each in rule.statements for name in each.chains())
        return count + sum(
            isinstance(data, Jump) and data.chain == chain for each in self.sets.values() for _, data in each.elements
        )

    def uses(self, name: str) -> bool:
        """Return True if a rule of the table looks up the set `name`."""
        return any(
            set_name == name
            for rule in self.rules()
            for statement in rule.statements
            for set_name in statement.set_names()
        )

    def leads_to(self, chain: str) -> Iterator[str]:
        """Yield the names of the chains to which the rules of `chain` jump, including jumps in maps."""
        for entry in self.chains[chain].rules:
            for statement in entry.rule.statements:
                yield from statement.chains()
                for name in statement.set_names():
                    yield from (data.chain for _, data in self.sets[name].elements if isinstance(data, Jump))

    def has_loop(self) -> bool:
        """Return True if jumps form a loop that can be reached from a base chain (nft_chain_validate)."""
        finished: set[str] = set()
        bases = [chain.name for chain in self.chains.values() if chain.base is not None]
        return any(self._loops(name, finished) for name in bases)

    def _loops(self, start: str, finished: set[str]) -> bool:
        path: list[tuple[str, Iterator[str]]] = [(start, self.leads_to(start))]
        on_path = {start}
        while path:
            name, following = path[-1]
            target = next(following, None)
            if target is None:
                path.pop()
                on_path.discard(name)
                finished.add(name)
            elif target in on_path:
                return True
            elif target not in finished and target in self.chains:
                on_path.add(target)
                path.append((target, self.leads_to(target)))
        return False

    def text(self, options: ListOptions = PLAIN) -> str:
        """Return the table as `nft list table` prints it."""
        mark = f" # handle {self.handle}" if options.show_handles else ""
        lines = [f"table {self.family} {self.name} {{{mark}"]
        lines += [f"\tflags {','.join(self.flags)}"] if self.flags else []
        lines += [f'\tcomment "{self.comment}"'] if self.comment else []
        blocks = [each.lines(options) for each in self.sets.values()]
        blocks += [each.lines(options) for each in self.chains.values()]
        if self.flags and blocks:
            lines.append("")
        for number, block in enumerate(blocks):
            lines += [""] * bool(number) + block
        return "".join(f"{line}\n" for line in [*lines, "}"])

    def part(self, *parts: Chain | Set, options: ListOptions = PLAIN) -> str:
        """Return the table with only the chains and sets `parts`, as `nft list chain` and `nft list set` print it."""
        lines = [f"table {self.family} {self.name} {{"]
        for part in parts:
            lines += part.lines(options)
        return "".join(f"{line}\n" for line in [*lines, "}"])


def nearest_name(name: str, names: Iterable[str]) -> str:
    """Return the name in `names` that is most similar to `name`, "" if `names` is empty (string_misspell of nft)."""
    best, least = "", -1
    for candidate in names:
        distance = _distance(name, candidate)
        if least < 0 or distance < least:
            best, least = candidate, distance
    return best


def _distance(one: str, two: str) -> int:
    """Return the Levenshtein distance of two words."""
    row = list(range(len(two) + 1))
    for at, letter in enumerate(one, 1):
        before, row[0] = row[0], at
        for to, other in enumerate(two, 1):
            before, row[to] = row[to], min(before + (letter != other), row[to] + 1, row[to - 1] + 1)
    return row[-1]
