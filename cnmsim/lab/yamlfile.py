"""YAML with the position of each value, so that an error can name file, line and key.

Scalars are read by the core schema of YAML 1.2 (§10.3), as in Compose: `on`, `off`, `yes` and `22:22` are text.
Mappings and lists become `Map` and `Seq`, a dict and a list with line numbers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

from cnmsim.bounded_read import read_bytes
from cnmsim.errors import FileError

#: The largest size of a document after its aliases are expanded (go-yaml has such a limit, too).
_MOST_NODES = 100_000
#: The largest number of digits of an integer. Python refuses to print a number of thousands of digits.
_MOST_DIGITS = 300
#: The greatest depth of nested mappings and lists.
_MOST_LEVELS = 100


@frozen
class Place:
    """A position in a file: its path and a line (from 1)."""

    path: str
    line: int

    def error(self, message: str, key: str = "") -> FileError:
        """Return a `FileError` with `message` for this position. `key` is the path of keys to the value, as text."""
        return FileError(message, path=self.path, line=self.line, key=key)


class Map(dict[str, Any]):
    """A mapping with positions in its file.

    `place` is the position of the mapping, `places[key]` the position of a key.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, Place] = {}

    def put(self, key: str, value: Any, place: Place) -> None:
        """Set the value of a key, and the key's position."""
        self[key] = value
        self.places[key] = place

    def copy(self) -> Map:
        """Return a shallow copy of the mapping, with positions."""
        twin = Map(self.place)
        twin.update(self)
        twin.places.update(self.places)
        return twin


class Seq(list[Any]):
    """A list with positions in its file.

    `place` is the position of the list, `places[i]` the position of item `i`.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: list[Place] = []

    def put(self, value: Any, place: Place) -> None:
        """Append an item with its position."""
        self.append(value)
        self.places.append(place)

    def copy(self) -> Seq:
        """Return a shallow copy of the list, with positions."""
        twin = Seq(self.place)
        twin.extend(self)
        twin.places.extend(self.places)
        return twin


@frozen
class Tagged:
    """A value with a local tag, such as Compose's `!reset` and `!override`."""

    tag: str
    value: Any


Key = str | int


def key_text(keys: Iterable[Key]) -> str:
    """Return the path to a value as text: `services.web.ports[0]` for the keys `("services", "web", "ports", 0)`."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def locate(root: Any, keys: Iterable[Key]) -> Place | None:
    """Return the position of the value at the path `keys` in the document `root`.

    If that value has no position, return the position of the nearest mapping or list around it. Return `None` if none
    of them has a position.
    """
    place = getattr(root, "place", None)
    here = root
    for key in keys:
        if isinstance(here, Map) and key in here.places:
            place, here = here.places[str(key)], here.get(str(key))
        elif isinstance(here, Seq) and isinstance(key, int) and key < len(here.places):
            place, here = here.places[key], here[key]
        else:
            break
    return place


def wrong(root: Any, keys: Iterable[Key], message: str, path: str = "") -> FileError:
    """Return a `FileError` with `message`, located at the value with the path `keys` in the document `root`.

    If the document has no positions, the error names the file `path` without a line.
    """
    keys = tuple(keys)
    place = locate(root, keys)
    text = key_text(keys)
    error = FileError(message, path=path, key=text) if place is None else place.error(message, text)
    error.keys, error.document = keys, root
    return error


def read_text(path: Path) -> str:
    """Read a text file. Raises `FileError` if it does not exist or is not text."""
    name = str(path)
    try:
        return io.TextIOWrapper(io.BytesIO(read_bytes(path)), encoding="utf-8-sig").read()
    except UnicodeDecodeError:
        raise FileError("the file is not UTF-8 text", path=name) from None
    except ValueError as odd:  # a path with a null byte
        raise FileError(str(odd), path=name) from None
    except OSError as failed:
        raise FileError(failed.strerror or str(failed), path=name) from None


def load_yaml(path: Path) -> Any:
    """Read a YAML file. Raises `FileError` if it is unreadable or not valid YAML."""
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, path: str) -> Any:
    """Parse one YAML document from `text`, and return its value or, if the text is empty, `None`.

    `path` is the file from which the text was read, for positions and errors. Raises `FileError` if the text is not
    valid YAML.
    """
    documents = parse_documents(text, path, most=1)
    return documents[0] if documents else None


def parse_documents(text: str, path: str, most: int | None = None) -> list[Any]:
    """Return the values of all YAML documents in a text that was read from `path`.

    Raises `FileError` if the text is invalid or contains more than `most` documents.
    """
    try:
        documents = list(nodes_of(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise FileError(f"yaml: {error.problem or error.context}", path=path, line=line) from None
    except yaml.YAMLError as error:
        raise FileError(f"yaml: {str(error).splitlines()[0]}", path=path) from None
    except RecursionError:
        raise FileError("yaml: nested too deeply", path=path) from None
    if most is not None and len(documents) > most:
        line = documents[most].start_mark.line + 1
        raise FileError("yaml: the file holds more than one document", path=path, line=line)
    builder = _Builder(path)
    try:
        return [builder.build(document) for document in documents]
    except RecursionError:
        raise FileError("yaml: nested too deeply", path=path) from None


def nodes_of(text: str) -> Iterable[yaml.Node]:
    """Yield the root node of each YAML document in a text. Raises `yaml.YAMLError` if the text is not valid YAML."""
    loader = _CoreLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                yield node
    finally:
        loader.dispose()


def node_at(root: yaml.Node, keys: Iterable[Key]) -> yaml.Node | None:
    """Return the node at the path `keys` below `root`, or `None` if there is none.

    Keys merged in by `<<` are not found.
    """
    here: yaml.Node | None = root
    for key in keys:
        if isinstance(here, yaml.MappingNode):
            here = next((value for own, value in here.value if own.value == str(key)), None)
        elif isinstance(here, yaml.SequenceNode) and isinstance(key, int) and key < len(here.value):
            here = here.value[key]
        else:
            return None
    return here


class _CoreLoader(yaml.SafeLoader):
    """Parses YAML to nodes.

    Unquoted scalars get their types by YAML 1.2's core schema, not by YAML 1.1: `on` is text.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


