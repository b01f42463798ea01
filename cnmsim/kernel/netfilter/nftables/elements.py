"""Elements of sets and maps: lookup, order and text."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field, frozen

from cnmsim.kernel.netfilter.nftables.datatypes import Datatype, Span


@frozen
class Jump:
    """The verdict `jump` or `goto` to another chain.

    At the end of that chain, evaluation returns after a jump, but not after a goto.
    """

    chain: str
    is_goto: bool = False

    def __str__(self) -> str:
        return f"{'goto' if self.is_goto else 'jump'} {self.chain}"


@frozen
class Value:
    """The data of a map element: one number, or several for data such as `10.0.0.1 . 80`.

    `types` are the data types of `parts`.
    """

    parts: tuple[int, ...]
    types: tuple[Datatype, ...]

    def __str__(self) -> str:
        return " . ".join(kind.text(Span(part, part)) for kind, part in zip(self.types, self.parts, strict=True))


#: The key of an element: a span for each field. The empty key is the catch-all element `*`.
ElementKey = tuple[Span, ...]
#: The data of an element: None in a set, the name of a simple verdict, a jump, or a value.
Data = None | str | Jump | Value


@define(eq=False)
class Elements:
    """The elements of a set or map. `types` are the data types of the fields of which a key consists."""

    types: tuple[Datatype, ...]
    _items: dict[ElementKey, Data] = field(factory=dict)
    _exact: dict[tuple[int, ...], Data] = field(factory=dict)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[tuple[ElementKey, Data]]:
        return iter(self._items.items())

    def __contains__(self, key: ElementKey) -> bool:
        return key in self._items

    def get(self, key: ElementKey) -> Data:
        """Return the data of the element with exactly this key.

        Return None in a set, whose elements have no data, or if there is no such element.
        """
        return self._items.get(key)

    def add(self, key: ElementKey, data: Data = None) -> None:
        """Add an element, or replace the one with this key. `data` is its value in a map, `None` in a set."""
        self._items[key] = data
        if key and all(span.is_single for span in key):
            self._exact[tuple(span.low for span in key)] = data

    def remove(self, key: ElementKey) -> None:
        """Remove an element. Raises `KeyError` if there is no element with exactly this key."""
        del self._items[key]
        self._exact.pop(tuple(span.low for span in key), None)

    def clear(self) -> None:
        """Remove all elements."""
        self._items.clear()
        self._exact.clear()

    def copy(self) -> Elements:
        """Return an independent copy."""
        return Elements(self.types, dict(self._items), dict(self._exact))

    def find(self, values: tuple[int, ...]) -> tuple[bool, Data]:
        """Look up the element whose key contains `values`, one value for each field.

        Return (True, the element's data), or (False, None) if no element matches.
        """
        if values in self._exact:
            return True, self._exact[values]
        if len(self._exact) < len(self._items):
            for key, data in self._items.items():
                if key and all(value in span for span, value in zip(key, values, strict=True)):
                    return True, data
            if () in self._items:
                return True, self._items[()]
        return False, None

    def merge_overlaps(self) -> None:
        """Merge overlapping spans, as nft does in anonymous sets and in sets with auto-merge.

        Maps, and sets with keys of several fields, are left unchanged.
        """
        if len(self.types) != 1 or any(data is not None for data in self._items.values()):
            return
        merged: list[Span] = []
        for span in sorted((key[0] for key in self._items if key), key=lambda span: (span.low, -span.high)):
            if (merged and span.low <= merged[-1].high and not span.is_single | merged[-1].is_single) or (
                merged and span.high <= merged[-1].high
            ):
                merged[-1] = Span(merged[-1].low, max(merged[-1].high, span.high))
            else:
                merged.append(span)
        self.clear()
        for span in merged:
            self.add((span,))

    def overlapping(self, key: ElementKey) -> bool:
        """Return True if another element's key overlaps `key` in every field."""
        return any(
            other != key
            and len(other) == len(key)
            and all(
                span.low <= other_span.high and other_span.low <= span.high
                for span, other_span in zip(key, other, strict=True)
            )
            for other in self._items
            if other
        )

    def texts(self) -> list[str]:
        """Return the elements as text, in the order in which nft lists them."""
        return [self._text(key, data) for key, data in self.in_order()]

    def in_order(self) -> list[tuple[ElementKey, Data]]:
        """Return the elements, key and data, in the order in which nft lists them."""
        return sorted(self._items.items(), key=self._order)

    def _order(self, item: tuple[ElementKey, Data]) -> tuple[bool, tuple[int, ...]]:
        key, _ = item
        return not key, tuple(kind.order(span.low) for kind, span in zip(self.types, key, strict=False))

    def _text(self, key: ElementKey, data: Data) -> str:
        text = self.key_text(key)
        return text if data is None else f"{text} : {data}"

    def key_text(self, key: ElementKey) -> str:
        """Return an element's key as nft prints it: its fields joined by ` . `, or `*` for the catch-all element."""
        if not key:
            return "*"
        return " . ".join(kind.text(span) for kind, span in zip(self.types, key, strict=True))

    def inline(self) -> str:
        """Return the elements as nft lists an anonymous set: `{ a, b }`."""
        return f"{{ {', '.join(self.texts())} }}"

    def block(self, indent: str) -> str:
        """Return the `elements = { … }` line of a named set, wrapped as nft does.

        `indent` precedes every line but the first.
        """
        texts = self.texts()
        is_map = any(data is not None for data in self._items.values())
        per_line = 1 if is_map or len(self.types) > 1 else self.types[0].per_line
        lines = [", ".join(texts[at : at + per_line]) for at in range(0, len(texts), per_line)]
        return f"elements = {{ {f',{chr(10)}{indent}     '.join(lines)} }}"
