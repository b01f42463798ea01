"""Translation of commands in JSON (`nft -j -f`) into nft's language (libnftables-json(5); src/parser_json.c)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cnmsim.kernel.netfilter.nftables.errors import InternalError
from cnmsim.kernel.netfilter.nftables.keys import KEYS

Json = Any

_VERBS = ("add", "create", "insert", "replace", "delete", "destroy", "list", "reset", "flush", "rename")
_VERDICTS = frozenset({"accept", "drop", "return", "continue", "notrack"})
_PLURALS = frozenset({"ruleset", "tables", "chains", "sets", "maps", "counters"})


def commands_of(document: Json) -> str:
    """Translate a JSON document into commands in nft's language.

    Raises `InternalError` if the document is invalid.
    """
    if not isinstance(document, dict):
        raise InternalError(f"Expected object, got {_kind(document)}")
    if "nftables" not in document:
        raise InternalError("Object item not found: nftables")
    commands = document["nftables"]
    if not isinstance(commands, list):
        raise InternalError('Value of property "nftables" must be an array.')
    lines = []
    for at, command in enumerate(commands):
        if not isinstance(command, dict):
            raise InternalError(f"Unexpected command array element of type {_kind(command)}, expected object.")
        if "metainfo" in command:
            version = command["metainfo"].get("json_schema_version", 1)
            if version > 1:
                raise InternalError(
                    f"Schema version {version} not supported, maximum supported version is 1\n",
                    "Metainfo verification failed.",
                )
            continue
        try:
            lines.append(_command(command))
        except InternalError as error:
            raise InternalError(*error.messages, *_failed("command", at)) from None
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            message = f"Object item not found: {error.args[0]}" if isinstance(error, KeyError) else "Invalid JSON"
            raise InternalError(message, *_failed("command", at)) from None
    return "".join(f"{line}\n" for line in lines)


def _kind(value: Json) -> str:
    names = {dict: "object", list: "array", str: "string", int: "integer", float: "real", bool: "boolean"}
    return names.get(type(value), "null")


def _failed(what: str, at: int) -> tuple[str, ...]:
    return (f"Parsing {what} array at index {at} failed.",)


# --- commands


def _command(command: Mapping[str, Json]) -> str:
    verb, arguments = next(((word, command[word]) for word in _VERBS if word in command), ("add", command))
    kind, object_ = next(iter(arguments.items()))
    if kind in _PLURALS:
        family = object_.get("family", "") if isinstance(object_, dict) else ""
        return f"{verb} {kind} {family}"
    writers: dict[str, Callable[[str, str, Mapping[str, Json]], str]] = {
        "table": _table, "chain": _chain, "rule": _rule, "set": _set, "map": _set, "element": _element,
    }  # fmt: skip
    if kind not in writers:
        raise InternalError(f"Unknown object passed to {verb} command.")
    return writers[kind](verb, kind, object_)


def _table(verb: str, kind: str, table: Mapping[str, Json]) -> str:
    comment = f' {{ comment "{table["comment"]}"; }}' if "comment" in table and verb in {"add", "create"} else ""
    return f"{verb} {kind} {table['family']} {table['name']}{comment}"


def _chain(verb: str, kind: str, chain: Mapping[str, Json]) -> str:
    text = f"{verb} {kind} {chain['family']} {chain['table']} {chain['name']}"
    if verb == "rename":
        return f"{text} {chain['newname']}"
    if verb not in {"add", "create"}:
        return text
    parts = [f'comment "{chain["comment"]}";'] if "comment" in chain else []
    if "type" in chain:
        parts.append(f"type {chain['type']} hook {chain['hook']} priority {chain['prio']};")
    if "policy" in chain:
        parts.append(f"policy {chain['policy']};")
    return f"{text} {{ {' '.join(parts)} }}" if parts else text


def _rule(verb: str, kind: str, rule: Mapping[str, Json]) -> str:
    words = [verb, "rule", rule["family"], rule["table"], rule["chain"]]
    if verb in {"replace", "delete", "destroy"}:
        words.append(f"handle {rule['handle']}")
    elif "index" in rule:
        words.append(f"index {rule['index']}")
    elif "handle" in rule and verb == "insert":
        words.append(f"handle {rule['handle']}")
    if verb not in {"delete", "destroy"}:
        for at, statement in enumerate(rule["expr"]):
            try:
                words.append(_statement(statement))
            except InternalError as error:
                raise InternalError(*error.messages, *_failed("expr", at)) from None
        if "comment" in rule:
            words.append(f'comment "{rule["comment"]}"')
    return " ".join(words)


def _set(verb: str, kind: str, set_: Mapping[str, Json]) -> str:
    text = f"{verb} {kind} {set_['family']} {set_['table']} {set_['name']}"
    if verb not in {"add", "create"}:
        return text
    of, types = ("typeof", set_["type"]["typeof"]) if isinstance(set_["type"], dict) else ("type", set_["type"])
    typed = _value(types) if of == "typeof" else _type(types)
    gives = f" : {_value_type(of, set_['map'])}" if "map" in set_ else ""
    parts = [f"{of} {typed}{gives};"]
    for name in ("policy", "size"):
        parts += [f"{name} {set_[name]};"] if name in set_ else []
    if "flags" in set_:
        flags = set_["flags"]
        parts.append(f"flags {','.join(flags) if isinstance(flags, list) else flags};")
    for name in ("timeout", "gc-interval"):
        parts += [f"{name} {set_[name]}s;"] if name in set_ else []
    parts += ["auto-merge;"] if set_.get("auto-merge") else []
    # nft 1.1.3 lists the comment of a set in JSON but does not parse it.
    parts += [f"elements = {_elements(set_['elem'])};"] if set_.get("elem") else []
    return f"{text} {{ {' '.join(parts)} }}"


def _type(types: Json) -> str:
    return " . ".join(types) if isinstance(types, list) else str(types)


def _value_type(of: str, types: Json) -> str:
    """Return the type of a map's data in nft's language. `types` is the value of the key `map` in the JSON document.

    `of` is `type` or `typeof`, as in the JSON document. For `typeof` the result is an expression of that type, e.g.
    `ip saddr`.
    """
    if of == "type" or types == "verdict":
        return _type(types)
    if isinstance(types, dict):
        return _value(types)
    names = types if isinstance(types, list) else [types]
    return " . ".join(next(key.text for key in KEYS.values() if key.type.name == name) for name in names)


def _element(verb: str, kind: str, set_: Mapping[str, Json]) -> str:
    return f"{verb} {kind} {set_['family']} {set_['table']} {set_['name']} {_elements(set_['elem'])}"


# --- expressions


def _elements(elements: Json) -> str:
    listed = elements if isinstance(elements, list) else [elements]
    return f"{{ {', '.join(_set_element(element) for element in listed)} }}"


def _set_element(element: Json) -> str:
    if isinstance(element, list):
        key, data = element
        return f"{_value(key)} : {_data(data)}"
    return _value(element)


def _data(data: Json) -> str:
    if isinstance(data, dict) and next(iter(data)) in {*_VERDICTS, "jump", "goto"}:
        return _statement(data)
    return _value(data)


def _value(value: Json) -> str:
    """Return a JSON expression (a value or a field) in nft's language."""
    if isinstance(value, bool):
        return "exists" if value else "missing"
    if isinstance(value, list):
        return ",".join(_value(part) for part in value)
    if not isinstance(value, dict):
        return str(value)
    kind, operand = next(iter(value.items()))
    writer = _EXPRESSIONS.get(kind)
    if writer is None:
        raise InternalError(f"Unknown expression type '{kind}'.")
    return writer(operand)


