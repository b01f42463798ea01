"""What every command of a run of nft works with: the tables it names, what it prints, and the way back."""

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
    """One run of nft over its input: the tables, the location in the input, what was output, and how to take all back."""

    ruleset: Ruleset
    cursor: Cursor
    options: ListOptions = PLAIN
    output: list[str] = field(factory=list)
    undos: list[Callable[[], None]] = field(factory=list)
    changed: bool = False
    #: What is said to stderr though nothing failed.
    warnings: list[str] = field(factory=list)

    def record_undo(self, undo: Callable[[], None]) -> None:
        """Take note of something done, and of how it is taken back."""
        self.changed = True
        self.undos.append(undo)

    def remove_keys(self, mapping: dict[K, V], *keys: K) -> None:
        """Take keys out of a mapping that keeps its order if they come back."""
        before = dict(mapping)
        for key in keys:
            del mapping[key]

        def undo() -> None:
            mapping.clear()
            mapping.update(before)

        self.record_undo(undo)

    def family(self) -> str:
        """Take the name of a family if one comes, else it is ip."""
        # A table may be called like a family: then something else than a name follows.
        return self.cursor.take().text if self.cursor.text in FAMILIES else "ip"

    def table(self, family: str) -> Table:
        """Take the name of a table, and give that. Raises `NftError` if there is none."""
        token = self.cursor.word()
        found = self.ruleset.tables.get((family, token.text))
        if found is None:
            nearest = nearest_name(token.text, [each.name for each in self.ruleset.tables.values()])
            if not nearest:
                raise NoTableError(f"Could not process rule: {ENOENT}", token.location)
            other = next(each for each in self.ruleset.tables.values() if each.name == nearest)
            raise NoTableError(f"{ENOENT}; did you mean table '{nearest}' in family {other.family}?", token.location)
        return found

    def chain(self, table: Table, *, lookup: bool = False) -> Chain:
        """Take the name of a chain, and give that. Raises `NftError` if there is none."""
        token = self.cursor.word()
        found = table.chains.get(token.text)
        if found is None:
            raise NftError(ENOENT, token.location) if lookup else kernel_refusal(ENOENT, token.location)
        return found

    def parser(self, table: Table) -> RuleParser:
        """Give a parser for the rule that follows."""
        return RuleParser(self.cursor, table.family, table, self.ruleset.namespace)

    def words(self) -> list[str]:
        """Take words with commas between. Raises `NftError`."""
        words = [self.cursor.word().text]
        while self.cursor.accept(","):
            words.append(self.cursor.word().text)
        return words

    def skip_rule(self) -> None:
        """Go past the rest of a rule or command."""
        self.cursor.at, _ = self.cursor.statement()

    def check_loops(self, table: Table, rule: Rule | None, location: Location) -> None:
        """Refuse a rule (`None`: an element) that closes a loop of chains (nft_chain_validate)."""
        leads = rule is None or any(each for part in rule.statements for each in (*part.chains(), *part.set_names()))
        if leads and table.has_loop():
            raise kernel_refusal("Too many links", location)

    def check_jump(self, table: Table, name: str, location: Location) -> None:
        """Refuse a jump to a chain that is not there or is a base chain."""
        target = table.chains.get(name)
        if target is None:
            raise kernel_refusal(ENOENT, location)
        if target.base is not None:
            raise kernel_refusal("Operation not supported", location)

    def find_set(self, table: Table, *, kind: str = "set", lookup: bool = False) -> Set:
        """Take the name of a set or map, and give that. Raises `NftError` if there is none."""
        token = self.cursor.word()
        found = table.sets.get(token.text)
        if found is None or (kind == "map" and not found.is_map):
            raise NftError(ENOENT, token.location) if lookup else kernel_refusal(ENOENT, token.location)
        return found

    def iptables_table(self) -> IptablesTable | None:
        """Take the name of a table of iptables, if one comes."""
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
    """Take a key out if it is there."""
    mapping.pop(key, None)


def unclosed_block() -> NftError:
    """Give the error of an input that ends in the middle of a block."""
    return NftError("syntax error, unexpected end of file", Location(1, 0, 1))
