"""The shell's lexer: splits text into tokens, and words into literal and expandable parts (POSIX XCU §2.2, §2.3).

Not supported: process substitution, arrays.
"""

from __future__ import annotations

import re

from attrs import field, frozen

from cnmsim.userland.busybox.echo import unescape
from cnmsim.userland.sh.syntax import Arithmetic, Parameter, Part, ShellSyntaxError, Substitution, Text, Word


@frozen
class Token:
    """A token. `kind` is "word", "op" (operator) or "end"."""

    kind: str
    text: str
    word: Word = ()
    fd: int | None = None
    is_plain: bool = field(default=False)


_OPERATORS = (";;", "&&", "||", "<<-", "<<", ">>", ">&", "<&", ">|", "<>", ";", "&", "|", "(", ")", "<", ">", "\n")
_EXPANSION_OPERATORS = (
    ":-", ":=", ":+", ":?", "##", "%%", "//", "/", "^^", "^", ",,", ",", "#", "%", "-", "=", "+", "?", ":",
)  # fmt: skip
_SPECIAL_PARAMETERS = "@*#?-$!0123456789"


def is_name(text: str) -> bool:
    """Return True if a text can be the name of a variable or function."""
    return bool(text) and (text[0].isalpha() or text[0] == "_") and all(c.isalnum() or c == "_" for c in text)


