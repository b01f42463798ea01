"""Placement constraints such as `node.labels.zone==east` (moby/swarmkit `manager/constraint`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from attrs import frozen

from cnmsim.kernel.address import Prefix, parse_ip
from cnmsim.swarm.errors import RpcUnknown
from cnmsim.swarm.objects import Node

_KEY = re.compile(r"(?i)[a-z_][a-z0-9\-_.]+")
_VALUE = re.compile(r"(?i)[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+")
_NODE_LABEL = "node.labels."
_ENGINE_LABEL = "engine.labels."


@frozen
class Constraint:
    """A condition on one attribute of a node, such as `node.role`, which `key` names.

    The attribute must equal `expected`, or must differ from it if `is_equal` is False.
    """

    key: str
    is_equal: bool
    expected: str

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Parse one constraint such as `node.role == manager`.

        Raises `RpcUnknown` for an invalid constraint, with SwarmKit's text.
        """
        for operator in ("==", "!="):
            if operator in text:
                key, expected = (part.strip() for part in text.split(operator, 1))
                if not _KEY.fullmatch(key):
                    raise RpcUnknown(f"key '{key}' is invalid")
                if not _VALUE.fullmatch(expected):
                    raise RpcUnknown(f"value '{expected}' is invalid")
                return cls(key, operator == "==", expected)
        raise RpcUnknown("constraint expected one operator from ==, !=")

    @classmethod
    def parse_all(cls, texts: Iterable[str]) -> tuple[Constraint, ...]:
        """Parse several constraints. Raises `RpcUnknown` for the first invalid one."""
        return tuple(cls.parse(text) for text in texts)

    def matches(self, node: Node) -> bool:
        """Return True if a node meets the constraint.

        A constraint with an unknown key is never met, not even with `!=`.
        """
        key = self.key.lower()
        if key == "node.ip":
            return self._matches_address(node.status.addr)
        if key in _NODE_ATTRIBUTES:
            return self._matches_value(_NODE_ATTRIBUTES[key](node))
        value = label_value(self.key, node)
        return value is not None and self._matches_value(value)

    def _matches_value(self, value: str) -> bool:
        return (self.expected.lower() == value.lower()) == self.is_equal

    def _matches_address(self, address: str) -> bool:
        try:
            prefix = Prefix.parse(self.expected, strict=False)
        except ValueError:
            return False
        try:
            actual = parse_ip(address)
        except ValueError:
            return not self.is_equal
        return (len(prefix.network) == len(actual) and actual in prefix) == self.is_equal


_NODE_ATTRIBUTES: dict[str, Callable[[Node], str]] = {
    "node.id": lambda node: node.id,
    "node.hostname": lambda node: node.hostname,
    "node.role": lambda node: node.role.value,
    "node.platform.os": lambda node: node.description.platform.os if node.description else "",
    "node.platform.arch": lambda node: node.description.platform.architecture if node.description else "",
}


def label_value(key: str, node: Node) -> str | None:
    """Return the value of a node's label, where `key` is `node.labels.NAME` or `engine.labels.NAME`.

    Return "" if the node does not have the label, and `None` if `key` has another form.
    """
    lowered = key.lower()
    if lowered.startswith(_NODE_LABEL) and lowered != _NODE_LABEL:
        return node.spec.annotations.labels.get(key[len(_NODE_LABEL) :], "")
    if lowered.startswith(_ENGINE_LABEL) and lowered != _ENGINE_LABEL:
        labels = node.description.engine.labels if node.description is not None else {}
        return labels.get(key[len(_ENGINE_LABEL) :], "")
    return None


def node_matches(constraints: Iterable[Constraint], node: Node) -> bool:
    """Return True if a node meets all constraints."""
    return all(constraint.matches(node) for constraint in constraints)
