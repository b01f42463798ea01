"""iperf3's control connection and its streams of data (`iperf_api.c`, `iperf_tcp.c`, `iperf_udp.c` of 3.18)."""

from __future__ import annotations

import json
from struct import Struct
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.sockets.tcp import TcpSocket
from cnmsim.kernel.sockets.udp import UdpSocket

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

TEST_START, TEST_RUNNING, TEST_END = 1, 2, 4
PARAM_EXCHANGE, CREATE_STREAMS, EXCHANGE_RESULTS, DISPLAY_RESULTS, IPERF_DONE = 9, 10, 13, 14, 16
ACCESS_DENIED = 255
COOKIE_SIZE = 37
UDP_CONNECT, UDP_REPLY = b"9876", b"6789"
TCP_BLOCK = 128 * 1024
#: The rate of an unlimited TCP stream in bits per second: CPU time, which limits the real program, is not modelled.
UNLIMITED_BPS = 1_000_000_000
_HEADER = Struct("!III")


class ControlError(Exception):
    """The control connection was closed, or the peer refused the test.

    The text is what iperf3 prints after `error - `.
    """


@define(eq=False)
class Control:
    """The control connection of a test, over which the two ends exchange states and parameters."""

    socket: TcpSocket
    _buffer: bytearray = field(factory=bytearray)

    async def read(self, count: int) -> bytes:
        """Read exactly `count` bytes. Raises `ControlError` at the end of the connection."""
        while len(self._buffer) < count:
            try:
                data = await self.socket.recv()
            except OSError:
                data = b""
            if not data:
                raise ControlError("control socket has closed unexpectedly")
            self._buffer += data
        data, self._buffer = bytes(self._buffer[:count]), self._buffer[count:]
        return data

    async def expect(self, state: int) -> None:
        """Read states until `state` is received; ignore all others.

        Raises `ControlError` if the server is busy, or if the connection ends.
        """
        while (received := (await self.read(1))[0]) != state:
            if received == ACCESS_DENIED:
                raise ControlError("the server is busy running a test. try again later")

    def state(self, state: int) -> None:
        """Send `state`, one byte such as `TEST_START`, to the peer."""
        self.socket.send(bytes([state]))

    async def read_json(self) -> dict[str, Any]:
        """Read a JSON object, which is preceded by its length in four bytes."""
        value: dict[str, Any] = json.loads(await self.read(int.from_bytes(await self.read(4))))
        return value

    def write_json(self, value: dict[str, Any]) -> None:
        """Send a JSON object, preceded by its length in four bytes."""
        data = json.dumps(value).encode()
        self.socket.send(len(data).to_bytes(4) + data)


@define(eq=False)
class Stream:
    """One data stream of a test, and its counters so far.

    `block` is the number of bytes sent at a time; `rate_bps` and `limit_bytes` limit the sending (0: no limit).
    `packets` counts blocks or datagrams; `lost` and `jitter_s` are counted by UDP receivers only. Setting `is_over`
    ends the stream.
    """

    number: int
    socket: TcpSocket | UdpSocket
    is_sender: bool
    block: int
    rate_bps: float
    limit_bytes: int = 0
    total_bytes: int = 0
    packets: int = 0
    lost: int = 0
    jitter_s: float = 0.0
    is_over: bool = False
    #: bytes, packets, lost and retransmissions at the last interval report
    mark: tuple[int, int, int, int] = (0, 0, 0, 0)
    _transit_s: float | None = None

    @property
    def is_udp(self) -> bool:
        """Whether the stream uses UDP."""
        return isinstance(self.socket, UdpSocket)

    @property
    def retransmitted(self) -> int:
        """The number of TCP retransmissions; 0 for UDP."""
        connection = self.socket._connection if isinstance(self.socket, TcpSocket) else None
        return connection.retransmitted if connection is not None else 0

    @property
    def window(self) -> int:
        """The TCP congestion window in bytes; 0 for UDP."""
        connection = self.socket._connection if isinstance(self.socket, TcpSocket) else None
        return connection._cwnd.size if connection is not None else 0

    def next_interval(self) -> tuple[int, int, int, int]:
        """Return the bytes, packets, lost packets and retransmissions since the last call."""
        now = (self.total_bytes, self.packets, self.lost, self.retransmitted)
        before, self.mark = self.mark, now
        return now[0] - before[0], now[1] - before[1], now[2] - before[2], now[3] - before[3]

    async def send(self, process: Process) -> None:
        """Send blocks at the stream's rate until `is_over` is set or `limit_bytes` (0: no limit) have been sent."""
        clock, begun_ns = process.clock, process.clock.now_ns
        filler = bytes(self.block)
        rate = self.rate_bps or UNLIMITED_BPS
        while not self.is_over and not (self.limit_bytes and self.total_bytes >= self.limit_bytes):
            self.packets += 1
            try:
                if isinstance(self.socket, UdpSocket):
                    second, rest = divmod(clock.now_ns, NS_PER_S)
                    self.socket.send(_HEADER.pack(second, rest // 1000, self.packets) + filler[_HEADER.size :])
                else:
                    self.socket.send(filler)
                    await self.socket.drain()
            except OSError:
                return
            self.total_bytes += self.block
            due_ns = begun_ns + round(self.packets * self.block * 8 * NS_PER_S / rate)
            if due_ns > clock.now_ns:
                await process.sleep((due_ns - clock.now_ns) / NS_PER_S)

    async def receive(self, process: Process) -> None:
        """Receive data until `is_over` is set or the connection ends."""
        try:
            while not self.is_over:
                if isinstance(self.socket, UdpSocket):
                    self._count((await self.socket.recvfrom())[0], process.clock.now_ns / NS_PER_S)
                else:
                    data = await self.socket.recv(1 << 20)
                    if not data:
                        return
                    self.total_bytes += len(data)
        except OSError:
            return

    def _count(self, data: bytes, now_s: float) -> None:
        """Count a received UDP datagram, and update loss and jitter (iperf_udp_recv, RFC 1889 §6.3.1).

        `now_s` is the time of arrival.
        """
        if len(data) < _HEADER.size or self.is_over:
            return
        self.total_bytes += len(data)
        second, microsecond, number = _HEADER.unpack_from(data)
        if number > self.packets:
            self.lost += number - 1 - self.packets
            self.packets = number
        elif self.lost:
            self.lost -= 1
        transit_s = now_s - second - microsecond / 1e6
        if self._transit_s is not None:
            self.jitter_s += (abs(transit_s - self._transit_s) - self.jitter_s) / 16
        self._transit_s = transit_s
