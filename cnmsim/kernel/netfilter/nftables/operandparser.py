"""Parser of the operands in nft's rules: values, sets, maps, and their elements (parser_bison.y, evaluate.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.datatypes import Datatype, Span
from cnmsim.kernel.netfilter.nftables.elements import Data, ElementKey, Elements, Jump, Value
from cnmsim.kernel.netfilter.nftables.errors import Location, NftError
from cnmsim.kernel.netfilter.nftables.keys import INDEX, Key
from cnmsim.kernel.netfilter.nftables.statements import VERDICTS, Operand

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace


class Sets(Protocol):
    """The interface through which the parser finds the named sets and maps of a table."""

    def types_of(self, name: str) -> tuple[tuple[Datatype, ...], tuple[Datatype, ...] | None] | None:
        """Return the data types of the set or map `name`, or None if there is none of that name.

        These are the types of its key fields, and the types of its data: None for a set, () for a map of verdicts.
        """

    def suggestion(self, name: str) -> str:
        """Return the `did you mean` part of the error for an unknown set, "" if the table has no sets."""


@define(eq=False)
class OperandParser:
    """Parses what a rule's fields are compared with or looked up in: values, sets, maps, and their elements.

    `sets` finds the table's sets by name, `namespace` the devices. `jumps` collects the chains to which verdicts in
    maps jump, each with its location in the input.
    """

    cursor: Cursor
    sets: Sets
    namespace: NetworkNamespace
    jumps: dict[str, Location] = field(factory=dict)
    #: The location of the fields that are compared, for error messages. The rule parser sets it.
    keys_location: Location | None = field(default=None, init=False)
    #: The number of elements that the last anonymous set had before overlaps were merged; 2 after a concatenation.
    given_elements: int = field(default=0, init=False)

    def mask(self, key: Key) -> int:
        """Parse the mask to apply to the field `key`.

        It is a number, or names separated by commas or bars, optionally in parentheses.
        """
        cursor = self.cursor
        in_parentheses = cursor.accept("(")
        value = 0
        while True:
            token = cursor.word()
            value |= key.type.read(token.text, token.location).low
            if not cursor.accept("|", ",", "or"):
                break
        if in_parentheses:
            cursor.expect(")")
        return value

    def device(self, location: Location) -> tuple[Span, tuple[tuple[int, str], ...]]:
        """Parse the name of a device into its interface index.

        Return the index as a span, and a tuple with the pair (index, name), for listings. Raises `NftError` at
        `location` if there is no such device.
        """
        name = self.cursor.word().text
        device = self.namespace.devices.get(name)
        if device is None:
            raise NftError("Interface does not exist", location)
        return Span(device.index, device.index), ((device.index, name),)

    def operand(self, keys: tuple[Key, ...]) -> Operand:
        """Parse the operand of the fields `keys`: a value, prefix or range, a set in braces, or `@name`.

        Raises `NftError` if the input is invalid for the data types of the fields.
        """
        cursor = self.cursor
        kinds = tuple(key.type for key in keys)
        if cursor.text.startswith("@"):
            return self._set_name(kinds, is_map=False)
        if cursor.text == "{":
            elements = Elements(kinds)
            self.given_elements = self._elements(elements, None)
            elements.merge_overlaps()
            return elements
        if len(kinds) > 1:
            elements = Elements(kinds)
            elements.add(self.element_key(kinds))
            self.given_elements = 2
            return elements
        return self._span(kinds[0])

    def _span(self, kind: Datatype) -> Span:
        cursor = self.cursor
        token = cursor.word()
        span = kind.read(token.text, token.location)
        if not kind.is_flags:
            return span
        value = span.low
        while cursor.text in {",", "|"}:
            cursor.take()
            token = cursor.word()
            value |= kind.read(token.text, token.location).low
        return Span(value, value)

    def _set_name(self, kinds: tuple[Datatype, ...], *, is_map: bool) -> str:
        token = self.cursor.take()
        name = token.text[1:]
        set_types = self.sets.types_of(name)
        if set_types is None:
            raise NftError(f"No such file or directory{self.sets.suggestion(name)}", token.location)
        if (set_types[1] is not None) is not is_map:
            raise NftError("Expression is not a map" if is_map else "Expression is not a set", token.location)
        if [kind.bits for kind in set_types[0]] != [kind.bits for kind in kinds]:
            expected, actual = (
                " . ".join(kind.title or kind.name for kind in types) for types in (kinds, set_types[0])
            )
            raise NftError(
                f"datatype mismatch, expected {expected}, expression has type {actual}",
                token.location,
                self.keys_location,
            )
        return name

    def map_operand(self, keys: tuple[Key, ...], values: tuple[Datatype, ...]) -> Elements | str:
        """Parse the map of a lookup, `{ key : data, … }` or `@name`, and return its elements or its name.

        `keys` are the fields that are looked up. `values` are the data types of the map's data, () for verdicts.
        Raises `NftError` if the input is invalid.
        """
        kinds = tuple(key.type for key in keys)
        if self.cursor.text.startswith("@"):
            return self._set_name(kinds, is_map=True)
        elements = Elements(kinds)
        self._elements(elements, values)
        return elements

    def _elements(self, elements: Elements, values: tuple[Datatype, ...] | None) -> int:
        """Parse `{ element, … }`, add the elements to `elements` and return their number.

        `values` are the data types of the data: None for a set, which has no data, and () for verdicts.
        """
        cursor = self.cursor
        cursor.expect("{")
        count = 0
        while True:
            cursor.skip_newlines()
            if cursor.accept("}"):
                return count
            key = self.element_key(elements.types)
            data: Data = None
            if values is not None:
                cursor.expect(":")
                data = self.data(values)
            elements.add(key, data)
            count += 1
            cursor.skip_newlines()
            if not cursor.accept(","):
                cursor.expect("}")
                return count

    def element_key(self, kinds: tuple[Datatype, ...]) -> ElementKey:
        """Parse the key of an element: `*` (any key), or a value, prefix or range for each data type in `kinds`."""
        cursor = self.cursor
        if cursor.accept("*"):
            return ()
        spans = []
        for at, kind in enumerate(kinds):
            if at:
                cursor.expect(".")
            spans.append(self._element_span(kind))
        return tuple(spans)

    def _element_span(self, kind: Datatype) -> Span:
        token = self.cursor.word()
        if kind is INDEX:
            device = self.namespace.devices.get(token.text)
            if device is None:
                raise NftError("Interface does not exist", token.location)
            return Span(device.index, device.index)
        span = kind.read(token.text, token.location)
        return Span(span.low, span.high)

    def data(self, values: tuple[Datatype, ...]) -> Data:
        """Parse the data of one map element.

        `values` are its data types, () for a verdict. If there are several, all but the first may be missing in the
        input, such as the port in `10.0.0.1 . 80`.
        """
        cursor = self.cursor
        if not values:
            word = cursor.word()
            if word.text in {"jump", "goto"}:
                chain = cursor.word()
                self.jumps.setdefault(chain.text, chain.location)
                return Jump(chain.text, word.text == "goto")
            if word.text not in VERDICTS:
                raise NftError("syntax error, unexpected string", word.location)
            return word.text
        parts = [self._element_span(values[0]).low]
        while len(parts) < len(values) and cursor.accept("."):
            parts.append(self._element_span(values[len(parts)]).low)
        return Value(tuple(parts), values[: len(parts)])
