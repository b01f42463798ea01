"""The shell's grammar: words and commands as values, and the parser that reads them (POSIX XCU §2.3, §2.10).

Not read: arithmetic `for`, `[[`, process substitution, brace expansion.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import field, frozen


class SyntaxFault(Exception):
    """The text is no program of the shell; `is_incomplete` if more lines might make it one."""

    def __init__(self, message: str, *, is_incomplete: bool = False) -> None:
        super().__init__(message)
        self.is_incomplete = is_incomplete


@frozen
class Text:
    """Literal characters; quoted ones are safe from globbing and field splitting."""

    text: str
    is_quoted: bool = False


@frozen
class Parameter:
    """`$NAME` or `${NAME OP word}`; `operator` one of "", "#len", ":-", "-", ":=", "=", ":+", "+", ":?", "?", "#", "##", "%", "%%"."""

    name: str
    operator: str = ""
    word: tuple[Part, ...] = ()
    is_quoted: bool = False


@frozen
class Substitution:
    """`$(…)` or backticks: the program whose output takes its place."""

    source: str
    is_quoted: bool = False


@frozen
class Arithmetic:
    """`$((…))`."""

    expression: tuple[Part, ...]
    is_quoted: bool = False


Part: TypeAlias = Text | Parameter | Substitution | Arithmetic
Word: TypeAlias = tuple[Part, ...]


@frozen
class Redirection:
    """`[fd]op target`; `op` one of `<`, `>`, `>>`, `>&`, `<&`, `<<` (then `target` is the text itself)."""

    fd: int
    op: str
    target: Word


@frozen
class Simple:
    """Assignments, words, redirections."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]


@frozen
class Pipeline:
    """Commands joined by `|`, perhaps negated."""

    commands: tuple[Command, ...]
    is_negated: bool = False


@frozen
class AndOr:
    """Pipelines joined by `&&` and `||`: the operator stands before each but the first."""

    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...] = ()


@frozen
class Sequence:
    """Commands in a row, each to be waited for or, if `is_background`, not."""

    items: tuple[tuple[AndOr, bool], ...]


@frozen
class Group:
    """`{ …; }`, or `( … )` with `is_subshell`."""

    body: Sequence
    is_subshell: bool
    redirections: tuple[Redirection, ...] = ()


@frozen
class If:
    """`if`: conditions with what they lead to, in order, and the `else`."""

    branches: tuple[tuple[Sequence, Sequence], ...]
    otherwise: Sequence | None
    redirections: tuple[Redirection, ...] = ()


@frozen
class Loop:
    """`while` and `until`."""

    condition: Sequence
    body: Sequence
    is_until: bool
    redirections: tuple[Redirection, ...] = ()


@frozen
class For:
    """`for NAME in words`; `words` is `None` for the positional parameters."""

    name: str
    words: tuple[Word, ...] | None
    body: Sequence
    redirections: tuple[Redirection, ...] = ()


@frozen
class Case:
    """`case word in pattern|pattern) …;; esac`."""

    word: Word
    branches: tuple[tuple[tuple[Word, ...], Sequence], ...]
    redirections: tuple[Redirection, ...] = ()


@frozen
class Function:
    """`NAME() { …; }`."""

    name: str
    body: Command


Command: TypeAlias = Simple | Group | If | Loop | For | Case | Function


@frozen
class Token:
    """One token: `kind` is "word", "op" or "end"."""

    kind: str
    text: str
    word: Word = ()
    fd: int | None = None
    is_plain: bool = field(default=False)


_OPERATORS = (";;", "&&", "||", "<<-", "<<", ">>", ">&", "<&", ">|", "<>", ";", "&", "|", "(", ")", "<", ">", "\n")
_REDIRECTIONS = {"<", ">", ">>", ">&", "<&", "<<", "<<-", ">|", "<>"}
_EXPANSION_OPERATORS = (":-", ":=", ":+", ":?", "##", "%%", "#", "%", "-", "=", "+", "?")
_RESERVED = {
    "if",
    "then",
    "elif",
    "else",
    "fi",
    "for",
    "while",
    "until",
    "do",
    "done",
    "case",
    "esac",
    "{",
    "}",
    "!",
    "in",
}
_SPECIAL_PARAMETERS = "@*#?-$!0123456789"


def _is_name(text: str) -> bool:
    return bool(text) and (text[0].isalpha() or text[0] == "_") and all(c.isalnum() or c == "_" for c in text)


