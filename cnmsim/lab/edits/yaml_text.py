"""Edits of a YAML text that leave every other character of it unchanged.

A round trip through a YAML library changes spacing, line breaks and quotes elsewhere in the file. This module parses
the text only to find the positions of its nodes; an edit replaces, inserts or removes characters at such a position.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from cnmsim.errors import FileError
from cnmsim.lab.yamlfile import Key, node_at, nodes_of, parse_yaml

_DEFAULT_STEP = 2
#: The number of keys that lead to an option of a network: `networks`, its name, the option.
_NETWORK_OPTION = 3
_ALIAS = re.compile(r"\s*\*[^\s,\]}]+")
#: Matches text that would have another meaning if it stood without quotes.
_SPECIAL = re.compile(r"[,\[\]{}#\"'&*!|>%@`?\n]|:\s|:$|^-|^\s|\s$")
_PLAIN = re.compile(r"[A-Za-z0-9_./-][A-Za-z0-9_./=+ -]*\Z")


class YamlText:
    """A YAML text that can be edited.

    `text` includes all edits so far; new keys and items are indented like the existing ones.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parsed: tuple[str, list[yaml.Node]] = ("", [])

    @property
    def _documents(self) -> list[yaml.Node]:
        """The root nodes of the documents in the text as it is now."""
        if self._parsed[0] != self.text:
            self._parsed = (self.text, list(nodes_of(self.text)))
        return self._parsed[1]

    # ---- lookup

    def _root(self, keys: Sequence[Key]) -> yaml.Node | None:
        """Return the root node of the document that contains the longest beginning of the path `keys`.

        Of several such documents, return the last one. Return `None` if the text has no document.
        """
        return max(reversed(self._documents), key=lambda root: self._depth(root, keys), default=None)

    @staticmethod
    def _depth(root: yaml.Node, keys: Sequence[Key]) -> int:
        return next((number for number in range(len(keys), 0, -1) if node_at(root, keys[:number]) is not None), 0)

    def node(self, keys: Sequence[Key]) -> yaml.Node | None:
        """Return the node at the path `keys`, or `None` if there is none.

        Keys that are merged in by `<<` are not found.
        """
        root = self._root(keys)
        return None if root is None else node_at(root, keys)

    def line(self, keys: Sequence[Key]) -> int:
        """Return the number of the line (from 1) of the node at `keys`. Raises `KeyError` if there is none."""
        return self._require(keys).start_mark.line + 1

    def key_line(self, keys: Sequence[Key]) -> int:
        """Return the number of the line (from 1) of the key at the path `keys`, or of the list item there."""
        entry = self._entry(keys)
        return self.line(keys) if entry is None else int(entry[0].start_mark.line) + 1

    def items(self, keys: Sequence[Key]) -> list[yaml.Node]:
        """Return the items of the list at `keys`; empty if there is no list."""
        node = self.node(keys)
        return list(node.value) if isinstance(node, yaml.SequenceNode) else []

    def _require(self, keys: Sequence[Key]) -> yaml.Node:
        node = self.node(keys)
        if node is None:
            raise KeyError(keys)
        return node

    def source(self, node: yaml.Node) -> str:
        """Return the text of a node as it is written in the file."""
        return self.text[node.start_mark.index : self._end(node)]

    def _end(self, node: yaml.Node) -> int:
        """Return the position after a node's last character other than white space."""
        end = node.end_mark.index
        is_block = isinstance(node, yaml.CollectionNode) and not node.flow_style
        if is_block and isinstance(node, yaml.MappingNode) and node.value:
            end = self._value_end(*node.value[-1])
        elif is_block and node.value:
            # The node of an item that is an alias is the anchored node, which stands in another place.
            last = node.value[-1]
            end = self._end(last) if last.start_mark.index >= node.start_mark.index else end
        return end - (len(self.text[:end]) - len(self.text[:end].rstrip()))

    def _value_end(self, key: yaml.Node, value: yaml.Node) -> int:
        if self._is_alias(key, value):
            return self._alias_span(key)[1]
        return max(self._end(value), key.end_mark.index + 1)

    @staticmethod
    def _is_alias(key: yaml.Node, value: yaml.Node) -> bool:
        return bool(value.start_mark.index < key.start_mark.index)

    def _alias_span(self, key: yaml.Node) -> tuple[int, int]:
        after_colon = self.text.index(":", key.end_mark.index) + 1
        match = _ALIAS.match(self.text, after_colon)
        return (after_colon, match.end() if match else after_colon)

    # ---- edits

    def set(self, keys: Sequence[Key], value: Any) -> None:
        """Set the value at the path `keys`. Missing mappings are added, each at the end of the mapping around it."""
        root = self._root(keys)
        if root is None:
            self.text += f"{keys[0]}:{self._block(_nested(keys[1:], value), 0)}\n"
            return
        depth = self._depth(root, keys)
        if depth == len(keys):
            self._replace(root, keys, value)
            return
        parent = node_at(root, keys[:depth])
        assert parent is not None
        if not isinstance(parent, yaml.MappingNode):  # null, or a scalar that a mapping replaces
            self._replace(root, keys[:depth], _nested(keys[depth:], value))
            return
        key, inner = keys[depth], _nested(keys[depth + 1 :], value)
        if parent.flow_style:
            self._insert_flow(parent, f"{scalar_text(key)}: {flow_text(inner)}")
            return
        column = parent.value[0][0].start_mark.column if parent.value else 0
        spacing = "\n" if depth == 0 and "\n\n" in self.text else ""
        self._insert_line(
            self._end(parent), f"{spacing}{' ' * column}{scalar_text(key)}:{self._block(inner, column)}"
        )

    def append(self, keys: Sequence[Key], value: Any) -> None:
        """Append an item to the list at the path `keys`.

        A missing list is created; a single value in place of the list is first made a list of one item.
        """
        node = self.node(keys)
        if node is None or (isinstance(node, yaml.ScalarNode) and not self.source(node)):
            self.set(keys, [value])
            return
        entry = self._entry(keys)
        if entry is not None and self._is_alias(*entry):
            shared = parse_yaml(self.source(node), "")
            self.set(keys, [*(shared if isinstance(shared, list) else [shared]), value])
            return
        if not isinstance(node, yaml.SequenceNode):
            self.set(keys, [parse_yaml(self.source(node), ""), value])
        elif node.flow_style:
            self._insert_flow(node, flow_text(value))
        else:
            self._insert_line(self._end(node), f"{' ' * self._column(node)}- {flow_text(value)}")

    def rewrite(self, node: yaml.ScalarNode, text: str) -> None:
        """Replace a scalar by another text. The text is quoted in the same style as before where that is possible."""
        if node.style in {'"', "'"} and node.style not in text and "\\" not in text:
            shown = f"{node.style}{text}{node.style}"
        else:
            shown = text if node.style is None and _can_be_plain(text) else scalar_text(text)
        self.text = self.text[: node.start_mark.index] + shown + self.text[self._end(node) :]

    def remove(self, keys: Sequence[Key]) -> None:
        """Remove a key with its value, or an item of a list. Raises `KeyError` if there is none."""
        node, parent = self._require(keys), self._require(keys[:-1]) if len(keys) > 1 else self._root(keys)
        assert isinstance(parent, yaml.CollectionNode)
        entry = self._entry(keys)
        start = entry[0].start_mark.index if entry is not None else node.start_mark.index
        end = self._value_end(*entry) if entry is not None else self._end(node)
        if len(parent.value) == 1 and len(keys) > 1:
            # A network without options remains as a key without a value; any other mapping or list is removed with
            # its only entry.
            if len(keys) == _NETWORK_OPTION and keys[0] == "networks":
                self.set(keys[:-1], None)
            else:
                self.remove(keys[:-1])
            return
        if parent.flow_style:
            after = re.compile(r"\s*,\s*").match(self.text, end)
            if after is not None:
                end = after.end()
            else:
                start = len(self.text[:start].rstrip().removesuffix(","))
            self.text = self.text[:start] + self.text[end:]
            return
        first = self.text.rfind("\n", 0, start) + 1
        last = self.text.find("\n", end)
        self.text = self.text[:first] + ("" if last < 0 else self.text[last + 1 :])

    # ---- parts of edits

    def _column(self, node: yaml.CollectionNode) -> int:
        """Return the column of the keys of a block mapping, or of the dashes of a block list.

        The node must not be empty.
        """
        if isinstance(node, yaml.MappingNode):
            return int(node.value[0][0].start_mark.column)
        # If the node has an anchor, it starts there.
        dash = node.start_mark.index
        if self.text[dash] != "-":
            dash = self.text.index("\n", dash) + 1
            dash += len(self.text[dash:]) - len(self.text[dash:].lstrip(" "))
        return dash - (self.text.rfind("\n", 0, dash) + 1)

    def _entry(self, keys: Sequence[Key]) -> tuple[yaml.Node, yaml.Node] | None:
        """Return the key node and the value node of the mapping entry at `keys`.

        Return `None` if there is none, or if `keys` is the path of a list item.
        """
        parent = self.node(keys[:-1]) if len(keys) > 1 else self._root(keys)
        if not isinstance(parent, yaml.MappingNode):
            return None
        return next(((key, value) for key, value in parent.value if key.value == str(keys[-1])), None)

    def _replace(self, root: yaml.Node, keys: Sequence[Key], value: Any) -> None:
        node = node_at(root, keys)
        assert node is not None
        entry = self._entry(keys) if keys else None
        if entry is None:
            shown = "" if value is None else flow_text(value)
            self.text = self.text[: node.start_mark.index] + shown + self.text[self._end(node) :]
            return
        key = entry[0]
        start = self.text.index(":", key.end_mark.index) + 1
        end = max(start, self._value_end(*entry))
        parent = node_at(root, keys[:-1])
        is_flow = isinstance(parent, yaml.CollectionNode) and parent.flow_style
        is_flow = is_flow or (isinstance(node, yaml.CollectionNode) and bool(node.flow_style))
        shown = f" {flow_text(value)}" if is_flow else self._block(value, key.start_mark.column)
        self.text = self.text[:start] + shown + self.text[end:]

    def _insert_flow(self, node: yaml.CollectionNode, text: str) -> None:
        if not node.value:
            at = node.start_mark.index + 1
        else:
            last = node.value[-1]
            at = self._value_end(*last) if isinstance(last, tuple) else self._end(last)
            if not isinstance(last, tuple) and last.start_mark.index < node.start_mark.index:  # an alias
                at = len(self.text[: node.end_mark.index - 1].rstrip())
            text = f", {text}"
        self.text = self.text[:at] + text + self.text[at:]

    def _insert_line(self, after: int, line: str) -> None:
        """Insert a line after the line that contains the position `after`."""
        end = self.text.find("\n", after)
        if end < 0:
            self.text += f"\n{line}" if self.text else line
        else:
            self.text = f"{self.text[: end + 1]}{line}\n{self.text[end + 1 :]}"

    def _block(self, value: Any, column: int) -> str:
        """Return the text to write after `key:` for a value in block style.

        `column` is the column at which the key begins.
        """
        step, offset = self._indentation()
        if isinstance(value, dict) and value:
            inner = column + step
            return "".join(
                f"\n{' ' * inner}{scalar_text(key)}:{self._block(item, inner)}" for key, item in value.items()
            )
        if isinstance(value, list) and value:
            return "".join(f"\n{' ' * (column + offset)}- {flow_text(item)}" for item in value)
        return "" if value is None else f" {flow_text(value)}"

    def _indentation(self) -> tuple[int, int]:
        """Return how many columns the text indents a mapping inside a mapping, and a list inside a mapping."""
        steps: list[int] = []
        offsets: list[int] = []
        for root in self._documents:
            self._measure(root, steps, offsets)
        step = steps[0] if steps else _DEFAULT_STEP
        return step, offsets[0] if offsets else step

    def _measure(self, node: yaml.Node, steps: list[int], offsets: list[int]) -> None:
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(value, yaml.CollectionNode) or value.flow_style or self._is_alias(key, value):
                continue
            columns = steps if isinstance(value, yaml.MappingNode) else offsets
            columns.append(self._column(value) - key.start_mark.column)
            self._measure(value, steps, offsets)


def _nested(keys: Sequence[Key], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def scalar_text(value: object) -> str:
    """Return a scalar as YAML text, in double quotes if YAML would read the bare text as something else."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    is_plain = _PLAIN.match(value) is not None and value == value.strip() and parse_yaml(value, "") == value
    return value if is_plain and not value.startswith("- ") else json.dumps(value, ensure_ascii=False)


def _can_be_plain(text: str) -> bool:
    """Return True if YAML reads a text without quotes as that same text, also inside brackets."""
    try:
        return _SPECIAL.search(text) is None and bool(parse_yaml(text, "") == text)
    except FileError:
        return False


def flow_text(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar_text(key)}: {flow_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow_text, value)) + "]"
    return scalar_text(value)
