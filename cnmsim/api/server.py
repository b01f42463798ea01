"""Opens and serves the sockets of a lab's engines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cnmsim.api.clock_driver import END_S, ClockDriver
from cnmsim.api.connection import Connection
from cnmsim.api.control import ControlSocket
from cnmsim.api.durability import Durability
from cnmsim.api.host import HostApi
from cnmsim.api.plugin_control import PluginControlSocket
from cnmsim.api.port_forwarding import ForwardedPorts
from cnmsim.api.router import dispatch
from cnmsim.api.socket_folder import SocketFolder
from cnmsim.api.tls import Reader, TlsConnection, Writer
from cnmsim.errors import InvalidParameter
from cnmsim.lab.naming import CONTROL_SOCKET, INNER_CONTROL_SOCKET

if TYPE_CHECKING:
    from cnmsim.lab import Lab
    from cnmsim.lab.serving import ClockMode
    from cnmsim.lab.state.statefile import StateFile

_log = logging.getLogger(__name__)
#: Length of the queue of clients that wait to be accepted, as Go's on Linux.
_BACKLOG = 4096
StreamHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ApiServer:
    """Serves every Docker host of a lab at `DIR/<host>/docker.sock`, and control clients at `DIR/control.sock`.

    Used as an asynchronous context manager. Once the sockets are open, the file `DIR/ready` exists. `clock` is the
    mode of the clock, see `ClockDriver`. `expose_ports` names a Docker host ("" means the only one): the ports that
    it publishes are open on this machine's loopback, too. `announce` is called with a sentence about each port that
    has another number there. Changes are written to the state file `state` before requests are answered.

    Raises `InvalidParameter` if `expose_ports` is not a Docker host; on entry, `Conflict` if another server uses
    `directory`, and `Forbidden` if `directory` is not safe (see `SocketFolder.open`).
    """

    def __init__(
        self,
        lab: Lab,
        directory: Path,
        *,
        clock: ClockMode = "real",
        expose_ports: str | None = None,
        announce: Callable[[str], None] | None = None,
        state: StateFile | None = None,
    ) -> None:
        self.lab = lab
        self.directory = directory
        self.clock_driver = ClockDriver(lab.clock, clock)
        self.durability = Durability(state)
        self.apis = {
            host.name: HostApi(lab, host.name, host.docker, self.clock_driver, self.durability)
            for host in lab.hosts.values()
            if host.has_docker
        }
        self.forwarded_ports: ForwardedPorts | None = None
        if expose_ports is not None:
            host = lab.host(self._docker_host(expose_ports))
            self.forwarded_ports = ForwardedPorts(lab, host, self.clock_driver, announce or _log.warning)
        self._servers: list[asyncio.Server] = []
        self._clients: set[asyncio.Task[None]] = set()
        self._folder = SocketFolder(directory, self.apis)
        self._driver: asyncio.Task[None] | None = None
        self._saver: asyncio.Task[None] | None = None
        self.plugin_control: PluginControlSocket | None = None

    def _docker_host(self, name: str) -> str:
        if name in self.apis:
            return name
        there_are = f"there are: {', '.join(self.apis) or 'none'}"
        if name:
            raise InvalidParameter(f"no Docker host named {name} whose ports could be exposed; {there_are}")
        if len(self.apis) != 1:
            raise InvalidParameter(f"name the Docker host whose ports are to be exposed; {there_are}")
        return next(iter(self.apis))

    def socket_path(self, host: str) -> Path:
        """Return the path of a Docker host's socket."""
        return self._folder.socket_path(host)

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _open(self) -> None:
        self._folder.open()
        self.clock_driver.begin()
        self._driver = asyncio.create_task(self.clock_driver.run())
        self._saver = asyncio.create_task(self.durability.run())
        for name, api in self.apis.items():
            await self._listen(self.socket_path(name), partial(self._serve_api, api))
        if self.forwarded_ports is not None:
            self.forwarded_ports.open()
        control = ControlSocket(self.lab, self.clock_driver)
        if self.lab.has_plugins:
            # Plugins act on their hosts while the event loop waits for them: this socket has threads of its own.
            inner = self.directory / INNER_CONTROL_SOCKET
            await self._listen(inner, control.serve)
            self.plugin_control = PluginControlSocket(self.lab, self.directory, inner)
            self.plugin_control.open()
        else:
            await self._listen(self.directory / CONTROL_SOCKET, control.serve)
        self._folder.write_ready()

    async def _listen(self, path: Path, handler: StreamHandler) -> None:
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._tracked(handler), path, backlog=_BACKLOG)
        finally:
            os.umask(before)
        self._servers.append(server)
        self._folder.note_made(path)

    async def listen_tcp(self, host: str, address: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Serve the Docker host `host` over TCP, too. Return the port, which is chosen by the system for `port` 0.

        Raises `ValueError` for an address other than loopback without `tls`: the API gives full control of the lab.
        """
        if tls is None and address not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(f"refusing to listen on {address} without TLS: only loopback is served in the clear")
        handler = partial(self._serve_tcp, self.apis[host], tls)
        server = await asyncio.start_server(self._tracked(handler), address, port, backlog=_BACKLOG)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _tracked(self, handler: StreamHandler) -> StreamHandler:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._clients.add(task)
            try:
                await handler(reader, writer)
            except asyncio.CancelledError:
                writer.close()  # the server is closing; cancellation is the normal end of a client task
            finally:
                self._clients.discard(task)

        return serve

    async def _serve_tcp(
        self, api: HostApi, tls: ssl.SSLContext | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if tls is None:
            await self._serve_api(api, reader, writer, is_tcp=True)
            return
        secured = TlsConnection(reader, writer, tls)
        try:
            await secured.handshake()
        except (OSError, TimeoutError) as error:
            _log.info("TLS handshake error from %s: %s", writer.get_extra_info("peername"), error)
            writer.close()
            return
        await self._serve_api(api, secured, secured, is_tcp=True, is_tls=True)

    async def _serve_api(
        self, api: HostApi, reader: Reader, writer: Writer, *, is_tcp: bool = False, is_tls: bool = False
    ) -> None:
        headers = {**api.headers, "Date": formatdate(min(self.lab.clock.wall_s, END_S), usegmt=True)}
        await Connection(reader, writer, partial(dispatch, api), headers, is_tcp=is_tcp, is_tls=is_tls).serve()

    async def _close(self) -> None:
        if self.plugin_control is not None:
            self.plugin_control.close()
        for server in self._servers:
            server.close()
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        if self.forwarded_ports is not None:
            await self.forwarded_ports.close()
        for background in (self._saver, self._driver):
            if background is not None:
                background.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await background
        await self.durability.close()
        self._folder.close()

    async def run_until(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raise the error that has ended the simulation, if there is one."""
        assert self._driver is not None, "the server is open"
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({stopped, self._driver}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._driver.done():
            self._driver.result()
