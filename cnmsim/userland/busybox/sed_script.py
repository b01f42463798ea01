"""The parser of sed scripts: addresses and commands (POSIX XCU sed)."""

from __future__ import annotations

import re

from attrs import define, field, frozen

from cnmsim.userland.libc.getopt import UsageError
from cnmsim.userland.libc.regex import to_python_regex

_ADDRESS = re.compile(r"(?P<line>[0-9]+)|(?P<last>\$)|\+(?P<more>[0-9]+)")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}


@frozen
class Address:
    """An address of a command.

    `line` is a line number (-1 for `$`, the last line), `pattern` a regular expression, and `more` the N of `,+N`,
    i.e. a number of further lines.
    """

    line: int = 0
    more: int = 0
    pattern: re.Pattern[str] | None = None


@define(eq=False)
class Command:
    """One command with its addresses and arguments.

    `letter` is the name of the command. `first` and `second` are the addresses, `None` if missing; `is_negated` is
    set by a `!` after them. `body` is the list of commands of a block `{ … }`. For `s`, `pattern` is the regular
    expression (`None` for the last one used), `text` the replacement, and `number` the occurrence to replace.
    """

    letter: str
    first: Address | None = None
    second: Address | None = None
    is_negated: bool = False
    pattern: re.Pattern[str] | None = None
    text: str = ""
    flags: str = ""
    number: int = 1
    body: list[Command] = field(factory=list)
    #: The last line of the range that is being matched; 0 outside of a range, -1 until the second address matches.
    until: int = 0


class Parser:
    """Parses a sed script. Raises `UsageError` with busybox's error text if the script is invalid."""

    def __init__(self, source: str, *, is_extended: bool) -> None:
        self.source, self.is_extended = source, is_extended
        self.at = 0

    def commands(self, *, is_block: bool = False) -> list[Command]:
        """Parse commands up to the end of the script or, if `is_block` is set, up to a closing brace."""
        found: list[Command] = []
        while True:
            self._skip("; \n\t")
            if self.at >= len(self.source):
                if is_block:
                    raise UsageError("unterminated {")
                return found
            if self.source[self.at] == "}" and is_block:
                self.at += 1
                return found
            if self.source[self.at] == "#":
                self._rest_of_line()
                continue
            found.append(self._command())

    def _skip(self, characters: str) -> None:
        while self.at < len(self.source) and self.source[self.at] in characters:
            self.at += 1

    def _rest_of_line(self) -> str:
        end = self.source.find("\n", self.at)
        end = len(self.source) if end < 0 else end
        text, self.at = self.source[self.at : end], end
        return text

    def _address(self) -> Address | None:
        match = _ADDRESS.match(self.source, self.at)
        if match is not None:
            self.at = match.end()
            if match["more"] is not None:
                return Address(more=int(match["more"]) or -1)
            return Address(line=-1 if match["last"] else int(match["line"]))
        delimiter = self.source[self.at : self.at + 1]
        if delimiter == "\\":
            self.at += 1
            delimiter = self.source[self.at : self.at + 1]
        if delimiter != "/" and self.source[self.at - 1 : self.at] != "\\":
            return None
        self.at += 1
        source = self._until(delimiter)
        flags = 0
        if self.source[self.at : self.at + 1] == "I":
            flags, self.at = re.IGNORECASE, self.at + 1
        return Address(pattern=self._regex(source, flags))

    def _until(self, delimiter: str) -> str:
        start, in_brackets = self.at, False
        while self.at < len(self.source):
            c = self.source[self.at]
            if c == "\\" and not in_brackets:
                self.at += 2
                continue
            if c == "[" and not in_brackets:
                in_brackets = True
                self.at += 1 + (self.source[self.at + 1 : self.at + 2] == "^")
                if self.source[self.at : self.at + 1] == "]":
                    self.at += 1
                continue
            if c == "]":
                in_brackets = False
            if c == delimiter and not in_brackets:
                self.at += 1
                text = self.source[start : self.at - 1]
                return text if delimiter in "[]" else text.replace("\\" + delimiter, delimiter)
            self.at += 1
        raise UsageError(f"unmatched '{delimiter}'")

    def _regex(self, source: str, flags: int) -> re.Pattern[str]:
        text = re.sub(r"\\([ntrfva])", lambda match: ESCAPES[match[1]], source)
        try:
            return re.compile(to_python_regex(text, is_extended=self.is_extended), flags)
        except re.error:
            raise UsageError(f"bad regex '{source}': Invalid preceding regular expression") from None

    def _command(self) -> Command:
        first = self._address()
        second = None
        if first is not None:
            self._skip(" \t")
            if self.source[self.at : self.at + 1] == ",":
                self.at += 1
                self._skip(" \t")
                second = self._address()
                if second is None:
                    raise UsageError("no address after comma")
        self._skip(" \t")
        is_negated = False
        while self.source[self.at : self.at + 1] == "!":
            is_negated = True
            self.at += 1
            self._skip(" \t")
        letter = self.source[self.at : self.at + 1]
        if not letter:
            raise UsageError("missing command")
        self.at += 1
        command = Command(letter, first, second, is_negated)
        if letter == "{":
            command.body = self.commands(is_block=True)
        elif letter == "s":
            self._substitution(command)
        elif letter == "y":
            delimiter = self.source[self.at]
            self.at += 1
            command.text, command.flags = self._until(delimiter), self._until(delimiter)
        elif letter in "aic":
            command.text = self._text()
        elif letter in ":btT":
            self._skip(" \t")
            match = re.compile(r"[^;\n}]*").match(self.source, self.at)
            assert match is not None
            command.text, self.at = match[0].strip(), match.end()
        elif letter in "rwR":
            self._skip(" \t")
            command.text = self._rest_of_line()
        elif letter in "qQ":
            match = re.compile(r"[ \t]*([0-9]*)").match(self.source, self.at)
            assert match is not None
            command.number, self.at = int(match[1] or 0), match.end()
        elif letter not in "pPdDnNgGhHxl=":
            raise UsageError(f"unsupported command {letter}")
        return command

    def _text(self) -> str:
        self._skip(" \t")
        if self.source.startswith("\\", self.at):
            self.at += 1
            self._skip(" \t")
            if self.source[self.at : self.at + 1] == "\n":
                self.at += 1
        lines = [self._rest_of_line()]
        while lines[-1].endswith("\\") and self.at < len(self.source):
            lines[-1] = lines[-1][:-1]
            self.at += 1
            lines.append(self._rest_of_line())
        return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), "\n".join(lines))

    def _substitution(self, command: Command) -> None:
        delimiter = self.source[self.at : self.at + 1]
        if not delimiter or delimiter in "\n\\":
            raise UsageError("bad format in substitution expression")
        self.at += 1
        source = self._until(delimiter)
        start = self.at
        while self.source[self.at : self.at + 1] != delimiter:
            if self.at >= len(self.source):
                raise UsageError(f"unmatched '{delimiter}'")
            self.at += 2 if self.source[self.at] == "\\" else 1
        command.text = self.source[start : self.at].replace("\\" + delimiter, delimiter)
        self.at += 1
        match = re.compile(r"[gpiIme0-9]*").match(self.source, self.at)
        assert match is not None
        self.at = match.end()
        command.flags = match[0]
        digits = re.search(r"[0-9]+", match[0])
        command.number = int(digits[0]) if digits else 1
        if self.source[self.at : self.at + 1] == "w":
            self.at += 1
            self._skip(" \t")
            command.flags += f"w{self._rest_of_line()}"
        command.pattern = self._regex(source, re.IGNORECASE if "i" in match[0].lower() else 0) if source else None
