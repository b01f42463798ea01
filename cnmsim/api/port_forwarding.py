"""Open the published ports of one simulated Docker host for real clients, on this machine's loopback.

When the simulated host binds a port, the same port is bound on this machine, so that the port numbers that the engine
reports are valid here, too. If this machine refuses the port, the simulated host refuses it as well: if the port is
in use, the start of the container fails with the engine's text, and for an ephemeral port the engine chooses another
one.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.api.external_client import ExternalClientHost
from cnmsim.api.relay import UdpRelay, relay_tcp

if TYPE_CHECKING:
    from cnmsim.api.clock_driver import ClockDriver
    from cnmsim.lab import Host, Lab
    from cnmsim.libnetwork.options import PortBinding

_LOOPBACK = {4: "127.0.0.1", 6: "::1"}
_BACKLOG = 128
#: Seconds until accepting a client is tried again after a failure.
_RETRY_S = 1.0


@define(eq=False)
class OpenPort:
    """One published port and the real address at which it is open.

    `binding` is the port in the lab, `channel` the real socket; calling `end` closes the socket.
    """

    binding: PortBinding
    channel: socket.socket
    end: Callable[[], None]

    @property
    def name(self) -> str:
        """The port on the simulated host and its protocol, such as `80/tcp`."""
        return f"{self.binding.host_port}/{self.binding.protocol}"

    @property
    def address(self) -> tuple[str, int]:
        """The (address, port) on this machine at which the port is open."""
        host, port = self.channel.getsockname()[:2]
        return host, port


@define(eq=False)
class ForwardedPorts:
    """Keeps the published ports of the simulated `host` open on this machine.

    `announce` is called with a sentence about each port that is open under another number here. Call `open` and
    `close` in the thread of the event loop that serves the lab.
    """

    lab: Lab
    host: Host
    clock_driver: ClockDriver
    announce: Callable[[str], None]
    _external_client: ExternalClientHost = field(init=False)
    _ports: list[OpenPort] = field(factory=list, init=False)
    _clients: set[asyncio.Task[None]] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self._external_client = ExternalClientHost(self.lab, self.host)

    def open(self) -> None:
        """Open all ports that are published now, and later each port as soon as it is published.

        Raises `InvalidParameter` if the simulated host that represents the clients cannot be added (see
        `ExternalClientHost`).
        """
        self._external_client.open()
        allocator = self.host.docker.controller.allocator
        for port in allocator.bound:
            port.release = self._bind(port.binding, is_strict=False)
        allocator.watcher = partial(self._bind, is_strict=True)

    async def close(self) -> None:
        """Close all ports and connections."""
        allocator = self.host.docker.controller.allocator
        allocator.watcher = None
        for port in allocator.bound:
            port.release()
            port.release = _nothing
        for task in tuple(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self._external_client.close()
        self.clock_driver.run_ready()

    @property
    def table(self) -> dict[str, tuple[str, int]]:
        """The real address of each published port, by its simulated port: `{"80/tcp": ("127.0.0.1", 80)}`.

        If a port is published in both address families, this is its IPv4 address.
        """
        return {port.name: port.address for port in sorted(self._ports, key=lambda port: -port.channel.family)}

    def _bind(self, binding: PortBinding, *, is_strict: bool) -> Callable[[], None]:
        """Open one port on this machine. Return a function that closes it.

        If this machine refuses the port number, another number is opened instead. With `is_strict`, raises `OSError`
        if another program uses the number.
        """
        if not binding.host_port or binding.protocol not in ("tcp", "udp"):
            return _nothing
        assert binding.host_ip is not None
        family = 6 if len(binding.host_ip) == 16 else 4
        try:
            channel = self._channel(family, binding.protocol, binding.host_port)
        except OSError as error:
            if family == 6 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                return _nothing  # this machine has no IPv6 loopback
            if is_strict and error.errno == errno.EADDRINUSE and not self._is_own(family, binding):
                raise
            channel = self._channel(family, binding.protocol, 0)
            where = f"{_LOOPBACK[family]}:{channel.getsockname()[1]}"
            reason = (error.strerror or str(error)).lower()
            self.announce(
                f"{self.host.name}: port {binding.host_port}/{binding.protocol} is reached at {where} ({reason})"
            )
        port = OpenPort(binding, channel, _nothing)
        port.end = self._serve_tcp(port) if binding.protocol == "tcp" else self._serve_udp(port)
        self._ports.append(port)
        return partial(self._end, port)

    def _is_own(self, family: int, binding: PortBinding) -> bool:
        """Return True if this object has opened the port number of `binding` on this machine already.

        This is so if the same port is bound to several addresses of the simulated host. `family` is 4 or 6.
        """
        kind = socket.AF_INET6 if family == 6 else socket.AF_INET
        return any(
            port.channel.family == kind
            and port.binding.protocol == binding.protocol
            and port.address[1] == binding.host_port
            for port in self._ports
        )

    def _end(self, port: OpenPort) -> None:
        if port in self._ports:
            self._ports.remove(port)
            port.end()

    def _channel(self, family: int, protocol: str, number: int) -> socket.socket:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        channel = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind)
        try:
            channel.setblocking(False)
            if protocol == "tcp":
                channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            channel.bind((_LOOPBACK[family], number))
            if protocol == "tcp":
                channel.listen(_BACKLOG)
        except OSError:
            channel.close()
            raise
        return channel

    def _serve_tcp(self, port: OpenPort) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        loop.add_reader(port.channel, self._accept, port)

        def end() -> None:
            loop.remove_reader(port.channel)
            port.channel.close()

        return end

    def _accept(self, port: OpenPort) -> None:
        try:
            client, _ = port.channel.accept()
        except (BlockingIOError, ConnectionError):
            return  # closed again
        except OSError as error:
            # Out of descriptors or memory: the client stays in the queue for now.
            loop = asyncio.get_running_loop()
            loop.remove_reader(port.channel)
            loop.call_later(_RETRY_S, self._accept_again, port)
            self.announce(f"{self.host.name}: port {port.name}: {(error.strerror or str(error)).lower()}")
            return
        client.setblocking(False)
        task = asyncio.ensure_future(self._talk(port, client))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    def _accept_again(self, port: OpenPort) -> None:
        if port in self._ports:
            asyncio.get_running_loop().add_reader(port.channel, self._accept, port)

    async def _talk(self, port: OpenPort, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        inner, address = self._external_client.tcp(port.binding)
        try:
            await relay_tcp(self.clock_driver, reader, writer, inner, address)
        finally:
            writer.transport.abort()

    def _serve_udp(self, port: OpenPort) -> Callable[[], None]:
        return UdpRelay(self.clock_driver, port.channel, lambda: self._external_client.udp(port.binding)).close


def _nothing() -> None:
    """Do nothing. Returned in place of the function that closes a port, if no port was opened."""
