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
    """Return the output of one list command."""
    return json.dumps({"nftables": [METAINFO, *objects]}, ensure_ascii=False) + "\n"


def table_json(table: Table) -> Json:
    """Return a table without its content."""
    comment = {"comment": table.comment} if table.comment else {}
    flags = {"flags": one_or_list(list(table.flags))} if table.flags else {}
    return {"table": {"family": table.family, "name": table.name, "handle": table.handle, **flags, **comment}}


def chain_json(table: Table, chain: Chain) -> Json:
    """Return a chain without its rules."""
    found: dict[str, Json] = {
        "family": table.family, "table": table.name, "name": chain.name, "handle": chain.handle,
    }  # fmt: skip
    if chain.comment:
        found["comment"] = chain.comment
    if chain.base is not None:
        base = chain.base
        found |= {
            "type": base.type.value,
            "hook": base.hook.value.lower(),
            "prio": base.priority,
            "policy": chain.policy,
        }
    return {"chain": found}


def rules_json(table: Table, chain: Chain, options: ListOptions) -> Iterator[Json]:
    """Yield the rules of a chain."""
    for entry in chain.rules:
        comment = {"comment": entry.rule.comment} if entry.rule.comment else {}
        yield {
            "rule": {
                "family": table.family, "table": table.name, "chain": chain.name, "handle": entry.handle, **comment,
                "expr": rule_json(entry.rule, show_counters=options.show_counters),
            },
        }  # fmt: skip


def set_json(table: Table, found: Set, options: ListOptions) -> Json:
    """Return a set or map with its elements."""
    words: dict[str, Json] = {
        "family": table.family, "name": found.name, "table": table.name, "type": _type_json(found), "handle": found.handle,
    }  # fmt: skip
    if found.comment:
        words["comment"] = found.comment
    if found.values is not None:
        words["map"] = _names(found.values) if found.values else "verdict"
    if found.policy == "memory":
        words["policy"] = found.policy
    if found.size:
        words["size"] = found.size
    if found.flags:
        words["flags"] = list(found.flags)
    if found.timeout:
        words["timeout"] = seconds_of(found.timeout)
    if found.gc_interval:
        words["gc-interval"] = seconds_of(found.gc_interval)
    if found.auto_merge:
        words["auto-merge"] = True
    if options.show_elements and len(found.elements):
        words["elem"] = elements_json(found.elements)
    return {"map" if found.is_map else "set": words}


def part_json(table: Table, part: Chain | Set | None, options: ListOptions) -> Iterator[Json]:
    """Yield one part of a table, or the table with all its parts."""
    if part is None:
        yield from listed_json(table, "ruleset", options)
    elif isinstance(part, Chain):
        yield chain_json(table, part)
        yield from rules_json(table, part, options)
    else:
        yield set_json(table, part, options)


def listed_json(table: Table, kind: str, options: ListOptions) -> Iterator[Json]:
    """Yield what `nft list KIND` lists of a table. In a ruleset chains and sets precede the rules that refer to them."""
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


def _type_json(found: Set) -> Json:
    of, _, text = found.key_text.partition(" ")
    if of == "typeof":
        return {"typeof": keys_json(key_of(each) for each in text.split(" . "))}
    return _names(found.elements.types)


def _names(types: tuple[Datatype, ...]) -> Json:
    return one_or_list([kind.name for kind in types])
