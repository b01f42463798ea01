"""The `[[ … ]]` command: tests of strings, patterns, numbers and files, with `&&`, `||`, `!` and parentheses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.userland.busybox.files import evaluate_test
from cnmsim.userland.libc.regex import to_python_regex
from cnmsim.userland.sh.arithmetic import evaluate
from cnmsim.userland.sh.expand import expand_pattern, expand_regex, expand_text
from cnmsim.userland.sh.pattern import matches
from cnmsim.userland.sh.syntax import Text, Word

if TYPE_CHECKING:
    from cnmsim.userland.sh.state import ShellState

_BINARY = ("==", "=", "!=", "=~", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef")


class ConditionalError(Exception):
    """The expression in `[[ … ]]` is invalid."""


class Conditional:
    """Evaluates the expression that the words between `[[` and `]]` form."""

    def __init__(self, shell: ShellState, words: tuple[Word, ...]) -> None:
        self._shell, self._words, self._at = shell, words, 0

    async def value(self) -> bool:
        """Evaluate the expression. Return its truth value. Raises `ConditionalError` for an invalid expression."""
        result = await self._or(is_needed=True)
        if self._at < len(self._words):
            raise ConditionalError(f"{self._plain()}: unknown operand")
        return result

    def _plain(self) -> str:
        """Return the next word if it is unquoted text, else "". The word is not consumed."""
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
                return self._is_set(operand)
            if text == "-o":
                return self._shell.set_options().get(operand, False)
            return is_needed and self._test([text, operand])
        return is_needed and bool(await expand_text(self._shell, first))

    async def _compare(self, first: Word, operator: str, second: Word) -> bool:
        left = await expand_text(self._shell, first)
        if operator in ("==", "=", "!="):
            pattern = await expand_pattern(self._shell, second)
            if "nocasematch" in self._shell.shell_options:
                left, pattern = left.lower(), pattern.lower()
            return matches(left, pattern, is_extended=self._shell.is_bash) == (operator != "!=")
        if operator == "=~":
            return self._matches_regex(left, await expand_regex(self._shell, second))
        right = await expand_text(self._shell, second)
        if self._shell.is_bash and operator[0] == "-" and operator[1:] in ("eq", "ne", "lt", "le", "gt", "ge"):
            left, right = (str(evaluate(text, self._shell.variables)) for text in (left, right))
        return self._test([left, operator, right])

    def _is_set(self, name: str) -> bool:
        if name.endswith(("[@]", "[*]")):
            variable = self._shell.variables.variable(name[:-3])
            return variable is not None and bool(variable.subscripts())
        return self._shell.parameter(name) is not None

    def _matches_regex(self, text: str, regex: str) -> bool:
        flags = re.IGNORECASE if "nocasematch" in self._shell.shell_options else 0
        try:
            match = re.search(to_python_regex(regex, is_extended=True), text, flags)
        except re.error:
            if self._shell.is_bash:
                return False
            raise ConditionalError(f"bad regex '{regex}': Invalid regexp") from None
        if self._shell.is_bash:
            groups = [] if match is None else [match[0], *(group or "" for group in match.groups())]
            self._shell.variables.set_list("BASH_REMATCH", groups)
        return match is not None

    def _test(self, words: list[str]) -> bool:
        shell = self._shell
        status, message = evaluate_test(words, lambda path: (shell.process.files, shell.resolve(path)))
        if message:
            raise ConditionalError(message)
        return status == 0
