"""The parser of awk (POSIX XCU awk).

It returns a program as trees of tuples, whose first item names the kind of node.

Expressions: `num`, `str`, `regex`, `var`, `field`, `index`, `assign`, `cond`, `or`, `and`, `not`, `neg`, `pos`, `in`,
`match`, `cmp`, `cat`, `math`, `incr`, `call`, `builtin`, `getline`, `group`. Statements: `block`, `expr`, `print`,
`printf`, `if`, `while`, `do`, `for`, `forin`, `next`, `exit`, `return`, `break`, `continue`, `delete`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

Node = tuple[Any, ...]

_TOKEN = re.compile(
    r"(?P<space>(?:[ \t\r]|\\\r?\n|#[^\n]*)+)|(?P<newline>\n)"
    r"|(?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r'|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<function>[A-Za-z_]\w*(?=\())|(?P<name>[A-Za-z_]\w*)'
    r"|(?P<op>\*\*=|\*\*|\+\+|--|[-+*/%^=!<>]=|&&|\|\||>>|!~|[{}()\[\];,+\-*/%^!><|?:~$=])",
    re.DOTALL,
)
_KEYWORDS = frozenset(
    ["BEGIN", "END", "function", "func", "if", "else", "while", "for", "do", "break", "continue", "next", "nextfile",
     "exit", "return", "delete", "in", "getline", "print", "printf"]
)  # fmt: skip
BUILTINS = frozenset(
    ["length", "substr", "index", "split", "sub", "gsub", "match", "sprintf", "int", "rand", "srand", "tolower",
     "toupper", "system", "close", "fflush", "sin", "cos", "atan2", "exp", "log", "sqrt", "systime", "strftime",
     "and", "or", "xor", "lshift", "rshift", "compl", "gensub", "mktime"]
)  # fmt: skip
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "\\": "\\",
    '"': '"',
    "/": "/",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
}


class AwkSyntaxError(Exception):
    """The text is not a valid awk program."""


@define
class Program:
    """A parsed program.

    Each item of `rules` is (first pattern, second pattern, action). Only a range such as `/a/,/b/` has a second
    pattern. `begin` and `end` hold the actions of `BEGIN` and `END`. `functions` maps a name to its parameters and
    its body.
    """

    begin: list[Node] = field(factory=list)
    end: list[Node] = field(factory=list)
    rules: list[tuple[Node | None, Node | None, Node | None]] = field(factory=list)
    functions: dict[str, tuple[list[str], Node]] = field(factory=dict)


def unescape(text: str) -> str:
    """Replace the backslash sequences of a string constant by the characters that they stand for."""

    def value(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "01234567":
            return chr(int(code, 8) & 255)
        return _ESCAPES.get(code, "\\" + code)

    return re.sub(r"\\([0-7]{1,3}|.)", value, text, flags=re.DOTALL)


@define
class _Token:
    kind: str
    text: str


class Parser:
    """Parses an awk program by recursive descent."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._no_in = self._no_greater = 0
        self._last = _Token("newline", "\n")
        self._token = self._last
        self._advance()

    # --- tokens

    def _advance(self) -> _Token:
        before = self._token
        self._last = before
        while True:
            if self._at >= len(self._source):
                self._token = _Token("end", "")
                return before
            match = _TOKEN.match(self._source, self._at)
            if match is None:
                raise AwkSyntaxError("Unexpected token")
            self._at = match.end()
            kind = match.lastgroup or ""
            if kind != "space":
                break
        text = match[0]
        if text in _KEYWORDS:
            kind = "keyword"
        elif kind == "function":
            kind = "builtin" if text in BUILTINS else "function"
        elif kind == "name" and text in BUILTINS:
            kind = "builtin"
        self._token = _Token(kind, text)
        return before

    def _is(self, *texts: str) -> bool:
        return self._token.kind in ("op", "keyword", "newline") and self._token.text in texts

    def _accept(self, *texts: str) -> bool:
        if self._is(*texts):
            self._advance()
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise AwkSyntaxError("Unexpected end of string" if self._token.kind == "end" else "Unexpected token")

    def _skip(self) -> None:
        while self._accept("\n", ";"):
            pass

    def _newlines(self) -> None:
        while self._accept("\n"):
            pass

    # --- rules

    def program(self) -> Program:
        """Parse the whole program. Raises `AwkSyntaxError` for an invalid program."""
        program = Program()
        self._skip()
        while self._token.kind != "end":
            if self._accept("BEGIN"):
                program.begin.append(self._action())
            elif self._accept("END"):
                program.end.append(self._action())
            elif self._accept("function", "func"):
                self._function(program)
            else:
                first = second = None
                if not self._is("{"):
                    first = self._expression()
                    if self._accept(","):
                        self._newlines()
                        second = self._expression()
                program.rules.append((first, second, self._action() if self._is("{") else None))
            self._skip()
        return program

    def _action(self) -> Node:
        if not self._is("{"):
            raise AwkSyntaxError("Unexpected token")
        return self._block()

    def _function(self, program: Program) -> None:
        name = self._advance().text
        self._expect("(")
        parameters: list[str] = []
        while not self._accept(")"):
            parameters.append(self._advance().text)
            self._accept(",")
            self._newlines()
        self._newlines()
        program.functions[name] = (parameters, self._block())

    def _block(self) -> Node:
        self._expect("{")
        statements: list[Node] = []
        self._skip()
        while not self._accept("}"):
            statements.append(self._statement())
            self._skip()
        return ("block", statements)

    # --- statements

    def _end_of_statement(self) -> None:
        if not (self._accept(";", "\n") or self._is("}") or self._token.kind == "end"):
            raise AwkSyntaxError("Unexpected token")

    def _body(self) -> Node:
        self._newlines()
        if self._accept(";"):
            return ("block", [])
        return self._statement()

    def _statement(self) -> Node:
        if self._is("{"):
            return self._block()
        if self._accept("if"):
            return self._if()
        if self._accept("while"):
            self._expect("(")
            condition = self._expression()
            self._expect(")")
            return ("while", condition, self._body())
        if self._accept("do"):
            body = self._body()
            self._skip()
            self._expect("while")
            self._expect("(")
            condition = self._expression()
            self._expect(")")
            self._end_of_statement()
            return ("do", body, condition)
        if self._accept("for"):
            return self._for()
        node = self._simple()
        self._end_of_statement()
        return node

    def _if(self) -> Node:
        self._expect("(")
        condition = self._expression()
        self._expect(")")
        then = self._body()
        at, token, last = self._at, self._token, self._last
        self._skip()
        if self._accept("else"):
            return ("if", condition, then, self._body())
        self._at, self._token, self._last = at, token, last
        return ("if", condition, then, None)

    def _for(self) -> Node:
        self._expect("(")
        first: Node | None = None
        if not self._is(";"):
            first = self._simple()
            if first[0] == "expr" and first[1][0] == "in" and self._accept(")"):
                keys, array = first[1][1], first[1][2]
                if len(keys) != 1 or keys[0][0] != "var":
                    raise AwkSyntaxError("Unexpected token")
                return ("forin", keys[0], array, self._body())
        self._expect(";")
        self._newlines()
        condition = None if self._is(";") else self._expression()
        self._expect(";")
        self._newlines()
        step = None if self._is(")") else self._simple()
        self._expect(")")
        return ("for", first, condition, step, self._body())

    def _simple(self) -> Node:
        if self._token.kind == "keyword":
            word = self._token.text
            if word in ("print", "printf"):
                return self._print()
            if word in ("next", "nextfile", "break", "continue"):
                self._advance()
                return (word,)
            if word in ("exit", "return"):
                self._advance()
                has_value = not (self._is(";", "\n", "}") or self._token.kind == "end")
                return (word, self._expression() if has_value else None)
            if word == "delete":
                self._advance()
                name = self._advance().text
                return ("delete", name, self._subscripts() if self._is("[") else None)
        return ("expr", self._expression())

    def _print(self) -> Node:
        word = self._advance().text
        arguments: list[Node] = []
        self._no_greater += 1
        if not (self._is(";", "\n", "}", ">", ">>", "|") or self._token.kind == "end"):
            arguments = self._list()
            if len(arguments) == 1 and arguments[0][0] == "grouping":
                arguments = arguments[0][1]
        self._no_greater -= 1
        redirection: tuple[str, Node] | None = None
        if self._is(">", ">>", "|"):
            operator = self._advance().text
            redirection = (operator, self._concatenation())
        return (word, arguments, redirection)

    def _list(self) -> list[Node]:
        items = [self._expression()]
        while self._accept(","):
            self._newlines()
            items.append(self._expression())
        return items

    # --- expressions, from the lowest precedence

    def _expression(self) -> Node:
        left = self._ternary()
        if self._is("=", "+=", "-=", "*=", "/=", "%=", "^=", "**=") and left[0] in ("var", "field", "index"):
            operator = self._advance().text
            self._newlines()
            return ("assign", operator[:-1].replace("**", "^"), left, self._expression())
        return left

    def _ternary(self) -> Node:
        condition = self._or()
        if not self._accept("?"):
            return condition
        self._newlines()
        then = self._expression()
        self._newlines()
        self._expect(":")
        self._newlines()
        return ("cond", condition, then, self._expression())

    def _or(self) -> Node:
        return self._logical("or", "||", self._and)

    def _and(self) -> Node:
        return self._logical("and", "&&", self._in)

    def _logical(self, kind: str, operator: str, operand: Callable[[], Node]) -> Node:
        left = operand()
        while self._accept(operator):
            self._newlines()
            left = (kind, left, operand())
        return left

    def _in(self) -> Node:
        left = self._match()
        while self._is("in") and not self._no_in:
            self._advance()
            keys = left[1] if left[0] == "grouping" else [left]
            left = ("in", keys, self._advance().text)
        return left

    def _match(self) -> Node:
        left = self._comparison()
        while self._is("~", "!~"):
            operator = self._advance().text
            left = ("match", operator == "!~", left, self._comparison())
        return left

    def _comparison(self) -> Node:
        left = self._concatenation()
        operators = ["<", "<=", "==", "!=", ">="] + ([] if self._no_greater else [">"])
        if self._is(*operators):
            operator = self._advance().text
            left = ("cmp", operator, left, self._concatenation())
        return self._piped(left)

    def _piped(self, left: Node) -> Node:
        while self._is("|") and re.match(r"\s*getline\b", self._source[self._at :]):
            self._advance()
            self._advance()
            left = ("getline", "|", left, self._optional_lvalue())
        return left

    def _concatenation(self) -> Node:
        left = self._additive()
        while self._starts_operand():
            left = ("cat", left, self._additive())
        return left

    def _starts_operand(self) -> bool:
        kind, text = self._token.kind, self._token.text
        if kind in ("number", "string", "name", "function", "builtin"):
            return True
        return kind == "op" and text in ("$", "!", "(", "-", "+", "++", "--") and text not in ("-", "+", "!")

    def _additive(self) -> Node:
        left = self._multiplicative()
        while self._is("+", "-"):
            operator = self._advance().text
            left = ("math", operator, left, self._multiplicative())
        return left

    def _multiplicative(self) -> Node:
        left = self._unary()
        while self._is("*", "/", "%"):
            operator = self._advance().text
            left = ("math", operator, left, self._unary())
        return left

    def _unary(self) -> Node:
        if self._is("!", "-", "+"):
            operator = self._advance().text
            return ({"!": "not", "-": "neg", "+": "pos"}[operator], self._unary())
        return self._power()

    def _power(self) -> Node:
        base = self._postfix()
        if self._accept("^", "**"):
            return ("math", "^", base, self._unary())
        return base

    def _postfix(self) -> Node:
        operand = self._primary()
        if operand[0] in ("var", "field", "index") and self._is("++", "--"):
            return ("incr", False, self._advance().text[0], operand)
        return operand

    def _primary(self) -> Node:
        token = self._token
        if token.kind == "number":
            self._advance()
            return ("num", float(int(token.text, 16)) if token.text[:2] in ("0x", "0X") else float(token.text))
        if token.kind == "string":
            self._advance()
            return ("str", unescape(token.text[1:-1]))
        if self._is("/", "/="):
            return self._regex()
        if self._is("++", "--"):
            operator = self._advance().text
            return ("incr", True, operator[0], self._primary())
        if self._accept("$"):
            if self._is("++", "--", "-"):
                return ("field", self._unary() if self._is("-") else self._primary())
            return ("field", self._primary())
        if self._accept("("):
            return self._parenthesised()
        if self._accept("getline"):
            target = self._optional_lvalue()
            if self._accept("<"):
                return ("getline", "<", self._primary(), target)
            return ("getline", "", None, target)
        if token.kind == "builtin":
            return self._builtin()
        if token.kind == "function":
            name = self._advance().text
            return ("call", name, self._arguments())
        if token.kind == "name":
            return self._lvalue()
        raise AwkSyntaxError("Unexpected end of string" if token.kind == "end" else "Unexpected token")

    def _regex(self) -> Node:
        start = self._at - len(self._token.text) + 1
        match = re.compile(r"((?:[^/\\\n\[]|\\.|\[\^?\]?(?:[^\]\\\n]|\\.)*\])*)/").match(self._source, start)
        if match is None:
            raise AwkSyntaxError("Unexpected token")
        self._at = match.end()
        self._advance()
        return ("regex", match[1].replace("\\/", "/"))

    @contextmanager
    def _bracketed(self, end: str) -> Iterator[None]:
        """Allow `in` and `>` until the bracket `end`, which must follow the parsed text."""
        held, self._no_in, self._no_greater = (self._no_in, self._no_greater), 0, 0
        yield
        self._expect(end)
        self._no_in, self._no_greater = held

    def _parenthesised(self) -> Node:
        with self._bracketed(")"):
            items = self._list()
        return ("group", items[0]) if len(items) == 1 else ("grouping", items)

    def _arguments(self) -> list[Node]:
        self._expect("(")
        with self._bracketed(")"):
            self._newlines()
            arguments = [] if self._is(")") else self._list()
            self._newlines()
        return arguments

    def _builtin(self) -> Node:
        name = self._advance().text
        return ("builtin", name, self._arguments() if self._is("(") else [])

    def _lvalue(self) -> Node:
        name = self._advance().text
        return ("index", name, self._subscripts()) if self._is("[") else ("var", name)

    def _subscripts(self) -> list[Node]:
        self._expect("[")
        with self._bracketed("]"):
            return self._list()

    def _optional_lvalue(self) -> Node | None:
        if self._token.kind == "name":
            return self._lvalue()
        if self._accept("$"):
            return ("field", self._primary())
        return None
