"""Execution of parsed templates (Go `text/template`, exec.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias

from attrs import define, field

from cnmsim.gostrconv import quote
from cnmsim.gotemplate.functions import BUILTINS, Function
from cnmsim.gotemplate.nodes import (
    Action,
    Branch,
    Call,
    Chain,
    Command,
    Constant,
    Dot,
    Field,
    Identifier,
    LoopControl,
    Nil,
    Node,
    Pipe,
    Statement,
    Template,
    TemplateError,
    Text,
    Variable,
)
from cnmsim.gotemplate.parser import parse
from cnmsim.gotemplate.values import Struct, Value, format_value, is_true, type_name

_MAX_CALL_DEPTH = 100_000


class _NoPipedValue:
    """The type of the value that means "the previous command piped no value into this command".

    `None` cannot have this meaning, because it represents Go's nil.
    """


_NO_PIPED_VALUE = _NoPipedValue()
_Piped: TypeAlias = Value | _NoPipedValue


def execute(name: str, text: str, data: Value, functions: Mapping[str, Function]) -> str:
    """Execute a template on `data` and return its output. Raises `TemplateError` if it cannot be parsed or executed.

    `name` is the template's name in errors, `text` its source. `functions` are functions that it may call in addition
    to the predefined ones. A missing key of a map is an error (`missingkey=error`).
    """
    all_functions = {**BUILTINS, **functions}
    template = parse(name, text, all_functions)
    output: list[str] = []
    run = _Run(template, name, all_functions, output, [("$", data)])
    run.walk(template.body, data)
    return "".join(output)


class _LoopControl(Exception):
    """Raised by `break` and `continue`; caught by the innermost `range`."""


@define
class _Run:
    """One execution of a template, or of an associated template that it invokes.

    `variables` are pairs (name, value), the innermost scope last. `depth` is the number of nested invocations.
    """

    template: Template
    name: str
    functions: Mapping[str, Function]
    output: list[str]
    variables: list[tuple[str, Value]]
    depth: int = 0
    #: The node being evaluated: error messages quote it and its position.
    at: Node | Command | Call | Statement | None = field(default=None, init=False)

    def _fail(self, message: str) -> NoReturn:
        raise self._error(message)

    def _error(self, message: str) -> TemplateError:
        assert self.at is not None
        before = self.template.text[: self.at.pos]
        column = len(before[before.rfind("\n") + 1 :].encode(errors="surrogateescape"))
        line = before.count("\n") + 1
        return TemplateError(
            f"template: {self.template.name}:{line}:{column}: executing {quote(self.name)} at <{self.at}>: {message}"
        )

    # ---- statements

    def walk(self, body: Sequence[Statement], dot: Value) -> None:
        for statement in body:
            match statement:
                case Text():
                    self.output.append(statement.text)
                case Action():
                    value = self._pipe(statement.pipe, dot)
                    if not statement.pipe.variables:
                        self.output.append("<no value>" if value is None else format_value(value))
                case Branch(kind="range"):
                    self._range(statement, dot)
                case Branch():
                    self._branch(statement, dot)
                case Call():
                    self._call(statement, dot)
                case LoopControl():
                    raise _LoopControl(statement.kind)

    def _branch(self, branch: Branch, dot: Value) -> None:
        count = len(self.variables)
        value = self._pipe(branch.pipe, dot)
        if is_true(value):
            self.walk(branch.body, value if branch.kind == "with" else dot)
        else:
            self.walk(branch.else_body, dot)
        del self.variables[count:]

    def _range(self, branch: Branch, dot: Value) -> None:
        count = len(self.variables)
        iterable = self._pipe(branch.pipe, dot)
        items: list[tuple[Value, Value]] = []
        if isinstance(iterable, Mapping):
            items = [(key, iterable[key]) for key in sorted(iterable)]
        elif isinstance(iterable, int) and not isinstance(iterable, bool):
            items = [(number, number) for number in range(iterable)]
        elif iterable is not None:
            self._fail(f"range can't iterate over {format_value(iterable)}")
        inside = len(self.variables)
        for key, value in items:
            names = branch.pipe.variables
            for name, item in zip(names, (value,) if len(names) == 1 else (key, value), strict=False):
                self._set(name, item)
            try:
                self.walk(branch.body, value)
            except _LoopControl as jump:
                if str(jump) == "break":
                    break
            del self.variables[inside:]
        del self.variables[inside:]
        if not items:
            self.walk(branch.else_body, dot)
        del self.variables[count:]

    def _call(self, call: Call, dot: Value) -> None:
        self.at = call
        body = self.template.defined.get(call.name)
        if body is None:
            self._fail(f"template {quote(call.name)} not defined")
        if self.depth == _MAX_CALL_DEPTH:
            self._fail(f"exceeded maximum template depth ({_MAX_CALL_DEPTH})")
        data = self._pipe(call.pipe, dot) if call.pipe is not None else None
        inner = _Run(self.template, call.name, self.functions, self.output, [("$", data)], self.depth + 1)
        inner.walk(body, data)

    # ---- variables

    def _set(self, name: str, value: Value) -> None:
        for number in range(len(self.variables) - 1, -1, -1):
            if self.variables[number][0] == name:
                self.variables[number] = (name, value)
                return
        self._fail(f"undefined variable: {name}")

    def _variable(self, name: str) -> Value:
        for all_functions, value in reversed(self.variables):
            if all_functions == name:
                return value
        raise self._error(f"undefined variable: {name}")

    # ---- pipelines

    def _pipe(self, pipe: Pipe, dot: Value) -> Value:
        self.at = pipe
        piped: _Piped = _NO_PIPED_VALUE
        for command in pipe.commands:
            piped = self._command(command, dot, piped)
        assert not isinstance(piped, _NoPipedValue)
        for name in pipe.variables:
            if pipe.assigns:
                self._set(name, piped)
            else:
                self.variables.append((name, piped))
        return piped

    def _command(self, command: Command, dot: Value, piped: _Piped) -> Value:
        first = command.operands[0]
        has_more = len(command.operands) > 1 or not isinstance(piped, _NoPipedValue)
        match first:
            case Field() | Chain() | Variable():
                return self._reference(first, dot, has_more=has_more)
            case Identifier():
                return self._function(first, command, command.operands[1:], dot, piped)
        if not isinstance(first, Pipe):
            self.at = first
        if has_more:
            self._fail(f"can't give argument to non-function {first}")
        if isinstance(first, Nil):
            self._fail("nil is not a command")
        return self._operand(first, dot)

    def _operand(self, node: Node, dot: Value) -> Value:
        self.at = node
        match node:
            case Dot():
                return dot
            case Constant():
                return node.value
            case Pipe():
                return self._pipe(node, dot)
            case Identifier():
                return self._function(node, node, (), dot, _NO_PIPED_VALUE)
            case Nil():
                return None
            case _:
                return self._reference(node, dot, has_more=False)

    def _reference(self, node: Field | Variable | Chain, dot: Value, *, has_more: bool) -> Value:
        self.at = node
        names = node.names
        value = dot
        if isinstance(node, Variable):
            value, names = self._variable(names[0]), names[1:]
            if not names and has_more:
                self._fail(f"can't give argument to non-function {node}")
        elif isinstance(node, Chain):
            if isinstance(node.of, Nil):
                self._fail(f"indirection through explicit nil in {node}")
            value = self._operand(node.of, dot)
        for number, name in enumerate(names, 1):
            value = self._field(value, name, has_arguments=has_more and number == len(names))
        return value

    def _field(self, value: Value, name: str, *, has_arguments: bool) -> Value:
        if isinstance(value, Struct):
            if name not in value.fields:
                self._fail(f"can't evaluate field {name} in type {value.type_name}")
            if has_arguments:
                self._fail(f"{name} has arguments but cannot be invoked as function")
            return value.fields[name]
        if isinstance(value, Mapping):
            if has_arguments:
                self._fail(f"{name} is not a method but has arguments")
            if name not in value:
                self._fail(f"map has no entry for key {quote(name)}")
            return value[name]
        if value is None:
            self._fail(f"nil data; no entry for key {quote(name)}")
        raise self._error(f"can't evaluate field {name} in type {type_name(value)}")

    # ---- functions

    def _function(
        self, node: Identifier, command: Command | Identifier, operands: Sequence[Node], dot: Value, piped: _Piped
    ) -> Value:
        self.at = node
        function = self.functions[node.name]
        count = len(operands) + (not isinstance(piped, _NoPipedValue))
        if function.is_variadic and count < function.min_arguments:
            self._fail(
                f"wrong number of args for {node.name}: want at least {function.min_arguments} got {len(operands)}"
            )
        if not function.is_variadic and count != function.min_arguments:
            self._fail(f"wrong number of args for {node.name}: want {function.min_arguments} got {count}")
        arguments: list[Value] = []
        for operand in operands:
            arguments.append(self._argument(operand, function, dot, first=not arguments, name=node.name))
            if node.name in {"and", "or"} and is_true(arguments[-1]) is (node.name == "or"):
                return arguments[-1]
        if not isinstance(piped, _NoPipedValue):
            self._check(piped, needs_string=function.needs_strings or (node.name == "printf" and not arguments))
            arguments.append(piped)
        try:
            return function.call(*arguments)
        except TemplateError as error:
            self.at = command
            self._fail(f"error calling {node.name}: {error}")

    def _argument(self, operand: Node, function: Function, dot: Value, *, first: bool, name: str) -> Value:
        needs_string = function.needs_strings or (name == "printf" and first)
        self.at = operand
        if needs_string and isinstance(operand, Nil):
            self._fail("cannot assign nil to string")
        if needs_string and isinstance(operand, Constant) and not isinstance(operand.value, str):
            self._fail(f"expected string; found {operand}")
        value = self._operand(operand, dot)
        self._check(value, needs_string=needs_string)
        return value

    def _check(self, value: Value, *, needs_string: bool) -> None:
        if needs_string and not isinstance(value, str):
            self._fail(
                "invalid value; expected string"
                if value is None
                else f"wrong type for value; expected string; got {type_name(value)}"
            )
