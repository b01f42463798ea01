"""Answers on a terminal: their labels and verdicts coloured, their lines no wider than the screen.

What goes into a file or a pipe stays plain, and `NO_COLOR` is kept to (rich sees to it).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_LABELS = "decided by|fix|without the name|note|fact|refused|works|not tried|because"
_BAD_VERDICTS = "refused|unreachable|timeout|name not found"
#: What is coloured in a line, the first pattern that fits at its beginning; groups are what the style is for.
_STYLES = (
    (re.compile(r"(error) \["), "bold red"),
    (re.compile(r"(warning) \["), "bold yellow"),
    (re.compile(r"(note) \["), "bold cyan"),
    (re.compile(r"(ANSWERED|DELIVERED):"), "bold green"),
    (re.compile(rf"({_BAD_VERDICTS.upper()}):"), "bold red"),
    (re.compile(r".+ → .+: (yes, \w+)$"), "bold green"),
    (re.compile(rf".+ → .+: (no, (?:{_BAD_VERDICTS}))$"), "bold red"),
    (re.compile(rf"\s*((?:{_LABELS}):)"), "bold"),
    (re.compile(r"(.+, which the policy .+)$"), "bold red"),
    (re.compile(r"([A-Z][A-Z /\\]+(?: {2,}[A-Z][A-Z /\\]*)*)$"), "bold"),
    (re.compile(r"(──.*)$"), "blue"),
)


def coloured(text: str) -> Text:
    """Colour an answer's text for a rich console; the text itself stays as it is."""
    from rich.text import Text

    whole = Text()
    for number, line in enumerate(text.split("\n")):
        shown = Text(("\n" if number else "") + line)
        for pattern, style in _STYLES:
            found = pattern.match(line)
            if found is not None:
                begin, end = found.span(1)
                shown.stylize(style, begin + (1 if number else 0), end + (1 if number else 0))
                break
        whole.append_text(shown)
    return whole
