"""What every busybox applet does alike: naming itself in messages, and telling how it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.userland.invocation import name_of
from cnmsim.userland.libc.getopt import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

BANNER = "BusyBox v1.37.0 (Debian 1:1.37.0-6+b9) multi-call binary."


def complain(process: Process, message: str) -> int:
    """Say `NAME: message` on standard error; gives exit status 1."""
    process.error(f"{name_of(process)}: {message}\n")
    return 1


def show_usage(process: Process, synopsis: str, message: str = "") -> int:
    """Say what was wrong, if anything, and how the applet is used; gives exit status 1."""
    said = f"{name_of(process)}: {message}\n" if message else ""
    process.error(f"{said}{BANNER}\n\nUsage: {name_of(process)} {synopsis}\n")
    return 1


def read_options(process: Process, short: str, synopsis: str, long: tuple[str, ...] = ()) -> Options | None:
    """Read the options of a command as getopt does; `None` if they make no sense, which is then said."""
    try:
        return getopt(process.argv[1:], short, long)
    except UsageError as error:
        show_usage(process, synopsis, str(error))
        return None
