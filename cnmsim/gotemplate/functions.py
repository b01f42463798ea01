"""The predefined functions of templates (Go `text/template`, funcs.go)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from attrs import frozen

from cnmsim.gotemplate.nodes import TemplateError
from cnmsim.gotemplate.values import Struct, Value, format_value, is_true, sprint, sprintf, type_name


@frozen
class Function:
    """A function that templates can call.

    `call` is called with the arguments, and raises `TemplateError` if it does not accept them. `min_arguments` is the
    minimum number of arguments; more are allowed only if `is_variadic` is True. If `needs_strings` is True, all
    arguments must be strings.
    """

    call: Callable[..., Value]
    min_arguments: int
    is_variadic: bool = False
    needs_strings: bool = False


def _length(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping):
        return len(value)
    raise TemplateError(f"len of {'nil pointer' if value is None else 'type ' + type_name(value)}")


def _checked_index(value: Value, max_index: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TemplateError(f"cannot index slice/array with {'nil' if value is None else 'type ' + type_name(value)}")
    if not 0 <= value <= max_index:
        raise TemplateError(f"index out of range: {value}")
    return value


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        if isinstance(value, str):
            data = value.encode()
            value = data[_checked_index(key, len(data) - 1)]
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
    start, end, *_ = [*(_checked_index(bound, len(data)) for bound in bounds), *(0, len(data))[len(bounds) :]]
    if start > end:
        raise TemplateError(f"invalid slice index: {start} > {end}")
    return data[start:end].decode(errors="replace")


def comparisons(*, names_types: bool) -> Mapping[str, Function]:
    """Return the functions that compare values, by name.

    If `names_types` is True, as since Docker 28, the error for values of different types names both types.
    """

    def require_one_type(first: Value, second: Value) -> None:
        types = type_name(first), type_name(second)
        if types[0] != types[1]:
            raise TemplateError(
                "incompatible types for comparison" + (f": {types[0]} and {types[1]}" if names_types else "")
            )

    def equal(first: Value, *others: Value) -> bool:
        return _equal(first, others, require_one_type)

    def less(first: Value, second: Value) -> bool:
        return _less(first, second, require_one_type)

    return {
        "eq": Function(equal, 1, is_variadic=True),
        "ge": Function(lambda a, b: not less(a, b), 2),
        "gt": Function(lambda a, b: not (less(a, b) or equal(a, b)), 2),
        "le": Function(lambda a, b: less(a, b) or equal(a, b), 2),
        "lt": Function(less, 2),
        "ne": Function(lambda a, b: not equal(a, b), 2),
    }


def _equal(first: Value, others: tuple[Value, ...], require_one_type: Callable[[Value, Value], None]) -> bool:
    for operand in (first, *others):
        if isinstance(operand, (Mapping, Struct)):
            raise TemplateError(f"non-comparable type {format_value(operand)}: {type_name(operand)}")
    if not others:
        raise TemplateError("missing argument for comparison")
    for other in others:
        if None not in (first, other):
            require_one_type(first, other)
        if type_name(first) == type_name(other) and first == other:
            return True
    return False


def _less(first: Value, second: Value, require_one_type: Callable[[Value, Value], None]) -> bool:
    if any(value is None or isinstance(value, (Mapping, Struct)) for value in (first, second)):
        raise TemplateError("invalid type for comparison")
    require_one_type(first, second)
    if isinstance(first, bool):
        raise TemplateError("invalid type for comparison")
    left: Any = first
    return bool(left < second)


def _not_called(value: Value, *_arguments: Value) -> Value:
    raise TemplateError(
        "call of nil" if value is None else f"non-function {format_value(value)} of type {type_name(value)}"
    )


_HTML = str.maketrans({'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "�"})
_JS = str.maketrans(
    {chr(code): f"\\u{code:04X}" for code in (*range(0x20), *b"<>&=")} | {"\\": "\\\\", "'": "\\'", '"': '\\"'}
)


def _sprint_all(*values: Value) -> str:
    """Concatenate the arguments of `print` or of an escaping function (`html`, `js`, `urlquery`) to one string."""
    return sprint(list(values))


#: `and` and `or` are evaluated with short circuit in `_Run._function`, so that the entries here only return the last
#: value.
BUILTINS: Mapping[str, Function] = {
    **comparisons(names_types=False),
    "and": Function(lambda *values: values[-1], 1, is_variadic=True),
    "call": Function(_not_called, 1, is_variadic=True),
    "html": Function(lambda *values: _sprint_all(*values).translate(_HTML), 0, is_variadic=True),
    "index": Function(_index, 1, is_variadic=True),
    "js": Function(lambda *values: _sprint_all(*values).translate(_JS), 0, is_variadic=True),
    "len": Function(_length, 1),
    "not": Function(lambda value: not is_true(value), 1),
    "or": Function(lambda *values: values[-1], 1, is_variadic=True),
    "print": Function(_sprint_all, 0, is_variadic=True),
    "printf": Function(lambda pattern, *values: sprintf(pattern, list(values)), 1, is_variadic=True),
    "println": Function(lambda *values: sprint(list(values), always_spaced=True) + "\n", 0, is_variadic=True),
    "slice": Function(_slice, 1, is_variadic=True),
    "urlquery": Function(lambda *values: quote_plus(_sprint_all(*values), safe=""), 0, is_variadic=True),
}
