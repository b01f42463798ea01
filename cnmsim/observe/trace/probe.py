"""The probe: a small program that runs at the source, looks up the name and connects to the target.

It uses sockets as any program does: for TCP it connects and closes, for UDP it sends a datagram and waits for an
answer, for ICMP it sends one echo request. Its `Outcome` contains only what the program itself can see.
"""

from __future__ import annotations

import errno
import os
from enum import Enum
from typing import TYPE_CHECKING

from attrs import define, evolve, frozen

from cnmsim.kernel.address import Address, family_of, format_ip, literal_address
from cnmsim.kernel.packet import icmp_name
from cnmsim.observe.trace.lookup import Lookup, Query, look_up
from cnmsim.observe.trace.target import Target

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

DEFAULT_TIMEOUT_S = 5.0
#: The time in seconds for which a new connection is observed before it counts as open: docker-proxy may close it at
#: once.
_WATCH_S = 0.25


class Ending(Enum):
    """How a probe ended, as its program saw it."""

    ANSWERED = "answered"
    CLOSED = "accepted, and closed at once"
    REFUSED = "connection refused"
    ERROR = "error"
    SILENCE = "no answer"
    NO_NAME = "name not found"


@frozen
class Outcome:
    """What the probe's program saw: how the probe ended, the address it used, the number and text of an error.

    `elapsed_ns` is the time from the start of the probe to its end. `lookup` is the name lookup, `None` if there was
    none. `reporter` is the sender of an ICMP error, `None` if the socket did not report one.
    """

    ending: Ending
    address: Address | None = None
    error: int = 0
    text: str = ""
    elapsed_ns: int = 0
    lookup: Lookup | None = None
    reporter: Address | None = None

    @property
    def queries(self) -> tuple[Query, ...]:
        """All queries of the name lookup; empty if there was none."""
        return self.lookup.queries if self.lookup else ()


@define
class Probe:
    """A probe of one target. `run` is its program; `outcome` is `None` until the program ends.

    If `address` is given, it is used without a name lookup. `family` is the IP version to look up, 0 for either.
    `connect_started_ns` is the clock's time when the address was known.
    """

    target: Target
    timeout_s: float = DEFAULT_TIMEOUT_S
    address: Address | None = None
    family: int = 0
    outcome: Outcome | None = None
    connect_started_ns: int = 0
    _lookup: Lookup | None = None

    async def run(self, process: Process) -> int:
        """Look up the name, connect, and set `outcome`. Return exit status 0 if the destination answered, else 1."""
        began_ns = process.clock.now_ns
        outcome = await self._probe(process)
        self.outcome = evolve(outcome, elapsed_ns=process.clock.now_ns - began_ns, lookup=self._lookup)
        return 0 if outcome.ending is Ending.ANSWERED else 1

    async def _probe(self, process: Process) -> Outcome:
        address = self.address or literal_address(self.target.host)
        if address is None:
            self._lookup = await look_up(process, self.target.host, family=self.family)
            if not self._lookup.addresses:
                return Outcome(Ending.NO_NAME)
            address = self._lookup.addresses[0]
        self.connect_started_ns = process.clock.now_ns
        knock = {"tcp": self._tcp, "udp": self._udp, "icmp": self._icmp}[self.target.protocol]
        try:
            return await knock(process, address)
        except TimeoutError:
            return Outcome(Ending.SILENCE, address)
        except (ConnectionRefusedError, ConnectionResetError) as error:
            return Outcome(Ending.REFUSED, address, errno.ECONNREFUSED, _text(error))
        except OSError as error:
            return Outcome(Ending.ERROR, address, error.errno or 0, _text(error))

    async def _tcp(self, process: Process, address: Address) -> Outcome:
        socket = process.tcp(family_of(address))
        try:
            await socket.connect((format_ip(address), self.target.port), timeout=self.timeout_s)
            try:
                greeting = await socket.recv(1, timeout=_WATCH_S)
            except TimeoutError:
                return Outcome(Ending.ANSWERED, address)
            except ConnectionResetError:
                return Outcome(Ending.CLOSED, address)
            return Outcome(Ending.ANSWERED if greeting else Ending.CLOSED, address)
        finally:
            socket.close()

    async def _udp(self, process: Process, address: Address) -> Outcome:
        socket = process.udp(family_of(address))
        try:
            socket.connect((format_ip(address), self.target.port))
            socket.send(_datagram(process, self.target.port))
            await socket.recvfrom(timeout=self.timeout_s)
        finally:
            socket.close()
        return Outcome(Ending.ANSWERED, address)

    async def _icmp(self, process: Process, address: Address) -> Outcome:
        socket = process.icmp(family_of(address))
        echo_reply = 129 if len(address) == 16 else 0
        try:
            socket.send_echo(address, process.pid & 0xFFFF, 1, b"cnmsim probe".ljust(56, b"."))
            packet = await socket.recv(timeout=self.timeout_s)
        finally:
            socket.close()
        if packet.icmp_type == echo_reply:
            return Outcome(Ending.ANSWERED, address)
        text = icmp_name(packet.family, packet.icmp_type, packet.icmp_code)
        is_refusal = (packet.family, packet.icmp_type, packet.icmp_code) in {(4, 3, 3), (6, 1, 4)}
        return Outcome(
            Ending.REFUSED if is_refusal else Ending.ERROR,
            address,
            errno.ECONNREFUSED if is_refusal else errno.EHOSTUNREACH,
            text,
            reporter=packet.src,
        )


def _text(error: OSError) -> str:
    return error.strerror or (os.strerror(error.errno) if error.errno else str(error))


def _datagram(process: Process, port: int) -> bytes:
    """Return the datagram to send to `port`: a DNS query for port 53, a line of text for any other port."""
    if port != 53:
        return b"cnmsim probe\n"
    import dns.message

    return dns.message.make_query(".", "NS", id=process.machine.random.randrange(1, 65536)).to_wire()
