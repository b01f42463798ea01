"""Integer arithmetic of `$((…))`: C's operators on 64-bit values, and variables by name (POSIX XCU §2.6.4)."""

# ruff: noqa: S105 - tokens of a language, not secrets

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping

from cnmsim.digits import is_number
from cnmsim.userland.sh.braces import closing

_TOKEN = re.compile(
    r"\s*([0-9]+#[0-9A-Za-z@_]+|0[xX][0-9a-fA-F]+|[0-9]\w*|[A-Za-z_]\w*"
    r"|<<=|>>=|\*\*|&&|\|\||[-+*/%&|^<>=!]=|<<|>>|\+\+|--|[-+*/%&|^<>=!~?:(),])"
)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ@_"
_MAX_DEPTH = 64


class ShellArithmeticError(Exception):
    """The expression cannot be evaluated. The exception's text is ash's error message, `bash_text` is bash's.

    `rest` is the part of the expression at which bash found the error.
    """

    def __init__(self, message: str, expression: str, rest: str, bash_text: str = "") -> None:
        super().__init__(message)
        text = bash_text or _BASH_TEXTS.get(message, message)
        self.bash_text = f'{expression.lstrip()}: {text} (error token is "{rest}")'


_BASH_TEXTS = {
    "divide by zero": "division by 0", "malformed ?: operator": "`:' expected for conditional expression",
    "arithmetic syntax error": "syntax error: invalid arithmetic operator",
    "negative exponent": "exponent less than 0",
}  # fmt: skip
_OPERAND = "syntax error: operand expected"
_TOO_GREAT = "value too great for base"
_IN_EXPRESSION = "syntax error in expression"


def _quotient(a: int, b: int) -> int:
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
    {"*": lambda a, b: a * b, "/": _quotient, "%": lambda a, b: a - b * _quotient(a, b)},
)  # fmt: skip
_ASSIGNMENTS = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="}


