"""Word expansion: parameters, commands, arithmetic, field splitting and pathnames (POSIX XCU §2.6)."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.credentials import users
from cnmsim.userland.busybox.echo import unescape
from cnmsim.userland.sh.arithmetic import evaluate
from cnmsim.userland.sh.braces import expand_braces
from cnmsim.userland.sh.lexer import Lexer
from cnmsim.userland.sh.pattern import escape_pattern, matches, pattern_regex
from cnmsim.userland.sh.quoting import quoted
from cnmsim.userland.sh.syntax import (
    Arithmetic,
    ArrayLiteral,
    Parameter,
    Part,
    ProcessSubstitution,
    Substitution,
    Text,
    Word,
)

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.userland.sh.state import ShellState

_GLOB = re.compile(r"[*?\[]")
_EXTENDED_GLOB = re.compile(r"[*?\[]|[@+!]\(")


class ExpansionError(Exception):
    """A word cannot be expanded: a required parameter is unset, or a substitution is invalid."""


class UnboundError(ExpansionError):
    """A parameter is unset although `set -u` requires all parameters to be set."""


@define
class _Piece:
    """A part of an expanded word.

    `is_literal` is True for text of the command itself, False for the result of an expansion. Only unquoted results
    of expansions are split into fields. With `breaks` the field ends after this part.
    """

    text: str
    is_quoted: bool
    breaks: bool = False
    #: Whether the text stands in the command itself. Only results of expansions are split into fields.
    is_literal: bool = False


async def expand_words(shell: ShellState, words: tuple[Word, ...]) -> list[str]:
    """Expand the words of a command, with field splitting and pathname expansion. Return the resulting fields."""
    fields: list[str] = []
    if shell.is_bash:
        words = tuple(expanded for word in words for expanded in expand_braces(word))
    for word in words:
        for pieces in _split(await _pieces(shell, word), shell.variables.get("IFS", " \t\n")):
            fields.extend(_pathnames(shell, pieces))
    return fields


async def expand_text(shell: ShellState, word: Word) -> str:
    """Expand a word without splitting it into fields, as in assignments and redirections."""
    return "".join(piece.text + (" " if piece.breaks else "") for piece in await _pieces(shell, word))


async def expand_pattern(shell: ShellState, word: Word) -> str:
    """Expand a word to a shell pattern. Quoted characters are escaped, so that they match only themselves."""
    pieces = await _pieces(shell, word)
    return "".join(escape_pattern(piece.text) if piece.is_quoted else piece.text for piece in pieces)


async def expand_regex(shell: ShellState, word: Word) -> str:
    """Expand a word to a regular expression. Quoted characters are escaped, so that they match only themselves."""
    pieces = await _pieces(shell, word)
    return "".join(re.escape(piece.text) if piece.is_quoted else piece.text for piece in pieces)


async def expand_elements(shell: ShellState, literal: ArrayLiteral) -> list[tuple[str | None, str, bool]]:
    """Expand the values of `NAME=(…)`. Return one tuple (subscript, text, is appended) for each value.

    The subscript is `None` for a value without one. The third item is True for `[SUBSCRIPT]+=VALUE`.
    """
    elements: list[tuple[str | None, str, bool]] = []
    for word in literal.words:
        keyed = await _keyed_element(shell, word)
        if keyed is not None:
            elements.append(keyed)
        else:
            elements += [(None, text, False) for text in await expand_words(shell, (word,))]
    return elements


async def _keyed_element(shell: ShellState, word: Word) -> tuple[str, str, bool] | None:
    """Expand `[SUBSCRIPT]=VALUE` or `[SUBSCRIPT]+=VALUE`. Return (subscript, value, True for `+=`).

    Return `None` if the word has neither form.
    """
    first = word[0] if word else None
    if not isinstance(first, Text) or first.is_quoted or not first.text.startswith("["):
        return None
    for number, part in enumerate(word):
        if (
            isinstance(part, Text)
            and not part.is_quoted
            and (match := re.match(r"(.*?)\](\+?)=", part.text, re.DOTALL))
        ):
            before = [*word[:number], Text(match[1])]
            before[0] = Text(before[0].text[1:]) if isinstance(before[0], Text) else before[0]
            after = (Text(part.text[match.end() :]), *word[number + 1 :])
            return await expand_text(shell, tuple(before)), await expand_text(shell, after), match[2] == "+"
    return None


async def expand_reference(shell: ShellState, name: str) -> str:
    """Expand the subscript in the name of an assignment: `a[$i]` becomes `a[3]`."""
    base, bracket, rest = name.partition("[")
    if not bracket:
        return name
    return f"{base}[{await expand_text(shell, Lexer(rest[:-1], is_bash=True).word_parts(rest[:-1]))}]"


async def _pieces(shell: ShellState, word: Word, *, is_literal: bool = True) -> list[_Piece]:
    pieces: list[_Piece] = []
    for number, part in enumerate(word):
        if isinstance(part, Text):
            text = part.text
            if not number and not part.is_quoted and text.startswith("~"):
                text = _home_expanded(shell, text)
            pieces.append(_Piece(text, part.is_quoted, is_literal=is_literal))
        elif isinstance(part, Parameter):
            before = len(pieces)
            pieces.extend(await _parameter(shell, part))
            if len(pieces) == before and part.is_quoted and pieces and pieces[-1].is_quoted and not pieces[-1].text:
                pieces.pop()  # "$@" without arguments is no field
        else:
            pieces.append(_Piece(await _computed(shell, part), getattr(part, "is_quoted", True)))
    return pieces


def _home_expanded(shell: ShellState, text: str) -> str:
    name, slash, rest = text[1:].partition("/")
    home = shell.variables.get("HOME", "/")
    if name:
        home = next((user.home for user in users(shell.process.files) if user.name == name), "")
    return f"{home}{slash}{rest}" if home else text


async def _computed(shell: ShellState, part: Part) -> str:
    if isinstance(part, Substitution):
        return await shell.substitute(part.source)
    if isinstance(part, ProcessSubstitution):
        return await shell.substitute_process(part)
    assert isinstance(part, Arithmetic)
    return str(evaluate(await expand_text(shell, part.expression), shell.variables))


async def _parameter(shell: ShellState, part: Parameter) -> list[_Piece]:
    name = part.name
    if part.operator == "names":
        names = sorted(key for key in (*shell.variables.table, *shell.variables.computed) if key.startswith(name))
        return _list_pieces(shell, part, names, is_joined=True)
    subscript = None if part.subscript is None else await expand_text(shell, part.subscript)
    if part.operator == "keys":
        variable = shell.variables.variable(name)
        keys = [] if variable is None else [str(key) for key in variable.subscripts()]
        return _list_pieces(shell, part, keys, is_joined=subscript == "*")
    if subscript is not None and subscript not in ("@", "*"):
        name = f"{name}[{subscript}]"
    if part.is_indirect:
        name, subscript = shell.parameter(name) or "", None
        if not name:
            raise ExpansionError(f"{part.name}: invalid indirect expansion")
        if name.endswith(("[@]", "[*]")):
            name, subscript = name[:-3], name[-2]
    if name in ("@", "*"):
        values, subscript = list(shell.arguments), name
    elif subscript in ("@", "*"):
        variable = shell.variables.variable(name)
        values = [] if variable is None else variable.values()
    else:
        return await _value_pieces(shell, part, name, shell.parameter(name))
    return await _values_pieces(shell, part, name, values, is_joined=subscript == "*")


def _list_pieces(shell: ShellState, part: Parameter, values: list[str], *, is_joined: bool) -> list[_Piece]:
    """Return the pieces for a list of values that the expansion `part` yields, such as `$@`.

    Each value becomes a field of its own. If the expansion is quoted and `is_joined` (written with `*`, not `@`), all
    values are joined into one field.
    """
    if is_joined and part.is_quoted:
        return [_Piece(shell.variables.get("IFS", " ")[:1].join(values), True)]
    return [_Piece(text, part.is_quoted, number + 1 < len(values)) for number, text in enumerate(values)]


async def _values_pieces(
    shell: ShellState, part: Parameter, name: str, values: list[str], *, is_joined: bool
) -> list[_Piece]:
    """Expand all positional parameters, or all elements of an array; `values` are their values.

    `part` is the expansion, including its operator, and `name` the name of the parameter. `is_joined` is True for
    `*`, False for `@`.
    """
    operator = part.operator
    kind = operator.lstrip(":")
    if operator == "#len":
        return [_Piece(str(len(values)), part.is_quoted)]
    if kind in ("-", "=", "?", "+") and operator:
        is_set = any(values) if operator.startswith(":") else bool(values)
        if is_set != (kind != "+"):
            return await _value_pieces(shell, part, name, "x" if kind == "+" and is_set else None)
    elif operator == ":":
        values = await _slice(shell, part, name, values)
    elif operator:
        values = [await _changed(shell, part, value, name) for value in values]
    return _list_pieces(shell, part, values, is_joined=is_joined)


async def _slice(shell: ShellState, part: Parameter, name: str, values: list[str]) -> list[str]:
    """Return the values that `${name[@]:OFFSET:LENGTH}` or `${@:OFFSET:LENGTH}` selects.

    OFFSET is a subscript of the array. For the positional parameters, 0 means `$0`.
    """
    first, colon, last = (await expand_text(shell, part.word)).partition(":")
    start = evaluate(first, shell.variables)
    numbers = list(range(len(values)))
    if name in ("@", "*"):
        values = [shell.name, *values]
        numbers = list(range(len(values)))
    else:
        variable = shell.variables.variable(name)
        if variable is not None and variable.elements is not None and not variable.is_associative:
            numbers = [int(key) for key in variable.subscripts()]
    start = start + max(numbers, default=-1) + 1 if start < 0 else start
    chosen = [value for number, value in zip(numbers, values, strict=True) if number >= start >= 0]
    return chosen[: evaluate(last, shell.variables)] if colon else chosen


async def _value_pieces(shell: ShellState, part: Parameter, name: str, value: str | None) -> list[_Piece]:
    """Return the pieces for the value of a single parameter, after applying the operator of the expansion `part`.

    `name` is the parameter's name and `value` its value, which is `None` if the parameter is unset. Raises
    `ExpansionError` if the operator is `?` and the parameter is unset, `UnboundError` under `set -u`.
    """
    operator = part.operator
    is_set = value is not None and (bool(value) or not operator.startswith(":"))
    kind = operator.lstrip(":")
    if kind in ("-", "=", "?", "+") and operator:
        if kind == "+":
            return await _pieces(shell, part.word, is_literal=False) if is_set else [_Piece("", part.is_quoted)]
        if is_set:
            return [_Piece(value or "", part.is_quoted)]
        if kind == "-":
            return await _pieces(shell, part.word, is_literal=False)
        text = await expand_text(shell, part.word)
        if kind == "=":
            shell.variables[name] = text
            return [_Piece(text, part.is_quoted)]
        absent = "parameter null or not set" if operator == ":?" and shell.is_bash else "parameter not set"
        raise ExpansionError(f"{name}: {text or absent}")
    if value is None and shell.is_nounset:
        raise UnboundError(f"{name}: parameter not set")
    if operator == "#len":
        return [_Piece(str(len(value or "")), part.is_quoted)]
    if operator == "@" and value is None:
        return [_Piece("", part.is_quoted)]
    return [_Piece(await _changed(shell, part, value or "", name), part.is_quoted)]


async def _changed(shell: ShellState, part: Parameter, value: str, name: str) -> str:
    """Apply the operator of a parameter expansion, such as `%` in `${x%.txt}`, to a value. Return the result.

    `part` is the expansion with its operator and operand. `value` is the value of the parameter `name`.
    """
    operator = part.operator
    if operator == ":":
        return _substring(value, await expand_text(shell, part.word), shell)
    is_extended = "extglob" in shell.shell_options
    if operator in ("/", "//"):
        pattern, text = await expand_pattern(shell, part.word), await expand_text(shell, part.replacement)
        return _replaced(value, pattern, text, operator, has_anchors=shell.is_bash, is_extended=is_extended)
    if operator in ("^", "^^", ",", ",,"):
        pattern = await expand_pattern(shell, part.word) or "?"
        change = str.upper if operator[0] == "^" else str.lower
        ends = len(value) if len(operator) == 2 else 1
        return "".join(change(c) if n < ends and matches(c, pattern) else c for n, c in enumerate(value))
    if operator == "@":
        return _transformed(shell, value, await expand_text(shell, part.word), name)
    return (
        _trim(value, operator, await expand_pattern(shell, part.word), is_extended=is_extended) if operator else value
    )


def _transformed(shell: ShellState, value: str, kind: str, name: str) -> str:
    """Return the result of bash's `${NAME@KIND}`, where `value` is the value of NAME."""
    variable = shell.variables.variable(name)
    if kind in "QK":
        return quoted(value)
    if kind == "E":
        return unescape(value)
    if kind in "UuL":
        return {"U": value.upper(), "u": value[:1].upper() + value[1:], "L": value.lower()}[kind]
    flags = "" if variable is None else declared_flags(shell, shell.variables.resolve(name)[0])
    if kind == "a":
        return flags
    if kind == "A":
        return f"declare -{flags} {name}={quoted(value)}" if flags else f"{name}={quoted(value)}"
    return value


