"""Parser of templates (Go `text/template/parse`, parse.go)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import NoReturn

from cnmsim.gostrconv import quote
from cnmsim.gotemplate.lexer import Token, tokenize
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

_BEGINS_TERM = frozenset(
    {"bool", "dot", "field", "identifier", "number", "nil", "raw", "rune", "string", "variable", "("}
)


def parse(name: str, text: str, functions: Collection[str]) -> Template:
    """Parse a template. Raises `TemplateError` if it is invalid.

    `name` is the template's name in errors, `text` its source. `functions` are the names of the functions that it may
    call.
    """
    return _Parser(name, text, functions).template()


class _Parser:
    def __init__(self, name: str, text: str, functions: Collection[str]) -> None:
        self._name, self._text, self._functions = name, text, functions
        self._tokens = list(tokenize(text))
        self._position = 0
        #: The position of the furthest token read or peeked at; error messages contain its line.
        self._furthest = 0
        self._variables = ["$"]
        self._action_line = 0
        self._range_depth = 0
        self._defined: dict[str, tuple[Statement, ...]] = {}

    # ---- tokens

    def _peek(self) -> Token:
        self._furthest = max(self._furthest, self._position)
        return self._tokens[min(self._position, len(self._tokens) - 1)]

    def _next(self) -> Token:
        token = self._peek()
        self._position += 1
        return token

    def _peek_non_space(self) -> Token:
        while self._peek().kind == "space":
            self._position += 1
        return self._peek()

    def _next_non_space(self) -> Token:
        self._peek_non_space()
        return self._next()

    def _fail(self, message: str) -> NoReturn:
        line = self._tokens[min(self._furthest, len(self._tokens) - 1)].line
        raise TemplateError(f"template: {self._name}:{line}: {message}")

    def _unexpected(self, token: Token, context: str) -> NoReturn:
        if token.kind == "error":
            location = ""
            if self._action_line and self._action_line != token.line:
                location = f" in action started at {self._name}:{self._action_line}"
                location = location.removeprefix(" in action") if token.text.endswith(" action") else location
            self._fail(f"{token}{location}")
        self._fail(f"unexpected {token} in {context}")

    def _expect(self, kind: str, context: str) -> Token:
        token = self._next_non_space()
        if token.kind != kind:
            self._unexpected(token, context)
        return token

    # ---- statements

    def template(self) -> Template:
        body, end = self._list(top=True)
        if end != "EOF":
            self._fail(f"unexpected {end}")
        return Template(self._name, self._text, body, self._defined)

    def _list(self, *, top: bool = False) -> tuple[tuple[Statement, ...], str]:
        """Parse statements up to `{{end}}` or `{{else}}`; if `top` is True, up to the end of the text.

        Return the statements, and the action after them, such as `{{end}}`, or `EOF`.
        """
        statements: list[Statement] = []
        while True:
            token = self._next_non_space()
            if token.kind == "text":
                statements.append(Text(token.pos, token.text))
            elif token.kind == "left":
                self._action_line = token.line
                statement = self._action(top=top)
                self._action_line = 0
                if isinstance(statement, str):
                    return tuple(statements), statement
                if statement is not None:
                    statements.append(statement)
            elif token.kind == "EOF" and top:
                return tuple(statements), "EOF"
            elif token.kind == "EOF":
                self._fail("unexpected EOF")
            else:
                self._unexpected(token, "input")

    def _action(self, *, top: bool) -> Statement | str | None:
        token = self._next_non_space()
        match token.kind:
            case "if" | "with" | "range":
                return self._branch(token)
            case "end":
                self._expect("right", "end")
                return "{{end}}"
            case "else":
                if self._peek_non_space().kind not in {"if", "with"}:
                    self._expect("right", "else")
                return "{{else}}"
            case "break" | "continue":
                if self._next_non_space().kind != "right":
                    self._unexpected(self._tokens[self._position - 1], f"{{{{{token.kind}}}}}")
                if not self._range_depth:
                    self._fail(f"{{{{{token.kind}}}}} outside {{{{range}}}}")
                return LoopControl(token.pos, token.kind)
            case "template" | "block":
                return self._call(token)
            case "define" if top:
                self._definition()
                return None
        self._position -= 1
        position = self._peek().pos
        return Action(position, self._pipeline("command", "right"))

    def _branch(self, token: Token) -> Branch:
        count = len(self._variables)
        pipe = self._pipeline(token.kind, "right")
        self._range_depth += token.kind == "range"
        body, end = self._list()
        self._range_depth -= token.kind == "range"
        else_body: tuple[Statement, ...] = ()
        if end == "{{else}}":
            following = self._peek_non_space()
            if token.kind in {"if", "with"} and following.kind == token.kind:
                else_body = (self._branch(self._next()),)
            else:
                else_body, end = self._list()
                if end != "{{end}}":
                    self._fail(f"expected end; found {end}")
        del self._variables[count:]
        return Branch(token.pos, token.kind, pipe, body, else_body)

    def _call(self, token: Token) -> Call:
        context = f"{token.kind} clause"
        name = self._template_name(context)
        if token.kind == "block":
            pipe: Pipe | None = self._pipeline(context, "right")
            self._define(name, f"block {quote(name)}")
            return Call(token.pos, name, pipe)
        named = self._tokens[self._position - 1]
        if self._peek_non_space().kind == "right":
            self._next()
            return Call(named.pos, name, None)
        return Call(named.pos, name, self._pipeline(context, "right"))

    def _template_name(self, context: str) -> str:
        token = self._next_non_space()
        if token.kind not in {"string", "raw"}:
            self._unexpected(token, context)
        return self._unquoted(token)

    def _definition(self) -> None:
        name = self._template_name("define clause")
        self._expect("right", "define clause")
        self._define(name, "define clause")

    def _define(self, name: str, context: str) -> None:
        outer, self._variables = self._variables, ["$"]
        depth, self._range_depth = self._range_depth, 0
        body, end = self._list()
        if end != "{{end}}":
            self._fail(f"unexpected {end} in {context}")
        self._variables, self._range_depth = outer, depth
        self._defined[name] = body

    # ---- pipelines

    def _pipeline(self, context: str, end: str) -> Pipe:
        position = self._peek_non_space().pos
        variables, assigns = self._declarations(context)
        commands: list[Command] = []
        while True:
            token = self._next_non_space()
            if token.kind == end:
                break
            if token.kind not in _BEGINS_TERM:
                self._unexpected(token, context)
            self._position -= 1
            commands.append(self._command())
        if not commands:
            self._fail(f"missing value for {context}")
        for number, command in enumerate(commands[1:], 2):
            if isinstance(command.operands[0], (Constant, Dot, Nil)):
                self._fail(f"non executable command in pipeline stage {number}")
        return Pipe(position, tuple(commands), variables, assigns)

    def _declarations(self, context: str) -> tuple[tuple[str, ...], bool]:
        """Parse the variables before a pipeline: `$a :=`, `$a =`, in a `range` also `$a, $b :=`, or none.

        `context` is the name of the action. Return the names of the variables, and True if they are followed by `=`.
        """
        names: list[str] = []
        while self._peek_non_space().kind == "variable":
            start = self._position
            name = self._next().text
            following = self._peek_non_space()
            if following.kind in {":=", "="}:
                self._next()
                names.append(name)
                self._variables.append(name)
                return tuple(names), following.kind == "="
            if following.kind != "char" or following.text != ",":
                self._position = start
                break
            self._next()
            names.append(name)
            self._variables.append(name)
            if context != "range" or len(names) > 1:
                self._fail(f"too many declarations in {context}")
            if self._peek_non_space().kind not in {"variable", "right", ")"}:
                self._fail("range can only initialize variables")
        return tuple(names), False

    def _command(self) -> Command:
        position = self._peek_non_space().pos
        operands: list[Node] = []
        while True:
            self._peek_non_space()
            operand = self._operand()
            if operand is not None:
                operands.append(operand)
            token = self._next()
            if token.kind == "space":
                continue
            if token.kind in {"right", ")"}:
                self._position -= 1
            elif token.kind != "|":
                self._unexpected(token, "operand")
            break
        if not operands:
            self._fail("empty command")
        return Command(position, tuple(operands))

    def _operand(self) -> Node | None:
        term = self._term()
        if term is None or self._peek().kind != "field":
            return term
        position = self._peek().pos
        names: list[str] = []
        while self._peek().kind == "field":
            names.append(self._next().text[1:])
        if isinstance(term, Field):
            return Field(position, (*term.names, *names))
        if isinstance(term, Variable):
            return Variable(position, (*term.names, *names))
        if isinstance(term, (Constant, Dot, Nil)):
            self._fail(f"unexpected . after term {quote(str(term))}")
        return Chain(position, term, tuple(names))

    def _term(self) -> Node | None:
        token = self._next_non_space()
        match token.kind:
            case "identifier":
                if token.text not in self._functions:
                    self._fail(f"function {quote(token.text)} not defined")
                return Identifier(token.pos, token.text)
            case "dot":
                return Dot(token.pos)
            case "nil":
                return Nil(token.pos)
            case "variable":
                if token.text not in self._variables:
                    self._fail(f"undefined variable {quote(token.text)}")
                return Variable(token.pos, (token.text,))
            case "field":
                return Field(token.pos, (token.text[1:],))
            case "bool":
                return Constant(token.pos, token.text == "true", token.text)
            case "rune" | "number":
                return Constant(token.pos, self._number(token), token.text)
            case "(":
                return self._pipeline("parenthesized pipeline", ")")
            case "string" | "raw":
                return Constant(token.pos, self._unquoted(token), token.text)
        self._position -= 1
        return None

    def _unquoted(self, token: Token) -> str:
        if token.kind == "raw":
            return token.text[1:-1].replace("\r", "")
        text = re.sub(r"\\([0-7]{3})", lambda octal: f"\\u{int(octal[1], 8):04x}", token.text)
        text = re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", text)
        for go, char in (("\\a", "\\u0007"), ("\\v", "\\u000b")):
            text = text.replace(go, char)
        try:
            return str(json.loads(text, strict=False))
        except ValueError:
            self._fail("invalid syntax")

    def _number(self, token: Token) -> int | float:
        if token.kind == "rune":
            char = self._unquoted(Token("string", token.pos, token.line, f'"{token.text[1:-1]}"'))
            if len(char) != 1:
                self._fail(f"malformed character constant: {token.text}")
            return ord(char)
        try:
            old_octal = re.fullmatch(r"([+-]?)0([0-7_]+)", token.text)
            return int(f"{old_octal[1]}0o{old_octal[2]}" if old_octal else token.text, 0)
        except ValueError:
            pass
        try:
            return float(token.text)
        except ValueError:
            self._fail(f"illegal number syntax: {quote(token.text)}")
