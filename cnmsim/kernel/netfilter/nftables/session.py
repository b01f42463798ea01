"""State of one run of nft that its commands share: cursor, output, and the undo log of the transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field

from cnmsim.kernel.netfilter.nftables import iptables_listing
from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.errors import Location, NftError, NoTableError, kernel_refusal
from cnmsim.kernel.netfilter.nftables.list_options import PLAIN, ListOptions
from cnmsim.kernel.netfilter.nftables.ruleparser import RuleParser
from cnmsim.kernel.netfilter.nftables.statements import Rule
from cnmsim.kernel.netfilter.nftables.tables import FAMILIES, Chain, Set, Table, nearest_name

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.nftables.ruleset import Ruleset
    from cnmsim.kernel.netfilter.table import Table as IptablesTable

K = TypeVar("K")
V = TypeVar("V")

ENOENT, EEXIST, EBUSY = "No such file or directory", "File exists", "Device or resource busy"


@define(eq=False)
class Session:
    """One run of nft over its input: the rule set, the cursor, the output so far, and the undo log."""

    ruleset: Ruleset
    cursor: Cursor
    options: ListOptions = PLAIN
    output: list[str] = field(factory=list)
    undos: list[Callable[[], None]] = field(factory=list)
    changed: bool = False
    #: Warnings, which nft writes to stderr although no command failed.
    warnings: list[str] = field(factory=list)

    def record_undo(self, undo: Callable[[], None]) -> None:
        """Record a change: `undo` is called if a later command of the transaction fails."""
        self.changed = True
        self.undos.append(undo)

    def remove_keys(self, mapping: dict[K, V], *keys: K) -> None:
        """Remove keys from a mapping. If the transaction fails, they are restored at their old position."""
        before = dict(mapping)
        for key in keys:
            del mapping[key]

        def undo() -> None:
            mapping.clear()
            mapping.update(before)

        self.record_undo(undo)

    def family(self) -> str:
        """If the next word is the name of a family, consume and return it.

        Otherwise return `ip` and consume nothing.
        """
        # A table may be named like a family; then no name follows it.
        return self.cursor.take().text if self.cursor.text in FAMILIES else "ip"

    def table(self, family: str) -> Table:
        """Consume the name of a table and return the table. Raises `NftError` if the table does not exist."""
        token = self.cursor.word()
        table = self.ruleset.tables.get((family, token.text))
        if table is None:
            nearest = nearest_name(token.text, [other_table.name for other_table in self.ruleset.tables.values()])
            if not nearest:
                raise NoTableError(f"Could not process rule: {ENOENT}", token.location)
            other = next(other_table for other_table in self.ruleset.tables.values() if other_table.name == nearest)
            raise NoTableError(f"{ENOENT}; did you mean table '{nearest}' in family {other.family}?", token.location)
        return table

    def chain(self, table: Table, *, lookup: bool = False) -> Chain:
        """Consume the name of a chain and return the chain. Raises `NftError` if the chain does not exist.

        If `lookup` is True, the error has the text of nft itself, otherwise that of the kernel.
        """
        token = self.cursor.word()
        chain = table.chains.get(token.text)
        if chain is None:
            raise NftError(ENOENT, token.location) if lookup else kernel_refusal(ENOENT, token.location)
        return chain

    def parser(self, table: Table) -> RuleParser:
        """Return a parser for the rule at the cursor, which belongs to `table`."""
        return RuleParser(self.cursor, table.family, table, self.ruleset.namespace)

    def words(self) -> list[str]:
        """Consume words separated by commas and return them. Raises `NftError` if the next token is not a word."""
        words = [self.cursor.word().text]
        while self.cursor.accept(","):
            words.append(self.cursor.word().text)
        return words

    def check_loops(self, table: Table, rule: Rule | None, location: Location) -> None:
        """Raise `NftError` at `location` if the jumps between the table's chains form a loop (nft_chain_validate).

        `rule` is the rule that was added, None if a map element was added. A rule without jumps and without named
        sets or maps is not checked.
        """
        leads = rule is None or any(name for part in rule.statements for name in (*part.chains(), *part.set_names()))
        if leads and table.has_loop():
            raise kernel_refusal("Too many links", location)

    def check_jump(self, table: Table, name: str, location: Location) -> None:
        """Raise `NftError` at `location` if the chain `name`, the target of a jump, is missing or is a base chain."""
        target = table.chains.get(name)
        if target is None:
            raise kernel_refusal(ENOENT, location)
        if target.base is not None:
            raise kernel_refusal("Operation not supported", location)

    def find_set(self, table: Table, *, kind: str = "set", lookup: bool = False) -> Set:
        """Consume the name of a set or map and return it. Raises `NftError` if none has that name.

        If `kind` is `map`, a set of that name is not accepted. If `lookup` is True, the error has the text of nft
        itself, otherwise that of the kernel.
        """
        token = self.cursor.word()
        set_ = table.sets.get(token.text)
        if set_ is None or (kind == "map" and not set_.is_map):
            raise NftError(ENOENT, token.location) if lookup else kernel_refusal(ENOENT, token.location)
        return set_

    def iptables_table(self) -> IptablesTable | None:
        """Consume a family and a name, and return the table of iptables (nf_tables) that they name.

        If there is no such table, consume nothing and return None.
        """
        cursor = self.cursor
        family = cursor.text if cursor.text in FAMILIES else "ip"
        name = cursor.peek(1) if cursor.text in FAMILIES else cursor.text
        for table in self.ruleset.iptables_tables():
            if (family, name) == (iptables_listing.family_name(table), table.name):
                self.family()
                cursor.word()
                return table
        return None


def drop(mapping: dict[K, V], key: K) -> None:
    """Remove a key from a mapping if it is there. Used by undo functions."""
    mapping.pop(key, None)


def unclosed_block() -> NftError:
    """Return the syntax error for an input that ends inside a block."""
    return NftError("syntax error, unexpected end of file", Location(1, 0, 1))