class Lexer:
    """Reads words and operators out of the shell's input."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self._heredocs: list[tuple[str, bool, bool, list[Word]]] = []

    def tokens(self) -> list[tuple[Token, list[Word]]]:
        """Give every token; the second part is the box into which a here-document's text comes."""
        found: list[tuple[Token, list[Word]]] = []
        while True:
            token = self._next()
            box: list[Word] = []
            found.append((token, box))
            if token.kind == "end":
                if self._heredocs:
                    raise SyntaxFault("unexpected end of file", is_incomplete=True)
                return found
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
                    raise SyntaxFault("unexpected end of file", is_incomplete=True)
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
                    raise SyntaxFault("unterminated quoted string", is_incomplete=True)
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
            raise SyntaxFault(f'unexpected "{self.source[start : start + 1]}"')
        return tuple(parts), self.source[start : self.at], is_plain

    def _double_quoted(self) -> list[Part]:
        parts: list[Part] = [Text("", is_quoted=True)]
        while True:
            if self.at >= len(self.source):
                raise SyntaxFault("unterminated quoted string", is_incomplete=True)
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
        """Read all of the input as if between double quotes (a here-document, arithmetic)."""
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
        raise SyntaxFault("EOF in backquote substitution", is_incomplete=True)

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
        raise SyntaxFault('unexpected end of file (expecting ")")', is_incomplete=True)

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
            raise SyntaxFault("missing '}'", is_incomplete=True)
        inner = source[self.at + 2 : at]
        self.at = at + 1
        if len(inner) > 1 and inner[0] == "#" and (_is_name(inner[1:]) or inner[1:] in "@*?"):
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
            raise SyntaxFault("bad substitution")
        if not rest:
            return Parameter(name, is_quoted=is_quoted)
        for operator in _EXPANSION_OPERATORS:
            if rest.startswith(operator):
                word = _quoted_parts(rest[len(operator) :]) if is_quoted else _word_parts(rest[len(operator) :])
                return Parameter(name, operator, word, is_quoted)
        raise SyntaxFault("bad substitution")


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


