"""Output of text from files to a terminal: control characters are printed visibly, so that they have no effect.

A terminal executes control sequences in what it prints (ECMA-48). A name with such a sequence could hide a line, set
the title, or on some terminals type a command.
"""

from __future__ import annotations

import re
from typing import NoReturn

#: All control characters except tab and newline; characters that end a line or change the direction of text in
#: Unicode; unpaired surrogates, which no terminal can print.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text with its control characters as `\u001b`, which is their form in JSON, too."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text with its control characters made visible, on stderr if `err`, with a newline if `nl`."""
    import click

    click.echo(printable(text), err=err, nl=nl)


def fail(message: str) -> NoReturn:
    """Print `message` as the error of a command on stderr, and exit with status 2."""
    echo(f"cnmsim: {message}", err=True)
    raise SystemExit(2)