def _payload(what: Mapping[str, Json]) -> str:
    if "base" in what:
        return f"@{what['base']},{what['offset']},{what['len']}"
    text = f"{what['protocol']} {what['field']}"
    if text not in KEYS:
        raise InternalError(f"Unknown {what['protocol']} field '{what['field']}'.")
    return text


def _ct(what: Mapping[str, Json]) -> str:
    return " ".join(["ct", *([what["dir"]] if "dir" in what else []), *([what["family"]] if "family" in what else []),
                     what["key"]])  # fmt: skip


def _fib(what: Mapping[str, Json]) -> str:
    flags = what["flags"] if isinstance(what["flags"], list) else [what["flags"]]
    return f"fib {' . '.join(flags)} {what['result']}"


def _bits(what: list[Json]) -> str:
    return f"({' | '.join(_value(bit) for bit in what)})"


_EXPRESSIONS: dict[str, Callable[[Any], str]] = {
    "payload": _payload,
    "meta": lambda what: f"meta {what['key']}",
    "ct": _ct,
    "fib": _fib,
    "concat": lambda what: " . ".join(_value(each) for each in what),
    "range": lambda what: f"{_value(what[0])}-{_value(what[1])}",
    "prefix": lambda what: f"{what['addr']}/{what['len']}",
    "set": _elements,
    "map": lambda what: f"{_value(what['key'])} map {_value(what['data'])}",
    "elem": lambda what: _value(what["val"]),
    "&": lambda what: f"{_value(what[0])} & {_value(what[1])}",
    "|": _bits,
}


