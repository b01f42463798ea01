"""Tables of iptables (nf_tables) as `nft -j` lists them, without handles, which are not simulated for them.

Native expressions of nf_tables are listed in full, extensions of iptables only by name (nftables src/xt.c).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.nftables import iptables_listing
from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.jsonrules import Json, rule_json
from cnmsim.kernel.netfilter.nftables.list_options import ListOptions
from cnmsim.kernel.netfilter.nftables.ruleparser import RuleParser
from cnmsim.kernel.netfilter.nftables.tables import Table

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.netfilter.table import Chain as IptablesChain
    from cnmsim.kernel.netfilter.table import Table as IptablesTable


def table_json(table: IptablesTable) -> Json:
    """Return the JSON object of a table, without its chains."""
    return {"table": {"family": iptables_listing.family_name(table), "name": table.name}}


def chain_json(table: IptablesTable, chain: IptablesChain) -> Json:
    """Return the JSON object of a chain, without its rules."""
    fields: dict[str, Json] = {"family": iptables_listing.family_name(table), "table": table.name, "name": chain.name}
    if chain.policy is not None:
        base = iptables_listing.base_chain_spec(table, chain)
        fields |= {"type": base.type.value, "hook": base.hook.value.lower(), "prio": base.priority}
        fields["policy"] = chain.policy.lower()
    return {"chain": fields}


def rules_json(
    table: IptablesTable, chain: IptablesChain, namespace: NetworkNamespace, options: ListOptions
) -> Iterator[Json]:
    """Yield the JSON objects of a chain's rules. `namespace` has the devices that rules refer to by index."""
    family = iptables_listing.family_name(table)
    for entry in chain.rules:
        expr: list[Json] = []
        for part in iptables_listing.parts(entry, table.family):
            if isinstance(part, str):
                parser = RuleParser(Cursor.over(part), family, Table(family, table.name, 0), namespace)
                expr += rule_json(parser.rule(), show_counters=options.show_counters)
            else:
                expr.append({"xt": {"type": part.type, "name": part.name}})
        yield {"rule": {"family": family, "table": table.name, "chain": chain.name, "expr": expr}}


def listed_json(table: IptablesTable, kind: str, namespace: NetworkNamespace, options: ListOptions) -> Iterator[Json]:
    """Yield the JSON objects that `nft -j list KIND` prints for a table.

    `kind` is `ruleset`, `tables` or `chains`; for any other kind nothing is yielded.
    """
    shown = iptables_listing.shown_chains(table)
    if kind in {"ruleset", "tables"}:
        yield table_json(table)
    if kind in {"ruleset", "chains"}:
        yield from (chain_json(table, chain) for chain in shown)
    if kind == "ruleset":
        for chain in shown:
            yield from rules_json(table, chain, namespace, options)
