"""The commands that list: tables of nft's own, and those of iptables (nf_tables)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.netfilter.nftables import compat
from cnmsim.kernel.netfilter.nftables.errors import NftError
from cnmsim.kernel.netfilter.nftables.session import ENOENT, Session
from cnmsim.kernel.netfilter.nftables.tables import FAMILIES, Chain, Table

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.table import Table as IptablesTable


@define(eq=False)
class ListCommands:
    """What a run lists."""

    session: Session

    def list(self, verb: str) -> None:
        """Do `list`. Raises `NftError`."""
        cursor = self.session.cursor
        if verb == "reset" or cursor.ends_statement():
            cursor.unexpected()
        kind = cursor.word()
        wanted = (
            self.session.cursor.text if self.session.cursor.text in FAMILIES and kind.text[-1] in {"s", "t"} else ""
        )
        plural = {"ruleset", "tables", "chains", "sets", "maps", "counters"}
        if kind.text in plural:
            if wanted and kind.text != "set":
                cursor.take()
            if kind.text in {"sets", "maps", "chains"} and cursor.text == "table":
                cursor.take()
                tables = [self.session.table(self.session.family())]
            else:
                tables = [each for each in self.session.ruleset.tables.values() if wanted in {"", each.family}]
                self._list_iptables(kind.text, wanted)
            self.session.printed += [self._listed(each, kind.text) for each in tables]
            return
        if kind.text not in {"table", "chain", "set", "map"}:
            raise NftError("syntax error, unexpected string", kind.place)
        theirs = self.session.iptables_table()
        if theirs is not None:
            self._list_part_of(theirs, kind.text)
            return
        table = self._table_to_list()
        if kind.text == "table":
            self.session.printed.append(table.text(handles=self.session.handles))
        elif kind.text == "chain":
            self.session.printed.append(
                table.part(self.session.chain(table, lookup=True), handles=self.session.handles)
            )
        else:
            found = self.session.find_set(table, kind=kind.text, lookup=True)
            self.session.printed.append(table.part(found, handles=self.session.handles))

    def _list_iptables(self, kind: str, wanted: str) -> None:
        for table in self.session.ruleset.iptables_tables():
            family = compat.family_name(table)
            if wanted in {"", family}:
                if kind == "ruleset":
                    self._list_part_of(table, "table")
                elif kind == "tables":
                    self.session.printed.append(f"table {family} {table.name}\n")

    def _list_part_of(self, table: IptablesTable, kind: str) -> None:
        self.session.warnings.append(compat.warning(table))
        if kind == "table":
            self.session.printed.append(compat.table_text(table))
            return
        token = self.session.cursor.word()
        chain = next((each for each in compat.shown_chains(table) if each.name == token.text), None)
        if chain is None or kind != "chain":
            raise NftError(ENOENT, token.place)
        lines = [
            f"table {compat.family_name(table)} {table.name} {{",
            *compat.chain_lines(table, chain),
            "}",
        ]
        self.session.printed.append("".join(f"{line}\n" for line in lines))

    def _table_to_list(self) -> Table:
        family = self.session.family()
        token = self.session.cursor.word()
        found = self.session.ruleset.tables.get((family, token.text))
        if found is None:
            raise NftError(ENOENT, token.place)
        return found

    def _listed(self, table: Table, kind: str) -> str:
        if kind == "ruleset":
            return table.text(handles=self.session.handles)
        if kind == "tables":
            return f"table {table.family} {table.name}\n"
        if kind == "chains":
            heads = [Chain(c.name, c.handle, c.base, c.policy, c.comment) for c in table.chains.values()]
            return table.part(*heads, handles=self.session.handles)
        if kind == "counters":
            return table.part()
        return table.part(
            *(s for s in table.sets.values() if s.is_map is (kind == "maps")), handles=self.session.handles
        )
