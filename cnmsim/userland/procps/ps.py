"""The ps command of procps-ng, for hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel import process_listing
from cnmsim.kernel.process_listing import Column

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_SELECTING = ("p", "C", "u", "U")


async def main(process: Process) -> int:
    """Run `ps [-e] [-f] [aux] [-o COLUMNS] [-p PID,…] [-C NAME,…] [--no-headers]`: list the host's processes.

    Even without -e, all processes are listed: none belongs to a terminal.
    """
    arguments, selection = _selection(process.argv[1:])
    try:
        columns, hides_titles = process_listing.select(arguments)
    except process_listing.UnknownColumnError as error:
        process.error(f"{error}\n\nUsage:\n ps [options]\n\n For more details see ps(1).\n")
        return 1
    processes = [other for _, other in sorted(process.machine.processes.items())]
    for option, value in selection:
        wanted = set(value.replace(",", " ").split())
        if option == "p":
            processes = [other for other in processes if str(other.pid) in wanted]
        elif option == "C":
            processes = [other for other in processes if other.name in wanted]
        else:
            user = process_listing.COLUMNS["user"].value
            processes = [
                other for other in processes if user(other) in wanted or str(other.credentials.uid) in wanted
            ]
    if not hides_titles and any(column.title for column in columns):
        process.write(_row(columns, [column.title for column in columns]))
    for other in processes:
        process.write(_row(columns, [column.value(other) for column in columns]))
    return int(not processes)


def _selection(arguments: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Separate the options `-p`, `-C` and `-u` from the other arguments.

    Return the other arguments, and the selecting options as (letter, value).
    """
    others: list[str] = []
    selection: list[tuple[str, str]] = []
    at = 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        option = (
            "p" if word in ("--pid", "p") else word[1:2] if word.startswith("-") and word[1:2] in _SELECTING else ""
        )
        if not option or (word[:2] == "-u" and at >= len(arguments)):
            others.append(word)
        elif len(word) > 2 and not word.startswith("--"):
            selection.append((option, word[2:]))
        elif at < len(arguments):
            selection.append((option, arguments[at]))
            at += 1
    return others, selection


def _row(columns: tuple[Column, ...], cells: list[str]) -> str:
    padded = [_cell(column, text) for column, text in zip(columns[:-1], cells[:-1], strict=True)]
    last = columns[-1]
    return " ".join([*padded, cells[-1] if last.width <= 0 else _cell(last, cells[-1])]) + "\n"


def _cell(column: Column, text: str) -> str:
    return f"{text:<{-column.width}}" if column.width < 0 else f"{text:>{column.width}}"