def declared_flags(shell: ShellState, name: str) -> str:
    """Return the letters of a variable's attributes, e.g. `rx`, in the order in which `declare -p` prints them."""
    variable = shell.variables.table[name]
    kind = "" if variable.elements is None else "A" if variable.is_associative else "a"
    flags = kind + "".join(letter for letter in "i" if letter in variable.attributes)
    flags += "n" * ("n" in variable.attributes) + "r" * (name in shell.readonly) + "x" * (name in shell.exported)
    return flags + "".join(letter for letter in "lu" if letter in variable.attributes)


def _substring(value: str, text: str, shell: ShellState) -> str:
    """Return the part of `value` that `text`, `OFFSET[:LENGTH]`, selects.

    A negative offset or length counts from the end of the value.
    """
    first, colon, last = text.partition(":")
    start = evaluate(first, shell.variables)
    if start < 0 and shell.is_bash and -start > len(value):
        return ""
    start = max(len(value) + start, 0) if start < 0 else start
    if not colon:
        return value[start:]
    length = evaluate(last, shell.variables)
    return value[start : len(value) + length if length < 0 else start + length]


def _replaced(
    value: str, pattern: str, text: str, operator: str, *, has_anchors: bool, is_extended: bool = False
) -> str:
    """Replace matches of a shell pattern in `value` by `text`: the first for the operator `/`, all for `//`.

    With `has_anchors` (bash), a leading `#` or `%` in the pattern means that only the beginning or the end may match.
    `is_extended` allows extended patterns.
    """
    if not pattern:
        return value
    is_global = operator == "//"
    anchor = "" if is_global or not has_anchors else pattern[0] if pattern[0] in "#%" else ""
    regex = pattern_regex(pattern[1:] if anchor else pattern, is_extended=is_extended)
    regex = f"\\A(?:{regex})" if anchor == "#" else f"(?:{regex})\\Z" if anchor == "%" else regex
    return re.sub(regex, lambda _: text, value, count=0 if is_global else 1, flags=re.DOTALL)


