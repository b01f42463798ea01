"""Functions that all busybox applets share: error messages, usage texts and option parsing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.invocation import ExitProgram, invoked_name
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


@contextmanager
def usage_errors(process: Process, synopsis: str, status: int = 1) -> Iterator[None]:
    """Print the usage with `synopsis` on a `UsageError` in the `with` block, and exit with `status`."""
    try:
        yield
    except UsageError as error:
        show_usage(process, synopsis, str(error))
        raise ExitProgram(status) from None


def read_options(
    process: Process,
    short: str,
    synopsis: str,
    *,
    arguments: Sequence[str] | None = None,
    long: Mapping[str, str] | Iterable[str] = (),
    needs_operand: bool = False,
    stop_at_operand: bool = False,
    single_dash_long: bool = False,
    status: int = 1,
) -> Options:
    """Parse the command line with `getopt`. If it is invalid, print the usage and exit with `status`.

    `arguments` replace the arguments of the process. With `needs_operand`, a command line without operands is
    invalid. The other parameters are those of `getopt`.
    """
    words = process.argv[1:] if arguments is None else arguments
    with usage_errors(process, synopsis, status):
        options = getopt(words, short, long, stop_at_operand=stop_at_operand, single_dash_long=single_dash_long)
    if needs_operand and not options.operands:
        show_usage(process, synopsis)
        raise ExitProgram(status)
    return options
