"""Signals by name and number, and the texts of strsignal(3)."""

from __future__ import annotations

from cnmsim.digits import is_number

#: The names without `SIG`, by number from 1 on.
NAMES = (
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH",
    "POLL", "PWR", "SYS",
)  # fmt: skip
_DESCRIPTIONS = (
    "Hangup", "Interrupt", "Quit", "Illegal instruction", "Trace/breakpoint trap", "Aborted", "Bus error",
    "Floating point exception", "Killed", "User defined signal 1", "Segmentation fault", "User defined signal 2",
    "Broken pipe", "Alarm clock", "Terminated", "Stack fault", "Child exited", "Continued", "Stopped (signal)",
    "Stopped", "Stopped (tty input)", "Stopped (tty output)", "Urgent I/O condition", "CPU time limit exceeded",
    "File size limit exceeded", "Virtual timer expired", "Profiling timer expired", "Window changed", "I/O possible",
    "Power failure", "Bad system call",
)  # fmt: skip
_LAST = 64


def signal_number(text: str) -> int | None:
    """Return the number of a signal given as `9`, `KILL` or `SIGKILL`, or `None` if there is no such signal."""
    if is_number(text):
        return int(text) if int(text) <= _LAST else None
    name = text.upper().removeprefix("SIG")
    return NAMES.index(name) + 1 if name in NAMES else {"IO": 29, "IOT": 6, "CLD": 17}.get(name)


def signal_name(number: int) -> str:
    """Return the name of a signal without `SIG`, or its number as text if it has no name."""
    return NAMES[number - 1] if 0 < number <= len(NAMES) else str(number)


def signal_description(number: int) -> str:
    """Return the description of a signal that strsignal(3) returns, e.g. `Killed`."""
    return _DESCRIPTIONS[number - 1] if 0 < number <= len(NAMES) else f"Unknown signal {number}"


def signal_list(texts: list[str]) -> str:
    """Return what busybox's `kill -l` prints.

    That is a list of all signals or, if `texts` is not empty, of the signals named in it.
    """
    if not texts:
        return "".join(f"{number:2d}) {name}\n" for number, name in enumerate(NAMES, 1))
    lines: list[str] = []
    for text in texts:
        number = signal_number(text)
        if number is not None:
            lines.append(signal_name(number & 0x7F) if is_number(text) else str(number))
    return "".join(f"{line}\n" for line in lines)


def take_signal(arguments: list[str]) -> tuple[str, int | None]:
    """Remove `-SIGNAL` or `-s SIGNAL` from the beginning of kill's arguments.

    Return the signal as the user typed it, and its number (`None` if there is no such signal).
    """
    text = arguments.pop(0)[1:]
    if text == "s" and arguments:
        text = arguments.pop(0)
    return text, signal_number(text)
