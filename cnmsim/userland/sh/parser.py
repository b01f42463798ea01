"""The shell's parser: turns tokens into commands (POSIX XCU §2.10; bash's own commands only for bash)."""

from __future__ import annotations

import re

from attrs import evolve

from cnmsim.userland.sh.lexer import Lexer, Token, is_name
from cnmsim.userland.sh.syntax import (
    AndOr,
    ArithmeticCommand,
    ArithmeticFor,
    Case,
    Command,
    For,
    Function,
    Group,
    If,
    Loop,
    Pipeline,
    Redirection,
    Sequence,
    ShellSyntaxError,
    Simple,
    Test,
    Text,
    Word,
)

_REDIRECTIONS = {"<", ">", ">>", ">&", "<&", "<<", "<<-", ">|", "<>", "<<<", "&>", "&>>"}
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(?:\[.*?\])?\+?=", re.DOTALL)
_BRANCH_ENDS = (";;", ";&", ";;&")
_RESERVED = frozenset(
    ["if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "{", "}", "!", "in"]
)


class Parser:
    """Parses the text of a program into a `Sequence`. Raises `ShellSyntaxError` with ash's error message."""

    def __init__(self, source: str, *, is_bash: bool = False, has_extglob: bool = False) -> None:
        self._tokens = Lexer(source, is_bash=is_bash, has_extglob=has_extglob).tokens()
        self._at = 0
        self._source, self._is_bash = source, is_bash

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

    def _unexpected(self, expecting: str = "") -> ShellSyntaxError:
        token = self._token
        hint = f' (expecting "{expecting}")' if expecting else ""
        if token.kind == "end":
            return ShellSyntaxError(f"unexpected end of file{hint}", is_incomplete=True)
        what = "newline" if token.text == "\n" else f'"{token.text}"'
        if self._is_bash:
            # bash names every token, and never what it expected.
            text = f"(({token.text}))" if token.kind == "arithmetic" else token.text
            return ShellSyntaxError(f'unexpected "{"newline" if text == chr(10) else text}"', at=token.start)
        if token.kind == "word" and not self._is_reserved(*_RESERVED):
            what = "word"
        elif token.kind == "op" and token.text in _REDIRECTIONS:
            what = "redirection"
        return ShellSyntaxError(f"unexpected {what}{hint}")

    def _expect(self, reserved: str) -> None:
        if not self._is_reserved(reserved):
            raise self._unexpected(reserved)
        self._advance()

    def _newlines(self) -> None:
        while self._is_op("\n"):
            self._advance()

    def program(self) -> Sequence:
        """Parse the whole text, and return it as a sequence of commands.

        Raises `ShellSyntaxError` for an invalid or incomplete text.
        """
        sequence = self._sequence()
        if self._token.kind != "end":
            raise self._unexpected()
        return sequence

    def _sequence(self) -> Sequence:
        items: list[tuple[AndOr, bool]] = []
        while True:
            self._newlines()
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
            or self._is_op(")", *_BRANCH_ENDS)
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
        is_negated = is_timed = False
        while self._is_reserved("!") or (self._is_bash and self._is_reserved("time")):
            if self._advance().text == "!":
                is_negated = not is_negated
            else:
                is_timed = True
                if self._is_reserved("-p"):
                    self._advance()
        if is_timed and self._ends_pipeline():
            return Pipeline((Simple((), (), ()),), is_negated, is_timed)
        commands = [self._command()]
        while self._is_op("|", "|&"):
            if self._advance().text == "|&":
                commands[-1] = _with_stderr(commands[-1])
            self._newlines()
            commands.append(self._command())
        return Pipeline(tuple(commands), is_negated, is_timed)

    def _ends_pipeline(self) -> bool:
        return self._is_op(";", "&", "\n", "&&", "||") or self._ends_sequence()

    def _command(self) -> Command:
        if self._token.kind == "arithmetic":
            expression = self._expression(self._advance().text)
            return ArithmeticCommand(expression, self._redirections())
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
        if self._is_reserved("for") or (self._is_bash and self._is_reserved("select")):
            return self._for()
        if self._is_reserved("case"):
            return self._case()
        if self._is_reserved("[["):
            return self._test()
        if self._is_reserved("function"):
            return self._named_function()
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

    def _for(self) -> For | ArithmeticFor:
        is_select = self._advance().text == "select"
        token = self._advance()
        if token.kind == "arithmetic":
            return self._arithmetic_for(token.text)
        if token.kind == "end":
            self._at -= 1
            raise self._unexpected()
        if token.kind != "word" or not is_name(token.text):
            raise ShellSyntaxError("bad for loop variable")
        self._newlines()
        words: tuple[Word, ...] | None = None
        if self._is_reserved("in"):
            self._advance()
            items: list[Word] = []
            while self._token.kind == "word":
                items.append(self._advance().word)
            words = tuple(items)
        if self._is_op(";"):
            self._advance()
        self._newlines()
        return For(token.text, words, self._do(), self._redirections(), is_select)

    def _arithmetic_for(self, text: str) -> ArithmeticFor:
        expressions = text.split(";")
        if len(expressions) != 3:
            raise ShellSyntaxError("arithmetic expression required")
        first, condition, step = map(self._expression, expressions)
        if self._is_op(";"):
            self._advance()
        self._newlines()
        if self._is_reserved("{"):
            group = self._command()
            assert isinstance(group, Group)
            return ArithmeticFor(first, condition, step, group.body, self._redirections())
        return ArithmeticFor(first, condition, step, self._do(), self._redirections())

    def _expression(self, text: str) -> Word:
        return Lexer(text, is_bash=True).quoted_all()

    def _case(self) -> Case:
        self._advance()
        if self._token.kind != "word":
            raise self._unexpected()
        word = self._advance().word
        self._newlines()
        self._expect("in")
        branches: list[tuple[tuple[Word, ...], Sequence, str]] = []
        self._newlines()
        while not self._is_reserved("esac"):
            if self._is_op("("):
                self._advance()
            patterns: list[Word] = []
            while True:
                if self._token.kind != "word":
                    raise self._unexpected(")")
                patterns.append(self._advance().word)
                if not self._is_op("|"):
                    break
                self._advance()
            if not self._is_op(")"):
                raise self._unexpected(")")
            self._advance()
            body = self._sequence()
            ending = self._advance().text if self._is_op(*_BRANCH_ENDS) else ";;"
            branches.append((tuple(patterns), body, ending))
            self._newlines()
        self._advance()
        return Case(word, tuple(branches), self._redirections())

    def _test(self) -> Test:
        self._advance()
        words: list[Word] = []
        while not self._is_reserved("]]"):
            if self._token.kind == "end":
                raise self._unexpected("]]")
            token = self._advance()
            if token.kind == "word":
                words.append(token.word)
            elif token.text != "\n":
                words.append((Text(token.text),))
        self._advance()
        return Test(tuple(words), self._redirections())

    def _named_function(self) -> Function:
        self._advance()
        if self._token.kind != "word":
            raise self._unexpected()
        name = self._advance().text
        if self._is_op("("):
            self._advance()
            self._advance()
        self._newlines()
        return Function(name, self._command())

    def _redirections(self) -> tuple[Redirection, ...]:
        redirections: list[Redirection] = []
        while self._is_op(*_REDIRECTIONS):
            redirections.append(self._redirection())
        return tuple(redirections)

    def _redirection(self) -> Redirection:
        token, box = self._tokens[self._at]
        self._advance()
        fd = token.fd if token.fd is not None else (0 if token.text[0] == "<" else 1)
        variable = token.fd_variable
        if token.text in ("<<", "<<-"):
            if not box:
                raise ShellSyntaxError("unexpected end of file", is_incomplete=True)
            return Redirection(fd, "<<", box[0])
        if self._token.kind != "word":
            raise self._unexpected()
        return Redirection(fd, {">|": ">", "<>": "<"}.get(token.text, token.text), self._advance().word, variable)

    def _simple(self) -> Command:
        line = self._source.count("\n", 0, self._token.start)
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
            if not words and equals and is_name(name):
                assignments.append((name, _without_prefix(token.word, len(name) + 1)))
                continue
            if not words and self._is_bash and (match := _ASSIGNMENT.match(token.text)):
                assignments.append(_element_assignment(token, match))
                continue
            if not words and not assignments and token.is_plain and is_name(token.text) and self._is_op("("):
                self._advance()
                if not self._is_op(")"):
                    raise self._unexpected(")")
                self._advance()
                self._newlines()
                return Function(token.text, self._command())
            words.append(token.word)
        if not (assignments or words or redirections):
            raise self._unexpected()
        return Simple(tuple(assignments), tuple(words), tuple(redirections), line)


def _with_stderr(command: Command) -> Command:
    """Return `command` with its standard error redirected into the pipe as well (`|&`)."""
    extra = Redirection(2, ">&", (Text("1"),))
    if isinstance(command, Function):
        return command
    return evolve(command, redirections=(*command.redirections, extra))


def _element_assignment(token: Token, match: re.Match[str]) -> tuple[str, Word]:
    """Return the name (with subscript and `+`, if any) and the value of a bash assignment such as `a[1]+=x`.

    `match` is the match of the name and the operator at the beginning of the token.
    """
    text = match[0][:-1]
    parts = list(token.word)
    taken = len(match[0])
    # The subscript may consist of several parts, such as `a[$i]=x`; the value starts in the part with the `=`.
    if isinstance(parts[0], Text) and len(parts[0].text) >= taken and not parts[0].is_quoted:
        return text, _without_prefix(token.word, taken)
    for number, part in enumerate(parts):
        if number and isinstance(part, Text) and not part.is_quoted and (end := re.match(r".*?\]\+?=", part.text)):
            rest = part.text[end.end() :]
            value = ((Text(rest),) if rest else ()) + tuple(parts[number + 1 :])
            return text, value
    return text, ()


def _without_prefix(word: Word, length: int) -> Word:
    first = word[0]
    assert isinstance(first, Text)
    rest = first.text[length:]
    return ((Text(rest),) if rest else ()) + word[1:]


def parse(source: str, *, is_bash: bool = False, has_extglob: bool = False) -> Sequence:
    """Parse a program of ash, or of bash with `is_bash`. Raises `ShellSyntaxError` if the program is not valid.

    `has_extglob` is True if bash's option extglob is set: words may then contain extended patterns.
    """
    return Parser(source, is_bash=is_bash, has_extglob=has_extglob).program()
