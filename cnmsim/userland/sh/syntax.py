"""The shell's syntax tree: words and commands (POSIX XCU §2.9)."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen


class ShellSyntaxError(Exception):
    """The text is not a valid program. `is_incomplete` is True if more lines could make it valid."""

    def __init__(self, message: str, *, is_incomplete: bool = False) -> None:
        super().__init__(message)
        self.is_incomplete = is_incomplete


@frozen
class Text:
    """Literal characters. Quoted characters are not split into fields and do not act as pathname patterns."""

    text: str
    is_quoted: bool = False


@frozen
class Parameter:
    """A parameter expansion: `$NAME` or `${NAME OP word}`.

    `operator` is one of "", "#len", ":-", "-", ":=", "=", ":+", "+", ":?", "?", "#", "##", "%", "%%", ":" (a
    substring), "/" and "//" (replacement), and bash's "^", "^^", ",", ",," (case).
    """

    name: str
    operator: str = ""
    word: tuple[Part, ...] = ()
    is_quoted: bool = False
    #: The text that "/" and "//" put in place of matches of `word`.
    replacement: tuple[Part, ...] = ()


@frozen
class Substitution:
    """A command substitution, `$(…)` or backticks. `source` is the program whose output replaces it."""

    source: str
    is_quoted: bool = False


@frozen
class Arithmetic:
    """An arithmetic expansion, `$((…))`."""

    expression: tuple[Part, ...]
    is_quoted: bool = False


Part: TypeAlias = Text | Parameter | Substitution | Arithmetic


Word: TypeAlias = tuple[Part, ...]


@frozen
class Redirection:
    """A redirection `[fd]op target`.

    `op` is `<`, `>`, `>>`, `>&`, `<&`, or `<<`, whose target is the here-document's text.
    """

    fd: int
    op: str
    target: Word


@frozen
class Simple:
    """A simple command: assignments, words and redirections."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]


@frozen
class Pipeline:
    """Commands joined by `|`. `is_negated` is set by a leading `!`."""

    commands: tuple[Command, ...]
    is_negated: bool = False


@frozen
class AndOr:
    """Pipelines joined by `&&` and `||`. `rest` holds the (operator, pipeline) pairs after the first pipeline."""

    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...] = ()


@frozen
class Sequence:
    """Consecutive commands. The shell does not wait for commands with `is_background`."""

    items: tuple[tuple[AndOr, bool], ...]


@frozen
class Group:
    """A group `{ …; }`, or, if `is_subshell` is set, a subshell `( … )`."""

    body: Sequence
    is_subshell: bool
    redirections: tuple[Redirection, ...] = ()


@frozen
class If:
    """An `if` command. `branches` holds the (condition, body) pairs in order, `otherwise` the `else` body."""

    branches: tuple[tuple[Sequence, Sequence], ...]
    otherwise: Sequence | None
    redirections: tuple[Redirection, ...] = ()


@frozen
class Loop:
    """A `while` or `until` loop."""

    condition: Sequence
    body: Sequence
    is_until: bool
    redirections: tuple[Redirection, ...] = ()


@frozen
class For:
    """A `for NAME in words` loop. `words` is `None` if the loop is over the positional parameters."""

    name: str
    words: tuple[Word, ...] | None
    body: Sequence
    redirections: tuple[Redirection, ...] = ()


@frozen
class Case:
    """A `case word in pattern|pattern) …;; esac` command."""

    word: Word
    branches: tuple[tuple[tuple[Word, ...], Sequence], ...]
    redirections: tuple[Redirection, ...] = ()


@frozen
class Test:
    """A `[[ … ]]` command. Its words are not split into fields, and operators are words of their own."""

    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...] = ()


@frozen
class Function:
    """A function definition, `NAME() { …; }`."""

    name: str
    body: Command


Command: TypeAlias = Simple | Group | If | Loop | For | Case | Test | Function
