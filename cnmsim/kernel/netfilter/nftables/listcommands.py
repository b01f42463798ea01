"""The list commands: for tables of nft, and for those of iptables (nf_tables)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.netfilter.nftables import iptables_json, iptables_listing, jsonlisting
from cnmsim.kernel.netfilter.nftables.errors import NftError
from cnmsim.kernel.netfilter.nftables.jsonrules import Json
from cnmsim.kernel.netfilter.nftables.session import ENOENT, Session
from cnmsim.kernel.netfilter.nftables.tables import FAMILIES, Chain, Set, Table

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.table import Table as IptablesTable


@define(eq=False)
class ListCommands:
    """The list commands."""

    session: Session

    def list(self, verb: str) -> None:
        """Run `list`. Raises `NftError`."""
        cursor = self.session.cursor
        if verb == "reset" or cursor.ends_statement():
            cursor.unexpected()
        kind = cursor.word()
        family = (
            self.session.cursor.text if self.session.cursor.text in FAMILIES and kind.text[-1] in {"s", "t"} else ""
        )
        plural = {"ruleset", "tables", "chains", "sets", "maps", "counters"}
        if kind.text in plural:
            iptables_tables: list[IptablesTable] = []
            if family and kind.text != "set":
                cursor.take()
            if kind.text in {"sets", "maps", "chains"} and cursor.text == "table":
                cursor.take()
                tables = [self.session.table(self.session.family())]
            else:
                tables = [
                    candidate
                    for candidate in self.session.ruleset.tables.values()
                    if family in {"", candidate.family}
                ]
                iptables_tables = [
                    t
                    for t in self.session.ruleset.iptables_tables()
                    if family in {"", iptables_listing.family_name(t)}
                ]
            self._list_all(kind.text, iptables_tables, tables)
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

    def _list_all(self, kind: str, iptables_tables: Sequence[IptablesTable], tables: Sequence[Table]) -> None:
        options = self.session.options
        if kind == "ruleset":
            self.session.warnings += [
                iptables_listing.warning(each) for each in iptables_tables if not self.session.options.as_json
            ]
        if self.session.options.as_json:
            namespace = self.session.ruleset.namespace
            objects = [
                each
                for table in iptables_tables
                for each in iptables_json.listed_json(table, kind, namespace, options)
            ]
            self._print_json(
                objects + [each for table in tables for each in jsonlisting.listed_json(table, kind, options)]
            )
            return
        if kind == "ruleset":
            self.session.output += [iptables_listing.table_text(each, options) for each in iptables_tables]
        elif kind == "tables":
            self.session.output += [
                f"table {iptables_listing.family_name(each)} {each.name}\n" for each in iptables_tables
            ]
        self.session.output += [self._listed(each, kind) for each in tables]

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
