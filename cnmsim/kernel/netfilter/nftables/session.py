"""What every command of a run of nft works with: the tables it names, what it prints, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field

from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.errors import NftError, NoTableError, Place, refused
from cnmsim.kernel.netfilter.nftables.ruleparser import RuleParser
from cnmsim.kernel.netfilter.nftables.statements import Rule
from cnmsim.kernel.netfilter.nftables.tables import FAMILIES, Chain, Set, Table, nearest_name

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.nftables.ruleset import NfTables

K = TypeVar("K")
V = TypeVar("V")

ENOENT, EEXIST, EBUSY = "No such file or directory", "File exists", "Device or resource busy"


@define(eq=False)
class Session:
    """One run of nft over its input: the tables, the place in the input, what was printed, and how to take all back."""

    ruleset: NfTables
    cursor: Cursor
    handles: bool = False
    printed: list[str] = field(factory=list)
    undos: list[Callable[[], None]] = field(factory=list)
    changed: bool = False
    #: What is said to stderr though nothing failed.
    warnings: list[str] = field(factory=list)

    def _did(self, undo: Callable[[], None]) -> None:
        self.changed = True
        self.undos.append(undo)

    def _family(self) -> str:
        # A table may be called like a family: then something else than a name follows.
        return self.cursor.take().text if self.cursor.text in FAMILIES else "ip"

    def _table(self, family: str) -> Table:
        token = self.cursor.word()
        found = self.ruleset.tables.get((family, token.text))
        if found is None:
            nearest = nearest_name(token.text, [each.name for each in self.ruleset.tables.values()])
            if not nearest:
                raise NoTableError(f"Could not process rule: {ENOENT}", token.place)
            other = next(each for each in self.ruleset.tables.values() if each.name == nearest)
            raise NoTableError(f"{ENOENT}; did you mean table '{nearest}' in family {other.family}?", token.place)
        return found

    def _chain(self, table: Table, *, lookup: bool = False) -> Chain:
        token = self.cursor.word()
        found = table.chains.get(token.text)
        if found is None:
            raise NftError(ENOENT, token.place) if lookup else refused(ENOENT, token.place)
        return found

    def _parser(self, table: Table) -> RuleParser:
        return RuleParser(self.cursor, table.family, table, self.ruleset.namespace)

    def _words(self) -> list[str]:
        words = [self.cursor.word().text]
        while self.cursor.accept(","):
            words.append(self.cursor.word().text)
        return words

    def _skip_rule(self) -> None:
        self.cursor.at, _ = self.cursor.statement()

    def _check_loops(self, table: Table, rule: Rule | None, place: Place) -> None:
        leads = rule is None or any(each for part in rule.statements for each in (*part.chains(), *part.set_names()))
        if leads and table.has_loop():
            raise refused("Too many links", place)

    def _check_jump(self, table: Table, name: str, place: Place) -> None:
        target = table.chains.get(name)
        if target is None:
            raise refused(ENOENT, place)
        if target.base is not None:
            raise refused("Operation not supported", place)

    def _find_set(self, table: Table, *, kind: str = "set", lookup: bool = False) -> Set:
        token = self.cursor.word()
        found = table.sets.get(token.text)
        if found is None or (kind == "map" and not found.is_map):
            raise NftError(ENOENT, token.place) if lookup else refused(ENOENT, token.place)
        return found


def drop(mapping: dict[K, V], key: K) -> None:
    """Take a key out if it is there."""
    mapping.pop(key, None)


def refill(mapping: dict[K, V], before: dict[K, V]) -> None:
    """Give a mapping what it held."""
    mapping.clear()
    mapping.update(before)


def unclosed() -> NftError:
    """Give the error of an input that ends in the middle of a block."""
    return NftError("syntax error, unexpected end of file", Place(1, 0, 1))
