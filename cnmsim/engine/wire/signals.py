"""Signals by name and number, as in `docker kill -s` (moby sys `signal`)."""

from __future__ import annotations

from cnmsim.digits import is_number
from cnmsim.errors import InvalidParameter

SIGNALS: dict[str, int] = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9,
    "USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CLD": 17,
    "CONT": 18, "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26,
    "PROF": 27, "WINCH": 28, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31,
}  # fmt: skip


def parse_signal(text: str) -> int:
    """Convert `SIGTERM`, `term` or `15` to a signal number. Raises `InvalidParameter` for an unknown signal."""
    if is_number(text):
        number = int(text)
        if 0 < number <= 64:
            return number
    else:
        named = SIGNALS.get(text.upper().removeprefix("SIG"))
        if named is not None:
            return named
    raise InvalidParameter(f"invalid signal: {text}")
