"""Tables, chains, sets and rules as `nft -j` lists them (libnftables-json(5); nftables src/json.c)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from cnmsim.kernel.netfilter.nftables.datatypes import Datatype, seconds_of
from cnmsim.kernel.netfilter.nftables.jsonrules import Json, elements_json, keys_json, one_or_list, rule_json
from cnmsim.kernel.netfilter.nftables.keys import key_of
from cnmsim.kernel.netfilter.nftables.list_options import ListOptions
from cnmsim.kernel.netfilter.nftables.tables import Chain, Set, Table

METAINFO = {"metainfo": {"version": "1.1.3", "release_name": "Commodore Bullmoose #4", "json_schema_version": 1}}


def document(objects: Iterable[Json]) -> str:
    """Return the JSON text that one list command prints."""
    return json.dumps({"nftables": [METAINFO, *objects]}, ensure_ascii=False) + "\n"


def table_json(table: Table) -> Json:
    """Return the JSON object of a table, without its chains and sets."""
    comment = {"comment": table.comment} if table.comment else {}
    flags = {"flags": one_or_list(list(table.flags))} if table.flags else {}
    return {"table": {"family": table.family, "name": table.name, "handle": table.handle, **flags, **comment}}


def chain_json(table: Table, chain: Chain) -> Json:
    """Return the JSON object of a chain, without its rules."""
    fields: dict[str, Json] = {
        "family": table.family, "table": table.name, "name": chain.name, "handle": chain.handle,
    }  # fmt: skip
    if chain.comment:
        fields["comment"] = chain.comment
    if chain.base is not None:
        base = chain.base
        fields |= {
            "type": base.type.value,
            "hook": base.hook.value.lower(),
            "prio": base.priority,
            "policy": chain.policy,
        }
    return {"chain": fields}


def rules_json(table: Table, chain: Chain, options: ListOptions) -> Iterator[Json]:
    """Yield the JSON objects of a chain's rules."""
    for entry in chain.rules:
        comment = {"comment": entry.rule.comment} if entry.rule.comment else {}
        yield {
            "rule": {
                "family": table.family, "table": table.name, "chain": chain.name, "handle": entry.handle, **comment,
                "expr": rule_json(entry.rule, show_counters=options.show_counters),
            },
        }  # fmt: skip


def set_json(table: Table, set_: Set, options: ListOptions) -> Json:
    """Return the JSON object of a set or map, with its elements."""
    fields: dict[str, Json] = {
        "family": table.family, "name": set_.name, "table": table.name, "type": _type_json(set_),
        "handle": set_.handle,
    }  # fmt: skip
    if set_.comment:
        fields["comment"] = set_.comment
    if set_.values is not None:
        fields["map"] = _names(set_.values) if set_.values else "verdict"
    if set_.policy == "memory":
        fields["policy"] = set_.policy
    if set_.size:
        fields["size"] = set_.size
    if set_.flags:
        fields["flags"] = list(set_.flags)
    if set_.timeout:
        fields["timeout"] = seconds_of(set_.timeout)
    if set_.gc_interval:
        fields["gc-interval"] = seconds_of(set_.gc_interval)
    if set_.auto_merge:
        fields["auto-merge"] = True
    if options.show_elements and len(set_.elements):
        fields["elem"] = elements_json(set_.elements)
    return {"map" if set_.is_map else "set": fields}


def part_json(table: Table, part: Chain | Set | None, options: ListOptions) -> Iterator[Json]:
    """Yield the JSON objects of one part of a table: a chain with its rules, or a set or map.

    If `part` is None, yield those of the whole table.
    """
    if part is None:
        yield from listed_json(table, "ruleset", options)
    elif isinstance(part, Chain):
        yield chain_json(table, part)
        yield from rules_json(table, part, options)
    else:
        yield set_json(table, part, options)


def listed_json(table: Table, kind: str, options: ListOptions) -> Iterator[Json]:
    """Yield the JSON objects that `nft -j list KIND` prints for a table.

    `kind` is `ruleset`, `tables`, `chains`, `sets` or `maps`. In a ruleset, chains and sets precede the rules that
    refer to them.
    """
    if kind in {"ruleset", "tables"}:
        yield table_json(table)
    if kind in {"ruleset", "chains"}:
        yield from (chain_json(table, each) for each in table.chains.values())
    for each in table.sets.values():
        if kind in {"ruleset", "maps" if each.is_map else "sets"}:
            yield set_json(table, each, options)
    if kind == "ruleset":
        for chain in table.chains.values():
            yield from rules_json(table, chain, options)


def _type_json(set_: Set) -> Json:
    of, _, text = set_.key_text.partition(" ")
    if of == "typeof":
        return {"typeof": keys_json(key_of(key) for key in text.split(" . "))}
    return _names(set_.elements.types)


def _names(types: tuple[Datatype, ...]) -> Json:
    return one_or_list([kind.name for kind in types])
