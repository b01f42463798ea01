"""Rules as `nft -j` lists them (libnftables-json(5); nftables src/json.c)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cnmsim.kernel.netfilter.nftables import action_statements as actions
from cnmsim.kernel.netfilter.nftables.datatypes import (
    IPV4,
    IPV6,
    PORT,
    PRESENCE,
    AddressType,
    Datatype,
    InterfaceNameType,
    Span,
)
from cnmsim.kernel.netfilter.nftables.elements import Data, ElementKey, Elements, Jump
from cnmsim.kernel.netfilter.nftables.keys import INDEX, Key
from cnmsim.kernel.netfilter.nftables.statements import Counter, Match, Rule, Statement, VerdictMap, VerdictStatement

Json = Any


def one_or_list(values: list[Json]) -> Json:
    """Return the only item of a list with one item; otherwise return the list itself."""
    return values[0] if len(values) == 1 else values


# --- keys and values


def key_json(key: Key) -> Json:
    """Return the JSON expression of a field."""
    words = key.text.split()
    if key.text.startswith("@"):
        base, offset, bits = key.text[1:].split(",")
        return {"payload": {"base": base, "offset": int(offset), "len": int(bits)}}
    if key.is_payload:
        return {"payload": {"protocol": words[0], "field": words[1]}}
    if words[0] == "ct" and words[1] in {"original", "reply"}:
        return {"ct": {"key": " ".join(words[2:]), "dir": words[1]}}
    if words[0] == "ct":
        return {"ct": {"key": words[1]}}
    if words[0] == "fib":
        return {"fib": {"result": words[-1], "flags": [word for word in words[1:-1] if word != "."]}}
    return {"meta": {"key": words[-1]}}


def keys_json(keys: Iterable[Key]) -> Json:
    """Return the JSON expression of one field, or of the concatenation of several."""
    expressions = [key_json(key) for key in keys]
    return expressions[0] if len(expressions) == 1 else {"concat": expressions}


def _value_json(kind: Datatype, value: int) -> Json:
    if kind is PRESENCE:
        return bool(value)
    if isinstance(kind, InterfaceNameType):
        return kind.text(Span(value, value))[1:-1]
    if kind.is_flags:
        bits = [1 << at for at in range(value.bit_length()) if value >> at & 1]
        return one_or_list([_named_or_number(kind, bit) for bit in bits]) if value else 0
    return kind.write(value) if isinstance(kind, AddressType) else _named_or_number(kind, value)


def _named_or_number(kind: Datatype, value: int) -> Json:
    text = kind.write(value)
    return text if text in kind.names else value


def span_json(kind: Datatype, span: Span) -> Json:
    """Return the JSON expression of a value, prefix, wildcard or range."""
    if span.is_single:
        return _value_json(kind, span.low)
    text = kind.text(span)
    if isinstance(kind, InterfaceNameType):
        return text[1:-1]
    if isinstance(kind, AddressType) and "/" in text:
        address, _, length = text.partition("/")
        return {"prefix": {"addr": address, "len": int(length)}}
    return {"range": [_value_json(kind, span.low), _value_json(kind, span.high)]}


def _element_key_json(types: tuple[Datatype, ...], key: ElementKey) -> Json:
    if not key:
        return "*"
    parts = [span_json(kind, span) for kind, span in zip(types, key, strict=True)]
    return parts[0] if len(parts) == 1 else {"concat": parts}


def _data_json(data: Data) -> Json:
    if data is None or isinstance(data, str | Jump):
        return _verdict_json(data or "continue")
    parts = [_value_json(kind, part) for kind, part in zip(data.types, data.parts, strict=True)]
    return parts[0] if len(parts) == 1 else {"concat": parts}


def elements_json(elements: Elements) -> list[Json]:
    """Return the JSON of a set's elements, or of a map's pairs of key and data, in nft's order."""
    result = []
    for key, data in elements.in_order():
        key_value = _element_key_json(elements.types, key)
        result.append(key_value if data is None else [key_value, _data_json(data)])
    return result


def _operand_json(operand: Span | Elements | str, key: Key, names: Mapping[int, str]) -> Json:
    if isinstance(operand, str):
        return f"@{operand}"
    if isinstance(operand, Elements):
        return {"set": elements_json(operand)}
    if key.type is INDEX:
        return names.get(operand.low, operand.low)
    return span_json(key.type, operand)


def _bits_json(kind: Datatype, value: int) -> Json:
    bits = _value_json(kind, value)
    return {"|": bits} if isinstance(bits, list) else bits


