"""The programs of flows: senders of UDP datagrams and of a TCP stream, and receivers for unused ports."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.address import IPV4_ANY, IPV6_ANY, Address, family_of, format_ip, literal_address
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.offload.datagram_path import OpaqueDatagrams
from cnmsim.kernel.task import Future
from cnmsim.observe.flows.meter import PacketObserver
from cnmsim.observe.flows.tag import Datagram, message
from cnmsim.observe.trace.lookup import look_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnmsim.kernel.process import Process, Program
    from cnmsim.kernel.sockets.tcp import TcpSocket
    from cnmsim.kernel.sockets.udp import UdpSocket
    from cnmsim.observe.flows.meter import FlowRecord, Meter
    from cnmsim.observe.trace.target import Target

_CONNECT_TIMEOUT_S = 30.0
#: The maximum time in seconds that a TCP sender waits, after its last message, until all data is acknowledged.
_CLOSE_TIMEOUT_S = 5.0


@define(eq=False)
class Sender:
    """The program that sends one flow.

    `target` is the destination and `address` its address; with `None` the target's name is looked up. `prepare` is
    called with the address before the first message; it starts the receivers. `random` draws the intervals.
    `is_encrypted` is True if a tunnel of the lab encrypts: each message is then sent with an observer of its own.
    """

    record: FlowRecord
    target: Target
    address: Address | None
    prepare: Callable[[Address], None]
    random: Random
    is_encrypted: bool = False

    async def run(self, process: Process) -> int:
        """Resolve the destination and send the flow. Return exit status 0 if it could be sent, else 1."""
        record, flow = self.record, self.record.flow
        try:
            if flow.start_s:
                await process.sleep(flow.start_s)
            record.begun_ns = process.clock.now_ns
            address = self.address or literal_address(self.target.host)
            if address is None:
                found = await look_up(process, self.target.host, family=flow.family)
                if not found.addresses:
                    record.error = f"the name {self.target.host} was not found"
                    return 1
                address = found.addresses[0]
            record.address = format_ip(address)
            self.prepare(address)
            record.begun_ns = process.clock.now_ns
            await (self._udp if flow.protocol == "udp" else self._tcp)(process, address)
        except TimeoutError:
            record.error = record.error or f"no answer from {record.address} port {self.target.port}"
        except OSError as error:
            record.error = strerror(error)
        finally:
            record.is_done = True
            record.ended_ns = process.clock.now_ns
        return 1 if record.error else 0

    def _due_ns(self, at: float) -> float:
        """Return the time at which the next message is due, in nanoseconds; `at` is when the previous one was due."""
        mean_ns = self.record.flow.interval_ns
        return at + (self.random.expovariate(1 / mean_ns) if self.record.flow.interval == "poisson" else mean_ns)

    async def _udp(self, process: Process, address: Address) -> None:
        socket = process.udp(family_of(address))
        try:
            over: Future[None] = Future(process.clock)
            stream = _DatagramStream(self, socket, (address, self.target.port), over)
            stream.send_next()
            await over
        finally:
            socket.close()

    async def _tcp(self, process: Process, address: Address) -> None:
        record, flow, clock = self.record, self.record.flow, process.clock
        socket = process.tcp(family_of(address))
        try:
            await socket.connect((format_ip(address), self.target.port), timeout=_CONNECT_TIMEOUT_S)
            end_ns = clock.now_ns + flow.limit_s * 1e9
            due_ns: float = clock.now_ns
            while len(record.sent_ns) != flow.count and due_ns < end_ns - 1:
                if due_ns > clock.now_ns:
                    await process.sleep((due_ns - clock.now_ns) / 1e9)
                sequence = len(record.sent_ns)
                record.sent_ns.append(clock.now_ns)
                before = clock.context
                if self.is_encrypted:
                    clock.context = PacketObserver(record, sequence)
                socket.send(message(record.number, sequence, flow.message_size))
                clock.context = before
                try:
                    await socket.drain(None if end_ns == float("inf") else max((end_ns - clock.now_ns) / 1e9, 1e-9))
                except TimeoutError:
                    break
                # If the connection cannot carry the rate of the flow, no burst follows to catch up.
                due_ns = max(self._due_ns(due_ns), clock.now_ns)
            await self._finish(socket)
        finally:
            connection = socket._connection
            record.retransmitted = connection.retransmitted if connection is not None else 0
            if connection is not None and connection.unacknowledged:
                socket.abort()
            socket.close()

    async def _finish(self, socket: TcpSocket) -> None:
        """Close the sending direction and wait until the peer has acknowledged everything."""
        socket.shutdown_write()
        connection = socket._connection
        assert connection is not None
        try:
            await socket._changed.wait_until(
                lambda: not connection.unacknowledged or connection.error is not None, _CLOSE_TIMEOUT_S
            )
        except TimeoutError:
            self.record.error = f"{connection.unacknowledged:,} bytes were not acknowledged"
        if connection.error is not None:
            raise connection.error


class _DatagramStream:
    """Sends the datagrams of a flow one by one. Timers call it, because that is faster than a task that sleeps."""

    __slots__ = (
        "_clock", "_count", "_due_ns", "_end_ns", "_interval_ns", "_is_encrypted", "_number", "_opaque", "_over",
        "_peer", "_random", "_record", "_sent_ns", "_size", "_socket",
    )  # fmt: skip

    def __init__(self, sender: Sender, socket: UdpSocket, peer: tuple[Address, int], over: Future[None]) -> None:
        record, flow = sender.record, sender.record.flow
        self._record = record
        self._number, self._sent_ns = record.number, record.sent_ns
        self._size, self._count, self._interval_ns = flow.message_size, flow.count or 0, flow.interval_ns
        self._random = sender.random if flow.interval == "poisson" else None
        self._is_encrypted = sender.is_encrypted
        self._socket = socket
        self._peer = peer
        self._over = over
        self._clock = socket.namespace.clock
        self._due_ns: float = self._clock.now_ns
        self._end_ns = self._clock.now_ns + flow.limit_s * 1e9
        self._opaque = OpaqueDatagrams(socket, _refuse, _is_redundant)

    def send_next(self) -> None:
        """Send one datagram and schedule the next."""
        if self._over.is_done or self._socket.is_closed:
            return
        clock, sent_ns = self._clock, self._sent_ns
        sequence = len(sent_ns)
        sent_ns.append(clock.now_ns)
        self._due_ns += self._interval_ns if self._random is None else self._random.expovariate(1 / self._interval_ns)
        is_last = sequence + 1 == self._count or self._due_ns >= self._end_ns - 1
        if not is_last:
            # The next one is scheduled first; otherwise this one could be delivered at once although the next is due
            # before its arrival.
            clock.post_at_ns(round(self._due_ns), self.send_next)
        before = clock.context
        if self._is_encrypted:
            clock.context = PacketObserver(self._record, sequence)
        try:
            self._opaque.send(Datagram(self._number, sequence, self._size), self._peer)
        except OSError as error:
            self._record.refused(sequence, strerror(error))
        finally:
            clock.context = before
        if is_last:
            self._over.set_result(None)


def _consume(process: Process, socket: UdpSocket, meter: Meter, content: tuple[int, int], _sender: object) -> bool:
    return not process.is_paused and meter.received(content, socket)


def _refuse(_content: object, _sender: object) -> bool:
    return False


def _is_redundant(_content: object) -> bool:
    return False


def receiver(protocol: str, port: int, family: int, meter: Meter) -> Program:
    """Return a program that binds `port` for `protocol` and receives flows there until it is killed.

    `family` is the IP version, 4 or 6; `meter` records what arrives.
    """
    wildcard = IPV6_ANY if family == 6 else IPV4_ANY

    async def flow_receiver(process: Process) -> int:
        if protocol == "udp":
            socket = process.udp(family)
            socket.bind((wildcard, port))
            OpaqueDatagrams(socket, partial(_consume, process, socket, meter), _is_redundant, is_passive=True)
            while True:
                await socket.recvfrom()
        listener = process.tcp(family)
        listener.bind((wildcard, port))
        listener.listen()
        while True:
            process.task(_drain(await listener.accept()))

    return flow_receiver


async def _drain(connection: TcpSocket) -> None:
    """Read a connection until its end. Data of measured flows does not get here: the meter reads it."""
    try:
        while await connection.recv():
            pass
    except OSError:
        pass
    finally:
        connection.close()
