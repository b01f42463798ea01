"""The variables of a shell: strings, bash's arrays, and their attributes (bash(1), Arrays)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping

from attrs import define, evolve, field

from cnmsim.userland.sh.arithmetic import evaluate

_REFERENCE = re.compile(r"([A-Za-z_]\w*)\[(.*)\]", re.DOTALL)
_BUCKETS = 1024
_MAX_REFERENCES = 8  # NAMEREF_MAX of bash


class SubscriptError(Exception):
    """A subscript is out of range or missing. The text is bash's error message."""


@define
class Variable:
    """A shell variable: a string in `value`, or an array in `elements`.

    An array is a dict whose keys are numbers, or texts if it is associative. `attributes` are option letters of
    `declare`: `i` integer, `l` lower case, `u` upper case, `n` reference by name.
    """

    value: str | None = None
    elements: dict[int | str, str] | None = None
    is_associative: bool = False
    attributes: frozenset[str] = frozenset()

    def subscripts(self) -> list[int | str]:
        """Return the subscripts in bash's order.

        Numbers are ascending. Other subscripts are in the order of the buckets in bash's hash table.
        """
        if self.elements is None:
            return [] if self.value is None else [0]
        if not self.is_associative:
            return sorted(self.elements, key=int)
        # A new entry is the first of its bucket (bash hashlib.c, hash_insert).
        keys = list(self.elements)
        keys.reverse()
        return sorted(keys, key=lambda key: _hash(str(key)) % _BUCKETS)

    def values(self) -> list[str]:
        """Return the values in the order of `subscripts`."""
        if self.elements is None:
            return [] if self.value is None else [self.value]
        return [self.elements[key] for key in self.subscripts()]


def _hash(text: str) -> int:
    """Return the FNV-1 hash of a string, as bash's hashlib.c computes it."""
    value = 0x811C9DC5
    for byte in text.encode(errors="surrogateescape"):
        value = value * 16777619 & 0xFFFFFFFF ^ byte
    return value


