"""testcontainers/ryuk: removes what a test session has created, once its connection has ended.

A client sends filters, one a line, such as `label=org.testcontainers.session-id=1&health=healthy`. When no connection
has been open for `RYUK_RECONNECTION_TIMEOUT`, Ryuk removes the containers, networks, volumes and images that match
a filter by the Engine API at /var/run/docker.sock, and exits.

Source: moby-ryuk 0.8.1 `main.go`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.engine.wire.timestamps import parse_duration_ns
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.process import SIGINT, SIGTERM
from cnmsim.kernel.task import Signal
from cnmsim.userland.http.message import HttpError, Stream
from cnmsim.userland.http.unix_socket import connect_unix
from cnmsim.userland.servers.http_server import address_text, stamp

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket

_SOCKET = "/var/run/docker.sock"
_RYUK_LABEL = "org.testcontainers.ryuk"
_TIMEOUT_S = 10.0
#: What is removed: its name in the log, the path that lists it, the key of its name, and the query of its removal.
_KINDS = (
    ("container", "/containers/json?all=1&", "Id", "/containers/{}?force=1&v=1"),
    ("network", "/networks?", "Id", "/networks/{}"),
    ("volume", "/volumes?", "Name", "/volumes/{}?force=1"),
    ("image", "/images/json?", "Id", "/images/{}"),
)


@define(eq=False)
class _Reaper:
    """The filters that clients have sent, and the number of open connections."""

    process: Process
    changed: Signal
    filters: list[dict[str, dict[str, bool]]] = field(factory=list)
    clients: int = 0
    has_clients: bool = False
    is_ended: bool = False

    def end(self) -> None:
        """Make the program remove the matching objects at once and exit. Called on a signal."""
        self.is_ended = True
        self.changed.notify()

    def log(self, text: str) -> None:
        """Write a line with the time, as Go's `log` does."""
        self.process.error(f"{stamp(self.process, '%Y/%m/%d %H:%M:%S')} {text}\n")

    async def accept(self, listener: TcpSocket) -> None:
        """Serve each client that connects."""
        while True:
            connection = await listener.accept()
            self.clients += 1
            self.has_clients = True
            self.changed.notify()
            self.process.task(self._converse(connection))

    async def _converse(self, connection: TcpSocket) -> None:
        address, port = connection.getpeername()
        client = f"{address_text(address)}:{port}"
        self.log(f"New client connected: {client}")
        unread = b""
        try:
            while chunk := await connection.recv():
                *lines, unread = (unread + chunk).split(b"\n")
                for line in lines:
                    self._add(line.decode(errors="replace").strip())
                    connection.send(b"ACK\n")
        except OSError:
            pass  # the client reset the connection
        finally:
            connection.close()
        self.log(f"Client disconnected: {client}")
        self.clients -= 1
        self.changed.notify()

    def _add(self, line: str) -> None:
        added: dict[str, dict[str, bool]] = {}
        for key, value in parse_qsl(line):
            added.setdefault(key, {})[value] = True
        if added:
            self.log(f"Adding {json.dumps(added, separators=(',', ':'), sort_keys=True)}")
            if added not in self.filters:
                self.filters.append(added)

    async def prune(self) -> None:
        """Remove all objects that match a filter, and log the number of removed objects of each kind."""
        counts = dict.fromkeys((name for name, *_ in _KINDS), 0)
        for added in self.filters:
            text = json.dumps(added, separators=(",", ":"), sort_keys=True)
            self.log(f"Deleting {text}")
            for name, path, key, removal in _KINDS:
                status, body = await request(self.process, "GET", f"{path}filters={quote(text)}")
                if status != 200:
                    self.log(str((body or {}).get("message", "")))
                    continue
                items = (body or {}).get("Volumes") or [] if name == "volume" else body or []
                for item in items:
                    if (item.get("Labels") or {}).get(_RYUK_LABEL) == "true":
                        continue
                    status, _ = await request(self.process, "DELETE", removal.format(quote(item[key], safe="")))
                    counts[name] += status in (200, 204)
        self.log(
            "Removed {container} container(s), {network} network(s), {volume} volume(s) {image} image(s)".format(
                **counts
            )
        )


async def request(process: Process, method: str, path: str) -> tuple[int, Any]:
    """Send a request to the Engine API. Return the status, and the decoded JSON body or `None`.

    Raises `OSError` if the engine does not answer.
    """
    connection = connect_unix(process, _SOCKET)
    try:
        connection.send(f"{method} {path} HTTP/1.1\r\nHost: api.moby.localhost\r\nConnection: close\r\n\r\n".encode())
        stream = Stream(connection, process.clock)
        stream.idle_timeout_s = _TIMEOUT_S
        head = await stream.head()
        if head is None:
            raise ConnectionResetError(104, "Connection reset by peer")
        data = await stream.body(head, has_none=head.status in (204, 304))
    except HttpError as error:
        raise ConnectionAbortedError(103, str(error)) from None
    finally:
        connection.close()
    is_json = (head.header("Content-Type") or "").startswith("application/json")
    return head.status, json.loads(data) if data and is_json else None


def _duration_s(process: Process, name: str, default: str) -> float:
    return parse_duration_ns(process.env.get(name) or default) / NS_PER_S


async def main(process: Process) -> int:
    """Run `ryuk`: wait until all clients have disconnected, then remove the objects that match their filters."""
    reaper = _Reaper(process, Signal(process.clock))
    try:
        first_s = _duration_s(process, "RYUK_CONNECTION_TIMEOUT", "60s")
        again_s = _duration_s(process, "RYUK_RECONNECTION_TIMEOUT", "10s")
    except ValueError as error:
        process.error(f"panic: {error}\n")
        return 2
    reaper.log("Pinging Docker...")
    try:
        await request(process, "GET", "/_ping")
    except OSError:
        process.error(
            f"panic: Cannot connect to the Docker daemon at unix://{_SOCKET}. Is the docker daemon running?\n"
        )
        return 2
    reaper.log("Docker daemon is available!")
    text = process.env.get("RYUK_PORT", "8080")
    port = int(text) if is_number(text) and 0 < int(text) < 65536 else 8080
    reaper.log(f"Starting on port {port}...")
    listener = process.tcp(6)
    try:
        listener.bind(("::", port))
        listener.listen()
    except OSError as error:
        process.error(f"panic: listen tcp :{port}: bind: {strerror(error).lower()}\n")
        return 2
    process.task(reaper.accept(listener))
    for signal in (SIGINT, SIGTERM):
        process.handlers[signal] = reaper.end
    reaper.log("Started!")
    try:
        await reaper.changed.wait_until(lambda: reaper.has_clients or reaper.is_ended, first_s)
    except TimeoutError:
        process.error("panic: Timed out waiting for the first connection\n")
        return 2
    while not reaper.is_ended:
        await reaper.changed.wait_until(lambda: not reaper.clients or reaper.is_ended)
        try:
            await reaper.changed.wait_until(lambda: bool(reaper.clients) or reaper.is_ended, again_s)
        except TimeoutError:
            reaper.log("Timed out waiting for re-connection")
            break
    await reaper.prune()
    return 0
