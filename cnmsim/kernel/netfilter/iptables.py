"""The tables of one family and the iptables command on them (iptables 1.8.11, nf_tables or legacy variant).

`execute` runs a command line. `append`, `delete` and the other methods run one command each, with its arguments as
parameters. Errors carry iptables' own text and exit status. Source: iptables(8), and the output of the real program.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.kernel.netfilter import listing, save
from cnmsim.kernel.netfilter.errors import (
    IptablesError,
    ParameterProblemError,
    UnknownTargetError,
    kernel_refusal,
    plain_failure,
)
from cnmsim.kernel.netfilter.hooks import (
    BUILT_IN_CHAINS,
    NFT,
    Dependency,
    Hook,
    Registration,
    Variant,
    built_in_chain_spec,
    program_name,
)
from cnmsim.kernel.netfilter.option_values import split_words
from cnmsim.kernel.netfilter.parser import Command, parse_command, parse_rule
from cnmsim.kernel.netfilter.rule import Rule
from cnmsim.kernel.netfilter.rulechecks import is_misplaced, is_refused
from cnmsim.kernel.netfilter.table import Chain, RuleEntry, Table
from cnmsim.kernel.netfilter.targets import TARGETS
from cnmsim.kernel.netfilter.traversal import ChainTraversal, rule_needs_conntrack

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

_NO_CHAIN = "No chain/target/match by that name."
_INVALID = "Invalid argument. Run `dmesg' for more information."
_NO_RULE = "Bad rule (does a matching rule exist in that chain?)."


@lru_cache(maxsize=8192)
def _parse_text(rule_text: str, family: int, set_names: frozenset[str]) -> tuple[Rule, ...]:
    return tuple(parse_rule(split_words(rule_text), family, set_names))


class IpTables:
    """The tables of `iptables` (family 4) or `ip6tables` (family 6) in one namespace.

    Each variant of the program has tables of its own; a packet traverses those of both.
    """

    __slots__ = ("_netfilter", "_tables", "family", "variant")

    def __init__(self, family: int, netfilter: PacketFilter, variant: Variant = NFT) -> None:
        self.family = family
        self.variant = variant
        self._netfilter = netfilter
        self._tables: dict[str, Table] | None = None

    @property
    def tables(self) -> dict[str, Table]:
        """All tables by name, including those that do not exist in the kernel yet."""
        if self._tables is None:  # most namespaces never use one of the families
            self._tables = {name: self._new_table(name) for name in BUILT_IN_CHAINS}
        return self._tables

    def _new_table(self, name: str) -> Table:
        return Table(name, self.family, self.variant.label)

    # --- the rule set for the hooks

    @property
    def has_effect(self) -> bool:
        """Whether a table has a rule or a policy other than ACCEPT."""
        return self._tables is not None and any(table.has_effect for table in self._tables.values())

    @property
    def has_nat(self) -> bool:
        """Whether the nat table has a rule or a policy other than ACCEPT."""
        return self._tables is not None and self._tables["nat"].has_effect

    @property
    def is_loaded(self) -> bool:
        """Whether any table exists, even an empty one."""
        return self._tables is not None and any(table.exists for table in self._tables.values())

    @property
    def needs_conntrack(self) -> bool:
        """Whether any rule reads the connection of packets, so that packets must pass connection tracking."""
        tables = {} if self._tables is None else self._tables
        return any(rule_needs_conntrack(entry.rule) for table in tables.values() for entry in table.rules)

    def registrations(self) -> Iterator[Registration]:
        """Yield a registration for each built-in chain of the tables that exist in the kernel."""
        for table in () if self._tables is None else self._tables.values():
            if not table.exists:
                continue
            for chain in table.built_in_chains():
                hook = Hook(chain.name)
                chain_type, priority = built_in_chain_spec(table.name, hook)
                walk = ChainTraversal(table, chain, hook, self._netfilter)
                yield Registration(hook, priority, table.order, chain_type, walk, Dependency.FLOW)

    # --- commands as methods

    def append(self, table: str, chain: str, rule_text: str) -> None:
        """Append the rule `rule_text` (`-A`), or several rules if it contains several addresses.

        `rule_text` is iptables syntax without command and chain, such as `-i docker0 ! -o docker0 -j ACCEPT`.
        """
        for rule in self._parsed(table, rule_text):
            self._insert(self._table(table), chain, rule, None, "RULE_APPEND")

    def insert(self, table: str, chain: str, rule_text: str, position: int = 1) -> None:
        """Insert the rule `rule_text` (`-I`, see `append`) before position `position`; 1 is the head of the chain."""
        for rule in reversed(self._parsed(table, rule_text)):
            self._insert(self._table(table), chain, rule, position, "RULE_INSERT")

    def insert_rule(self, table: str, chain: str, rule: Rule) -> None:
        """Insert `rule` at the head of the chain.

        The target of the rule must not be a user-defined chain.
        """
        self._insert(self._table(table), chain, rule, 1, "RULE_INSERT")

    def delete(self, table: str, chain: str, rule_text: str) -> None:
        """Delete the first rule equal to `rule_text` (`-D`). Raises `IptablesError` if there is none."""
        for rule in self._parsed(table, rule_text):
            self._delete(self._table(table), chain, rule)

    def exists(self, table: str, chain: str, rule_text: str) -> bool:
        """Return True if the chain exists and contains a rule equal to `rule_text` (`-C`)."""
        chain_object = self._table(table).chains.get(chain)
        try:
            rules = self._parsed(table, rule_text)
        except IptablesError:
            return False
        return chain_object is not None and all(rule in chain_object for rule in rules)

    def has_chain(self, table: str, chain: str) -> bool:
        """Return True if the table has that chain."""
        return chain in self._table(table).chains

    def new_chain(self, table: str, chain: str) -> None:
        """Create a user-defined chain (`-N`). Raises `IptablesError` if the name is in use."""
        table_object = self._table(table)
        if chain in table_object.chains:
            raise plain_failure(self.family, "Chain already exists.")
        table_object.chains[chain] = Chain(chain, order=self._netfilter.next_order())
        self._notify_change(table_object)

    def flush_chain(self, table: str, chain: str = "") -> None:
        """Remove all rules of a chain, or with "" of all chains of the table (`-F`)."""
        table_object = self._table(table)
        for chain_object in [self._chain(table_object, chain)] if chain else list(table_object.chains.values()):
            chain_object.clear()
        self._notify_change(table_object, is_new=False)

    def delete_chain(self, table: str, chain: str = "") -> None:
        """Delete an empty user-defined chain, or with "" all of them (`-X`).

        Raises `IptablesError` if one has rules or is the target of a jump.
        """
        table_object = self._table(table)
        names = [chain] if chain else [chain_object.name for chain_object in table_object.user_defined_chains()]
        for name in names:
            chain_object, is_target = self._chain(table_object, name), table_object.count_references(name) > 0
            if chain_object.policy is not None or chain_object.rules or is_target:
                cause = (
                    _INVALID if chain_object.policy else "Too many links." if is_target else "Directory not empty."
                )
                raise kernel_refusal(
                    self.family, "CHAIN_DEL", "Device or resource busy", f"chain {name}", self.variant, cause
                )
        for name in names:
            del table_object.chains[name]
        self._notify_change(table_object, is_new=False)

    def rename_chain(self, table: str, old: str, new: str) -> None:
        """Rename the user-defined chain `old` to `new`, also in the rules that jump to it (`-E`).

        Raises `IptablesError` if there is no such chain or the new name is in use.
        """
        table_object = self._table(table)
        if new in table_object.chains:
            raise plain_failure(self.family, "File exists.")
        if self._chain(table_object, old).policy is not None:
            raise kernel_refusal(
                self.family, "CHAIN_RENAME", "Operation not supported", f"chain {old}", self.variant, _NO_CHAIN
            )
        chain = table_object.chains.pop(old)
        chain.name = new
        table_object.chains[new] = chain
        for other in table_object.chains.values():
            for at, entry in enumerate(list(other.rules)):
                if entry.chain_name == old:
                    other.remove(at)
                    other.insert(at, _redirected(entry, new))
        self._notify_change(table_object)

    def set_policy(self, table: str, chain: str, policy: str) -> None:
        """Set the policy of a built-in chain to ACCEPT or DROP (`-P`); in the table nat only ACCEPT is valid."""
        table_object = self._table(table)
        built_in = table_object.chains.get(chain)
        if built_in is None or built_in.policy is None:
            raise plain_failure(self.family, "Bad built-in chain name.")
        if policy not in {"ACCEPT", "DROP"}:
            raise plain_failure(self.family, "Bad policy name. Run `dmesg' for more information.")
        if table == "nat" and policy == "DROP":
            message = '\nThe "nat" table is not intended for filtering, the use of DROP is therefore inhibited.\n\n'
            raise ParameterProblemError(message).to_error(self.family, self.variant)
        built_in.policy = policy
        self.register_chain(built_in)
        self._notify_change(table_object)

    def zero(self, table: str, chain: str = "", number: int = 0) -> None:
        """Reset the counters of one chain, or with "" of all chains (`-Z`).

        With `number`, reset only those of the rule at that position, counted from 1.
        """
        table_object = self._table(table)
        for chain_object in [self._chain(table_object, chain)] if chain else list(table_object.chains.values()):
            entries = chain_object.rules
            if number:
                if number > len(entries):
                    raise plain_failure(self.family, "Index of zeroing too big.")
                entries = [entries[number - 1]]
            else:
                chain_object.packets = chain_object.bytes = 0
            for entry in entries:
                entry.packets = entry.bytes = 0

    def list_rules(
        self, chain: str = "", table: str = "filter", *, with_counters: bool = False, number: int = 0
    ) -> str:
        """Return the output of `iptables -S` for one chain, or with "" for all chains.

        With `number`, return only the rule at that position, counted from 1. `with_counters` adds the counters (-v).
        """
        table_object = self._table(table)
        chains = [self._chain(table_object, chain)] if chain else table_object.chains_in_order()
        return save.rule_lines(chains, with_counters=with_counters, number=number)

    def save(self, table: str | None = None, counters: bool = False) -> str:
        """Return the output of iptables-save without comments, for one table or all existing ones.

        `table` is the name of the table; None means all. If `counters` is True, the packet and byte counters are
        included.
        """
        tables = self._tables_in_order() if table is None else [self._table(table)]
        return save.save(tables, with_counters=counters)

    def _tables_in_order(self) -> list[Table]:
        """Return the tables that exist in the kernel in the order in which iptables-save prints them.

        iptables-nft prints them in a fixed order. iptables-legacy prints them in the order of
        /proc/net/ip_tables_names, where the table created last comes first (xt_register_table).
        """
        existing = [table for table in self.tables.values() if table.exists]
        if self.variant.is_legacy:
            existing.sort(key=lambda table: -table.order)
        return existing

    # --- the command line

    def execute(self, args: list[str]) -> str:
        """Run one command line, without the program's name, and return its output.

        Raises `IptablesError` if it fails.
        """
        try:
            command = parse_command(list(args), self.family, self.has_chain, self._netfilter.set_names)
            if command.letter == "V":
                return f"{program_name(self.family)} {self.variant.version}\n"
            if command.letter == "h":
                return listing.usage(self.family, self.variant)
            return self._commands()[command.letter](command)
        except ParameterProblemError as problem:
            raise problem.to_error(self.family, self.variant) from None

    def _commands(self) -> dict[str, Callable[[Command], str]]:
        return {
            "A": self._do_add, "I": self._do_add, "D": self._do_delete, "C": self._do_check,
            "R": self._do_replace, "L": self._do_list, "S": self._do_list_rules,
            "F": self._do(lambda c: self.flush_chain(c.table, c.chain)),
            "Z": self._do(lambda c: self.zero(c.table, c.chain, c.number)),
            "N": self._do(lambda c: self.new_chain(c.table, c.chain)),
            "X": self._do(lambda c: self.delete_chain(c.table, c.chain)),
            "E": self._do(lambda c: self.rename_chain(c.table, c.chain, c.second_operand)),
            "P": self._do(lambda c: self.set_policy(c.table, c.chain, c.second_operand)),
        }  # fmt: skip

    @staticmethod
    def _do(call: Callable[[Command], None]) -> Callable[[Command], str]:
        def run(command: Command) -> str:
            call(command)
            return ""

        return run

    def _verbose(self, command: Command) -> str:
        if "v" not in command.options:
            return ""
        return "".join(listing.echo_line(rule, self.family) for rule in command.rules)

    def _do_add(self, command: Command) -> str:
        table, is_insert = self._table(command.table), command.letter == "I"
        position, operation = (command.number or 1, "RULE_INSERT") if is_insert else (None, "RULE_APPEND")
        for rule in reversed(command.rules) if is_insert else command.rules:
            entry = self._insert(table, command.chain, rule, position, operation)
            entry.packets, entry.bytes = command.packets, command.bytes
        return self._verbose(command)

    def _do_delete(self, command: Command) -> str:
        table = self._table(command.table)
        if command.number:
            chain = table.chains.get(command.chain)
            if chain is None or command.number > len(chain.rules):
                raise plain_failure(self.family, "Index of deletion too big.")
            chain.remove(command.number - 1)
            self._notify_change(table)
            return ""
        for rule in command.rules:
            self._delete(table, command.chain, rule)
        return self._verbose(command)

    def _do_check(self, command: Command) -> str:
        chain = self._table(command.table).chains.get(command.chain)
        for rule in command.rules:
            if chain is None or rule not in chain:
                raise plain_failure(self.family, _NO_RULE)
        return self._verbose(command)

    def _do_replace(self, command: Command) -> str:
        table = self._table(command.table)
        chain = self._chain(table, command.chain)
        if command.number > len(chain.rules):
            raise plain_failure(self.family, "Index of replacement too big.")
        if len(command.rules) != 1:
            raise ParameterProblemError("Replacement rule does not specify a unique address")
        old = chain.remove(command.number - 1)
        try:
            self._insert(table, command.chain, command.rules[0], command.number, "RULE_REPLACE")
        except IptablesError:
            chain.insert(command.number - 1, old)
            raise
        return self._verbose(command)

    def _do_list(self, command: Command) -> str:
        table = self._table(command.table)
        chains = [self._chain(table, command.chain)] if command.chain else table.chains_in_order()
        return listing.listing(table, chains, command.options, command.number)

    def _do_list_rules(self, command: Command) -> str:
        with_counters = "v" in command.options
        return self.list_rules(command.chain, command.table, with_counters=with_counters, number=command.number)

    # --- common to the commands

    def _table(self, name: str) -> Table:
        table = self.tables.get(name)
        if table is None:
            program = program_name(self.family)
            text = f"{program} {self.variant.version}: table '{name}' does not exist\n"
            if self.variant.is_legacy:
                cause = "Table does not exist (do you need to insmod?)"
                text = f"{program} {self.variant.version}: can't initialize iptables table `{name}': {cause}\n"
            raise IptablesError(3, text + f"Perhaps {program} or your kernel needs to be upgraded.")
        if self.variant.is_legacy and not table.exists:
            # Accessing a legacy table loads its kernel module, which creates the table.
            self._notify_change(table)
        return table

    def _chain(self, table: Table, name: str) -> Chain:
        chain = table.chains.get(name)
        if chain is None:
            raise plain_failure(self.family, _NO_CHAIN)
        return chain

    def _parsed(self, table: str, rule_text: str) -> tuple[Rule, ...]:
        try:
            rules = _parse_text(rule_text, self.family, self._netfilter.set_names)
        except ParameterProblemError as problem:
            raise problem.to_error(self.family, self.variant) from None
        for rule in rules:
            target = rule.target
            if target is None or (target.name in TARGETS and not rule.is_goto):
                continue
            if not self.has_chain(table, target.name):
                raise UnknownTargetError(target.name).to_error(self.family, self.variant)
        return rules

    def _insert(self, table: Table, chain_name: str, rule: Rule, position: int | None, operation: str) -> RuleEntry:
        chain = self._chain(table, chain_name)
        if position is not None and position > len(chain.rules) + 1:
            raise plain_failure(self.family, "Index of insertion too big.")
        entry = RuleEntry(rule)
        self._check_acceptable(table, chain, entry, operation)
        chain.insert(len(chain.rules) if position is None else position - 1, entry)
        self.register_chain(chain)
        self._notify_change(table)
        return entry

    def _check_acceptable(self, table: Table, chain: Chain, entry: RuleEntry, operation: str) -> None:
        """Raise `IptablesError` if the kernel would not accept the rule `entry` of `chain`.

        Reasons are a target that is not allowed in this table or chain, a jump that closes a loop, and a jump to a
        built-in chain. `operation` is the name of the command in the error's text.
        """
        where = f"rule in chain {chain.name}"
        if entry.chain_name:
            if table.chains[entry.chain_name].policy is not None:
                raise kernel_refusal(self.family, operation, "Operation not supported", where, self.variant, _INVALID)
            if table.reaches(entry.chain_name, chain.name):
                raise kernel_refusal(
                    self.family,
                    operation,
                    "Too many links",
                    where,
                    self.variant,
                    "Too many levels of symbolic links.",
                )
            return
        if is_misplaced(entry.rule, table, chain) or is_refused(entry.rule, table, chain, self.variant):
            raise kernel_refusal(self.family, operation, "Invalid argument", where, self.variant)

    def _delete(self, table: Table, chain_name: str, rule: Rule) -> None:
        chain = table.chains.get(chain_name)
        at = chain.index_of(rule) if chain is not None else None
        if chain is None or at is None:
            raise plain_failure(self.family, _NO_RULE)
        chain.remove(at)
        self._notify_change(table)

    def register_chain(self, chain: Chain) -> None:
        """Assign a sequence number to a chain, unless it has one. nft lists chains in the order of these numbers.

        Called for the first rule or policy of a built-in chain, before which the kernel does not have the chain.
        """
        if not chain.order:
            chain.order = self._netfilter.next_order()

    def delete_tables(self, *names: str) -> Callable[[], None]:
        """Delete the tables `names`, with their rules (`nft delete table`); without arguments, all tables.

        Return a function that restores the deleted tables.
        """
        before = dict(self.tables)
        for name in names or tuple(before):
            self.tables[name] = self._new_table(name)

        def undo() -> None:
            self.tables.update(before)

        return undo

    def reset(self, existing: Collection[str]) -> None:
        """Remove all rules and user-defined chains.

        Afterwards only the tables whose names are in `existing` exist in the kernel, all of them empty.
        """
        for name in BUILT_IN_CHAINS:
            table, before = self._new_table(name), self.tables[name]
            table.exists = name in existing
            table.order = before.order if table.exists else 0
            self.tables[name] = table

    def create_table(self, table: Table) -> None:
        """Mark a table as existing in the kernel, unless it already does."""
        if not table.exists:
            table.exists = True
            table.order = self._netfilter.next_order()

    def _notify_change(self, table: Table, *, is_new: bool = True) -> None:
        if is_new:
            self.create_table(table)
        self.notify_rules_changed()

    def notify_rules_changed(self) -> None:
        """Invalidate everything that was derived from the rules, such as cached flows."""
        self._netfilter.rules_changed()


def _redirected(entry: RuleEntry, new: str) -> RuleEntry:
    rule = entry.rule
    assert rule.target is not None
    return RuleEntry(evolve(rule, target=evolve(rule.target, name=new)), entry.packets, entry.bytes)
