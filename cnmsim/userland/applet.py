"""What every busybox applet does alike: naming itself in messages, and telling how it is used."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from cnmsim.kernel.task import Future
from cnmsim.userland.options import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

BANNER = "BusyBox v1.37.0 (Debian 1:1.37.0-6+b9) multi-call binary."


def name_of(process: Process) -> str:
    """Give the name under which a program was called, without its folder."""
    return posixpath.basename(process.argv[0])


def complain(process: Process, message: str) -> int:
    """Say `NAME: message` on standard error; gives exit status 1."""
    process.error(f"{name_of(process)}: {message}\n")
    return 1


def show_usage(process: Process, synopsis: str, message: str = "") -> int:
    """Say what was wrong, if anything, and how the applet is used; gives exit status 1."""
    said = f"{name_of(process)}: {message}\n" if message else ""
    process.error(f"{said}{BANNER}\n\nUsage: {name_of(process)} {synopsis}\n")
    return 1


async def settled(process: Process, status: int) -> int:
    """Give the exit status of a program that is through.

    If it ended itself in this very step (SIGPIPE on its last line), its cancellation is on the way: wait for that.
    """
    if not process.is_running:
        await Future[int](process.clock)
    return status


def path_of(process: Process, path: str) -> str:
    """Give a path as the process means it: relative to its working directory."""
    return posixpath.normpath(posixpath.join(process.env.get("PWD", "/"), path))


def read_options(process: Process, short: str, synopsis: str, long: tuple[str, ...] = ()) -> Options | None:
    """Read the options of a command as getopt does; `None` if they make no sense, which is then said."""
    try:
        return getopt(process.argv[1:], short, long)
    except UsageError as error:
        show_usage(process, synopsis, str(error))
        return None
