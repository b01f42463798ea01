"""Assignments to variables, elements and arrays, as commands and as arguments of declaration builtins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.userland.sh.expand import expand_elements, expand_reference, expand_text, expand_words
from cnmsim.userland.sh.syntax import ArrayLiteral, Simple, Text, Word

if TYPE_CHECKING:
    from cnmsim.userland.sh.state import ShellState

#: Builtins of bash whose arguments of the form NAME=VALUE are assignments.
_DECLARATIONS = frozenset(["declare", "typeset", "local", "export", "readonly"])
_ASSIGNMENT_WORD = re.compile(r"([A-Za-z_]\w*(?:\[.*\])?\+?)=", re.DOTALL)


class ArrayArgument(str):
    """An argument `NAME=(…)` of a builtin such as `declare`.

    It is a str with the text `NAME=` or `NAME+=`. `elements` holds the values in parentheses, as `expand_elements`
    returns them.
    """

    __slots__ = ("elements",)

    elements: list[tuple[str | None, str, bool]]


async def command_words(shell: ShellState, node: Simple) -> list[str]:
    """Expand the words of a simple command. Return the resulting arguments.

    In bash, an argument `NAME=VALUE` of `declare`, `export` and similar builtins is not split into several arguments.
    """
    first = node.words[0] if node.words else ()
    name = first[0].text if len(first) == 1 and isinstance(first[0], Text) else ""
    if not shell.is_bash or name not in _DECLARATIONS:
        return await expand_words(shell, node.words)
    words: list[str] = []
    for word in node.words:
        start = word[0] if word else None
        match = _ASSIGNMENT_WORD.match(start.text) if isinstance(start, Text) and not start.is_quoted else None
        if match is None:
            words += await expand_words(shell, (word,))
        elif len(word) == 2 and isinstance(word[1], ArrayLiteral):
            argument = ArrayArgument(match[0])
            argument.elements = await expand_elements(shell, word[1])
            words.append(argument)
        else:
            assert isinstance(start, Text)
            value = await expand_text(shell, (Text(start.text[match.end() :]), *word[1:]))
            words.append(f"{match[0]}{value}")
    return words


async def assign(shell: ShellState, name: str, word: Word) -> str:
    """Assign a word to a variable, an array element or an array. Return the assignment as `set -x` prints it.

    If `name` ends with `+`, the word is appended.
    """
    appends = name.endswith("+")
    name = await expand_reference(shell, name.removesuffix("+")) if shell.is_bash else name
    mark = "+=" if appends else "="
    if len(word) == 1 and isinstance(word[0], ArrayLiteral):
        elements = await expand_elements(shell, word[0])
        shell.variables.assign_array(name, elements, appends=appends)
        return f"{name}{mark}({' '.join(value for _, value, _ in elements)})"
    text = await expand_text(shell, word)
    if appends:
        shell.variables.append(name, text)
    else:
        shell.variables[name] = text
    return f"{name}{mark}{text}"
