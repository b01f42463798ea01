"""The shell's words and commands as values (POSIX XCU §2.9)."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen


class ShellSyntaxError(Exception):
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
