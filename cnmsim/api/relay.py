"""Relays that copy data between a real client's connection and a simulated one.

End of data, reset and refusal on one side are passed on to the other. If the simulated connection is refused, the
real client gets a reset, because its own connection is established before the simulated one is tried; a real
docker-proxy does the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from cnmsim.kernel.task import Task

if TYPE_CHECKING:
    from cnmsim.api.clock_driver import ClockDriver
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.sockets.tcp import TcpSocket
    from cnmsim.kernel.sockets.udp import UdpSocket

T = TypeVar("T")
_CHUNK = 65536
#: Seconds of silence after which a real UDP client is dropped, as by docker-proxy.
_UDP_IDLE_S = 90.0
#: Seconds for which virtual time continues after a connection has ended.
_SETTLE_S = 1.0
_LINGER_NOT = struct.pack("ii", 1, 0)


async def relay_tcp(
    clock_driver: ClockDriver,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    inner: TcpSocket,
    address: tuple[Address, int],
) -> None:
    """Connect the simulated socket `inner` to `address`, and copy bytes both ways until both directions have ended.

    `reader` and `writer` are the real client's connection. Meanwhile a paused clock keeps step with real time. While
    the connection is being established or the client's data is being delivered, virtual time jumps to the next event,
    unless the clock mode is `real`.
    """

    async def wait(work: Coroutine[Any, Any, T], *, runs_fast: bool) -> T:
        task = Task(clock_driver.clock, work)
        try:
            return await clock_driver.wait(task, lambda: runs_fast)
        finally:
            task.cancel()

    async def upload() -> None:
        while data := await reader.read(_CHUNK):
            inner.send(data)
            await wait(inner.drain(), runs_fast=True)
        inner.shutdown_write()
        clock_driver.run_ready()

    async def download() -> None:
        while data := await wait(inner.recv(_CHUNK), runs_fast=False):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    with clock_driver.run_realtime(lambda: True):
        try:
            await wait(inner.connect(address), runs_fast=True)
            await _both(upload(), download())
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        except OSError:
            # Refused, unreachable, reset or timed out on either side: the other side gets a reset.
            inner.abort()
            _reset(writer)
        finally:
            inner.close()
            clock_driver.run_ready()
        # The last segments are still on their way.
        await asyncio.sleep(_SETTLE_S)


async def _both(*works: Coroutine[Any, Any, None]) -> None:
    """Run coroutines until all are done. If one raises an error, cancel the others and raise that error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    channel = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()


class UdpRelay:
    """Relays datagrams of the real UDP socket `outer`; `open_inner` opens a simulated socket for each real client.

    A client that has sent no datagram for 90 s of real time is forgotten. The relay runs until `close`, which closes
    `outer`.
    """

    def __init__(
        self,
        clock_driver: ClockDriver,
        outer: socket.socket,
        open_inner: Callable[[], tuple[UdpSocket, tuple[Address, int]]],
    ) -> None:
        self._clock_driver = clock_driver
        self._outer = outer
        self._open_inner = open_inner
        self._clients: dict[Any, UdpSocket] = {}
        self._ends: dict[Any, asyncio.TimerHandle] = {}
        self._open = contextlib.ExitStack()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(outer, self._receive)

    def close(self) -> None:
        """Drop all clients, and close the socket."""
        for client in tuple(self._clients):
            self._forget(client)
        self._loop.remove_reader(self._outer)
        self._outer.close()

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data, client = self._outer.recvfrom(_CHUNK)
                except ConnectionError:
                    continue  # a client that is gone is dropped after the timeout
                # A datagram that the simulated client cannot send is lost.
                with contextlib.suppress(OSError):
                    self._send(data, client)
        self._clock_driver.run_ready()

    def _send(self, data: bytes, client: Any) -> None:
        inner = self._clients.get(client) or self._begin(client)
        if client in self._ends:
            self._ends[client].cancel()
        self._ends[client] = self._loop.call_later(_UDP_IDLE_S, self._forget, client)
        inner.send(data)

    def _begin(self, client: Any) -> UdpSocket:
        inner, address = self._open_inner()
        try:
            inner.connect(address)
        except OSError:
            inner.close()
            raise
        if not self._clients:
            # Answers are forwarded when they arrive, as long as the client may wait for one.
            self._open.enter_context(self._clock_driver.run_realtime(lambda: True))
        self._clients[client] = inner
        inner.on_readable = lambda _: self._answer(inner, client)
        return inner

    def _answer(self, inner: UdpSocket, client: Any) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data, _ = inner.recvfrom_nowait()
                except ConnectionError:
                    continue  # an ICMP error: as with docker-proxy, the client gets nothing
                self._outer.sendto(data, client)

    def _forget(self, client: Any) -> None:
        if client in self._ends:
            self._ends.pop(client).cancel()
        self._clients.pop(client).close()
        if not self._clients:
            self._open.close()