def _wrap(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


class _Evaluator:
    def __init__(self, text: str, variables: MutableMapping[str, str], depth: int) -> None:
        self.text, self.variables, self.depth = text, variables, depth
        self.tokens: list[str] = []
        #: The index in the text at which each token starts.
        self.starts: list[int] = []
        #: Whether the operand being read is evaluated. It is not after `0 &&` or `1 ||`, nor in the unused branch of
        #: `?:`.
        self.is_needed = True
        self.at = at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._error("arithmetic syntax error", at)
            token, start, at = match[1], match.start(1), match.end()
            if text[at : at + 1] == "[" and (token[0].isalpha() or token[0] == "_"):
                end = closing(text, at, "[]")
                if end is None:
                    raise self._error("arithmetic syntax error", at)
                token, at = text[start : end + 1], end + 1
            self.tokens.append(token)
            self.starts.append(start)

    def _error(self, message: str, at: int | None = None, bash_text: str = "") -> ShellArithmeticError:
        if at is None:
            at = self.starts[self.at] if self.at < len(self.starts) else len(self.text)
        if message == "arithmetic syntax error" and at >= len(self.text.rstrip()):
            # bash shows the last token, and what follows it.
            at = self.starts[-1] if self.starts else 0
        return ShellArithmeticError(message, self.text, self.text[at:], bash_text)

    @property
    def token(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.token
        self.at += 1
        return token

    def value_of(self, name: str) -> int:
        text = self.variables.get(name, "").strip()
        if re.fullmatch(r"-?[1-9][0-9]*|0?", text):
            return int(text or 0)
        if self.depth > _MAX_DEPTH:
            loop = "expression recursion loop detected"
            raise ShellArithmeticError(loop, name, name, "expression recursion level exceeded")
        return _evaluate(text, self.variables, self.depth + 1)

    def set(self, name: str, value: int) -> int:
        if not (name[:1].isalpha() or name[:1] == "_"):
            raise self._error("arithmetic syntax error")
        if self.is_needed:
            self.variables[name] = str(value)
        return value

    def sequence(self) -> int:
        value = self.assignment()
        while self.token == ",":
            self.take()
            value = self.assignment()
        return value

    def assignment(self) -> int:
        name = self.token
        if (name[:1].isalpha() or name[:1] == "_") and self.at + 1 < len(self.tokens):
            operator = self.tokens[self.at + 1]
            if operator in _ASSIGNMENTS:
                self.at += 2
                value = self.assignment()
                if operator != "=" and self.is_needed:
                    value = self._apply(operator[:-1], self.value_of(name), value)
                return self.set(name, value)
        return self.conditional()

    def _apply(self, operator: str, a: int, b: int) -> int:
        if operator in ("/", "%") and not b:
            if not self.is_needed:
                return 0
            raise self._error("divide by zero", self.starts[self.at - 1])
        return _wrap(next(level[operator] for level in _BINARY if operator in level)(a, b))

    def _operand(self, parse: Callable[[], int], *, is_needed: bool) -> int:
        before, self.is_needed = self.is_needed, self.is_needed and is_needed
        try:
            return parse()
        finally:
            self.is_needed = before

    def conditional(self) -> int:
        condition = self.binary(0)
        if self.token != "?":
            return condition
        self.take()
        yes = self._operand(self.assignment, is_needed=bool(condition))
        if self.token != ":":
            raise self._error("malformed ?: operator")
        self.take()
        no = self._operand(self.conditional, is_needed=not condition)
        return yes if condition else no

    def binary(self, level: int) -> int:
        if level == len(_BINARY):
            return self.power()
        value = self.binary(level + 1)
        while self.token in _BINARY[level]:
            operator = self.take()
            is_needed = bool(value) if operator == "&&" else not value if operator == "||" else True
            other = self._operand(lambda: self.binary(level + 1), is_needed=is_needed)
            value = self._apply(operator, value, other)
        return value

    def power(self) -> int:
        base = self.unary()
        if self.token != "**":
            return base
        self.take()
        exponent = self.power()
        if exponent < 0:
            raise self._error("negative exponent", self.starts[self.at - 1])
        return _wrap(int(pow(base, exponent, 2**64)))

    def unary(self) -> int:
        operator = self.token
        if operator in ("-", "+", "!", "~"):
            self.take()
            value = self.unary()
            return _wrap({"-": -value, "+": value, "!": int(not value), "~": ~value}[operator])
        if operator in ("++", "--"):
            self.take()
            name = self.take()
            return self.set(name, _wrap(self.value_of(name) + (1 if operator == "++" else -1)))
        return self.primary()

    def primary(self) -> int:
        token = self.take()
        if token == "(":
            value = self.sequence()
            if self.take() != ")":
                raise self._error("arithmetic syntax error")
            return value
        if is_number(token[:1]):
            return self._number(token)
        if token[:1].isalpha() or token[:1] == "_":
            value = self.value_of(token) if self.is_needed else 0
            if self.token in ("++", "--"):
                self.set(token, _wrap(value + (1 if self.take() == "++" else -1)))
            return value
        self.at -= 1
        raise self._error("arithmetic syntax error", bash_text=_OPERAND)

    def _number(self, token: str) -> int:
        base, mark, digits = token.partition("#")
        try:
            if mark:
                radix = int(base)
                values = [_DIGITS.index(c.lower() if radix <= 36 else c) for c in digits]
                if not 2 <= radix <= 64 or any(value >= radix for value in values):
                    raise self._error("arithmetic syntax error", self.starts[self.at - 1], _TOO_GREAT)
                return _wrap(sum(value * radix**place for place, value in enumerate(reversed(values))))
            if token[:2].lower() == "0x":
                return _wrap(int(token, 16))
            return _wrap(int(token, 8) if token[0] == "0" and len(token) > 1 else int(token))
        except ValueError:
            raise self._error("arithmetic syntax error", self.starts[self.at - 1], _TOO_GREAT) from None


def evaluate(text: str, variables: MutableMapping[str, str]) -> int:
    """Return the value of an arithmetic expression, 0 for an empty one.

    Assignments in the expression change `variables`. Raises `ShellArithmeticError` for an invalid expression.
    """
    return _evaluate(text, variables, 0)


def _evaluate(text: str, variables: MutableMapping[str, str], depth: int) -> int:
    evaluator = _Evaluator(text, variables, depth)
    if not evaluator.tokens:
        return 0
    value = evaluator.sequence()
    if evaluator.token:
        raise evaluator._error("arithmetic syntax error", bash_text=_IN_EXPRESSION)
    return value