# --- statements


def _statement(statement: Json) -> str:
    if not isinstance(statement, dict):
        raise InternalError(f"Unexpected statement of type {_kind(statement)}, expected object.")
    kind, body = next(iter(statement.items()))
    if kind in _VERDICTS:
        return str(kind)
    writer = _STATEMENTS.get(kind)
    if writer is None:
        raise InternalError(f"Unknown statement object '{kind}'.")
    return writer(body or {})


def _match(what: Mapping[str, Json]) -> str:
    try:
        left = _value(what["left"])
    except InternalError as error:
        raise InternalError(*error.messages, "Invalid LHS of relational.") from None
    right, operator = what["right"], what.get("op", "==")
    is_set = (isinstance(right, dict) and "set" in right) or (isinstance(right, str) and right.startswith("@"))
    if operator == "in" or (operator == "==" and is_set):
        operator = ""
    return f"{left} {operator} {_value(right)}"


def _counter(what: Mapping[str, Json]) -> str:
    return f"counter packets {what['packets']} bytes {what['bytes']}" if what else "counter"


def _limit(what: Mapping[str, Json]) -> str:
    unit = what.get("rate_unit", "packets")
    rate = str(what["rate"]) if unit == "packets" else f"{what['rate']} {unit}"
    burst = f" burst {what['burst']} {what.get('burst_unit', 'packets')}" if what.get("burst") else ""
    return f"limit rate {'over ' if what.get('inv') else ''}{rate}/{what.get('per', 'second')}{burst}"


def _log(what: Mapping[str, Json]) -> str:
    words = ["log", *([f'prefix "{what["prefix"]}"'] if "prefix" in what else [])]
    words += [f"{name} {what[name]}" for name in ("group", "level") if name in what]
    if "flags" in what:
        flags = what["flags"] if isinstance(what["flags"], list) else [what["flags"]]
        header = flags[0].partition(" ")[0]
        words.append(f"flags {flags[0]}" + "".join(f",{flag.removeprefix(f'{header} ')}" for flag in flags[1:]))
    return " ".join(words)


def _mangle(what: Mapping[str, Json]) -> str:
    value = what["value"]
    if isinstance(value, dict) and "|" in value:
        return f"{_value(what['key'])} set {_value(value['|'][0])} | {_value(value['|'][1])}"
    return f"{_value(what['key'])} set {_value(value)}"


def _reject(what: Mapping[str, Json]) -> str:
    return f"reject with {what['type']} {what.get('expr', '')}".rstrip() if "type" in what else "reject"


def _nat(kind: str) -> Callable[[Mapping[str, Json]], str]:
    def write(what: Mapping[str, Json]) -> str:
        words = [kind, *([what["family"]] if "family" in what else [])]
        to = _value(what["addr"]) if "addr" in what else ""
        if "port" in what:
            to = f"[{to}]" if ":" in to else to
            to += f":{_value(what['port'])}"
        words += ["to", to] if to else []
        flags = what.get("flags", [])
        words += [",".join(flags) if isinstance(flags, list) else flags]
        return " ".join(words).rstrip()

    return write


_STATEMENTS: dict[str, Callable[[Any], str]] = {
    "match": _match,
    "vmap": lambda what: f"{_value(what['key'])} vmap {_value(what['data'])}",
    "jump": lambda what: f"jump {what['target']}",
    "goto": lambda what: f"goto {what['target']}",
    "counter": _counter,
    "limit": _limit,
    "log": _log,
    "mangle": _mangle,
    "reject": _reject,
    **{kind: _nat(kind) for kind in ("dnat", "snat", "masquerade", "redirect")},
}
