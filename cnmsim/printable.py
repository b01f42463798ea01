"""Text from files, for a terminal: control characters are shown, not obeyed.

A terminal takes orders from what it prints (ECMA-48): a name with an escape sequence in it could hide a line, set the
title, or on some terminals type a command.
"""

from __future__ import annotations

import re
from typing import NoReturn

#: Control characters except tab and newline, what ends a line or changes the direction of text in Unicode, and halves
#: of surrogate pairs, which no terminal can print.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text with its control characters as `\u001b`, which is their form in JSON, too."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text with its control characters made visible."""
    import click

    click.echo(printable(text), err=err, nl=nl)


def fail(message: str) -> NoReturn:
    """Print the error of a command, and exit with status 2."""
    echo(f"cnmsim: {message}", err=True)
    raise SystemExit(2)
