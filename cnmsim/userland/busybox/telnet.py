"""busybox telnet: a plain TCP connection. Telnet options are not negotiated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.address import family_of
from cnmsim.userland.busybox.applet import complain, connect_error_text, show_usage
from cnmsim.userland.busybox.nc import relay
from cnmsim.userland.libc.resolver import ResolveError, Resolver

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def main(process: Process) -> int:
    """Run `telnet HOST [PORT]`."""
    operands = [argument for argument in process.argv[1:] if not argument.startswith("-")]
    if not 1 <= len(operands) <= 2:
        return show_usage(process, "[-a] [-l USER] HOST [PORT]")
    port = operands[1] if len(operands) > 1 else "23"
    if not is_number(port) or int(port) > 65535:
        return complain(process, f"bad port '{port}'")
    try:
        address = (await Resolver(process).addresses(operands[0]))[0]
    except ResolveError:
        return complain(process, f"bad address '{operands[0]}'")
    socket = process.tcp(family_of(address))
    socket.set_keepalive()
    try:
        await socket.connect((address, int(port)))
    except OSError as error:
        return complain(process, connect_error_text(address, error))
    process.write(f"Connected to {operands[0]}\n")
    status = await relay(process, socket)
    process.error("Connection closed by foreign host\n")
    return status or 1
