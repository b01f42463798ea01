"""The commands on rules (nf_tables_api.c: nf_tables_newrule, nf_tables_delrule)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define

from cnmsim.kernel.netfilter.hooks import ChainType, Hook
from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.errors import Place, refused
from cnmsim.kernel.netfilter.nftables.lazy_rules import Line
from cnmsim.kernel.netfilter.nftables.session import ENOENT, Session
from cnmsim.kernel.netfilter.nftables.statements import Rule
from cnmsim.kernel.netfilter.nftables.tables import Base, Chain, RuleEntry, Table

#: Rules read from blocks, by family and words: who writes a chain anew writes most of its rules again.
_PARSED: dict[tuple[str, tuple[str, ...]], Rule] = {}
_MOST_PARSED = 8192


#: Rules read from lines of their own, by family and base chain, and line.
_LINES: dict[tuple[str, Base | None], dict[str, Line]] = {}
_MOST_LINES = 65536


@define(eq=False)
class RuleCommands:
    """What a run does to rules."""

    session: Session

    def add(self, verb: str) -> None:
        """Do `add rule` or `insert rule`. Raises `NftError`."""
        cursor = self.session.cursor
        begin = cursor.before(2)
        table = self.session.table(self.session.family())
        chain_token = cursor.token
        cursor.word()
        where: tuple[str, int] | None = None
        if cursor.text in {"handle", "position", "index"}:
            where = (cursor.take().text, cursor.number())
        parser = self.session.parser(table)
        rule = parser.rule()
        chain = table.chains.get(chain_token.text)
        if chain is None:
            raise refused(ENOENT, chain_token.place)
        whole = begin.to(cursor.place if cursor.text in {"", "\n"} else cursor.last_place)
        at = 0 if verb == "insert" else len(chain.rules)
        if where is not None:
            word, number = where
            found = number if word == "index" else chain.find(number)
            if found is None or found >= len(chain.rules):
                table.next_handle()
                raise refused(ENOENT, whole)
            at = found if verb == "insert" else found + 1
        self._put(table, chain, rule, at, whole, parser.jumps)

    def append(self, table: Table, chain: Chain, lines: Sequence[str]) -> None:
        """Append rules, each on a line of its own. Raises `NftError`."""
        known = _LINES.setdefault((table.family, chain.base), {})
        if len(known) > _MOST_LINES:
            known.clear()
        for line in lines:
            if line not in known:
                self._learn(table, chain, line, known)
        if chain.is_empty and all(line in known for line in lines):
            self.session.did(chain.write([known[line] for line in lines], table))
            return
        for line in lines:
            self.session.cursor = Cursor.over(line)
            self.add_in_block(table, chain)

    def _learn(self, table: Table, chain: Chain, line: str, known: dict[str, Line]) -> None:
        """Read a line that was not met before; it is known from now on if its words mean the same in every table."""
        cursor = self.session.cursor = Cursor.over(line)
        parser = self.session.parser(table)
        rule = parser.rule()
        if not cursor.is_at_end:
            cursor.unexpected("newline")
        if rule.stands_alone and "$" not in line:
            self._check_rule(table, chain, rule, cursor.place, parser.jumps)
            known[line] = Line.of(rule)

    def add_in_block(self, table: Table, chain: Chain) -> None:
        """Add the rule that stands in a chain's block. Raises `NftError`."""
        cursor = self.session.cursor
        begin = cursor.place
        end, words = cursor.statement()
        known = _PARSED.get((table.family, words))
        if known is not None:
            cursor.at = end
            self._put(table, chain, known.fresh(), len(chain.rules), begin.to(cursor.last_place), {})
            return
        parser = self.session.parser(table)
        rule = parser.rule()
        if rule.stands_alone and not any(word.startswith("$") for word in words):
            if len(_PARSED) >= _MOST_PARSED:
                _PARSED.clear()
            _PARSED[table.family, words] = rule.fresh()
        self._put(table, chain, rule, len(chain.rules), begin.to(cursor.last_place), parser.jumps)

    def _put(
        self,
        table: Table,
        chain: Chain,
        rule: Rule,
        at: int,
        place: Place,
        jumps: Mapping[str, Place],
        handle: int = 0,
    ) -> None:
        for _ in range(rule.anonymous_sets):
            table.next_handle()
        entry = RuleEntry(rule, handle or table.next_handle())
        self._check_rule(table, chain, rule, place, jumps)
        chain.rules.insert(at, entry)
        self.session.did(lambda: chain.rules.remove(entry))
        self.session.check_loops(table, rule, place)

    def _check_rule(self, table: Table, chain: Chain, rule: Rule, place: Place, jumps: Mapping[str, Place]) -> None:
        """Refuse what the kernel refuses: jumps to nowhere or to base chains, translations out of place."""
        for statement in rule.statements:
            for name in statement.chains():
                self.session.check_jump(table, name, jumps.get(name, place))
        if rule.translates and chain.base is not None and not _may_translate(chain.base, rule):
            raise refused("Operation not supported", place)

    def _handle_of(self, chain: Chain) -> int:
        cursor = self.session.cursor
        if not cursor.accept("handle"):
            cursor.unexpected("handle")
        place = cursor.place
        at = chain.find(cursor.number())
        if at is None:
            raise refused(ENOENT, place)
        return at

    def replace(self, verb: str) -> None:
        """Do `replace rule`. Raises `NftError`."""
        del verb
        cursor = self.session.cursor
        begin = cursor.last_place
        cursor.expect("rule")
        table = self.session.table(self.session.family())
        chain = self.session.chain(table)
        at = self._handle_of(chain)
        parser = self.session.parser(table)
        rule = parser.rule()
        handle = chain.rules[at].handle
        self._take_rule(chain, at)
        self._put(table, chain, rule, at, begin.to(cursor.last_place), parser.jumps, handle)

    def _take_rule(self, chain: Chain, at: int) -> None:
        entry = chain.rules.pop(at)
        self.session.did(lambda: chain.rules.insert(at, entry))

    def delete(self) -> None:
        """Do `delete rule`. Raises `NftError`."""
        table = self.session.table(self.session.family())
        chain = self.session.chain(table)
        self._take_rule(chain, self._handle_of(chain))


def _may_translate(base: Base, rule: Rule) -> bool:
    """Tell whether the kernel takes a rule's translations in a base chain (nft_nat_validate and its like)."""
    if base.type is not ChainType.NAT:
        return False
    kinds = {getattr(each, "kind", "") for each in rule.statements if each.translates}
    places = {
        "dnat": {Hook.PREROUTING, Hook.OUTPUT}, "redirect": {Hook.PREROUTING, Hook.OUTPUT},
        "snat": {Hook.POSTROUTING, Hook.INPUT}, "masquerade": {Hook.POSTROUTING},
    }  # fmt: skip
    return all(base.hook in places[kind] for kind in kinds)