class _Builder:
    """Constructs values (`Map`, `Seq` and scalars) from YAML nodes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._count = 0
        self._open: set[int] = set()

    def _place(self, node: yaml.Node) -> Place:
        return Place(self.path, node.start_mark.line + 1)

    def _error(self, node: yaml.Node, message: str) -> FileError:
        return self._place(node).error(f"yaml: {message}")

    def build(self, node: yaml.Node) -> Any:
        self._count += 1
        if self._count > _MOST_NODES:
            raise self._error(node, "document contains excessive aliasing")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if len(self._open) >= _MOST_LEVELS:
            raise self._error(node, f"nested too deeply (more than {_MOST_LEVELS} levels)")
        if id(node) in self._open:
            raise self._error(node, "an anchor contains itself")
        self._open.add(id(node))
        value = self._mapping(node) if isinstance(node, yaml.MappingNode) else self._sequence(node)
        self._open.remove(id(node))
        return Tagged(node.tag, value) if node.tag.startswith("!") else value

    def _sequence(self, node: yaml.Node) -> Seq:
        built = Seq(self._place(node))
        for item in node.value:
            built.put(self.build(item), self._place(item))
        return built

    def _mapping(self, node: yaml.Node) -> Map:
        built = Map(self._place(node))
        merged: list[Map] = []
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged += self._merged(value_node)
                continue
            key = self._key(key_node)
            if key in built:
                first = built.places[key].line
                raise self._error(key_node, f"mapping key {key!r} already defined at line {first}")
            built.put(key, self.build(value_node), self._place(key_node))
        for other in merged:
            for key, value in other.items():
                if key not in built:
                    built.put(key, value, other.places[key])
        return built

    def _merged(self, node: yaml.Node) -> list[Map]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        maps = [self.build(value) for value in nodes]
        if not all(isinstance(value, Map) for value in maps):
            raise self._error(node, "map merge requires map or sequence of maps as the value")
        return maps

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, "a key must be a string")
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = node.value
        kind = node.tag.rpartition(":")[2] if node.tag.startswith("tag:yaml.org,2002:") else ""
        if node.tag.startswith("!"):
            return Tagged(node.tag, None if text in {"", "null", "~"} and node.style is None else text)
        try:
            return _SCALARS.get(kind, str)(text)
        except (ValueError, KeyError):
            raise self._error(node, f"cannot read {text[:40]!r} as {kind}") from None


_OLD_OCTAL = re.compile("0[0-7]+")


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(text)
    sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    base = {"0o": 8, "0x": 16}.get(digits[:2].lower(), 10)
    if _OLD_OCTAL.fullmatch(digits):  # octal as in YAML 1.1, which go-yaml accepts too: file modes are written so
        return sign * int(digits, 8)
    return sign * int(digits[2:] if base != 10 else digits, base)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_SCALARS: dict[str, Any] = {"int": _int, "float": _float, "bool": _bool, "null": lambda _text: None}
