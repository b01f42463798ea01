"""Integer arithmetic of `$((…))`: C's operators on 64-bit values, and variables by name (POSIX XCU §2.6.4)."""

# ruff: noqa: S105 - tokens of a language, not secrets

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping

_TOKEN = re.compile(
    r"\s*(0[xX][0-9a-fA-F]+|\d+|[A-Za-z_]\w*|<<=|>>=|\*\*|&&|\|\||[-+*/%&|^<>=!]=|<<|>>|\+\+|--|[-+*/%&|^<>=!~?:()])"
)


class ShellArithmeticError(Exception):
    """The expression cannot be evaluated. The text is ash's error message."""


def _divide(a: int, b: int) -> int:
    if not b:
        raise ShellArithmeticError("divide by zero")
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


_BINARY: tuple[dict[str, Callable[[int, int], int]], ...] = (
    {"||": lambda a, b: int(bool(a or b))},
    {"&&": lambda a, b: int(bool(a and b))},
    {"|": lambda a, b: a | b},
    {"^": lambda a, b: a ^ b},
    {"&": lambda a, b: a & b},
    {"==": lambda a, b: int(a == b), "!=": lambda a, b: int(a != b)},
    {
        "<": lambda a, b: int(a < b), ">": lambda a, b: int(a > b),
        "<=": lambda a, b: int(a <= b), ">=": lambda a, b: int(a >= b),
    },
    {"<<": lambda a, b: a << (b & 63), ">>": lambda a, b: a >> (b & 63)},
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b},
    {"*": lambda a, b: a * b, "/": _divide, "%": lambda a, b: a - b * _divide(a, b)},
)  # fmt: skip
_ASSIGNMENTS = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="}


def _wrap(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


class _Evaluator:
    def __init__(self, text: str, variables: MutableMapping[str, str]) -> None:
        self.variables = variables
        self.tokens: list[str] = []
        at = 0
        text = text.strip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ShellArithmeticError("arithmetic syntax error")
            self.tokens.append(match[1])
            at = match.end()
        self.at = 0

    @property
    def token(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.token
        self.at += 1
        return token

    def value_of(self, name: str) -> int:
        text = self.variables.get(name, "").strip()
        if not text:
            return 0
        try:
            return int(text, 0) if not text.lstrip("-").isdigit() else int(text)
        except ValueError:
            raise ShellArithmeticError("arithmetic syntax error") from None

    def assignment(self) -> int:
        name = self.token
        if (name[:1].isalpha() or name[:1] == "_") and self.at + 1 < len(self.tokens):
            operator = self.tokens[self.at + 1]
            if operator in _ASSIGNMENTS:
                self.at += 2
                value = self.assignment()
                if operator != "=":
                    value = _wrap(self._apply(operator[:-1], self.value_of(name), value))
                self.variables[name] = str(value)
                return value
        return self.conditional()

    def _apply(self, operator: str, a: int, b: int) -> int:
        return next(level[operator] for level in _BINARY if operator in level)(a, b)

    def conditional(self) -> int:
        condition = self.binary(0)
        if self.token != "?":
            return condition
        self.take()
        yes = self.assignment()
        if self.take() != ":":
            raise ShellArithmeticError("malformed ?: operator")
        no = self.conditional()
        return yes if condition else no

    def binary(self, level: int) -> int:
        if level == len(_BINARY):
            return self.power()
        value = self.binary(level + 1)
        while self.token in _BINARY[level]:
            operator = self.take()
            value = _wrap(_BINARY[level][operator](value, self.binary(level + 1)))
        return value

    def power(self) -> int:
        base = self.unary()
        if self.token != "**":
            return base
        self.take()
        exponent = self.power()
        if exponent < 0:
            raise ShellArithmeticError("negative exponent")
        return _wrap(int(pow(base, exponent, 2**64)))

    def unary(self) -> int:
        operator = self.token
        if operator in ("-", "+", "!", "~"):
            self.take()
            value = self.unary()
            return {"-": -value, "+": value, "!": int(not value), "~": ~value}[operator]
        if operator in ("++", "--"):
            self.take()
            name = self.take()
            value = self.value_of(name) + (1 if operator == "++" else -1)
            self.variables[name] = str(value)
            return value
        return self.primary()

    def primary(self) -> int:
        token = self.take()
        if token == "(":
            value = self.assignment()
            if self.take() != ")":
                raise ShellArithmeticError("arithmetic syntax error")
            return value
        if token[:1].isdigit():
            if token[:2].lower() == "0x":
                return int(token, 16)
            try:
                return int(token, 8) if token[0] == "0" and len(token) > 1 else int(token)
            except ValueError:
                raise ShellArithmeticError("arithmetic syntax error") from None
        if token[:1].isalpha() or token[:1] == "_":
            value = self.value_of(token)
            if self.token in ("++", "--"):
                self.variables[token] = str(value + (1 if self.take() == "++" else -1))
            return value
        raise ShellArithmeticError("arithmetic syntax error")


def evaluate(text: str, variables: MutableMapping[str, str]) -> int:
    """Return the value of an arithmetic expression, 0 for an empty one.

    Assignments in the expression change `variables`. Raises `ShellArithmeticError` if it cannot be evaluated.
    """
    evaluator = _Evaluator(text, variables)
    if not evaluator.tokens:
        return 0
    value = evaluator.assignment()
    if evaluator.token:
        raise ShellArithmeticError("arithmetic syntax error")
    return value