class Lexer:
    """Splits the shell's input into words and operators."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self._heredocs: list[tuple[str, bool, bool, list[Word]]] = []

    def tokens(self) -> list[tuple[Token, list[Word]]]:
        """Return every token with a list that is empty except for the operators `<<` and `<<-`.

        Their list receives the text of the here-document.
        """
        tokens: list[tuple[Token, list[Word]]] = []
        while True:
            token = self._next()
            box: list[Word] = []
            tokens.append((token, box))
            if token.kind == "end":
                if self._heredocs:
                    raise ShellSyntaxError("unexpected end of file", is_incomplete=True)
                return tokens
            if token.text == "\n" and token.kind == "op":
                self._read_heredocs()
            if token.kind == "op" and token.text in ("<<", "<<-"):
                self._skip_blanks()
                word, _, is_plain = self._word()
                delimiter = "".join(part.text if isinstance(part, Text) else "" for part in word)
                self._heredocs.append((delimiter, token.text == "<<-", is_plain, box))

    def _skip_blanks(self) -> None:
        source = self.source
        while self.at < len(source):
            if source[self.at] in " \t\r":
                self.at += 1
            elif source.startswith("\\\n", self.at):
                self.at += 2
            elif source[self.at] == "#":
                end = source.find("\n", self.at)
                self.at = len(source) if end < 0 else end
            else:
                return

    def _next(self) -> Token:
        self._skip_blanks()
        if self.at >= len(self.source):
            return Token("end", "end of file")
        start = self.at
        digits = start
        while digits < len(self.source) and self.source[digits].isdigit():
            digits += 1
        if digits > start and self.source[digits : digits + 1] in ("<", ">"):
            self.at = digits
            operator = self._operator()
            if operator is not None:
                return Token("op", operator, fd=int(self.source[start:digits]))
        self.at = start
        operator = self._operator()
        if operator is not None:
            return Token("op", operator)
        word, text, is_plain = self._word()
        return Token("word", text, word, is_plain=is_plain)

    def _operator(self) -> str | None:
        for operator in _OPERATORS:
            if self.source.startswith(operator, self.at):
                self.at += len(operator)
                return operator
        return None

    def _read_heredocs(self) -> None:
        for delimiter, strips_tabs, expands, box in self._heredocs:
            lines: list[str] = []
            while True:
                if self.at >= len(self.source):
                    raise ShellSyntaxError("unexpected end of file", is_incomplete=True)
                end = self.source.find("\n", self.at)
                end = len(self.source) if end < 0 else end
                line = self.source[self.at : end]
                self.at = min(end + 1, len(self.source))
                line = line.lstrip("\t") if strips_tabs else line
                if line == delimiter:
                    break
                lines.append(line + "\n")
            text = "".join(lines)
            box.append(_quoted_parts(text) if expands else (Text(text, is_quoted=True),))
        self._heredocs.clear()

    def _word(self) -> tuple[Word, str, bool]:
        start = self.at
        parts: list[Part] = []
        is_plain = True
        while self.at < len(self.source):
            c = self.source[self.at]
            if c in " \t\r\n;&|<>()":
                break
            if c == "'":
                end = self.source.find("'", self.at + 1)
                if end < 0:
                    raise ShellSyntaxError("unterminated quoted string", is_incomplete=True)
                parts.append(Text(self.source[self.at + 1 : end], is_quoted=True))
                self.at = end + 1
                is_plain = False
            elif c == '"':
                self.at += 1
                parts.extend(self._double_quoted())
                is_plain = False
            elif c == "\\":
                if self.source.startswith("\\\n", self.at):
                    self.at += 2
                    continue
                parts.append(Text(self.source[self.at + 1 : self.at + 2], is_quoted=True))
                self.at += 2
                is_plain = False
            elif self.source.startswith("$'", self.at):
                parts.append(self._escaped_quotes())
                is_plain = False
            elif c in "$`":
                parts.append(self._expansion(is_quoted=False))
                is_plain = False
            else:
                self.at += 1
                if parts and isinstance(parts[-1], Text) and not parts[-1].is_quoted:
                    parts[-1] = Text(parts[-1].text + c)
                else:
                    parts.append(Text(c))
        if self.at == start:
            raise ShellSyntaxError(f'unexpected "{self.source[start : start + 1]}"')
        return tuple(parts), self.source[start : self.at], is_plain

    def _escaped_quotes(self) -> Text:
        """Parse `$'…'`, in which backslash sequences are replaced."""
        match = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL).match(self.source, self.at)
        if match is None:
            raise ShellSyntaxError("unterminated quoted string", is_incomplete=True)
        self.at = match.end()
        text = re.sub(r"\\u([0-9a-fA-F]{1,4})", lambda found: chr(int(found[1], 16)), match[1])
        return Text(unescape(re.sub(r"\\(['\"?])", r"\1", text)), is_quoted=True)

    def _double_quoted(self) -> list[Part]:
        parts: list[Part] = [Text("", is_quoted=True)]
        while True:
            if self.at >= len(self.source):
                raise ShellSyntaxError("unterminated quoted string", is_incomplete=True)
            c = self.source[self.at]
            if c == '"':
                self.at += 1
                return parts
            parts.extend(self._quoted_step(c, '$`"\\\n'))

    def _quoted_step(self, c: str, escapable: str) -> list[Part]:
        if c == "\\" and self.source[self.at + 1 : self.at + 2] and self.source[self.at + 1] in escapable:
            self.at += 2
            escaped = self.source[self.at - 1]
            return [] if escaped == "\n" else [Text(escaped, is_quoted=True)]
        if c in "$`":
            return [self._expansion(is_quoted=True)]
        self.at += 1
        return [Text(c, is_quoted=True)]

    def quoted_all(self) -> Word:
        """Parse the whole input like text in double quotes. Used for here-documents and arithmetic."""
        parts: list[Part] = []
        while self.at < len(self.source):
            parts.extend(self._quoted_step(self.source[self.at], "$`\\\n"))
        return tuple(parts)

    def _expansion(self, *, is_quoted: bool) -> Part:
        source = self.source
        if source[self.at] == "`":
            return self._backquoted(is_quoted=is_quoted)
        if source.startswith("$((", self.at):
            end = self._matching(self.at + 1)
            if source[end - 1 : end + 1] == "))":
                inner = source[self.at + 3 : end - 1]
                self.at = end + 1
                return Arithmetic(_quoted_parts(inner), is_quoted)
        if source.startswith("$(", self.at):
            end = self._matching(self.at + 1)
            inner = source[self.at + 2 : end]
            self.at = end + 1
            return Substitution(inner, is_quoted)
        if source.startswith("${", self.at):
            return self._braced(is_quoted=is_quoted)
        following = source[self.at + 1 : self.at + 2]
        if following and following in _SPECIAL_PARAMETERS:
            self.at += 2
            return Parameter(following, is_quoted=is_quoted)
        end = self.at + 1
        while end < len(source) and (source[end].isalnum() or source[end] == "_"):
            end += 1
        name = source[self.at + 1 : end]
        if not name:
            self.at += 1
            return Text("$", is_quoted)
        self.at = end
        return Parameter(name, is_quoted=is_quoted)

    def _backquoted(self, *, is_quoted: bool) -> Substitution:
        inner: list[str] = []
        self.at += 1
        while self.at < len(self.source):
            c = self.source[self.at]
            if c == "`":
                self.at += 1
                return Substitution("".join(inner), is_quoted)
            if c == "\\" and self.source[self.at + 1 : self.at + 2] in ("`", "\\", "$"):
                self.at += 1
                c = self.source[self.at]
            inner.append(c)
            self.at += 1
        raise ShellSyntaxError("EOF in backquote substitution", is_incomplete=True)

    def _matching(self, opening: int) -> int:
        depth, at, source = 0, opening, self.source
        while at < len(source):
            c = source[at]
            if c == "\\":
                at += 1
            elif c == "'":
                at = source.find("'", at + 1)
                if at < 0:
                    break
            elif c == '"':
                at += 1
                while at < len(source) and source[at] != '"':
                    at += 2 if source[at] == "\\" else 1
            elif c == "(":
                depth += 1
            elif c == ")":
                depth -= 1
                if not depth:
                    return at
            at += 1
        raise ShellSyntaxError('unexpected end of file (expecting ")")', is_incomplete=True)

    def _braced(self, *, is_quoted: bool) -> Parameter:
        depth, at, source = 0, self.at + 1, self.source
        while at < len(source):
            if source[at] == "\\":
                at += 1
            elif source[at] == "{":
                depth += 1
            elif source[at] == "}":
                depth -= 1
                if not depth:
                    break
            at += 1
        if at >= len(source):
            raise ShellSyntaxError("missing '}'", is_incomplete=True)
        inner = source[self.at + 2 : at]
        self.at = at + 1
        if len(inner) > 1 and inner[0] == "#" and (is_name(inner[1:]) or inner[1:] in "@*?"):
            return Parameter(inner[1:], "#len", is_quoted=is_quoted)
        end = 1 if inner[:1] and inner[0] in "@*#?-$!" else 0
        while not end or (
            end < len(inner) and (inner[end].isalnum() or inner[end] == "_") and inner[0] not in "@*#?-$!"
        ):
            if end >= len(inner) or not (inner[end].isalnum() or inner[end] == "_"):
                break
            end += 1
        name, rest = inner[:end], inner[end:]
        if not name:
            raise ShellSyntaxError("bad substitution")
        if not rest:
            return Parameter(name, is_quoted=is_quoted)
        for operator in _EXPANSION_OPERATORS:
            if rest.startswith(operator):
                text = rest[len(operator) :]
                replacement: Word = ()
                if operator in ("/", "//"):
                    text, _, other = text.replace("\\/", "\0").partition("/")
                    text = text.replace("\0", "/")
                    replacement = _word_parts(other.replace("\0", "/"))
                word = _quoted_parts(text) if is_quoted and operator not in ("/", "//") else _word_parts(text)
                return Parameter(name, operator, word, is_quoted, replacement)
        raise ShellSyntaxError("bad substitution")


def _quoted_parts(text: str) -> Word:
    return Lexer(text).quoted_all()


def _word_parts(text: str) -> Word:
    parts: list[Part] = []
    lexer = Lexer(text)
    while lexer.at < len(text):
        if text[lexer.at] in " \t\r\n;&|<>()":
            parts.append(Text(text[lexer.at]))
            lexer.at += 1
        else:
            parts.extend(lexer._word()[0])
    return tuple(parts)
