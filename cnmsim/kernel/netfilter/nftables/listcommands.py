"""The command `nft list`, on tables of nft and on those of iptables (nf_tables). `nft reset` is not simulated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.netfilter.nftables import iptables_json, iptables_listing, jsonlisting
from cnmsim.kernel.netfilter.nftables.errors import NftError
from cnmsim.kernel.netfilter.nftables.jsonrules import Json
from cnmsim.kernel.netfilter.nftables.session import ENOENT, Session
from cnmsim.kernel.netfilter.nftables.tables import FAMILIES, Chain, Set, Table

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.table import Table as IptablesTable

#: Kinds of objects that `list` accepts without a name.
_PLURALS = frozenset({"ruleset", "tables", "chains", "sets", "maps", "counters"})


@define(eq=False)
class ListCommands:
    """The command `list` of one run of nft."""

    session: Session

    def list(self, verb: str) -> None:
        """Run the command `list` at the cursor, and append the text that nft prints to the session's output.

        Raises `NftError` if the command is invalid or names an object that does not exist, or if `verb` is `reset`.
        """
        cursor = self.session.cursor
        if verb == "reset" or cursor.ends_statement():
            cursor.unexpected()
        kind = cursor.word()
        if kind.text in _PLURALS:
            self._list_all(kind.text)
            return
        if kind.text not in {"table", "chain", "set", "map"}:
            raise NftError("syntax error, unexpected string", kind.location)
        table_of_iptables = self.session.iptables_table()
        if table_of_iptables is not None:
            self._list_part_of(table_of_iptables, kind.text)
            return
        table = self._table_to_list()
        part: Chain | Set | None = None
        if kind.text == "chain":
            part = self.session.chain(table, lookup=True)
        elif kind.text != "table":
            part = self.session.find_set(table, kind=kind.text, lookup=True)
        if self.session.options.as_json:
            self._print_json(jsonlisting.part_json(table, part, self.session.options))
        elif part is None:
            self.session.output.append(table.text(self.session.options))
        else:
            self.session.output.append(table.part(part, options=self.session.options))

    def _print_json(self, objects: Iterable[Json]) -> None:
        self.session.output.append(jsonlisting.document(objects))

    def _list_all(self, kind: str) -> None:
        session, cursor, options = self.session, self.session.cursor, self.session.options
        ruleset, namespace = session.ruleset, session.ruleset.namespace
        iptables_tables: list[IptablesTable] = []
        family = cursor.take().text if cursor.text in FAMILIES else ""
        if kind in {"sets", "maps", "chains"} and cursor.accept("table"):
            tables = [session.table(session.family())]
        else:
            tables = [own for own in ruleset.tables.values() if family in {"", own.family}]
            existing = ruleset.iptables_tables()
            iptables_tables = [other for other in existing if family in {"", iptables_listing.family_name(other)}]
        if options.as_json:
            objects: list[Json] = []
            for other in iptables_tables:
                objects += iptables_json.listed_json(other, kind, namespace, options)
            for own in tables:
                objects += jsonlisting.listed_json(own, kind, options)
            self._print_json(objects)
            return
        if kind == "ruleset":
            session.warnings += [iptables_listing.warning(other) for other in iptables_tables]
            session.output += [iptables_listing.table_text(other, options) for other in iptables_tables]
        elif kind == "tables":
            session.output += [
                f"table {iptables_listing.family_name(other)} {other.name}\n" for other in iptables_tables
            ]
        session.output += [self._listed(own, kind) for own in tables]

    def _list_part_of(self, table: IptablesTable, kind: str) -> None:
        options, namespace = self.session.options, self.session.ruleset.namespace
        as_json = options.as_json
        if not as_json:
            self.session.warnings.append(iptables_listing.warning(table))
        if kind == "table":
            if as_json:
                self._print_json(iptables_json.listed_json(table, "ruleset", namespace, options))
            else:
                self.session.output.append(iptables_listing.table_text(table, options))
            return
        token = self.session.cursor.word()
        chain = next(
            (candidate for candidate in iptables_listing.shown_chains(table) if candidate.name == token.text), None
        )
        if chain is None or kind != "chain":
            raise NftError(ENOENT, token.location)
        if as_json:
            self._print_json(
                [iptables_json.chain_json(table, chain), *iptables_json.rules_json(table, chain, namespace, options)]
            )
            return
        lines = [
            f"table {iptables_listing.family_name(table)} {table.name} {{",
            *iptables_listing.chain_lines(table, chain, options),
            "}",
        ]
        self.session.output.append("".join(f"{line}\n" for line in lines))

    def _table_to_list(self) -> Table:
        family = self.session.family()
        token = self.session.cursor.word()
        table = self.session.ruleset.tables.get((family, token.text))
        if table is None:
            raise NftError(ENOENT, token.location)
        return table

    def _listed(self, table: Table, kind: str) -> str:
        if kind == "ruleset":
            return table.text(self.session.options)
        if kind == "tables":
            return f"table {table.family} {table.name}\n"
        if kind == "chains":
            heads = [Chain(c.name, c.handle, c.base, c.policy, c.comment) for c in table.chains.values()]
            return table.part(*heads, options=self.session.options)
        if kind == "counters":
            return table.part()
        return table.part(
            *(s for s in table.sets.values() if s.is_map is (kind == "maps")), options=self.session.options
        )
