"""iperf3 3.18: measures the throughput between a client and a server by iperf3's own protocol.

Options: -c, -s, -p, -u, -b, -t, -n, -l, -P, -R, -i, -4, -6, -1, -D and -v. JSON output (-J), authentication and SCTP
are not simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnmsim.kernel.address import family_of, format_ip
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.sockets.base import unmapped
from cnmsim.kernel.task import Future
from cnmsim.userland.iperf3.report import BANNER
from cnmsim.userland.iperf3.run import Run
from cnmsim.userland.iperf3.streams import (
    ACCESS_DENIED,
    COOKIE_SIZE,
    CREATE_STREAMS,
    DISPLAY_RESULTS,
    EXCHANGE_RESULTS,
    IPERF_DONE,
    PARAM_EXCHANGE,
    TCP_BLOCK,
    TEST_END,
    TEST_RUNNING,
    TEST_START,
    UDP_CONNECT,
    UDP_REPLY,
    Control,
    ControlError,
    Stream,
)
from cnmsim.userland.libc.getopt import Options, UsageError, getopt
from cnmsim.userland.libc.resolver import ResolveError, Resolver

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket
    from cnmsim.kernel.sockets.udp import UdpSocket

_USAGE = "Usage: iperf3 [-s|-c host] [options]\nTry `iperf3 --help' for more information.\n"
_CLIENT_ONLY = "ubtnlPR"
_NOT_SIMULATED = "JVAOTwMNSFBCLZ"
_UNABLE = (
    "unable to connect to server - server may have stopped running or use a different port, firewall issue, etc."
)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LONG = {
    "client": "c:", "server": "s", "port": "p:", "udp": "u", "bitrate": "b:", "bandwidth": "b:", "time": "t:",
    "bytes": "n:", "length": "l:", "parallel": "P:", "reverse": "R", "interval": "i:", "one-off": "1", "daemon": "D",
    "version": "v", "json": "J",
}  # fmt: skip


async def main(process: Process) -> int:
    """Run `iperf3 -s [-p PORT] [-1]` or `iperf3 -c HOST [-u] [-b RATE] [-t SECONDS] [-P STREAMS] [-R]`."""
    try:
        options = getopt(_short(process.argv[1:]), "c:sp:ub:t:n:l:P:Ri:461DvJVAOTwMNSFBCLZ")
    except UsageError as error:
        process.error(f"iperf3: {error}\n\n{_USAGE}")
        return 1
    if "v" in options:
        process.write("iperf 3.18 (cJSON 1.7.15)\n")
        return 0
    for letter in _NOT_SIMULATED:
        if letter in options:
            process.error(f"iperf3: the option -{letter} is not simulated\n")
            return 1
    problem = _problem(options)
    if problem:
        process.error(f"iperf3: parameter error - {problem}\n\n{_USAGE}")
        return 1
    if "c" in options:
        return await _client(process, options)
    return await _server(process, options)


def _short(arguments: list[str]) -> list[str]:
    """Replace the long options in `arguments` by the short ones."""
    result = []
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        short = _LONG.get(name) if argument.startswith("--") else None
        result += [argument] if short is None else [f"-{short[0]}", *([value] if equals else [])]
    return result


def _problem(options: Options) -> str:
    if "c" in options and "s" in options:
        return "cannot be both server and client"
    if "c" not in options and "s" not in options:
        return "must either be a client (-c) or server (-s)"
    if "s" in options and any(letter in options for letter in _CLIENT_ONLY):
        return "some option you are trying to set is client only"
    if "c" in options and any(letter in options for letter in "1D"):
        return "some option you are trying to set is server only"
    for letter, text in (
        ("b", "bitrate"), ("n", "number of bytes"), ("l", "block size"), ("t", "test duration"),
        ("P", "number of streams"), ("p", "port"), ("i", "interval"),
    ):  # fmt: skip
        if letter in options and _amount(options.get(letter) or "") is None:
            return f"invalid {text} '{options.get(letter)}'"
    if not 1 <= (_amount(options.get("p") or "5201") or 0) <= 65535:
        return "invalid port"
    if (_amount(options.get("t") or "1") or 0) > 86400:
        return "test duration valid values are 0 to 86400 seconds"
    if not 1 <= (_amount(options.get("P") or "1") or 0) <= 128:
        return "number of parallel streams too large (maximum = 128)"
    if "u" in options and not 16 <= (_amount(options.get("l") or "16", 1024) or 0) <= 65507:
        return "block size invalid (minimum = 16 bytes, maximum = 65507 bytes)"
    return ""


def _amount(text: str, step: int = 1000) -> float | None:
    """Parse a number with an optional suffix K, M, G or T, each a further factor of `step`.

    Return `None` if the text is invalid.
    """
    power = "kmgt".find(text[-1:].lower()) + 1 if text else 0
    try:
        value = float(text[:-1] if power else text)
    except ValueError:
        return None
    return value * step**power if 0 <= value < float("inf") else None


def _error(process: Process, text: str) -> int:
    process.error(f"iperf3: error - {text}\n")
    return 1


def _ids(is_server: bool) -> list[int]:
    """Return the numbers with which the client, or the server if `is_server`, labels the streams of a test, in order.

    In the real iperf3 they are file descriptors, so they differ between client and server.
    """
    return [5, *range(8 if is_server else 7, 300, 2)]


def _connected(process: Process, stream: Stream) -> None:
    """Print the line about a connected stream: its local and remote address and port."""
    (local, port), (remote, remote_port) = stream.socket.getsockname(), stream.socket.getpeername()
    process.write(
        f"[{stream.number:3d}] local {format_ip(unmapped(local))} port {port} "
        f"connected to {format_ip(unmapped(remote))} port {remote_port}\n"
    )


# ---- client


async def _client(process: Process, options: Options) -> int:
    host, port = options.get("c") or "", int(_amount(options.get("p") or "5201") or 5201)
    try:
        address = (await Resolver(process).addresses(host, options.family))[0]
    except ResolveError:
        return _error(process, f"{_UNABLE}: Name or service not known")
    socket = process.tcp(family_of(address))
    try:
        await socket.connect((address, port))
    except OSError as error:
        return _error(process, f"{_UNABLE}: {strerror(error)}")
    process.write(f"Connecting to host {host}, port {port}\n")
    try:
        return await _run_client(process, options, Control(socket), (format_ip(address), port))
    except ControlError as error:
        return _error(process, str(error))
    except OSError as error:
        return _error(process, f"unable to connect stream: {strerror(error)}")


async def _run_client(process: Process, options: Options, control: Control, peer: tuple[str, int]) -> int:
    random = process.machine.random
    cookie = "".join(random.choice(_ALPHABET) for _ in range(COOKIE_SIZE - 1)).encode() + b"\0"
    control.socket.send(cookie)
    await control.expect(PARAM_EXCHANGE)
    is_udp, is_reverse = "u" in options, "R" in options
    connection = control.socket._connection
    mss = connection.mss if connection is not None else 1448
    block = int(_amount(options.get("l") or "0", 1024) or 0) or (mss if is_udp else TCP_BLOCK)
    rate_bps = _amount(options.get("b") or ("1M" if is_udp else "0")) or 0
    limit_bytes = int(_amount(options.get("n") or "0", 1024) or 0)
    seconds = _amount(options.get("t") or "10") or 0
    count = int(_amount(options.get("P") or "1") or 1)
    control.write_json(
        {
            ("udp" if is_udp else "tcp"): True, "omit": 0, "time": 0 if limit_bytes else seconds, "num": limit_bytes,
            "parallel": count, "len": block, "bandwidth": rate_bps, "reverse": is_reverse, "client_version": "3.18",
        }
    )  # fmt: skip
    await control.expect(CREATE_STREAMS)
    run = Run(process, "udp" if is_udp else "tcp", not is_reverse, _amount(options.get("i") or "1") or 0)
    if is_reverse:
        process.write(f"Reverse mode, remote host {peer[0]} is sending\n")
    for number in _ids(is_server=False)[:count]:
        data: TcpSocket | UdpSocket
        if is_udp:
            data = process.udp(6 if ":" in peer[0] else 4)
            data.connect(peer)
            data.send(UDP_CONNECT)
            try:
                await data.recvfrom(30)
            except TimeoutError:
                raise ControlError("unable to read from stream socket: Resource temporarily unavailable") from None
        else:
            data = process.tcp(6 if ":" in peer[0] else 4)
            await data.connect(peer)
            data.send(cookie)
        run.streams.append(Stream(number, data, not is_reverse, block, rate_bps, limit_bytes // count))
        _connected(process, run.streams[-1])
    await control.expect(TEST_START)
    run.begin()
    await control.expect(TEST_RUNNING)
    if limit_bytes:
        while not all(stream.total_bytes >= stream.limit_bytes for stream in run.streams):
            await process.sleep(0.001)
    else:
        await process.sleep(seconds - run.elapsed_s)
    run.end()
    control.state(TEST_END)
    await control.expect(EXCHANGE_RESULTS)
    own = run.results()
    control.write_json({"sender_has_retransmits": int(not is_udp and not is_reverse), "streams": own})
    other = (await control.read_json())["streams"]
    await control.expect(DISPLAY_RESULTS)
    run.summarise(*((other, own) if is_reverse else (own, other)))
    control.state(IPERF_DONE)
    process.write("\niperf Done.\n")
    for stream in run.streams:
        stream.socket.close()
    control.socket.close()
    return 0


# ---- server


async def _server(process: Process, options: Options) -> int:
    port = int(_amount(options.get("p") or "5201") or 5201)
    family = 4 if "4" in options else 6
    listener = process.tcp(family)
    listener.reuse_address = True
    try:
        listener.bind(("0.0.0.0" if family == 4 else "::", port))  # noqa: S104 - of the simulated host
        listener.listen(128)
    except OSError as error:
        return _error(process, f"unable to start listener for connections: {strerror(error)}")
    if "D" in options:

        async def serve(child: Process) -> int:
            return await _serve(child, options, listener, port)

        process.daemonise(serve, listener)
        return 0
    return await _serve(process, options, listener, port)


async def _serve(process: Process, options: Options, listener: TcpSocket, port: int) -> int:
    number = 1
    while True:
        process.write(f"{BANNER}\nServer listening on {port} (test #{number})\n{BANNER}\n")
        control = Control(await listener.accept())
        try:
            await _run_server(process, options, control, listener, port)
        except ControlError as error:
            _error(
                process, "the client has unexpectedly closed the connection" if "closed" in str(error) else str(error)
            )
        except OSError as error:
            _error(process, f"unable to create a new stream: {strerror(error)}")
        control.socket.close()
        if "1" in options:
            return 0
        number += 1


async def _run_server(process: Process, options: Options, control: Control, listener: TcpSocket, port: int) -> None:
    cookie = await control.read(COOKIE_SIZE)
    remote, remote_port = control.socket.getpeername()
    control.state(PARAM_EXCHANGE)
    parameters = await control.read_json()
    process.write(f"Accepted connection from {format_ip(unmapped(remote))}, port {remote_port}\n")
    protocol = "udp" if parameters.get("udp") else "tcp"
    is_sender = bool(parameters.get("reverse"))
    run = Run(process, protocol, is_sender, _amount(options.get("i") or "1") or 0)
    waiting = _udp_listener(process, listener.family, port) if protocol == "udp" else None
    control.state(CREATE_STREAMS)
    count = int(parameters.get("parallel", 1))
    for number in _ids(is_server=True)[:count]:
        data: TcpSocket | UdpSocket
        if waiting is not None:
            data, waiting = await _accept_udp(process, waiting, listener.family, port)
        else:
            data = await _accept_tcp(process, listener, cookie)
        run.streams.append(_stream(number, data, parameters, count, is_sender=is_sender))
        _connected(process, run.streams[-1])
    if waiting is not None:
        waiting.close()
    over: Future[None] = Future(process.clock)
    refusing = process.task(_refuse_others(listener, over))
    try:
        control.state(TEST_START)
        run.begin()
        control.state(TEST_RUNNING)
        await control.expect(TEST_END)
        run.end()
        control.state(EXCHANGE_RESULTS)
        other = (await control.read_json())["streams"]
        own = run.results()
        control.write_json({"sender_has_retransmits": int(protocol == "tcp" and is_sender), "streams": own})
        del other
        control.state(DISPLAY_RESULTS)
        run.summarise(own if is_sender else None, None if is_sender else own)
        await control.expect(IPERF_DONE)
    finally:
        refusing.cancel()
        for stream in run.streams:
            stream.is_over = True
            stream.socket.close()


def _stream(
    number: int, data: TcpSocket | UdpSocket, parameters: dict[str, Any], count: int, *, is_sender: bool
) -> Stream:
    limit_bytes = int(parameters.get("num", 0)) // count
    return Stream(number, data, is_sender, int(parameters["len"]), float(parameters["bandwidth"]), limit_bytes)


async def _accept_tcp(process: Process, listener: TcpSocket, cookie: bytes) -> TcpSocket:
    """Return the next TCP connection that begins with `cookie`, which identifies the test. Refuse all others."""
    while True:
        data = await listener.accept()
        stream = Control(data)
        if await stream.read(COOKIE_SIZE) == cookie:
            return data
        stream.state(ACCESS_DENIED)
        data.close()
        await process.sleep(0)


async def _refuse_others(listener: TcpSocket, over: Future[None]) -> None:
    """Refuse new connections until `over` is done, because a server runs only one test at a time."""
    while not over.is_done:
        other = await listener.accept()
        other.send(bytes([ACCESS_DENIED]))
        other.close()


def _udp_listener(process: Process, family: int, port: int) -> UdpSocket:
    socket = process.udp(family)
    socket.reuse_address = True
    socket.bind(("0.0.0.0" if family == 4 else "::", port))  # noqa: S104 - of the simulated host
    return socket


async def _accept_udp(process: Process, waiting: UdpSocket, family: int, port: int) -> tuple[UdpSocket, UdpSocket]:
    """Wait for a datagram of the next client, and connect the socket `waiting` to that client.

    Return the connected socket, and a new socket of this `family` that waits for further clients on the same `port`.
    """
    _, peer = await waiting.recvfrom(30)
    waiting.connect(peer)
    following = _udp_listener(process, family, port)
    waiting.send(UDP_REPLY)
    return waiting, following
