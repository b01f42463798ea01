"""The shell's lexer: splits text into tokens, and words into literal and expandable parts (POSIX XCU §2.2, §2.3).

Arrays, here-strings, `((…))` and extended patterns are recognized only for bash. Process substitution is recognized
for busybox, too.
"""

from __future__ import annotations

import re

from attrs import evolve, field, frozen

from cnmsim.digits import is_number
from cnmsim.userland.busybox.echo import unescape
from cnmsim.userland.sh.syntax import (
    Arithmetic,
    ArrayLiteral,
    Parameter,
    Part,
    ProcessSubstitution,
    ShellSyntaxError,
    Substitution,
    Text,
    Word,
)


@frozen
class Token:
    """A token. `kind` is "word", "op" (operator), "arithmetic" (the inside of `((…))`) or "end".

    `word` holds the parts of a word; `is_plain` is true for a word without quotes and expansions. `fd` is the number
    before a redirection such as `2>`, and `fd_variable` the NAME in `{NAME}>`. `start` is the index of the token's
    first character in the source.
    """

    kind: str
    text: str
    word: Word = ()
    fd: int | None = None
    is_plain: bool = field(default=False)
    fd_variable: str = ""
    start: int = 0


_OPERATORS = (
    "&>", ";;", "&&", "||", "<<-", "<<", ">>", ">&", "<&", ">|", "<>", ";", "&", "|", "(", ")", "<", ">", "\n",
)  # fmt: skip
_BASH_OPERATORS = (";;&", ";&", "&>>", "&>", "|&", "<<<", *_OPERATORS)
#: Words after which a command follows.
_BEFORE_COMMAND = frozenset(["if", "then", "elif", "else", "while", "until", "do", "{", "!", "time", "for"])
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_ELEMENT = re.compile(r"[A-Za-z_]\w*\[")
_EXPANSION_OPERATORS = (
    ":-", ":=", ":+", ":?", "##", "%%", "//", "/", "^^", "^", ",,", ",", "#", "%", "-", "=", "+", "?", ":",
)  # fmt: skip
_SPECIAL_PARAMETERS = "@*#?-$!0123456789"


def is_name(text: str) -> bool:
    """Return True if a text can be the name of a variable or function."""
    return bool(text) and (text[0].isalpha() or text[0] == "_") and all(c.isalnum() or c == "_" for c in text)


