"""The `[[ … ]]` command: string patterns, regular expressions, numbers, files, `&&`, `||`, `!` and parentheses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.userland.busybox.files import evaluate_test
from cnmsim.userland.libc.regex import to_python_regex
from cnmsim.userland.sh.expand import expand_pattern, expand_text, matches
from cnmsim.userland.sh.syntax import Text, Word

if TYPE_CHECKING:
    from cnmsim.userland.sh.state import ShellState

_BINARY = ("==", "=", "!=", "=~", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef")


class ConditionalError(Exception):
    """The expression is invalid."""


class Conditional:
    """Evaluates the words between `[[` and `]]`."""

    def __init__(self, shell: ShellState, words: tuple[Word, ...]) -> None:
        self._shell, self._words, self._at = shell, words, 0

    async def value(self) -> bool:
        """Return the value of the expression. Raises `ConditionalError` if it is invalid."""
        result = await self._or(is_needed=True)
        if self._at < len(self._words):
            raise ConditionalError(f"{self._plain()}: unknown operand")
        return result

    def _plain(self) -> str:
        """Return the next word if it is unquoted text, else ""."""
        if self._at >= len(self._words):
            return ""
        word = self._words[self._at]
        return word[0].text if len(word) == 1 and isinstance(word[0], Text) and not word[0].is_quoted else ""

    def _take(self) -> Word:
        if self._at >= len(self._words):
            raise ConditionalError("argument expected")
        self._at += 1
        return self._words[self._at - 1]

    async def _or(self, *, is_needed: bool) -> bool:
        result = await self._and(is_needed=is_needed)
        while self._plain() == "||":
            self._at += 1
            other = await self._and(is_needed=is_needed and not result)
            result = result or other
        return result

    async def _and(self, *, is_needed: bool) -> bool:
        result = await self._primary(is_needed=is_needed)
        while self._plain() == "&&":
            self._at += 1
            other = await self._primary(is_needed=is_needed and result)
            result = result and other
        return result

    async def _primary(self, *, is_needed: bool) -> bool:
        text = self._plain()
        if text == "!":
            self._at += 1
            return not await self._primary(is_needed=is_needed)
        if text == "(":
            self._at += 1
            result = await self._or(is_needed=is_needed)
            if self._plain() != ")":
                raise ConditionalError("closing paren expected")
            self._at += 1
            return result
        first = self._take()
        operator = self._plain()
        if operator in _BINARY:
            self._at += 1
            second = self._take()
            return is_needed and await self._compare(first, operator, second)
        if re.fullmatch(r"-[a-zA-Z]", text) and self._at < len(self._words) and operator not in ("&&", "||", ")"):
            operand = await expand_text(self._shell, self._take())
            if text == "-v":
                return self._shell.parameter(operand) is not None
            return is_needed and self._test([text, operand])
        return is_needed and bool(await expand_text(self._shell, first))

    async def _compare(self, first: Word, operator: str, second: Word) -> bool:
        left = await expand_text(self._shell, first)
        if operator in ("==", "=", "!="):
            return matches(left, await expand_pattern(self._shell, second)) == (operator != "!=")
        right = await expand_text(self._shell, second)
        if operator == "=~":
            try:
                match = re.search(to_python_regex(right, is_extended=True), left)
            except re.error:
                raise ConditionalError(f"bad regex '{right}': Invalid regexp") from None
            return match is not None
        return self._test([left, operator, right])

    def _test(self, words: list[str]) -> bool:
        shell = self._shell
        status, message = evaluate_test(words, lambda path: (shell.process.files, shell.resolve(path)))
        if message:
            raise ConditionalError(message)
        return status == 0
