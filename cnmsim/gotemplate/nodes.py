"""Nodes of a parsed template (Go `text/template/parse`, node.go).

`str(node)` is the form that error messages quote.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import field, frozen

from cnmsim.gostrconv import quote
from cnmsim.gotemplate.values import Value


class TemplateError(Exception):
    """Error: a template cannot be parsed or executed. The message is that of Go's text/template."""


@frozen
class Text:
    """Literal text between actions."""

    pos: int
    text: str


@frozen
class Dot:
    """The dot `.`: the current value."""

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
    """A number, boolean or string literal: its `value`, and its source text `output`."""

    pos: int
    value: Value
    output: str

    def __str__(self) -> str:
        return self.output


@frozen
class Identifier:
    """The name of a function."""

    pos: int
    name: str

    def __str__(self) -> str:
        return self.name


@frozen
class Field:
    """A chain of fields of the dot, such as `.Node.Hostname`."""

    pos: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@frozen
class Variable:
    """A variable, with a chain of fields if some follow: `$x.Name`. The variable's name includes the `$`."""

    pos: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


@frozen
class Chain:
    """A chain of fields of any other expression, such as `(index .A 1).B`."""

    pos: int
    of: Node
    names: tuple[str, ...]

    def __str__(self) -> str:
        return _operand(self.of) + "".join(f".{name}" for name in self.names)


@frozen
class Command:
    """One stage of a pipeline: a value, or a function (the first operand) with its arguments."""

    pos: int
    operands: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(_operand(operand) for operand in self.operands)


@frozen
class Pipe:
    """A pipeline: commands, each of which receives the result of the previous one.

    The result is stored in `variables`, if there are any. If `assigns` is True, they are existing variables (`=`),
    otherwise the pipeline declares them (`:=`).
    """

    pos: int
    commands: tuple[Command, ...]
    variables: tuple[str, ...] = ()
    assigns: bool = False

    def __str__(self) -> str:
        before = f"{', '.join(self.variables)} {'=' if self.assigns else ':='} " if self.variables else ""
        return before + " | ".join(str(command) for command in self.commands)


@frozen
class Action:
    """An action that consists of a pipeline, such as `{{.Name}}`.

    The result is printed unless a variable stores it.
    """

    pos: int
    pipe: Pipe


@frozen
class Branch:
    """An `if`, `with` or `range` block. `kind` is the keyword; `else_body` is the part after `{{else}}`."""

    pos: int
    kind: str
    pipe: Pipe
    body: tuple[Statement, ...]
    else_body: tuple[Statement, ...] = ()


@frozen
class Call:
    """The invocation of an associated template by `{{template}}`, or by `{{block}}`, which also defines it.

    `name` is the name of the associated template. The value of `pipe` becomes its dot; `None` means nil.
    """

    pos: int
    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        return f"{{{{template {quote(self.name)}{f' {self.pipe}' if self.pipe else ''}}}}}"


@frozen
class LoopControl:
    """A `break` or `continue` action."""

    pos: int
    kind: str


Node: TypeAlias = Dot | Nil | Constant | Identifier | Field | Variable | Chain | Pipe
Statement: TypeAlias = Text | Action | Branch | Call | LoopControl


@frozen
class Template:
    """A parsed template and the associated templates that it defines, by name."""

    name: str
    text: str
    body: tuple[Statement, ...]
    defined: dict[str, tuple[Statement, ...]] = field(factory=dict)


def _operand(node: Node) -> str:
    return f"({node})" if isinstance(node, Pipe) else str(node)