class Lexer:
    """Splits the shell's input into words and operators."""

    def __init__(self, source: str, *, is_bash: bool = False, has_extglob: bool = False) -> None:
        self.source = source
        self.at = 0
        self._is_bash, self._has_extglob = is_bash, has_extglob
        self._is_in_test = self._is_regex_next = False
        self._heredocs: list[tuple[str, bool, bool, list[Word]]] = []

    def tokens(self) -> list[tuple[Token, list[Word]]]:
        """Return all tokens, each with a list.

        The list contains the text of the here-document for the operators `<<` and `<<-`, and is empty for all others.
        Raises `ShellSyntaxError` for an unterminated quotation, substitution or here-document.
        """
        tokens: list[tuple[Token, list[Word]]] = []
        while True:
            token = self._next(tokens[-1][0] if tokens else None)
            if token.is_plain and token.text in ("[[", "]]"):
                self._is_in_test = token.text == "[["
            self._is_regex_next = self._is_in_test and token.is_plain and token.text == "=~"
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

    def _next(self, previous: Token | None) -> Token:
        self._skip_blanks()
        if self.at >= len(self.source):
            return Token("end", "end of file", start=self.at)
        start = self.at
        if self._is_bash and self.source.startswith("((", start) and _precedes_command(previous):
            end = self._matching(start)
            if self.source[end - 1 : end + 1] == "))":
                self.at = end + 1
                return Token("arithmetic", self.source[start + 2 : end - 1], start=start)
        if self._is_bash and (named := re.compile(r"\{([A-Za-z_]\w*)\}(?=[<>])").match(self.source, start)):
            self.at = named.end()
            operator = self._operator()
            if operator is not None:
                return Token("op", operator, fd_variable=named[1], start=start)
        digits = start
        while digits < len(self.source) and is_number(self.source[digits]):
            digits += 1
        if digits > start and self.source[digits : digits + 1] in ("<", ">"):
            self.at = digits
            operator = self._operator()
            if operator is not None:
                return Token("op", operator, fd=int(self.source[start:digits]), start=start)
        self.at = start
        if not self._is_regex_next and not self.source.startswith(("<(", ">("), start):
            operator = self._operator()
            if operator is not None:
                return Token("op", operator, start=start)
        word, text, is_plain = self._word()
        return Token("word", text, word, is_plain=is_plain, start=start)

    def _operator(self) -> str | None:
        for operator in _BASH_OPERATORS if self._is_bash else _OPERATORS:
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
            box.append(self.quoted_parts(text) if expands else (Text(text, is_quoted=True),))
        self._heredocs.clear()

    def _word(self) -> tuple[Word, str, bool]:
        start = self.at
        parts: list[Part] = []
        is_plain = True
        subscript_end = self._subscript_of_assignment()
        while self.at < len(self.source):
            c = self.source[self.at]
            if self.source.startswith(("<(", ">("), self.at) and not self._is_regex_next:
                end = self._matching(self.at + 1)
                parts.append(ProcessSubstitution(self.source[self.at + 2 : end], c == ">"))
                self.at = end + 1
                is_plain = False
                continue
            if c == "(" and self._is_bash and _ASSIGNMENT.fullmatch(self.source, start, self.at):
                self.at += 1
                parts.append(self._array_literal())
                return tuple(parts), self.source[start : self.at], False
            if c == "(" and self._opens_pattern(start):
                end = self._matching(self.at) + 1
                parts.extend(self.word_parts(self.source[self.at : end]))
                self.at = end
                is_plain = False
                continue
            if c in " \t\r\n;&|<>()" and self.at >= subscript_end:
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
            c = self.source[start : start + 1]
            raise ShellSyntaxError("unexpected redirection" if c in ("<", ">") else f'unexpected "{c}"')
        return tuple(parts), self.source[start : self.at], is_plain

    def _subscript_of_assignment(self) -> int:
        """Return the index after the subscript of an assignment `NAME[…]=`, or 0 if no such assignment begins here.

        Blanks in such a subscript do not end a word.
        """
        match = _ELEMENT.match(self.source, self.at) if self._is_bash else None
        if match is None:
            return 0
        depth = 0
        for end in range(match.end() - 1, len(self.source)):
            depth += (self.source[end] == "[") - (self.source[end] == "]")
            if not depth:
                return end + 1 if self.source.startswith(("=", "+="), end + 1) else 0
        return 0

    def _opens_pattern(self, start: int) -> bool:
        """Return True if the opening parenthesis at the current index is part of a word that began at `start`.

        That is so in a regular expression (after `=~`), and in an extended pattern such as `@(a|b)`.
        """
        if self._is_regex_next:
            return self._is_bash
        is_extended = self._is_bash and (self._has_extglob or self._is_in_test)
        return is_extended and self.at > start and self.source[self.at - 1] in "?*+@!"

    def _array_literal(self) -> ArrayLiteral:
        words: list[Word] = []
        while True:
            self._skip_blanks()
            c = self.source[self.at : self.at + 1]
            if not c:
                raise ShellSyntaxError('unexpected end of file (expecting ")")', is_incomplete=True)
            if c == ")":
                self.at += 1
                return ArrayLiteral(tuple(words))
            if c == "\n":
                self.at += 1
                continue
            words.append(self._word()[0])

    def _escaped_quotes(self) -> Text:
        """Parse `$'…'` and replace the backslash sequences in it."""
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
                kind = "double-quoted" if self._is_bash else "quoted"
                raise ShellSyntaxError(f"unterminated {kind} string", is_incomplete=True)
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

    def quoted_all(self, *, drops_quotes: bool = False) -> Word:
        """Parse the whole input like text in double quotes, as for here-documents and arithmetic.

        With `drops_quotes` double quotes are removed, as in `"${x:-"a b"}"`.
        """
        parts: list[Part] = []
        while self.at < len(self.source):
            if drops_quotes and self.source[self.at] == '"':
                self.at += 1
                continue
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
                return Arithmetic(self.quoted_parts(inner), is_quoted)
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
            elif source.startswith("$(", at):
                at = self._matching(at + 1)
            elif source[at] == "'" and not is_quoted:
                at = source.find("'", at + 1) if "'" in source[at + 1 :] else len(source)
            elif source[at] == '"':
                at += 1
                while at < len(source) and source[at] != '"':
                    at += 2 if source[at] == "\\" else 1
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
        if len(inner) > 1 and inner[0] == "#" and (is_name(inner[1:]) or inner[1:] in "@*?" or is_number(inner[1:])):
            return Parameter(inner[1:], "#len", is_quoted=is_quoted)
        if self._is_bash:
            if len(inner) > 1 and inner[0] == "#" and (match := _ELEMENT.match(inner, 1)) and inner[-1] == "]":
                subscript = self.quoted_parts(inner[match.end() : -1])
                return Parameter(inner[1 : match.end() - 1], "#len", is_quoted=is_quoted, subscript=subscript)
            if len(inner) > 1 and inner[0] == "!" and (is_name(inner[1]) or inner[1] in "@#*" or is_number(inner[1])):
                return self._indirect(inner, is_quoted=is_quoted)
        end = 1 if inner[:1] and inner[0] in "@*#?-$!" else 0
        while not end or (
            end < len(inner) and (inner[end].isalnum() or inner[end] == "_") and inner[0] not in "@*#?-$!"
        ):
            if end >= len(inner) or not (inner[end].isalnum() or inner[end] == "_"):
                break
            end += 1
        name, rest = inner[:end], inner[end:]
        bad = f"${{{inner}}}: bad substitution" if self._is_bash else "bad substitution"
        if not name:
            raise BadSubstitution(bad)
        subscript_parts: Word | None = None
        if self._is_bash and rest.startswith("[") and is_name(name):
            depth, end = 0, 0
            for c in rest:
                depth += (c == "[") - (c == "]")
                if not depth:
                    break
                end += 1
            subscript_parts, rest = self.quoted_parts(rest[1:end]), rest[end + 1 :]
        if not rest:
            return Parameter(name, is_quoted=is_quoted, subscript=subscript_parts)
        for operator in _EXPANSION_OPERATORS:
            if rest.startswith(operator) and (self._is_bash or operator[0] not in "^,"):
                text = rest[len(operator) :]
                replacement: Word = ()
                if operator in ("/", "//"):
                    text, _, other = text.replace("\\/", "\0").partition("/")
                    text = text.replace("\0", "/")
                    replacement = self.word_parts(other.replace("\0", "/"))
                is_pattern = operator in ("/", "//") or (operator[0] in "#%^," and self._is_bash)
                word = (
                    self.quoted_parts(text, drops_quotes=True)
                    if is_quoted and not is_pattern
                    else self.word_parts(text)
                )
                return Parameter(name, operator, word, is_quoted, replacement, subscript_parts)
        if self._is_bash and re.fullmatch(r"@[QEPAKaUuLk]", rest):
            return Parameter(name, "@", (Text(rest[1]),), is_quoted, subscript=subscript_parts)
        raise BadSubstitution(bad)

    def _indirect(self, inner: str, *, is_quoted: bool) -> Parameter:
        """Parse `inner`, the inside of `${!NAME}`, `${!PREFIX*}` or `${!NAME[@]}`, from its `!` on."""
        names = re.fullmatch(r"!([A-Za-z_]\w*)(\[)?([@*])(\])?", inner)
        if names is not None and (names[2] is None) == (names[4] is None):
            operator = "keys" if names[2] else "names"
            return Parameter(names[1], operator, is_quoted=is_quoted, subscript=(Text(names[3]),))
        lexer = Lexer(f"${{{inner[1:]}}}", is_bash=True)
        return evolve(lexer._braced(is_quoted=is_quoted), is_indirect=True)

    def quoted_parts(self, text: str, *, drops_quotes: bool = False) -> Word:
        """Parse a text as the inside of double quotes. `drops_quotes` removes double quotes in the text."""
        return Lexer(text, is_bash=self._is_bash).quoted_all(drops_quotes=drops_quotes)

    def word_parts(self, text: str) -> Word:
        """Parse a text as one word. Blanks and operators in it do not end the word."""
        return _word_parts(Lexer(text, is_bash=self._is_bash))


class BadSubstitution(ShellSyntaxError):
    """The text in `${…}` is not a valid parameter expansion. bash reports it only when it expands the word."""


def _precedes_command(previous: Token | None) -> bool:
    if previous is None or previous.kind == "arithmetic":
        return True
    if previous.kind == "op":
        return previous.text in (";", ";;", "&&", "||", "|", "|&", "&", "(", ")", "\n", ";&", ";;&")
    return previous.is_plain and previous.text in _BEFORE_COMMAND


def _word_parts(lexer: Lexer) -> Word:
    parts: list[Part] = []
    text = lexer.source
    while lexer.at < len(text):
        if text[lexer.at] in " \t\r\n;&|<>()":
            parts.append(Text(text[lexer.at]))
            lexer.at += 1
        else:
            parts.extend(lexer._word()[0])
    return tuple(parts)
