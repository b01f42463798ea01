"""The nodes of a parsed template; `str()` of one is how error messages quote it (Go `text/template/parse`, node.go)."""

from __future__ import annotations

from typing import TypeAlias

from attrs import field, frozen

from cnmsim.gotemplate.values import Value, quoted


class TemplateError(Exception):
    """A template that cannot be read or filled in, in text/template's words."""


@frozen
class Text:
    """What stands between actions."""

    pos: int
    text: str


@frozen
class Dot:
    """The cursor."""

    pos: int

    def __str__(self) -> str:
        return "."


@frozen
class Nil:
    """The constant `nil`."""

    pos: int

    def __str__(self) -> str:
        return "nil"


@frozen
class Constant:
    """A number, a boolean or a text, with how it was written."""

    pos: int
    value: Value
    written: str

    def __str__(self) -> str:
        return self.written


@frozen
class Identifier:
    """A function's name."""

    pos: int
    name: str

    def __str__(self) -> str:
        return self.name


@frozen
class Field:
    """Fields of the cursor: `.Node.Hostname`."""

    pos: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@frozen
class Variable:
    """A variable, with `$` in its name, and fields of it."""

    pos: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


@frozen
class Chain:
    """Fields of what a term gives: `(index .A 1).B`."""

    pos: int
    of: Node
    names: tuple[str, ...]

    def __str__(self) -> str:
        return _operand(self.of) + "".join(f".{name}" for name in self.names)


@frozen
class Command:
    """An operand, or a function with its operands."""

    pos: int
    operands: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(_operand(operand) for operand in self.operands)


@frozen
class Pipe:
    """Commands, each given what the one before it gave; and the variables that are set to the result."""

    pos: int
    commands: tuple[Command, ...]
    variables: tuple[str, ...] = ()
    assigns: bool = False

    def __str__(self) -> str:
        before = f"{', '.join(self.variables)} {'=' if self.assigns else ':='} " if self.variables else ""
        return before + " | ".join(str(command) for command in self.commands)


@frozen
class Action:
    """A pipeline whose result is printed, unless a variable is set to it."""

    pos: int
    pipe: Pipe


@frozen
class Branch:
    """`if`, `with` or `range`."""

    pos: int
    kind: str
    pipe: Pipe
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()


@frozen
class Call:
    """`template`, or the place of a `block`."""

    pos: int
    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        return f"{{{{template {quoted(self.name)}{f' {self.pipe}' if self.pipe else ''}}}}}"


@frozen
class Jump:
    """`break` or `continue`."""

    pos: int
    kind: str


Node: TypeAlias = Dot | Nil | Constant | Identifier | Field | Variable | Chain | Pipe
Statement: TypeAlias = Text | Action | Branch | Call | Jump


@frozen
class Template:
    """A parsed template and those it defines, by name."""

    name: str
    text: str
    body: tuple[Statement, ...]
    defined: dict[str, tuple[Statement, ...]] = field(factory=dict)


def _operand(node: Node) -> str:
    return f"({node})" if isinstance(node, Pipe) else str(node)
