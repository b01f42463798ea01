"""Makes nodes of a template's words (Go `text/template/parse`, parse.go)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import NoReturn

from cnmsim.gotemplate.lexer import Token, tokens
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
    Jump,
    Nil,
    Node,
    Pipe,
    Statement,
    Template,
    TemplateError,
    Text,
    Variable,
)
from cnmsim.gotemplate.values import quoted

_BEGINS_TERM = frozenset(
    {"bool", "dot", "field", "identifier", "number", "nil", "raw", "rune", "string", "variable", "("}
)


def parse(name: str, text: str, functions: Collection[str]) -> Template:
    """Read a template that may use these functions. Raises `TemplateError`."""
    return _Parser(name, text, functions).template()


class _Parser:
    def __init__(self, name: str, text: str, functions: Collection[str]) -> None:
        self._name, self._text, self._functions = name, text, functions
        self._words = list(tokens(text))
        self._at = 0
        #: How far words were looked at: errors tell its line.
        self._seen = 0
        self._variables = ["$"]
        self._action_line = 0
        self._range_depth = 0
        self._defined: dict[str, tuple[Statement, ...]] = {}

    # ---- words

    def _peek(self) -> Token:
        self._seen = max(self._seen, self._at)
        return self._words[min(self._at, len(self._words) - 1)]

    def _next(self) -> Token:
        word = self._peek()
        self._at += 1
        return word

    def _peek_word(self) -> Token:
        while self._peek().kind == "space":
            self._at += 1
        return self._peek()

    def _next_word(self) -> Token:
        self._peek_word()
        return self._next()

    def _fail(self, message: str) -> NoReturn:
        line = self._words[min(self._seen, len(self._words) - 1)].line
        raise TemplateError(f"template: {self._name}:{line}: {message}")

    def _unexpected(self, word: Token, context: str) -> NoReturn:
        if word.kind == "error":
            where = ""
            if self._action_line and self._action_line != word.line:
                where = f" in action started at {self._name}:{self._action_line}"
                where = where.removeprefix(" in action") if word.text.endswith(" action") else where
            self._fail(f"{word}{where}")
        self._fail(f"unexpected {word} in {context}")

    def _expect(self, kind: str, context: str) -> Token:
        word = self._next_word()
        if word.kind != kind:
            self._unexpected(word, context)
        return word

    # ---- statements

    def template(self) -> Template:
        body, end = self._list(top=True)
        if end != "EOF":
            self._fail(f"unexpected {end}")
        return Template(self._name, self._text, body, self._defined)

    def _list(self, *, top: bool = False) -> tuple[tuple[Statement, ...], str]:
        """Read statements up to `{{end}}`, `{{else}}` or, at the top, the end; tell which of them it was."""
        statements: list[Statement] = []
        while True:
            word = self._next_word()
            if word.kind == "text":
                statements.append(Text(word.pos, word.text))
            elif word.kind == "left":
                self._action_line = word.line
                statement = self._action(top=top)
                self._action_line = 0
                if isinstance(statement, str):
                    return tuple(statements), statement
                if statement is not None:
                    statements.append(statement)
            elif word.kind == "EOF" and top:
                return tuple(statements), "EOF"
            elif word.kind == "EOF":
                self._fail("unexpected EOF")
            else:
                self._unexpected(word, "input")

    def _action(self, *, top: bool) -> Statement | str | None:
        word = self._next_word()
        match word.kind:
            case "if" | "with" | "range":
                return self._branch(word)
            case "end":
                self._expect("right", "end")
                return "{{end}}"
            case "else":
                if self._peek_word().kind not in {"if", "with"}:
                    self._expect("right", "else")
                return "{{else}}"
            case "break" | "continue":
                if self._next_word().kind != "right":
                    self._unexpected(self._words[self._at - 1], f"{{{{{word.kind}}}}}")
                if not self._range_depth:
                    self._fail(f"{{{{{word.kind}}}}} outside {{{{range}}}}")
                return Jump(word.pos, word.kind)
            case "template" | "block":
                return self._call(word)
            case "define" if top:
                self._definition()
                return None
        self._at -= 1
        position = self._peek().pos
        return Action(position, self._pipeline("command", "right"))

    def _branch(self, word: Token) -> Branch:
        count = len(self._variables)
        pipe = self._pipeline(word.kind, "right")
        self._range_depth += word.kind == "range"
        then, end = self._list()
        self._range_depth -= word.kind == "range"
        otherwise: tuple[Statement, ...] = ()
        if end == "{{else}}":
            following = self._peek_word()
            if word.kind in {"if", "with"} and following.kind == word.kind:
                otherwise = (self._branch(self._next()),)
            else:
                otherwise, end = self._list()
                if end != "{{end}}":
                    self._fail(f"expected end; found {end}")
        del self._variables[count:]
        return Branch(word.pos, word.kind, pipe, then, otherwise)

    def _call(self, word: Token) -> Call:
        context = f"{word.kind} clause"
        name = self._template_name(context)
        if word.kind == "block":
            pipe: Pipe | None = self._pipeline(context, "right")
            self._define(name, f"block {quoted(name)}")
            return Call(word.pos, name, pipe)
        named = self._words[self._at - 1]
        if self._peek_word().kind == "right":
            self._next()
            return Call(named.pos, name, None)
        return Call(named.pos, name, self._pipeline(context, "right"))

    def _template_name(self, context: str) -> str:
        word = self._next_word()
        if word.kind not in {"string", "raw"}:
            self._unexpected(word, context)
        return self._unquoted(word)

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
        position = self._peek_word().pos
        variables, assigns = self._declared(context)
        commands: list[Command] = []
        while True:
            word = self._next_word()
            if word.kind == end:
                break
            if word.kind not in _BEGINS_TERM:
                self._unexpected(word, context)
            self._at -= 1
            commands.append(self._command())
        if not commands:
            self._fail(f"missing value for {context}")
        for number, command in enumerate(commands[1:], 2):
            if isinstance(command.operands[0], (Constant, Dot, Nil)):
                self._fail(f"non executable command in pipeline stage {number}")
        return Pipe(position, tuple(commands), variables, assigns)

    def _declared(self, context: str) -> tuple[tuple[str, ...], bool]:
        """Read `$a :=`, `$a =` or, of a range, `$a, $b :=`, if there is such a thing."""
        names: list[str] = []
        while self._peek_word().kind == "variable":
            start = self._at
            name = self._next().text
            following = self._peek_word()
            if following.kind in {":=", "="}:
                self._next()
                names.append(name)
                self._variables.append(name)
                return tuple(names), following.kind == "="
            if following.kind != "char" or following.text != ",":
                self._at = start
                break
            self._next()
            names.append(name)
            self._variables.append(name)
            if context != "range" or len(names) > 1:
                self._fail(f"too many declarations in {context}")
            if self._peek_word().kind not in {"variable", "right", ")"}:
                self._fail("range can only initialize variables")
        return tuple(names), False

    def _command(self) -> Command:
        position = self._peek_word().pos
        operands: list[Node] = []
        while True:
            self._peek_word()
            operand = self._operand()
            if operand is not None:
                operands.append(operand)
            word = self._next()
            if word.kind == "space":
                continue
            if word.kind in {"right", ")"}:
                self._at -= 1
            elif word.kind != "|":
                self._unexpected(word, "operand")
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
            self._fail(f"unexpected . after term {quoted(str(term))}")
        return Chain(position, term, tuple(names))

    def _term(self) -> Node | None:
        word = self._next_word()
        match word.kind:
            case "identifier":
                if word.text not in self._functions:
                    self._fail(f"function {quoted(word.text)} not defined")
                return Identifier(word.pos, word.text)
            case "dot":
                return Dot(word.pos)
            case "nil":
                return Nil(word.pos)
            case "variable":
                if word.text not in self._variables:
                    self._fail(f"undefined variable {quoted(word.text)}")
                return Variable(word.pos, (word.text,))
            case "field":
                return Field(word.pos, (word.text[1:],))
            case "bool":
                return Constant(word.pos, word.text == "true", word.text)
            case "rune" | "number":
                return Constant(word.pos, self._number(word), word.text)
            case "(":
                return self._pipeline("parenthesized pipeline", ")")
            case "string" | "raw":
                return Constant(word.pos, self._unquoted(word), word.text)
        self._at -= 1
        return None

    def _unquoted(self, word: Token) -> str:
        if word.kind == "raw":
            return word.text[1:-1].replace("\r", "")
        text = re.sub(r"\\([0-7]{3})", lambda octal: f"\\u{int(octal[1], 8):04x}", word.text)
        text = re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", text)
        for go, char in (("\\a", "\\u0007"), ("\\v", "\\u000b")):
            text = text.replace(go, char)
        try:
            return str(json.loads(text, strict=False))
        except ValueError:
            self._fail("invalid syntax")

    def _number(self, word: Token) -> int | float:
        if word.kind == "rune":
            char = self._unquoted(Token("string", word.pos, word.line, f'"{word.text[1:-1]}"'))
            if len(char) != 1:
                self._fail(f"malformed character constant: {word.text}")
            return ord(char)
        try:
            old_octal = re.fullmatch(r"([+-]?)0([0-7_]+)", word.text)
            return int(f"{old_octal[1]}0o{old_octal[2]}" if old_octal else word.text, 0)
        except ValueError:
            pass
        try:
            return float(word.text)
        except ValueError:
            self._fail(f"illegal number syntax: {quoted(word.text)}")
