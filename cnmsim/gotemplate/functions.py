"""The functions every template may call (Go `text/template`, funcs.go)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from attrs import frozen

from cnmsim.gotemplate.nodes import TemplateError
from cnmsim.gotemplate.values import Struct, Value, formatted, is_true, print_all, shown, type_name


@frozen
class Function:
    """A function: what it does, how many arguments it wants at least, whether it takes more, and whether they must be texts.

    It raises `TemplateError` with what is wrong.
    """

    call: Callable[..., Value]
    least: int
    takes_more: bool = False
    texts: bool = False


def _length(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping):
        return len(value)
    raise TemplateError(f"len of {'nil pointer' if value is None else 'type ' + type_name(value)}")


def _number_in(value: Value, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TemplateError(f"cannot index slice/array with {'nil' if value is None else 'type ' + type_name(value)}")
    if not least <= value <= most:
        raise TemplateError(f"index out of range: {value}")
    return value


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        if isinstance(value, str):
            data = value.encode()
            value = data[_number_in(key, 0, len(data) - 1)]
        elif isinstance(value, Mapping):
            if not isinstance(key, str):
                raise TemplateError(
                    f"value has type {type_name(key)}; should be string"
                    if key is not None
                    else "value is nil; should be string"
                )
            value = value.get(key, "")
        elif value is None:
            raise TemplateError("index of untyped nil")
        else:
            raise TemplateError(f"can't index item of type {type_name(value)}")
    return value


def _slice(value: Value, *bounds: Value) -> str:
    if not isinstance(value, str):
        raise TemplateError(
            "slice of untyped nil" if value is None else f"can't slice item of type {type_name(value)}"
        )
    if len(bounds) > 2:
        raise TemplateError("cannot 3-index slice a string")
    data = value.encode()
    start, end, *_ = [*(_number_in(bound, 0, len(data)) for bound in bounds), *(0, len(data))[len(bounds) :]]
    if start > end:
        raise TemplateError(f"invalid slice index: {start} > {end}")
    return data[start:end].decode(errors="replace")


def _kind(value: Value) -> str:
    if isinstance(value, (Mapping, Struct)):
        raise TemplateError("invalid type for comparison")
    return type_name(value)


def _equal(first: Value, *others: Value) -> bool:
    for operand in (first, *others):
        if isinstance(operand, (Mapping, Struct)):
            raise TemplateError(f"non-comparable type {shown(operand)}: {type_name(operand)}")
    if not others:
        raise TemplateError("missing argument for comparison")
    for other in others:
        if None not in (first, other) and type_name(first) != type_name(other):
            raise TemplateError("incompatible types for comparison")
        if type_name(first) == type_name(other) and first == other:
            return True
    return False


def _less(first: Value, second: Value) -> bool:
    kinds = _kind(first), _kind(second)
    if kinds[0] != kinds[1]:
        raise TemplateError("incompatible types for comparison")
    if kinds[0] in {"bool", "<nil>"}:
        raise TemplateError("invalid type for comparison")
    left: Any = first
    return bool(left < second)


def _not_called(value: Value, *_arguments: Value) -> Value:
    raise TemplateError("call of nil" if value is None else f"non-function {shown(value)} of type {type_name(value)}")


_HTML = str.maketrans({'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "�"})
_JS = str.maketrans(
    {chr(code): f"\\u{code:04X}" for code in (*range(0x20), *b"<>&=")} | {"\\": "\\\\", "'": "\\'", '"': '\\"'}
)


def _all(*values: Value) -> str:
    """Put values together as the escaping functions do."""
    return print_all(list(values))


#: `and` and `or` look at no more arguments than they must, which is for who executes a template to see to.
BUILTINS: Mapping[str, Function] = {
    "and": Function(lambda *values: values[-1], 1, takes_more=True),
    "call": Function(_not_called, 1, takes_more=True),
    "eq": Function(_equal, 1, takes_more=True),
    "ge": Function(lambda a, b: not _less(a, b), 2),
    "gt": Function(lambda a, b: not (_less(a, b) or _equal(a, b)), 2),
    "html": Function(lambda *values: _all(*values).translate(_HTML), 0, takes_more=True),
    "index": Function(_index, 1, takes_more=True),
    "js": Function(lambda *values: _all(*values).translate(_JS), 0, takes_more=True),
    "le": Function(lambda a, b: _less(a, b) or _equal(a, b), 2),
    "len": Function(_length, 1),
    "lt": Function(_less, 2),
    "ne": Function(lambda a, b: not _equal(a, b), 2),
    "not": Function(lambda value: not is_true(value), 1),
    "or": Function(lambda *values: values[-1], 1, takes_more=True),
    "print": Function(_all, 0, takes_more=True),
    "printf": Function(lambda pattern, *values: formatted(pattern, list(values)), 1, takes_more=True),
    "println": Function(lambda *values: print_all(list(values), always_apart=True) + "\n", 0, takes_more=True),
    "slice": Function(_slice, 1, takes_more=True),
    "urlquery": Function(lambda *values: quote_plus(_all(*values), safe=""), 0, takes_more=True),
}
