"""The nc applet of busybox, extended by the options -z, -u, -v, -n and -k of OpenBSD's nc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, family_of, format_ip
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.files import Pipe
from cnmsim.kernel.task import Cancelled, Task
from cnmsim.userland.busybox.applet import complain, connect_error_text, show_usage, usage_errors
from cnmsim.userland.invocation import find_program
from cnmsim.userland.libc.getopt import Options, UsageError, getopt
from cnmsim.userland.libc.resolver import ResolveError, Resolver

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket
    from cnmsim.kernel.sockets.udp import UdpSocket

_SYNOPSIS = "[-iN] [-wN] [-l] [-p PORT] [-f FILE|IPADDR PORT] [-e PROG]"
_UDP_PROBE_S = 1.0


async def main(process: Process) -> int:
    """Run `nc [-zuvnk46] [-w SECS] HOST PORT`, or `nc -l [-u] -p PORT [-e PROGRAM ARGUMENT…]`."""
    with usage_errors(process, _SYNOPSIS):
        arguments, program = _split_program(process.argv[1:])
        options = getopt(arguments, "lkzuvn46Np:w:s:")
        port = options.number("p", 0, high=65535)
        wait_s = options.seconds("w", 0) or None
    if "l" in options:
        if not port and options.operands and is_number(options.operands[-1]):
            port = int(options.operands[-1])
        if not port:
            return show_usage(process, _SYNOPSIS)
        if "u" in options:
            return await _listen_udp(process, options, port, wait_s)
        return await _listen(process, options, port, program, wait_s)
    if len(options.operands) != 2:
        return show_usage(process, _SYNOPSIS)
    host, ports = options.operands
    try:
        address = (await Resolver(process).addresses(host, options.family))[0]
    except ResolveError:
        return complain(process, f"bad address '{host}'")
    first, _, last = ports.partition("-")
    if not is_number(first) or (last and not is_number(last)):
        return complain(process, f"bad port '{ports}'")
    if "z" in options:
        status = 1
        for number in range(int(first), int(last or first) + 1):
            scan = _scan_udp if "u" in options else _scan
            status = min(status, await scan(process, options, host, address, number, wait_s))
        return status
    if "u" in options:
        return await _talk_udp(process, address, int(first), port, wait_s)
    return await _talk(process, options, address, int(first), port, program, wait_s)


def _split_program(arguments: list[str]) -> tuple[list[str], list[str]]:
    for at, argument in enumerate(arguments):
        if argument == "-e" or (
            argument.startswith("-") and not argument.startswith("--") and argument.endswith("e")
        ):
            if at + 1 >= len(arguments):
                raise UsageError("option requires an argument -- 'e'")
            others = [argument[:-1]] if len(argument) > 2 else []
            if (
                at + 2 < len(arguments)
                and not any("l" in one for one in arguments[:at] if one[0] == "-")
                and not others
            ):
                # Users write both `nc HOST PORT -e PROG` and `nc -e PROG HOST PORT`.
                tail = arguments[at + 2 :]
                if at == 0 and len(tail) >= 2:
                    return tail, arguments[1:2]
            return arguments[:at] + others, arguments[at + 1 :]
    return arguments, []


async def _connect(process: Process, address: Address, port: int, source: int, wait_s: float | None) -> TcpSocket:
    socket = process.tcp(family_of(address))
    if source:
        socket.bind((bytes(len(address)), source))
    await socket.connect((address, port), wait_s)
    return socket


def _report_connect_error(process: Process, address: Address, error: OSError, *, is_own_timeout: bool) -> int:
    if is_own_timeout:
        return complain(process, "timed out")
    return complain(process, connect_error_text(address, error))


async def _talk(
    process: Process,
    options: Options,
    address: Address,
    port: int,
    source: int,
    program: list[str],
    wait_s: float | None,
) -> int:
    try:
        socket = await _connect(process, address, port, source, wait_s)
    except OSError as error:
        return _report_connect_error(
            process, address, error, is_own_timeout=isinstance(error, TimeoutError) and bool(wait_s)
        )
    if "v" in options:
        process.error(f"{format_ip(address)} ({format_ip(address)}:{port}) open\n")
    if program:
        return await _run_on(process, socket, program)
    return await relay(process, socket)


async def _scan(
    process: Process, options: Options, host: str, address: Address, port: int, wait_s: float | None
) -> int:
    try:
        socket = await _connect(process, address, port, 0, wait_s)
    except OSError as error:
        if "v" in options:
            is_own_timeout = isinstance(error, TimeoutError) and bool(wait_s)
            process.error(
                f"nc: {host} ({format_ip(address)}:{port}): "
                f"{'Connection timed out' if is_own_timeout else strerror(error)}\n"
            )
        return 1
    if "v" in options:
        process.error(f"{host} ({format_ip(address)}:{port}) open\n")
    socket.close()
    return 0


async def _scan_udp(
    process: Process, options: Options, host: str, address: Address, port: int, wait_s: float | None
) -> int:
    socket = process.udp(family_of(address))
    try:
        socket.connect((address, port))
        socket.send(b"")
        await socket.recvfrom(wait_s or _UDP_PROBE_S)
    except TimeoutError:
        pass  # an open UDP port does not answer
    except OSError as error:
        if "v" in options:
            process.error(f"nc: {host} ({format_ip(address)}:{port}): {strerror(error)}\n")
        return 1
    finally:
        socket.close()
    if "v" in options:
        process.error(f"{host} ({format_ip(address)}:{port}) open\n")
    return 0


async def _pump_in(process: Process, socket: TcpSocket) -> None:
    try:
        while chunk := await process.stdin.read():
            socket.send(chunk)
            await socket.drain()
        socket.shutdown_write()
    except OSError:
        pass  # the receiving side reports why the connection ended


async def relay(process: Process, socket: TcpSocket) -> int:
    """Copy stdin to a connection, and the connection to stdout, until the peer closes. Return the exit status."""
    sender: Task[None] = process.task(_pump_in(process, socket))
    status = 0
    try:
        while chunk := await socket.recv():
            process.write(chunk)
    except OSError as error:
        status = complain(process, f"read error: {strerror(error)}")
    sender.add_done_callback(lambda _: None)
    sender.cancel()
    socket.close()
    return status


async def _listen(process: Process, options: Options, port: int, program: list[str], wait_s: float | None) -> int:
    listener = process.tcp(4 if "4" in options or options.get("s") else 6)
    listener.reuse_address = True
    try:
        listener.bind((options.get("s") or ("0.0.0.0" if "4" in options else "::"), port))  # noqa: S104
        listener.listen(1)
    except (OSError, ValueError) as error:
        return complain(process, f"bind: {strerror(error) if isinstance(error, OSError) else error}")
    keeps_listening = "k" in options or options.count("l") > 1
    while True:
        try:
            connection = await listener.accept(wait_s)
        except TimeoutError:
            return complain(process, "timed out")
        if keeps_listening and program:
            process.task(_run_on(process, connection, program))
            continue
        if not keeps_listening:
            listener.close()
        status = await (_run_on(process, connection, program) if program else relay(process, connection))
        if not keeps_listening:
            return status


async def _run_on(process: Process, socket: TcpSocket, argv: list[str]) -> int:
    """Run the program `argv[0]` with the connection as its stdin and stdout. Return its exit status."""
    program = find_program(process, argv[0])
    if program is None:
        socket.close()
        return complain(process, f"can't execute '{argv[0]}': No such file or directory")
    stdin = Pipe(process.clock)
    stdout = Pipe(process.clock)
    child = process.start(program, argv, stdin=stdin, stdout=stdout)
    child.exited.add_done_callback(lambda _: stdout.close())

    async def feed() -> None:
        try:
            while chunk := await socket.recv():
                stdin.write(chunk)
        except (OSError, Cancelled):
            pass  # the program's input ends when the connection ends
        stdin.close()

    feeder = process.task(feed())
    try:
        while chunk := await stdout.read():
            socket.send(chunk)
    except OSError:
        child.kill(13)
    status = await child.exited
    if not feeder.is_done:
        feeder.cancel()
    socket.close()
    return status


async def _talk_udp(process: Process, address: Address, port: int, source: int, wait_s: float | None) -> int:
    socket = process.udp(family_of(address))
    try:
        if source:
            socket.bind((bytes(len(address)), source))
        socket.connect((address, port))
    except OSError as error:
        return _report_connect_error(process, address, error, is_own_timeout=False)
    return await _relay_udp(process, socket, wait_s)


async def _relay_udp(process: Process, socket: UdpSocket, wait_s: float | None) -> int:
    async def feed() -> None:
        try:
            while chunk := await process.stdin.read():
                socket.send(chunk)
        except OSError:
            pass  # the receiving side reports it

    process.task(feed())
    while True:
        try:
            data, _ = await socket.recvfrom(wait_s)
        except TimeoutError:
            return 0
        except OSError as error:
            return complain(process, f"read error: {strerror(error)}")
        process.write(data)


async def _listen_udp(process: Process, options: Options, port: int, wait_s: float | None) -> int:
    socket = process.udp(4 if "4" in options or options.get("s") else 6)
    try:
        socket.bind((options.get("s") or ("0.0.0.0" if "4" in options else "::"), port))  # noqa: S104
        data, peer = await socket.recvfrom(wait_s)
        socket.connect(peer)
    except TimeoutError:
        return complain(process, "timed out")
    except OSError as error:
        return complain(process, f"bind: {strerror(error)}")
    process.write(data)
    return await _relay_udp(process, socket, wait_s)
