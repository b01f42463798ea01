"""The columns of a process list, as ps(1) of procps-ng prints them from /proc.

CPU time and memory are those of the simulation (`cgroup`, `footprint`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from attrs import frozen

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.credentials import users
from cnmsim.kernel.footprint import virtual_kib
from cnmsim.kernel.process import Process


@frozen
class Column:
    """A column of the list: its title, its width (negative: left-aligned), and its text for a process (`value`)."""

    title: str
    width: int
    value: Callable[[Process], str]


def _user(process: Process) -> str:
    uid = process.credentials.uid
    names = {user.uid: user.name for user in reversed(tuple(users(process.machine.files)))}
    return names.get(uid, "root" if not uid else str(uid))


def is_session_leader(process: Process) -> bool:
    """Return True if a process was started by the system or the engine, and not by another process."""
    return process.creator is None


def state(process: Process) -> str:
    """Return the state letter of a process: S (sleeping) or T (stopped)."""
    return "T" if process.is_paused else "S"


def _stat(process: Process) -> str:
    return state(process) + ("s" if is_session_leader(process) else "")


def _start(process: Process) -> str:
    clock = process.clock
    begun_s = clock.epoch_s + process.started_ns // NS_PER_S
    now_s = clock.unix_s
    begun, now = (datetime.fromtimestamp(seconds, UTC) for seconds in (begun_s, now_s))
    return begun.strftime("%H:%M" if begun.date() == now.date() else "%b%d")


def elapsed(process: Process) -> str:
    """Return the time since a process was started, as `[[DD-]HH:]MM:SS`."""
    seconds = (process.clock.now_ns - process.started_ns) // NS_PER_S
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    text = f"{minutes:02d}:{seconds % 60:02d}"
    if hours or days:
        text = f"{hours:02d}:{text}"
    return f"{days}-{text}" if days else text


def rss_kib(process: Process) -> int:
    """Return the resident memory of a process in KiB."""
    return process.resident_kib + (process.allocated >> 10)


def vsz_kib(process: Process) -> int:
    """Return the address space of a process in KiB."""
    return virtual_kib(process.name) + (process.allocated >> 10)


def cpu_time(process: Process) -> str:
    """Return the processor time of a process, as `HH:MM:SS`."""
    seconds = process.cpu_ns // NS_PER_S
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _own_id(process: Process) -> str:
    return str(process.pid)


def parent_id(process: Process) -> str:
    """Return the id of the parent process as text.

    If the process has no parent, it is 1, the id of the machine's init.
    """
    return str(process.parent.pid if process.parent is not None else 1)


def _leader(process: Process) -> str:
    while process.creator is not None:
        process = process.creator
    return str(process.pid)


def command_line(process: Process) -> str:
    """Return the arguments of a process, joined with blanks."""
    return " ".join(process.argv)


_ARGS = Column("COMMAND", 0, command_line)
_COMM = Column("COMMAND", -15, lambda process: process.name[:15])
_PID = Column("PID", 7, _own_id)
_RSS = Column("RSS", 5, lambda process: str(rss_kib(process)))
_TIME = Column("TIME", 8, cpu_time)
_TTY = Column("TTY", -8, lambda _: "?")
_USER = Column("USER", -8, _user)
_VSZ = Column("VSZ", 6, lambda process: str(vsz_kib(process)))
#: The columns by their names in `ps -o`.
COLUMNS: dict[str, Column] = {
    "args": _ARGS, "c": Column("C", 2, lambda _: "0"), "cmd": Column("CMD", 0, command_line), "comm": _COMM,
    "command": _ARGS, "etime": Column("ELAPSED", 11, elapsed), "euser": Column("EUSER", -8, _user),
    "gid": Column("GID", 5, lambda process: str(process.credentials.gid)), "ni": Column("NI", 3, lambda _: "0"),
    "nlwp": Column("NLWP", 4, lambda _: "1"), "pcpu": Column("%CPU", 4, lambda _: "0.0"),
    "pgid": Column("PGID", 7, _leader), "pgrp": Column("PGRP", 7, _leader), "pid": _PID,
    "pmem": Column("%MEM", 4, lambda _: "0.0"), "ppid": Column("PPID", 7, parent_id),
    "pri": Column("PRI", 3, lambda _: "19"), "rss": _RSS, "s": Column("S", 1, state),
    "sess": Column("SESS", 7, _leader), "sid": Column("SID", 7, _leader),
    "start": Column("START", 5, _start), "start_time": Column("START", 5, _start), "stat": Column("STAT", -4, _stat),
    "state": Column("S", 1, state), "stime": Column("STIME", 5, _start), "time": _TIME, "cputime": _TIME,
    "tname": _TTY, "tt": Column("TT", -8, lambda _: "?"), "tty": Column("TT", -8, lambda _: "?"),
    "ucmd": Column("CMD", -15, lambda process: process.name[:15]), "ucomm": _COMM,
    "uid": Column("UID", 5, lambda process: str(process.credentials.uid)), "user": _USER, "uname": _USER,
    "vsize": _VSZ, "vsz": _VSZ,
    "%cpu": Column("%CPU", 4, lambda _: "0.0"), "%mem": Column("%MEM", 4, lambda _: "0.0"),
}  # fmt: skip
#: The columns of `ps`, `ps -f` and `ps u`.
SIMPLE = (_PID, _TTY, _TIME, Column("CMD", -15, lambda process: process.name[:15]))
FULL = (
    Column("UID", -8, _user), _PID, COLUMNS["ppid"], COLUMNS["c"], COLUMNS["stime"], _TTY, _TIME, COLUMNS["cmd"],
)  # fmt: skip
BY_USER = (
    _USER, _PID, COLUMNS["pcpu"], COLUMNS["pmem"], _VSZ, _RSS, _TTY, COLUMNS["stat"], COLUMNS["start"],
    Column("TIME", 6, lambda _: "0:00"), _ARGS,
)  # fmt: skip


class UnknownColumnError(ValueError):
    """Raised for an unknown column after `ps -o`. The text is the error message of ps(1)."""


def chosen(names: str) -> tuple[Column, ...]:
    """Return the columns for `ps -o NAMES`: names separated by commas or blanks, such as `pid,args`.

    `NAME=TITLE` gives a column another title. The title extends to the end of `names`. Raises `UnknownColumnError`
    for an unknown name.
    """
    columns: list[Column] = []
    words = names.replace(",", " ").split()
    for number, word in enumerate(words):
        name, equals, title = word.partition("=")
        column = COLUMNS.get(name.lower())
        if column is None:
            raise UnknownColumnError(f'error: unknown user-defined format specifier "{name}"')
        if equals:
            title = " ".join([title, *words[number + 1 :]])
            columns.append(Column(title, column.width, column.value))
            break
        columns.append(column)
    return tuple(columns)


def select(arguments: list[str]) -> tuple[tuple[Column, ...], bool]:
    """Parse the arguments of ps(1). Return the selected columns, and True if the titles are not to be printed.

    Raises `UnknownColumnError` for an unknown column after -o.
    """
    columns: list[Column] = []
    layout: tuple[Column, ...] = SIMPLE
    hides_titles = False
    at = 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if word in ("--no-headers", "--no-heading", "--noheader", "--noheaders"):
            hides_titles = True
        elif word in ("-o", "-eo", "-ao", "-axo", "axo", "o"):
            if at < len(arguments):
                columns += chosen(arguments[at])
                at += 1
        elif word.startswith("-o"):
            columns += chosen(word[2:])
        elif word.startswith("--"):
            pass
        elif word.startswith("-"):
            layout = FULL if "f" in word or "F" in word else BY_USER if "u" in word and "a" in word else layout
        elif word.isalpha():
            layout = BY_USER if "u" in word else layout
    return tuple(columns) or layout, hides_titles
