"""nft's commands on rules (nf_tables_api.c: nf_tables_newrule, nf_tables_delrule)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define

from cnmsim.kernel.netfilter.hooks import ChainType, Hook
from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.errors import Location, kernel_refusal
from cnmsim.kernel.netfilter.nftables.lazy_rules import ParsedRule
from cnmsim.kernel.netfilter.nftables.session import ENOENT, Session
from cnmsim.kernel.netfilter.nftables.statements import Rule
from cnmsim.kernel.netfilter.nftables.tables import BaseChainSpec, Chain, RuleEntry, Table

#: Cache of parsed rules: by the family of the table and the base chain, then by the text of the rule.
_KNOWN_LINES: dict[tuple[str, BaseChainSpec | None], dict[str, ParsedRule]] = {}
_MAX_LINES = 65536


@define(eq=False)
class RuleCommands:
    """nft's commands on rules."""

    session: Session

    def add(self, verb: str) -> None:
        """Run `add rule` or `insert rule` (`verb` is the first word). Raises `NftError` if the command fails."""
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
            raise kernel_refusal(ENOENT, chain_token.location)
        whole = begin.to(cursor.location if cursor.text in {"", "\n"} else cursor.last_location)
        at = 0 if verb == "insert" else len(chain.rules)
        if where is not None:
            word, number = where
            index = number if word == "index" else chain.find(number)
            if index is None or index >= len(chain.rules):
                table.next_handle()
                raise kernel_refusal(ENOENT, whole)
            at = index if verb == "insert" else index + 1
        self._insert(table, chain, rule, at, whole, parser.jumps)

    def append(self, table: Table, chain: Chain, lines: Sequence[str]) -> None:
        """Append rules to a chain; each of `lines` is one rule. Raises `NftError` if a rule is invalid."""
        cache = _KNOWN_LINES.setdefault((table.family, chain.base), {})
        if len(cache) > _MAX_LINES:
            cache.clear()
        for line in lines:
            if line not in cache:
                self._remember(table, chain, line, cache)
        if chain.is_empty and all(line in cache for line in lines):
            self.session.record_undo(chain.set_lazy_rules([cache[line] for line in lines], table))
            return
        for line in lines:
            self.session.cursor = Cursor.over(line)
            self.add_in_block(table, chain)

    def _remember(self, table: Table, chain: Chain, line: str, cache: dict[str, ParsedRule]) -> None:
        """Parse the rule `line`. Store it in `cache` if its text means the same in every table.

        Raises `NftError` if the rule is invalid.
        """
        cursor = self.session.cursor = Cursor.over(line)
        parser = self.session.parser(table)
        rule = parser.rule()
        if not cursor.is_at_end:
            cursor.unexpected("newline")
        if rule.is_context_free and "$" not in line:
            self._check_rule(table, chain, rule, cursor.location, parser.jumps)
            cache[line] = ParsedRule.of(rule)

    def add_in_block(self, table: Table, chain: Chain) -> None:
        """Append the rule at the cursor, which is inside a chain's block, to the chain.

        Raises `NftError` if the rule is invalid.
        """
        cursor = self.session.cursor
        begin = cursor.location
        parser = self.session.parser(table)
        rule = parser.rule()
        self._insert(table, chain, rule, len(chain.rules), begin.to(cursor.last_location), parser.jumps)

    def _insert(
        self,
        table: Table,
        chain: Chain,
        rule: Rule,
        at: int,
        location: Location,
        jumps: Mapping[str, Location],
        handle: int = 0,
    ) -> None:
        for _ in range(rule.anonymous_sets):
            table.next_handle()
        entry = RuleEntry(rule, handle or table.next_handle())
        self._check_rule(table, chain, rule, location, jumps)
        chain.rules.insert(at, entry)
        self.session.record_undo(lambda: chain.rules.remove(entry))
        self.session.check_loops(table, rule, location)

    def _check_rule(
        self, table: Table, chain: Chain, rule: Rule, location: Location, jumps: Mapping[str, Location]
    ) -> None:
        """Raise `NftError` if the kernel does not accept the rule in `chain`.

        Reasons are a jump to a chain that does not exist or is a base chain, and address translation in a chain that
        does not allow it. `location` is the location of the rule; `jumps` maps the chains to which it jumps to their
        locations.
        """
        for statement in rule.statements:
            for name in statement.chains():
                self.session.check_jump(table, name, jumps.get(name, location))
        if rule.translates and chain.base is not None and not _is_nat_allowed(chain.base, rule):
            raise kernel_refusal("Operation not supported", location)

    def _handle_of(self, chain: Chain) -> int:
        cursor = self.session.cursor
        if not cursor.accept("handle"):
            cursor.unexpected("handle")
        location = cursor.location
        at = chain.find(cursor.number())
        if at is None:
            raise kernel_refusal(ENOENT, location)
        return at

    def replace(self, verb: str) -> None:
        """Run `replace rule`.

        Raises `NftError` if the rule does not exist or the new one is invalid. `verb` is not used.
        """
        cursor = self.session.cursor
        begin = cursor.last_location
        cursor.expect("rule")
        table = self.session.table(self.session.family())
        chain = self.session.chain(table)
        at = self._handle_of(chain)
        parser = self.session.parser(table)
        rule = parser.rule()
        handle = chain.rules[at].handle
        self._remove(chain, at)
        self._insert(table, chain, rule, at, begin.to(cursor.last_location), parser.jumps, handle)

    def _remove(self, chain: Chain, at: int) -> None:
        entry = chain.rules.pop(at)
        self.session.record_undo(lambda: chain.rules.insert(at, entry))

    def delete(self) -> None:
        """Run `delete rule`. Raises `NftError` if the rule does not exist."""
        table = self.session.table(self.session.family())
        chain = self.session.chain(table)
        self._remove(chain, self._handle_of(chain))


def _is_nat_allowed(base: BaseChainSpec, rule: Rule) -> bool:
    """Return True if the kernel allows a rule's translations in a base chain (nft_nat_validate and others)."""
    if base.type is not ChainType.NAT:
        return False
    kinds = {getattr(statement, "kind", "") for statement in rule.statements if statement.translates}
    places = {
        "dnat": {Hook.PREROUTING, Hook.OUTPUT}, "redirect": {Hook.PREROUTING, Hook.OUTPUT},
        "snat": {Hook.POSTROUTING, Hook.INPUT}, "masquerade": {Hook.POSTROUTING},
    }  # fmt: skip
    return all(base.hook in places[kind] for kind in kinds)