class Parser:
    """Reads one text into a `Sequence`. Raises `SyntaxFault` with ash's text."""

    def __init__(self, source: str) -> None:
        self._tokens = Lexer(source).tokens()
        self._at = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._at][0]

    def _advance(self) -> Token:
        token = self._token
        self._at += 1
        return token

    def _is_op(self, *texts: str) -> bool:
        return self._token.kind == "op" and self._token.text in texts

    def _is_reserved(self, *texts: str) -> bool:
        return self._token.kind == "word" and self._token.is_plain and self._token.text in texts

    def _unexpected(self, expecting: str = "") -> SyntaxFault:
        token = self._token
        hint = f' (expecting "{expecting}")' if expecting else ""
        if token.kind == "end":
            return SyntaxFault(f"unexpected end of file{hint}", is_incomplete=True)
        what = "newline" if token.text == "\n" else f'"{token.text}"'
        if token.kind == "word" and not self._is_reserved(*_RESERVED):
            what = "word"
        return SyntaxFault(f"unexpected {what}{hint}")

    def _expect(self, reserved: str) -> None:
        if not self._is_reserved(reserved):
            raise self._unexpected(reserved)
        self._advance()

    def _newlines(self) -> None:
        while self._is_op("\n"):
            self._advance()

    def program(self) -> Sequence:
        """Read everything."""
        sequence = self._sequence()
        if self._token.kind != "end":
            raise self._unexpected()
        return sequence

    def _sequence(self) -> Sequence:
        items: list[tuple[AndOr, bool]] = []
        while True:
            while self._is_op("\n") or (items and self._is_op(";")):
                self._advance()
            if self._ends_sequence():
                return Sequence(tuple(items))
            command = self._and_or()
            is_background = self._is_op("&")
            items.append((command, is_background))
            if self._is_op(";", "&", "\n"):
                self._advance()
            elif not self._ends_sequence():
                raise self._unexpected()

    def _ends_sequence(self) -> bool:
        return (
            self._token.kind == "end"
            or self._is_op(")", ";;")
            or self._is_reserved("then", "elif", "else", "fi", "do", "done", "esac", "}")
        )

    def _body(self) -> Sequence:
        sequence = self._sequence()
        if not sequence.items:
            raise self._unexpected()
        return sequence

    def _and_or(self) -> AndOr:
        first = self._pipeline()
        rest: list[tuple[str, Pipeline]] = []
        while self._is_op("&&", "||"):
            operator = self._advance().text
            self._newlines()
            rest.append((operator, self._pipeline()))
        return AndOr(first, tuple(rest))

    def _pipeline(self) -> Pipeline:
        is_negated = False
        while self._is_reserved("!"):
            self._advance()
            is_negated = not is_negated
        commands = [self._command()]
        while self._is_op("|"):
            self._advance()
            self._newlines()
            commands.append(self._command())
        return Pipeline(tuple(commands), is_negated)

    def _command(self) -> Command:
        if self._is_op("("):
            self._advance()
            body = self._body()
            if not self._is_op(")"):
                raise self._unexpected(")")
            self._advance()
            return Group(body, True, self._redirections())
        if self._is_reserved("{"):
            self._advance()
            body = self._body()
            self._expect("}")
            return Group(body, False, self._redirections())
        if self._is_reserved("if"):
            return self._if()
        if self._is_reserved("while", "until"):
            is_until = self._advance().text == "until"
            condition = self._body()
            return Loop(condition, self._do(), is_until, self._redirections())
        if self._is_reserved("for"):
            return self._for()
        if self._is_reserved("case"):
            return self._case()
        if self._token.kind == "word" and self._is_reserved(*_RESERVED - {"in", "!"}):
            raise self._unexpected()
        return self._simple()

    def _do(self) -> Sequence:
        self._expect("do")
        body = self._body()
        self._expect("done")
        return body

    def _if(self) -> If:
        branches: list[tuple[Sequence, Sequence]] = []
        otherwise = None
        self._advance()
        while True:
            condition = self._body()
            self._expect("then")
            branches.append((condition, self._body()))
            if self._is_reserved("elif"):
                self._advance()
                continue
            break
        if self._is_reserved("else"):
            self._advance()
            otherwise = self._body()
        self._expect("fi")
        return If(tuple(branches), otherwise, self._redirections())

    def _for(self) -> For:
        self._advance()
        token = self._advance()
        if token.kind != "word" or not _is_name(token.text):
            raise SyntaxFault("bad for loop variable")
        self._newlines()
        words: tuple[Word, ...] | None = None
        if self._is_reserved("in"):
            self._advance()
            found: list[Word] = []
            while self._token.kind == "word":
                found.append(self._advance().word)
            words = tuple(found)
        if self._is_op(";"):
            self._advance()
        self._newlines()
        return For(token.text, words, self._do(), self._redirections())

    def _case(self) -> Case:
        self._advance()
        if self._token.kind != "word":
            raise self._unexpected()
        word = self._advance().word
        self._newlines()
        self._expect("in")
        branches: list[tuple[tuple[Word, ...], Sequence]] = []
        self._newlines()
        while not self._is_reserved("esac"):
            if self._is_op("("):
                self._advance()
            patterns: list[Word] = []
            while True:
                if self._token.kind != "word":
                    raise self._unexpected("esac" if self._token.kind == "end" else ")")
                patterns.append(self._advance().word)
                if not self._is_op("|"):
                    break
                self._advance()
            if not self._is_op(")"):
                raise self._unexpected(")")
            self._advance()
            branches.append((tuple(patterns), self._sequence()))
            if self._is_op(";;"):
                self._advance()
            self._newlines()
        self._advance()
        return Case(word, tuple(branches), self._redirections())

    def _redirections(self) -> tuple[Redirection, ...]:
        found: list[Redirection] = []
        while self._is_op(*_REDIRECTIONS):
            found.append(self._redirection())
        return tuple(found)

    def _redirection(self) -> Redirection:
        token, box = self._tokens[self._at]
        self._advance()
        fd = token.fd if token.fd is not None else (0 if token.text[0] == "<" else 1)
        if token.text in ("<<", "<<-"):
            if not box:
                raise SyntaxFault("unexpected end of file", is_incomplete=True)
            return Redirection(fd, "<<", box[0])
        if self._token.kind != "word":
            raise self._unexpected()
        return Redirection(fd, {">|": ">", "<>": "<"}.get(token.text, token.text), self._advance().word)

    def _simple(self) -> Command:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirections: list[Redirection] = []
        while True:
            if self._is_op(*_REDIRECTIONS):
                redirections.append(self._redirection())
                continue
            if self._token.kind != "word":
                break
            token = self._advance()
            name, equals, _ = token.text.partition("=")
            if not words and equals and _is_name(name):
                assignments.append((name, _without_prefix(token.word, len(name) + 1)))
                continue
            if not words and not assignments and token.is_plain and _is_name(token.text) and self._is_op("("):
                self._advance()
                if not self._is_op(")"):
                    raise self._unexpected(")")
                self._advance()
                self._newlines()
                return Function(token.text, self._command())
            words.append(token.word)
        if not (assignments or words or redirections):
            raise self._unexpected()
        return Simple(tuple(assignments), tuple(words), tuple(redirections))


def _without_prefix(word: Word, length: int) -> Word:
    first = word[0]
    assert isinstance(first, Text)
    rest = first.text[length:]
    return ((Text(rest),) if rest else ()) + word[1:]


def parse(source: str) -> Sequence:
    """Read a program. Raises `SyntaxFault`."""
    return Parser(source).program()
