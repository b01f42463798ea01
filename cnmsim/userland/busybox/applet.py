"""Functions that all busybox applets share: error messages, usage texts and option parsing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.invocation import invoked_name
from cnmsim.userland.libc.getopt import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

BANNER = "BusyBox v1.37.0 (Debian 1:1.37.0-6+b9) multi-call binary."


def complain(process: Process, message: str) -> int:
    """Print `APPLET: message` on standard error, where APPLET is the invoked name. Return exit status 1."""
    process.error(f"{invoked_name(process)}: {message}\n")
    return 1


def connect_error_text(address: Address, error: OSError) -> str:
    """Return busybox's error text for a failed connect(2). It contains `address` only if that is IPv4."""
    where = f" ({format_ip(address)})" if len(address) == 4 else ""
    return f"can't connect to remote host{where}: {strerror(error)}"


def show_usage(process: Process, synopsis: str, message: str = "") -> int:
    """Print the usage, i.e. the applet's name and `synopsis`, on standard error. Return exit status 1.

    If `message` is not "", it is printed first.
    """
    problem = f"{invoked_name(process)}: {message}\n" if message else ""
    process.error(f"{problem}{BANNER}\n\nUsage: {invoked_name(process)} {synopsis}\n")
    return 1


def read_options(
    process: Process, short: str, synopsis: str, *, needs_operand: bool = False, long: Mapping[str, str] | None = None
) -> Options | None:
    """Parse the command line with getopt(3). If it is invalid, print the usage with `synopsis` and return `None`.

    `short` is getopt's string of short options, `long` maps long options to the short ones. With `needs_operand`, a
    command line without operands is invalid.
    """
    try:
        options = getopt(process.argv[1:], short, long or {})
    except UsageError as error:
        show_usage(process, synopsis, str(error))
        return None
    if needs_operand and not options.operands:
        show_usage(process, synopsis)
        return None
    return options