def _trim(value: str, operator: str, pattern: str, *, is_extended: bool = False) -> str:
    ends = range(len(value) + 1)
    cuts = ends if operator in ("#", "%%") else reversed(ends)
    for cut in cuts:
        if operator[0] == "#" and matches(value[:cut], pattern, is_extended=is_extended):
            return value[cut:]
        if operator[0] == "%" and matches(value[cut:], pattern, is_extended=is_extended):
            return value[:cut]
    return value


def _split(pieces: list[_Piece], separators: str) -> list[list[_Piece]]:
    fields: list[list[_Piece]] = []
    current: list[_Piece] = []
    for piece in pieces:
        if piece.is_quoted or piece.is_literal or not separators:
            current.append(piece)
        else:
            text = ""
            for c in piece.text:
                if c not in separators:
                    text += c
                    continue
                if text:
                    current.append(_Piece(text, False))
                    text = ""
                if current:
                    fields.append(current)
                    current = []
                elif c not in " \t\n":
                    fields.append([_Piece("", True)])
            if text:
                current.append(_Piece(text, False))
        if piece.breaks:
            if current:
                fields.append(current)
            current = []
    if current:
        fields.append(current)
    return fields


def _pathnames(shell: ShellState, pieces: list[_Piece]) -> list[str]:
    text = "".join(piece.text for piece in pieces)
    is_extended = "extglob" in shell.shell_options
    wild = _EXTENDED_GLOB if is_extended else _GLOB
    if shell.has_no_globbing or not any(not piece.is_quoted and wild.search(piece.text) for piece in pieces):
        return [text]
    pattern = "".join(escape_pattern(piece.text) if piece.is_quoted else piece.text for piece in pieces)
    options = shell.shell_options
    shows_hidden, folder = "dotglob" in options, shell.variables.get("PWD", "/")
    paths = glob(shell.process.files, folder, pattern, is_extended=is_extended, shows_hidden=shows_hidden)
    if not paths and "failglob" in options:
        raise ExpansionError(f"no match: {text}")
    return paths or ([] if "nullglob" in options else [text])


def glob(
    files: FileSystem, folder: str, pattern: str, *, is_extended: bool = False, shows_hidden: bool = False
) -> list[str]:
    """Return the paths that match a pattern, sorted. A relative pattern starts at `folder`.

    `is_extended` allows extended patterns. Names with a leading dot match only if the pattern has one as well, or if
    `shows_hidden` is set.
    """
    wild = _EXTENDED_GLOB if is_extended else _GLOB
    paths = ["/" if pattern.startswith("/") else ""]
    for step in [step for step in pattern.split("/") if step]:
        following: list[str] = []
        for base in paths:
            place = posixpath.join(folder, base)
            plain = re.sub(r"\\(.)", r"\1", step)
            if not wild.search(re.sub(r"\\.", "", step)):
                if files.exists(posixpath.join(place, plain)):
                    following.append(posixpath.join(base, plain))
            elif files.is_dir(place):
                following.extend(
                    posixpath.join(base, name)
                    for name in files.listdir(place)
                    if matches(name, step, is_extended=is_extended)
                    and (name[0] != "." or step[0] == "." or shows_hidden)
                )
        paths = following
    return sorted(paths)
