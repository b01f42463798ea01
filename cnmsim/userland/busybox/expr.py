"""The expr applet: evaluates an expression of integers and strings, and prints the result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.userland.busybox.applet import complain, show_usage
from cnmsim.userland.libc.regex import to_python_regex

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


class _ExprError(Exception):
    pass


class _Expr:
    """Evaluates an expression whose operators and operands are separate arguments (POSIX XCU expr)."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def value(self) -> str:
        result = self._or()
        if self.words:
            raise _ExprError("syntax error")
        return result

    def _take(self) -> str:
        if not self.words:
            raise _ExprError("syntax error")
        return self.words.pop(0)

    def _next_is(self, *operators: str) -> bool:
        return bool(self.words) and self.words[0] in operators

    def _or(self) -> str:
        left = self._and()
        while self._next_is("|"):
            self._take()
            right = self._and()
            left = left if left not in ("", "0") else right
        return left

    def _and(self) -> str:
        left = self._comparison()
        while self._next_is("&"):
            self._take()
            right = self._comparison()
            left = left if left not in ("", "0") and right not in ("", "0") else "0"
        return left

    def _comparison(self) -> str:
        left = self._sum()
        while self._next_is("=", "==", "!=", "<", "<=", ">", ">="):
            operator, right = self._take(), self._sum()
            is_number = all(re.fullmatch(r"-?[0-9]+", text) for text in (left, right))
            a, b = (int(left), int(right)) if is_number else (left, right)
            order = (a > b) - (a < b)  # type: ignore[operator]
            left = str(int({
                "=": order == 0, "==": order == 0, "!=": order != 0, "<": order < 0, "<=": order <= 0,
                ">": order > 0, ">=": order >= 0,
            }[operator]))  # fmt: skip
        return left

    def _number(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]+", text):
            raise _ExprError("non-numeric argument")
        return int(text)

    def _sum(self) -> str:
        left = self._product()
        while self._next_is("+", "-"):
            operator, right = self._take(), self._product()
            left = str(self._number(left) + self._number(right) * (1 if operator == "+" else -1))
        return left

    def _product(self) -> str:
        left = self._match()
        while self._next_is("*", "/", "%"):
            operator, right = self._take(), self._match()
            a, b = self._number(left), self._number(right)
            if operator != "*" and not b:
                raise _ExprError("division by zero")
            quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if operator != "*" else 0
            left = str(a * b if operator == "*" else quotient if operator == "/" else a - b * quotient)
        return left

    def _match(self) -> str:
        left = self._primary()
        while self._next_is(":"):
            self._take()
            left = self._matched(left, self._primary())
        return left

    def _matched(self, text: str, pattern: str) -> str:
        match = re.match(to_python_regex(pattern, is_extended=False), text)
        if match is None:
            return "" if "\\(" in pattern else "0"
        return (match[1] or "") if match.re.groups else str(match.end())

    def _primary(self) -> str:
        word = self._take()
        if word == "(":
            value = self._or()
            if self._take() != ")":
                raise _ExprError("syntax error")
            return value
        if word == "length" and self.words:
            return str(len(self._primary()))
        if word == "match" and len(self.words) > 1:
            return self._matched(self._primary(), self._primary())
        if word == "index" and len(self.words) > 1:
            text, characters = self._primary(), self._primary()
            return str(next((at for at, c in enumerate(text, 1) if c in characters), 0))
        if word == "substr" and len(self.words) > 2:
            text, start, length = self._primary(), self._number(self._primary()), self._number(self._primary())
            return text[start - 1 : start - 1 + length] if start > 0 and length > 0 else ""
        return word


async def expr(process: Process) -> int:
    """Run `expr A OP B …`: arithmetic, comparisons, `STRING : PATTERN`, length, substr, index and match."""
    words = process.argv[1:]
    if not words:
        return show_usage(process, "EXPRESSION")
    try:
        value = _Expr(list(words)).value()
    except _ExprError as error:
        complain(process, str(error))
        return 2
    process.write(f"{value}\n")
    return int(value in ("", "0"))