@define(eq=False)
class Variables(MutableMapping[str, str]):
    """A shell's variables by name.

    `NAME[SUBSCRIPT]` refers to an array's element, and an array's name alone to its element 0. `computed` maps a name
    such as `RANDOM` to a function that returns its value, `assigned` to a function that is called with the value
    assigned to it.
    """

    table: dict[str, Variable] = field(factory=dict)
    computed: dict[str, Callable[[], str]] = field(factory=dict)
    assigned: dict[str, Callable[[str], None]] = field(factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Variables:
        """Return a table of variables with these names and string values."""
        return cls({name: Variable(value) for name, value in values.items()})

    def copy_table(self) -> dict[str, Variable]:
        """Return a copy of the table of all variables, for a subshell."""
        return {
            name: evolve(variable, elements=None if variable.elements is None else dict(variable.elements))
            for name, variable in self.table.items()
        }

    def saved(self, names: Iterable[str]) -> dict[str, Variable | None]:
        """Return copies of the named variables for `restore`. The copy of a variable that is unset is `None`."""
        before = {name: self.table.get(name) for name in names}
        return {name: None if variable is None else evolve(variable) for name, variable in before.items()}

    def restore(self, before: Mapping[str, Variable | None]) -> None:
        """Restore variables to the copies in `before`, which `saved` returned."""
        for name, variable in before.items():
            if variable is None:
                self.table.pop(name, None)
            else:
                self.table[name] = variable

    def resolve(self, name: str) -> tuple[str, str | None]:
        """Split `NAME` or `NAME[SUBSCRIPT]` into the name and the subscript, which is `None` without one.

        If NAME is a reference (`declare -n`), the result is the name, and possibly the subscript, that it refers to.
        """
        match = _REFERENCE.fullmatch(name) if name[-1:] == "]" else None
        base, subscript = (match[1], match[2]) if match is not None else (name, None)
        for _ in range(_MAX_REFERENCES):
            variable = self.table.get(base)
            if variable is None or "n" not in variable.attributes or not variable.value:
                break
            inner = _REFERENCE.fullmatch(variable.value)
            base = inner[1] if inner is not None else variable.value
            subscript = inner[2] if inner is not None and subscript is None else subscript
        return base, subscript

    def variable(self, name: str) -> Variable | None:
        """Return the variable called `name`, or `None` if it is unset. References (`declare -n`) are followed."""
        return self.table.get(self.resolve(name)[0])

    def _key(self, base: str, variable: Variable, subscript: str | None) -> int | str:
        if variable.is_associative:
            return "0" if subscript is None else subscript
        if subscript is None:
            return 0
        number = evaluate(subscript, self)
        if number < 0:
            number += max((int(key) for key in variable.elements or {0: ""}), default=-1) + 1
            if number < 0:
                raise SubscriptError(f"{base}[{subscript}]: bad array subscript")
        return number

    def __getitem__(self, name: str) -> str:
        if name in self.computed:
            return self.computed[name]()
        base, subscript = self.resolve(name)
        variable = self.table[base]
        if variable.elements is None:
            if variable.value is None or (subscript is not None and self._key(base, variable, subscript) != 0):
                raise KeyError(name)
            return variable.value
        return variable.elements[self._key(base, variable, subscript)]

    def __setitem__(self, name: str, value: str) -> None:
        if name in self.assigned:
            self.assigned[name](value)
            return
        base, subscript = self.resolve(name)
        variable = self.table.get(base)
        if variable is None:
            variable = self.table[base] = Variable()
        value = self.converted(variable, value)
        if subscript is not None and variable.elements is None:
            self.make_array(base)
        if variable.elements is None:
            variable.value = value
        else:
            variable.elements[self._key(base, variable, subscript)] = value

    def converted(self, variable: Variable, value: str) -> str:
        """Return `value` as it is stored in `variable`.

        The variable's attributes may require evaluation as an integer, lower case or upper case.
        """
        if "i" in variable.attributes:
            return str(evaluate(value, self))
        if "l" in variable.attributes:
            return value.lower()
        return value.upper() if "u" in variable.attributes else value

    def append(self, name: str, value: str) -> None:
        """Append `value` to a variable, as `NAME+=VALUE` does.

        If the variable has the attribute of an integer, `value` is added to the number.
        """
        variable = self.variable(name)
        old = self.get(name, "")
        self[name] = f"({old or 0})+({value})" if variable is not None and "i" in variable.attributes else old + value

    def __delitem__(self, name: str) -> None:
        base, subscript = self.resolve(name)
        variable = self.table[base]
        if subscript is None or (subscript in ("@", "*") and not variable.is_associative):
            del self.table[base]
        elif variable.elements is not None:
            variable.elements.pop(self._key(base, variable, subscript), None)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, variable in self.table.items() if variable.value is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def make_array(self, name: str, *, is_associative: bool = False) -> None:
        """Turn a variable into an indexed or associative array, unless it is an array already.

        The variable's value, if any, becomes element 0.
        """
        variable = self.table.setdefault(self.resolve(name)[0], Variable())
        if variable.elements is None:
            variable.is_associative = is_associative
            variable.elements = {} if variable.value is None else {"0" if is_associative else 0: variable.value}
            variable.value = None

    def assign_array(self, name: str, elements: list[tuple[str | None, str, bool]], *, appends: bool = False) -> None:
        """Assign elements to an array. Each is (subscript, value, True to append to the element's old value).

        In an indexed array, the subscript `None` means one more than that of the previous element. If all subscripts
        for an associative array are `None`, the values are keys and values in turn; if only some are, raises
        `SubscriptError`. With `appends`, old elements are kept.
        """
        base = self.resolve(name)[0]
        self.make_array(base)
        variable = self.table[base]
        assert variable.elements is not None, "make_array makes one"
        if not appends:
            variable.elements = {}
        if variable.is_associative and all(subscript is None for subscript, _, _ in elements):
            values = [value for _, value, _ in elements] + [""]  # pairs of key and value (bash 5.1)
            elements = [(key, value, False) for key, value in zip(values[::2], values[1::2], strict=False)]
        following = max((int(key) for key in variable.elements), default=-1) + 1 if not variable.is_associative else 0
        for subscript, value, adds in elements:
            if subscript is None and variable.is_associative:
                raise SubscriptError(f"{base}: {value}: must use subscript when assigning associative array")
            key = following if subscript is None else self._key(base, variable, subscript)
            old = variable.elements.get(key, "") if adds else ""
            variable.elements[key] = self.converted(variable, old + value)
            following = key + 1 if isinstance(key, int) else 0

    def set_list(self, name: str, values: list[str]) -> None:
        """Set a variable to an indexed array of these values."""
        self.table[self.resolve(name)[0]] = Variable(elements=dict(enumerate(values)))
