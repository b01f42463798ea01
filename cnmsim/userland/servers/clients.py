"""The client programs that health checks run: each connects to the server and prints what the real program does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.address import family_of
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.libc.resolver import ResolveError, Resolver

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket

_TIMEOUT_S = 3.0
_MONGO_ADDRESS = re.compile(r"(?:mongodb://)?(?:[^@/\s]*@)?([\w.-]+):([0-9]+)")


def _option(process: Process, *names: str) -> str:
    """Return the value of an option, or "" if it was not given.

    `names` are the option's spellings, e.g. `-p` and `--port`. The forms `-p 1`, `-p1`, `--port 1` and `--port=1` are
    accepted.
    """
    words = process.argv[1:]
    for number, word in enumerate(words):
        for name in names:
            if word == name:
                return words[number + 1] if number + 1 < len(words) else ""
            if name.startswith("--") and word.startswith(f"{name}="):
                return word.partition("=")[2]
            if not name.startswith("--") and word.startswith(name) and not word.startswith("--"):
                return word[len(name) :]
    return ""


def _operands(process: Process, with_value: str) -> list[str]:
    """Return the arguments that are not options. `with_value` holds the letters of options that take a value."""
    words, operands = process.argv[1:], []
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            operands.append(word)
        elif len(word) == 2 and word[1] in with_value and words:
            words.pop(0)
    return operands


async def _connect(process: Process, host: str, port: int) -> TcpSocket | str:
    """Connect to the server. Return the connection, or the text of the error as a string."""
    try:
        addresses = await Resolver(process).addresses(host)
    except ResolveError:
        return "Name or service not known"
    text = "Connection refused"
    for address in addresses:
        socket = process.tcp(family_of(address))
        try:
            await socket.connect((address, port))
        except OSError as error:
            text = strerror(error)
            socket.close()
            continue
        return socket
    return text


def _number(text: str, default: int) -> int:
    return int(text) if is_number(text) and 0 < int(text) < 65536 else default


async def pg_isready(process: Process) -> int:
    """Run `pg_isready [-h HOST] [-p PORT] [-q]`: exit status 0 if the server accepts connections, else 2."""
    host = _option(process, "-h", "--host") or process.env.get("PGHOST", "")
    port = _number(_option(process, "-p", "--port") or process.env.get("PGPORT", ""), 5432)
    connection = await _connect(process, host if host and not host.startswith("/") else "localhost", port)
    where = f"{host or '/var/run/postgresql'}:{port}"
    is_quiet = any(word in {"-q", "--quiet"} for word in process.argv[1:])
    if isinstance(connection, str):
        if not is_quiet:
            process.write(f"{where} - no response\n")
        return 2
    connection.close()
    if not is_quiet:
        process.write(f"{where} - accepting connections\n")
    return 0


async def redis_cli(process: Process) -> int:
    """Run `redis-cli [-h HOST] [-p PORT] [-a PASSWORD] COMMAND…`: send one command and print the reply."""
    version = process.env.get("REDIS_VERSION") or process.env.get("VALKEY_VERSION")
    if version and process.argv[1:] in (["-v"], ["--version"]):
        process.write(f"{process.argv[0].rpartition('/')[2]} {version}\n")
        return 0
    host = _option(process, "-h") or "127.0.0.1"
    port = _number(_option(process, "-p"), 6379)
    words = _operands(process, "hpaunsdDrix")
    if any(word.startswith("-a") for word in process.argv[1:]) and "--no-auth-warning" not in process.argv:
        process.error(
            "Warning: Using a password with '-a' or '-u' option on the command line interface may not be safe.\n"
        )
    connection = await _connect(process, host, port)
    if isinstance(connection, str):
        process.error(f"Could not connect to Redis at {host}:{port}: {connection}\n")
        return 1
    command = words or ["PING"]
    request = f"*{len(command)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in command)
    connection.send(request.encode())
    try:
        reply = (await connection.recv(timeout=_TIMEOUT_S)).decode(errors="replace")
    except OSError:
        reply = ""
    connection.close()
    if not reply:
        process.error("Error: Server closed the connection\n")
        return 1
    kind, text = reply[0], reply[1:].split("\r\n")[0]
    process.write(f"{text}\n" if kind in "+:" else f"({'error' if kind == '-' else 'nil'}) {text}\n")
    return 0


async def mysqladmin(process: Process) -> int:
    """Run `mysqladmin ping`: exit status 0 if the server answers."""
    host = _option(process, "-h", "--host") or "localhost"
    port = _number(_option(process, "-P", "--port"), 3306)
    name = process.argv[0].rpartition("/")[2]
    connection = await _connect(process, host, port)
    if isinstance(connection, str):
        process.error(
            f"{name}: connect to server at '{host}' failed\nerror: 'Can't connect to MySQL server on '{host}:{port}' "
            f"({connection})'\nCheck that mysqld is running on {host} and that the port is {port}.\n"
        )
        return 1
    connection.close()
    process.write("mysqld is alive\n" if "ping" in process.argv else "")
    return 0


async def mariadb_healthcheck(process: Process) -> int:
    """Run MariaDB's `healthcheck.sh [--connect] [--innodb_initialized]`: exit status 0 if the server answers."""
    connection = await _connect(process, "localhost", 3306)
    if isinstance(connection, str):
        process.error("healthcheck connect failed\n")
        return 1
    connection.close()
    return 0


async def mongosh(process: Process) -> int:
    """Run `mongosh [HOST:PORT/DB] --eval EXPRESSION`: print the result of a ping or status command."""
    expression = _option(process, "--eval")
    words = [word for word in process.argv[1:] if word != expression]
    match = next((found for word in words if (found := _MONGO_ADDRESS.search(word))), None)
    host = _option(process, "--host") or (match[1] if match else "127.0.0.1")
    host, _, given = host.partition(":")
    port = _number(given or _option(process, "--port") or (match[2] if match else ""), 27017)
    connection = await _connect(process, host, port)
    if isinstance(connection, str):
        process.error(f"MongoNetworkError: connect ECONNREFUSED {host}:{port}\n")
        return 1
    connection.close()
    process.write("1\n" if re.search(r"\.ok\b", expression) else "{ ok: 1 }\n")
    return 0


async def rabbitmq_diagnostics(process: Process) -> int:
    """Run `rabbitmq-diagnostics ping` or another check: exit status 0 if the broker answers, else 69."""
    is_quiet = "-q" in process.argv or "--quiet" in process.argv
    host = process.hostname
    connection = await _connect(process, "localhost", 5672)
    words = _operands(process, "nt")
    command = words[0] if words else "status"
    if isinstance(connection, str):
        process.error(
            f"Error: unable to perform an operation on node 'rabbit@{host}'. Please see diagnostics information and "
            "suggestions below.\n"
        )
        return 69
    connection.close()
    if not is_quiet:
        is_ping = command == "ping"
        process.write(f"{'Will ping' if is_ping else 'Checking node'} rabbit@{host} ...\n")
        process.write("Ping succeeded\n" if is_ping else "")
    return 0