# --- statements


def _verdict_json(verdict: str | Jump) -> Json:
    if isinstance(verdict, Jump):
        return {"goto" if verdict.is_goto else "jump": {"target": verdict.chain}}
    return {verdict: None}


def _match(statement: Match) -> Json:
    key, operator, operand = statement.keys[0], statement.operator, statement.operand
    left = keys_json(statement.keys)
    if statement.mask is not None and isinstance(operand, Span):
        if key.type.is_flags and not operand.low and operator in {"", "=="}:
            return {"match": {"op": "!", "left": left, "right": _value_json(key.type, statement.mask)}}
        masked = {"&": [left, _bits_json(key.type, statement.mask)]}
        return {"match": {"op": operator or "==", "left": masked, "right": _bits_json(key.type, operand.low)}}
    has_any = not operator and key.type.is_flags and isinstance(operand, Span)
    right = _operand_json(operand, key, dict(statement.index_names))
    return {"match": {"op": operator or ("in" if has_any else "=="), "left": left, "right": right}}


def _map(keys: tuple[Key, ...], operand: Elements | str) -> Json:
    return {"key": keys_json(keys), "data": _operand_json(operand, keys[0], {})}


def _counter(statement: Counter) -> Json:
    return {"counter": {"packets": statement.packets, "bytes": statement.bytes}}


def _limit(statement: actions.Limit) -> Json:
    limit: dict[str, Json] = {"rate": statement.rate, "burst": statement.burst, "per": statement.unit}
    if statement.is_over:
        limit["inv"] = True
    if statement.size_unit:
        limit |= {
            "rate_unit": statement.size_unit,
            "burst_unit": statement.burst_unit if statement.burst else "bytes",
        }
    return {"limit": limit}


def _log(statement: actions.Log) -> Json:
    log: dict[str, Json] = {"prefix": statement.prefix} if statement.prefix else {}
    if statement.group:
        log["group"] = int(statement.group)
    if statement.level and statement.level != "warn":
        log["level"] = statement.level
    if statement.flags:
        header, _, names = statement.flags.partition(" ")
        log["flags"] = one_or_list([f"{header} {name}" for name in names.split(",")]) if names else header
    return {"log": log or None}


def _set_mark(statement: actions.SetMark) -> Json:
    value: Json = statement.value or 0
    if statement.source is not None:
        value = key_json(statement.source)
        if statement.keep != 0xFFFFFFFF:
            value = {"&": [value, statement.keep]}
        if statement.extra:
            value = {"|": [value, statement.extra]}
    return {"mangle": {"key": key_json(statement.target), "value": value}}


def _reject(statement: actions.Reject) -> Json:
    if statement.how == "tcp reset":
        return {"reject": {"type": "tcp reset"}}
    protocol, _, kind = statement.how.partition(" ")
    return {"reject": {"type": protocol, "expr": kind}}


def _nat(statement: actions.Nat) -> Json:
    nat: dict[str, Json] = {}
    if statement.names_family:
        nat["family"] = "ip" if statement.family == 4 else "ip6"
    if statement.keys:
        nat["addr"] = {"map": _map(statement.keys, statement.lookup)}
    if statement.address is not None:
        kind = IPV6 if statement.family == 6 else IPV4
        span = statement.address
        nat["addr"] = span_json(kind, Span(span.low, span.high, is_range=not span.is_single))
    if statement.ports is not None:
        nat["port"] = span_json(PORT, statement.ports)
    if statement.flags:
        nat["flags"] = one_or_list(list(statement.flags))
    return {statement.kind: nat or None}


_STATEMENTS: dict[type[Statement], Callable[[Any], Json]] = {
    Match: _match,
    VerdictMap: lambda statement: {"vmap": _map(statement.keys, statement.operand)},
    VerdictStatement: lambda statement: _verdict_json(statement.verdict),
    Counter: _counter,
    actions.Limit: _limit,
    actions.Log: _log,
    actions.SetMark: _set_mark,
    actions.Notrack: lambda _: {"notrack": None},
    actions.Reject: _reject,
    actions.Nat: _nat,
}


def rule_json(rule: Rule, *, show_counters: bool = True) -> list[Json]:
    """Return the JSON objects of a rule's statements. `show_counters` includes the values of counters."""
    return [
        _STATEMENTS[type(statement)](statement)
        if show_counters or not isinstance(statement, Counter)
        else {"counter": None}
        for statement in rule.statements
    ]
