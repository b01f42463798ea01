"""Colour results for a terminal: labels and verdicts. The text itself is not changed.

rich omits the colours if the output is a file or a pipe, or if `NO_COLOR` is set.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_LABELS = (
    r"cause|path|assumes|fix|advice|advice \(not tried\)|by address|note|fact|refused|works|"
    "not tried|because"
)
_BAD_VERDICTS = "refused|unreachable|timeout|name not found"
#: Patterns and their styles. The first pattern that matches the start of a line applies; the text of its group is
#: coloured.
_STYLES = (
    (re.compile(r"(error) \["), "bold red"),
    (re.compile(r"(warning) \["), "bold yellow"),
    (re.compile(r"(note) \["), "bold cyan"),
    (re.compile(r"(ANSWERED|DELIVERED):"), "bold green"),
    (re.compile(rf"({_BAD_VERDICTS.upper()}):"), "bold red"),
    (re.compile(r"(yes, \w+):"), "bold green"),
    (re.compile(r"(open|yes, \w+ \(assumed\)):"), "bold yellow"),
    (re.compile(rf"(no, (?:{_BAD_VERDICTS})(?: \(assumed\))?(?: after .+ s)?):"), "bold red"),
    (re.compile(rf"\s*((?:{_LABELS}):)"), "bold"),
    (re.compile(r"(.+, which the policy .+)$"), "bold red"),
    (re.compile(r"([A-Z][A-Z /\\]+(?: {2,}[A-Z][A-Z /\\]*)*)$"), "bold"),
    (re.compile(r"(──.*)$"), "blue"),
)


def coloured(text: str) -> Text:
    """Return the text with colours for its labels and verdicts, as a `Text` for a rich console."""
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
