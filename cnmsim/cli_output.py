"""The output of commands on a terminal and in a pipe: text, tables, progress messages and JSON."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cnmsim.digits import is_number
from cnmsim.observe.display import wrapped
from cnmsim.printable import echo, printable

if TYPE_CHECKING:
    from cnmsim.observe.trace.trace import Trace

_PLAIN_WIDTH = 100
_LEAST_WIDTH = 60


def echo_json(value: Any) -> None:
    """Print a value as indented JSON."""
    echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Print `text` and the elapsed time on stderr, if it is a terminal, once the `with` block has lasted a second."""
    if not sys.stderr.isatty() or not hasattr(signal, "setitimer"):
        yield
        return
    began = time.monotonic()
    shown = False

    def tick(_number: int, _frame: object) -> None:
        nonlocal shown
        shown = True
        sys.stderr.write(f"\r{printable(text)} … {time.monotonic() - began:.0f} s")
        sys.stderr.flush()

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def trying(parts: Iterator[str]) -> Iterator[str]:
    """Yield `parts`. While a part is computed, which may include the trial of fixes, print a progress message."""
    while True:
        with progress("trying fixes on a copy of the lab"):
            part = next(parts, None)
        if part is None:
            return
        yield part


def show_walk(walk: Trace, verbosity: int) -> None:
    """Print a trace as a table of hops; with a `verbosity` of 2 or more, with all hops."""
    if not sys.stdout.isatty():
        echo("\n" + walk.text(verbose=verbosity > 1, width=plain_width()))
        return
    from rich.console import Console

    Console().print("", walk.rich(verbose=verbosity > 1))


def say(text: str) -> None:
    """Print `text` without wrapping its lines; in colours on a terminal."""
    if not sys.stdout.isatty():
        echo(text)
        return
    from rich.console import Console

    from cnmsim.observe.terminal import coloured

    Console().print(coloured(printable(text)), soft_wrap=True)


def say_fix(label: str, fix: object) -> None:
    """Print an empty line and a fix: its sentence, wrapped, and its diff or commands as they are."""
    first, *rest = str(fix).splitlines()
    say("\n".join(["", *wrapped(f"{label}: {first}", screen_width() or plain_width()), *rest]))


def screen_width() -> int:
    """Return the width of the terminal in columns; 0 if the output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def plain_width() -> int:
    """Return the width of a table written to a file or a pipe: `COLUMNS` if it is exported, else a default."""
    columns = os.environ.get("COLUMNS", "")
    return max(int(columns), _LEAST_WIDTH) if is_number(columns) else _PLAIN_WIDTH
