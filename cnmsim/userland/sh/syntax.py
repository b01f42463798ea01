"""The shell's syntax tree: words and commands (POSIX XCU §2.9)."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen


class ShellSyntaxError(Exception):
    """The text is not a valid program. `is_incomplete` is True if further lines could make it valid.

    `at` is the index in the text at which the error was found.
    """

    def __init__(self, message: str, *, is_incomplete: bool = False, at: int = 0) -> None:
        super().__init__(message)
        self.is_incomplete, self.at = is_incomplete, at


@frozen
class Text:
    """Literal characters. Quoted characters are not split into fields and have no special meaning in patterns."""

    text: str
    is_quoted: bool = False


@frozen
class Parameter:
    """A parameter expansion: `$NAME` or `${NAME OP word}`.

    `operator` is one of "", "#len", ":-", "-", ":=", "=", ":+", "+", ":?", "?", "#", "##", "%", "%%", ":" (a
    substring), "/" and "//" (replacement), and bash's "^", "^^", ",", ",," (case), "@" (a transformation), "keys"
    (the subscripts of an array) and "names" (the names that start with `name`). `word` is the operator's operand.
    """

    name: str
    operator: str = ""
    word: tuple[Part, ...] = ()
    is_quoted: bool = False
    #: The text that "/" and "//" put in place of matches of `word`.
    replacement: tuple[Part, ...] = ()
    #: The subscript of an array's element, `@` or `*` for all elements, `None` without a subscript.
    subscript: tuple[Part, ...] | None = None
    #: Whether the parameter's value is the name of the parameter to expand, `${!NAME}`.
    is_indirect: bool = False


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


@frozen
class ProcessSubstitution:
    """A process substitution: `<(…)`, or `>(…)` if `is_output` is set. `source` is the text of its commands.

    It expands to the name of a file from which their output is read, or to which their input is written.
    """

    source: str
    is_output: bool


@frozen
class ArrayLiteral:
    """The list of values in `NAME=(…)`."""

    words: tuple[tuple[Part, ...], ...]


Part: TypeAlias = Text | Parameter | Substitution | Arithmetic | ProcessSubstitution | ArrayLiteral


Word: TypeAlias = tuple[Part, ...]


@frozen
class Redirection:
    """A redirection `[fd]op target`.

    `op` is `<`, `>`, `>>`, `>&`, `<&` or `<<`, in bash also `<<<`, `&>` or `&>>`. For `<<`, `target` is the text of
    the here-document. `variable` is the NAME of `{NAME}>file`, a variable that receives the number of a free
    descriptor.
    """

    fd: int
    op: str
    target: Word
    variable: str = ""


@frozen
class Simple:
    """A simple command: assignments, words and redirections.

    An assignment is (name, value). The name may have a subscript, and ends with `+` if the value is appended.
    """

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]
    #: The line of its first word in the text of the program, from 0.
    line: int = 0


@frozen
class Pipeline:
    """Commands joined by `|`. `is_negated` is set by a leading `!`, `is_timed` by bash's `time`."""

    commands: tuple[Command, ...]
    is_negated: bool = False
    is_timed: bool = False


@frozen
class AndOr:
    """Pipelines joined by `&&` and `||`. `rest` holds the (operator, pipeline) pairs after the first pipeline."""

    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...] = ()


@frozen
class Sequence:
    """Commands that run one after the other. Each item is (command, True to run it in the background)."""

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
    """A `for NAME in words` loop, or bash's `select`.

    `words` is `None` if the loop is over the positional parameters.
    """

    name: str
    words: tuple[Word, ...] | None
    body: Sequence
    redirections: tuple[Redirection, ...] = ()
    is_select: bool = False


@frozen
class ArithmeticFor:
    """bash's `for ((first; condition; step))` loop."""

    first: Word
    condition: Word
    step: Word
    body: Sequence
    redirections: tuple[Redirection, ...] = ()


@frozen
class ArithmeticCommand:
    """bash's `((expression))`, which succeeds if the value is not 0."""

    expression: Word
    redirections: tuple[Redirection, ...] = ()


@frozen
class Case:
    """A `case word in pattern|pattern) …;; esac` command.

    Each branch has patterns, commands, and an end: `;;`, or in bash also `;&` (the next branch runs as well) or `;;&`
    (the patterns of the next branches are tried as well).
    """

    word: Word
    branches: tuple[tuple[tuple[Word, ...], Sequence, str], ...]
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


Command: TypeAlias = Simple | Group | If | Loop | For | ArithmeticFor | ArithmeticCommand | Case | Test | Function
