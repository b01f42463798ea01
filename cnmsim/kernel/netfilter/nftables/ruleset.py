"""The tables of nft in one namespace, and the registration of their base chains on the hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.hooks import ChainType, Dependency, Registration
from cnmsim.kernel.netfilter.nftables.tables import FAMILIES, Table
from cnmsim.kernel.netfilter.nftables.traversal import ChainTraversal

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.netfilter.netfilter import Netfilter
    from cnmsim.kernel.netfilter.table import Table as IptablesTable


class Ruleset:
    """The tables of nft in one namespace. The tables of iptables (nf_tables) are not included."""

    __slots__ = ("_handles", "_netfilter", "tables")

    def __init__(self, netfilter: Netfilter) -> None:
        self._netfilter = netfilter
        self._handles = 0
        self.tables: dict[tuple[str, str], Table] = {}

    @property
    def namespace(self) -> NetworkNamespace:
        """The namespace of the packet filter."""
        return self._netfilter.namespace

    def iptables_tables(self) -> list[IptablesTable]:
        """Return the existing tables of iptables and ip6tables (nf_tables), in order of creation."""
        tables = [
            table for family in (4, 6) for table in self._netfilter.iptables(family).tables.values() if table.exists
        ]
        return sorted(tables, key=lambda table: table.order)

    def delete_iptables_tables(self, family: int, *names: str) -> Callable[[], None]:
        """Delete tables of iptables (`family` 4) or ip6tables (6): those in `names`, or all if there are none.

        Return a function that restores the deleted tables.
        """
        return self._netfilter.iptables(family).delete_tables(*names)

    def next_handle(self) -> int:
        """Allocate the handle of a new table."""
        self._handles += 1
        return self._handles

    def handle_state(self) -> tuple[int, dict[tuple[str, str], int]]:
        """Return the last handle allocated to a table, and for each table the last handle allocated in it.

        A table is identified by (family, name).
        """
        return self._handles, {key: table.last_handle for key, table in self.tables.items()}

    def restore_handles(self, handle_state: tuple[int, dict[tuple[str, str], int]]) -> None:
        """Reset the handles to the result of an earlier call of `handle_state`."""
        self._handles, in_tables = handle_state
        for key, count in in_tables.items():
            if key in self.tables:
                self.tables[key].last_handle = count

    def next_order(self) -> int:
        """Return a new sequence number for the registration of a base chain."""
        return self._netfilter.next_order()

    def text(self) -> str:
        """Return all tables as `nft list ruleset` prints them, without those of iptables."""
        return "".join(table.text() for table in self.tables.values())

    def rule_set(self, family: int) -> FamilyView:
        """Return the base chains through which packets of a family (4 or 6) pass."""
        return FamilyView(self, family, self._netfilter)


class FamilyView:
    """The base chains of nft through which packets of one family (4 or 6) pass."""

    __slots__ = ("_family", "_netfilter", "_ruleset")

    def __init__(self, ruleset: Ruleset, family: int, netfilter: Netfilter) -> None:
        self._ruleset = ruleset
        self._family = family
        self._netfilter = netfilter

    def _tables(self) -> Iterator[Table]:
        return (table for table in self._ruleset.tables.values() if self._family in FAMILIES[table.family])

    @property
    def has_effect(self) -> bool:
        """Whether any base chain has a rule or a policy other than accept."""
        return any(
            chain.base is not None and (not chain.is_empty or chain.policy != "accept")
            for table in self._tables()
            for chain in table.chains.values()
        )

    @property
    def has_nat(self) -> bool:
        """Whether any rule in a table for this family translates addresses."""
        return any(table.translates for table in self._tables())

    @property
    def needs_conntrack(self) -> bool:
        """Whether any rule reads the connection of packets, so that packets must pass connection tracking."""
        return any(table.needs_conntrack for table in self._tables())

    def registrations(self) -> Iterator[Registration]:
        """Yield the base chains, each with its hook and priority."""
        for table in self._tables():
            for chain in table.chains.values():
                base = chain.base
                if base is not None:
                    walk = ChainTraversal(table, chain, base.hook, self._netfilter)
                    yield Registration(
                        base.hook, base.priority, chain.order, ChainType(base.type), walk, Dependency.FLOW
                    )
