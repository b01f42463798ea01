"""Word expansion: parameters, commands, arithmetic, field splitting and pathnames (POSIX XCU §2.6)."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.userland.sh.arithmetic import evaluate
from cnmsim.userland.sh.braces import expand_braces
from cnmsim.userland.sh.syntax import Arithmetic, Parameter, Part, Substitution, Text, Word

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.userland.sh.state import ShellState

_GLOB = re.compile(r"[*?\[]")


class ExpansionError(Exception):
    """A required parameter is unset, or a substitution is invalid."""


@define
class _Piece:
    """A part of an expanded word. Quoted parts are not split; `breaks` ends the field after this part."""

    text: str
    is_quoted: bool
    breaks: bool = False


async def expand_words(shell: ShellState, words: tuple[Word, ...]) -> list[str]:
    """Expand the words of a command, including field splitting and pathnames. Return the resulting fields."""
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
    return "".join(_escape(piece.text) if piece.is_quoted else piece.text for piece in await _pieces(shell, word))


def matches(text: str, pattern: str) -> bool:
    """Return True if the whole of `text` matches a shell pattern such as `*.txt`."""
    return re.fullmatch(_regex(pattern), text, re.DOTALL) is not None


def _regex(pattern: str) -> str:
    return fnmatch.translate(pattern).removesuffix(r"\Z").removesuffix(r"\z")


def _escape(text: str) -> str:
    return _GLOB.sub(lambda match: f"[{match[0]}]", text)


async def _pieces(shell: ShellState, word: Word) -> list[_Piece]:
    pieces: list[_Piece] = []
    for number, part in enumerate(word):
        if isinstance(part, Text):
            text = part.text
            if not number and not part.is_quoted and (text == "~" or text.startswith("~/")):
                text = shell.variables.get("HOME", "/") + text[1:]
            pieces.append(_Piece(text, part.is_quoted))
        elif isinstance(part, Parameter):
            pieces.extend(await _parameter(shell, part))
        else:
            pieces.append(_Piece(await _computed(shell, part), part.is_quoted))
    return pieces


async def _computed(shell: ShellState, part: Part) -> str:
    if isinstance(part, Substitution):
        return await shell.substitute(part.source)
    assert isinstance(part, Arithmetic)
    return str(evaluate(await expand_text(shell, part.expression), shell.variables))


async def _parameter(shell: ShellState, part: Parameter) -> list[_Piece]:
    if part.name in "@*" and part.operator == "":
        arguments = shell.arguments
        if part.name == "*" and part.is_quoted:
            return [_Piece((shell.variables.get("IFS", " ") or " ")[0].join(arguments), True)]
        return [_Piece(text, part.is_quoted, number + 1 < len(arguments)) for number, text in enumerate(arguments)]
    value = shell.parameter(part.name)
    operator = part.operator
    if operator == "#len":
        return [_Piece(str(len(value or "")), part.is_quoted)]
    is_set = value is not None and (bool(value) or not operator.startswith(":"))
    kind = operator.lstrip(":")
    if kind in ("-", "=", "?", "+") and operator:
        if kind == "+":
            return await _pieces(shell, part.word) if is_set else [_Piece("", part.is_quoted)]
        if is_set:
            return [_Piece(value or "", part.is_quoted)]
        if kind == "-":
            return await _pieces(shell, part.word)
        text = await expand_text(shell, part.word)
        if kind == "=":
            shell.variables[part.name] = text
            return [_Piece(text, part.is_quoted)]
        raise ExpansionError(f"{part.name}: {text or 'parameter not set'}")
    if value is None and shell.is_nounset:
        raise ExpansionError(f"{part.name}: parameter not set")
    value = value or ""
    if operator == ":":
        value = _substring(value, await expand_text(shell, part.word), shell)
    elif operator in ("/", "//"):
        pattern, text = await expand_pattern(shell, part.word), await expand_text(shell, part.replacement)
        value = _replaced(value, pattern, text, is_global=operator == "//", has_anchors=shell.is_bash)
    elif operator in ("^", "^^", ",", ",,"):
        change = str.upper if operator[0] == "^" else str.lower
        value = change(value) if len(operator) == 2 else change(value[:1]) + value[1:]
    elif operator:
        value = _trim(value, operator, await expand_pattern(shell, part.word))
    return [_Piece(value, part.is_quoted)]


def _substring(value: str, text: str, shell: ShellState) -> str:
    """Return the part of `value` at `OFFSET[:LENGTH]`. A negative offset or length counts from the end."""
    first, colon, last = text.partition(":")
    start = evaluate(first, shell.variables)
    start = max(len(value) + start, 0) if start < 0 else start
    if not colon:
        return value[start:]
    length = evaluate(last, shell.variables)
    return value[start : len(value) + length if length < 0 else start + length]


def _replaced(value: str, pattern: str, text: str, *, is_global: bool, has_anchors: bool) -> str:
    """Replace the first match, or all matches, of a shell pattern. In bash, `#` and `%` anchor it to an end."""
    if not pattern:
        return value
    anchor = "" if is_global or not has_anchors else pattern[0] if pattern[0] in "#%" else ""
    regex = _regex(pattern[1:] if anchor else pattern)
    regex = f"\\A{regex}" if anchor == "#" else f"{regex}\\Z" if anchor == "%" else regex
    return re.sub(regex, lambda _: text, value, count=0 if is_global else 1, flags=re.DOTALL)


def _trim(value: str, operator: str, pattern: str) -> str:
    ends = range(len(value) + 1)
    cuts = ends if operator in ("#", "%%") else reversed(ends)
    for cut in cuts:
        if operator[0] == "#" and matches(value[:cut], pattern):
            return value[cut:]
        if operator[0] == "%" and matches(value[cut:], pattern):
            return value[:cut]
    return value


def _split(pieces: list[_Piece], separators: str) -> list[list[_Piece]]:
    fields: list[list[_Piece]] = []
    current: list[_Piece] = []
    for piece in pieces:
        if piece.is_quoted or not separators:
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
    if not any(not piece.is_quoted and _GLOB.search(piece.text) for piece in pieces):
        return [text]
    pattern = "".join(_escape(piece.text) if piece.is_quoted else piece.text for piece in pieces)
    return glob(shell.process.files, shell.variables.get("PWD", "/"), pattern) or [text]


def glob(files: FileSystem, folder: str, pattern: str) -> list[str]:
    """Return the sorted paths that match a pattern. A relative pattern starts at `folder`."""
    paths = ["/" if pattern.startswith("/") else ""]
    for step in [step for step in pattern.split("/") if step]:
        following: list[str] = []
        for base in paths:
            place = posixpath.join(folder, base)
            if not _GLOB.search(step):
                if files.exists(posixpath.join(place, step)):
                    following.append(posixpath.join(base, step))
            elif files.is_dir(place):
                following.extend(
                    posixpath.join(base, name)
                    for name in files.listdir(place)
                    if matches(name, step) and (name[0] != "." or step[0] == ".")
                )
        paths = following
    return sorted(paths)
