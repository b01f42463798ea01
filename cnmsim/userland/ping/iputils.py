"""iputils ping: sends echo requests, and prints replies and ICMP errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, family_of, format_ip, literal_address
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.deadline import NEVER_NS, deadline_ns, remaining_s, to_ns
from cnmsim.userland.invocation import invoked_name
from cnmsim.userland.libc.getopt import Options, UsageError, getopt
from cnmsim.userland.libc.resolver import ResolveError, Resolver
from cnmsim.userland.ping.session import EchoSession, is_echo_reply

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.skbuff import Packet
    from cnmsim.kernel.sockets.icmp import IcmpSocket

_LINGER_S = 10
_TIMESTAMP = 16
_ERRORS4 = {
    (3, 0): "Destination Net Unreachable", (3, 1): "Destination Host Unreachable",
    (3, 2): "Destination Protocol Unreachable", (3, 3): "Destination Port Unreachable",
    (3, 4): "Frag needed and DF set (mtu = {mtu})", (3, 5): "Source Route Failed",
    (3, 6): "Destination Net Unknown", (3, 7): "Destination Host Unknown", (3, 9): "Destination Net Prohibited",
    (3, 10): "Destination Host Prohibited", (3, 13): "Packet filtered",
    (11, 0): "Time to live exceeded", (11, 1): "Frag reassembly time exceeded", (5, 1): "Redirect Host",
}  # fmt: skip
_ERRORS6 = {
    (1, 0): "Destination unreachable: No route", (1, 1): "Destination unreachable: Administratively prohibited",
    (1, 2): "Destination unreachable: Beyond scope of source address",
    (1, 3): "Destination unreachable: Address unreachable", (1, 4): "Destination unreachable: Port unreachable",
    (2, 0): "Packet too big: mtu={mtu}", (3, 0): "Time exceeded: Hop limit",
    (3, 1): "Time exceeded: Defragmentation failure",
}  # fmt: skip


def round_trip(time_ns: int) -> str:
    """Format a round-trip time in nanoseconds as milliseconds, with as many digits as iputils prints."""
    micros = time_ns // 1000
    if micros >= 100_000:
        return f"{(micros + 500) // 1000}"
    if micros >= 10_000:
        return f"{micros / 1000:.1f}"
    if micros >= 1000:
        return f"{micros / 1000:.2f}"
    return f"{micros / 1000:.3f}"


def error_text(packet: Packet) -> str:
    """Return iputils' text for an ICMP or ICMPv6 error, e.g. `Destination Host Unreachable`."""
    names = _ERRORS6 if packet.family == 6 else _ERRORS4
    mtu = int.from_bytes(packet.payload[4:8]) if packet.family == 6 else int.from_bytes(packet.payload[6:8])
    code = 0 if (packet.family, packet.icmp_type) == (6, 2) else packet.icmp_code
    known = names.get((packet.icmp_type, code))
    if known is None and packet.family == 4 and packet.icmp_type == 3:
        return f"Dest Unreachable, Bad Code: {packet.icmp_code}"
    return known.format(mtu=mtu) if known else f"Bad ICMP type: {packet.icmp_type}"


def quoted_sequence(packet: Packet) -> int:
    """Return the sequence number of the echo request that is quoted in an ICMP error."""
    quoted = packet.payload[8:]
    at = 40 if packet.family == 6 else (quoted[0] & 0xF) * 4
    return int.from_bytes(quoted[at + 6 : at + 8])


@define(eq=False)
class _Session(EchoSession):
    resolver: Resolver
    size: int
    is_numeric: bool
    is_quiet: bool
    has_stamps: bool = False
    reports_outstanding: bool = False
    pattern: bytes = b""
    errors: int = 0
    pipe: int = 0
    acknowledged: int = 0
    started_ns: int = 0
    last_ns: int = 0
    names: dict[Address, str] = field(factory=dict)

    async def display_name(self, address: Address) -> str:
        """Format an address for output: `HOSTNAME (ADDRESS)`, or only the address with -n."""
        text = format_ip(address)
        if self.is_numeric:
            return text
        if address not in self.names:
            name = await self.resolver.reverse_lookup(address)
            self.names[address] = f"{name} ({text})" if name else text
        return self.names[address]

    def stamp(self) -> str:
        """Return the time stamp that -D prints at the beginning of a line, or "" without -D."""
        if not self.has_stamps:
            return ""
        seconds, nanos = divmod(self.process.clock.now_ns, NS_PER_S)
        return f"[{self.process.clock.epoch_s + seconds}.{nanos // 1000:06d}] "

    def acknowledge(self, sequence: int) -> None:
        outstanding = self.transmitted - sequence
        if outstanding >= 0:
            self.pipe = max(self.pipe, outstanding + 1)
        self.acknowledged = max(self.acknowledged, sequence)

    async def take(self, packet: Packet) -> None:
        """Process a received echo reply or ICMP error: count it and, without -q, print it."""
        if not is_echo_reply(packet):
            sequence = quoted_sequence(packet)
            self.errors += 1
            self.acknowledge(sequence)
            if not self.is_quiet:
                where = await self.display_name(packet.src)
                self.process.write(f"{self.stamp()}From {where} icmp_seq={sequence} {error_text(packet)}\n")
            return
        reply = self.count_reply(packet)
        if reply is None:
            return
        self.acknowledge(reply.sequence)
        if self.is_quiet:
            return
        where = await self.display_name(packet.src)
        took = f" time={round_trip(reply.time_ns)} ms" if self.size >= _TIMESTAMP else ""
        self.process.write(
            f"{self.stamp()}{len(packet.payload)} bytes from {where}: icmp_seq={reply.sequence} "
            f"ttl={packet.ttl}{took}"
            f"{' (DUP!)' if reply.is_repeated else ''}\n"
        )

    def statistics(self) -> int:
        """Print the statistics of the run. Return the exit status."""
        received = len(self.times_ns)
        loss = (self.transmitted - received) * 100 / self.transmitted if self.transmitted else 0
        words = [f"{self.transmitted} packets transmitted", f"{received} received"]
        words += [f"+{self.repeated} duplicates"] if self.repeated else []
        words += [f"+{self.errors} errors"] if self.errors else []
        words += [f"{loss:g}% packet loss", f"time {(self.last_ns - self.started_ns) // 1_000_000}ms"]
        tail: list[str] = []
        if received and self.size >= _TIMESTAMP:
            times = [time / 1_000_000 for time in self.times_ns]
            mean = sum(times) / received
            deviation = math.sqrt(max(0.0, sum(time * time for time in times) / received - mean * mean))
            tail.append(f"rtt min/avg/max/mdev = {min(times):.3f}/{mean:.3f}/{max(times):.3f}/{deviation:.3f} ms")
        tail += [f"pipe {self.pipe}"] if self.pipe > 1 else []
        self.process.write(f"\n--- {self.name} ping statistics ---\n{', '.join(words)}\n{', '.join(tail)}\n")
        return int(not received)


def _fail(process: Process, message: str) -> int:
    process.error(f"ping: {message}\n")
    return 2


def _numbers(options: Options) -> tuple[int, float, float, float, int]:
    def value(letter: str, default: float) -> float:
        text = options.get(letter)
        if text is None:
            return default
        try:
            number = float(text)
        except ValueError:
            raise UsageError(f"invalid argument: '{text}'") from None
        if not (text.isascii() and math.isfinite(number)):
            raise UsageError(f"invalid argument: '{text}'")
        return number

    count, size = value("c", 0), value("s", 56)
    if "c" in options and count < 1:
        raise UsageError(f"invalid argument: '{options.get('c')}': out of range: 1 <= value <= 9223372036854775807")
    return int(count), value("i", 1), value("W", _LINGER_S), value("w", 0), int(size)


async def main(process: Process) -> int:
    """Run `ping [-46nqDO] [-c COUNT] [-i SECS] [-I IFACE/IP] [-s SIZE] [-t TTL] [-W SECS] [-w SECS] … HOST`."""
    try:
        options = getopt(process.argv[1:], "46nqvDOLBdUCc:i:I:s:t:W:w:M:Q:p:S:")
        count, interval, linger, deadline, size = _numbers(options)
        tos, pattern = _tos(options.get("Q")), _pattern(options.get("p"))
    except UsageError as error:
        text = str(error)
        return _fail(process, text if "argument:" in text else f"{text}\n\nUsage\n  ping [options] <destination>")
    if not options.operands:
        return _fail(process, "usage error: Destination address required")
    name = options.operands[-1]
    family = 6 if invoked_name(process) == "ping6" else options.family
    resolver = Resolver(process)
    try:
        address = (await resolver.addresses(name, family))[0]
    except ResolveError as error:
        return _fail(process, f"{name}: {error}")
    try:
        socket = process.icmp(family_of(address), is_datagram=True)
    except PermissionError as error:
        process.error(f"ping: socktype: SOCK_RAW\nping: socket: {strerror(error)}\n")
        process.error("ping: => missing cap_net_raw+p capability or setuid?\n")
        return 2
    ttl = options.get("t") or "64"
    if not is_number(ttl) or int(ttl) > 255:
        return _fail(process, f"invalid argument: '{ttl}'")
    socket.ttl = int(ttl)
    socket.tos = tos
    socket.dont_fragment = options.get("M") in ("do", "probe")
    where = options.get("I") or ""
    try:
        problem = _bind(socket, where)
        if problem:
            return _fail(process, problem)
        source = process.namespace.route_output(address, literal_address(where)).src
    except OSError as error:
        return _fail(process, f"connect: {strerror(error)}")
    is_numeric = "n" in options or literal_address(name) is not None
    session = _Session(process, name, address, resolver, size, is_numeric, "q" in options)
    session.has_stamps, session.reports_outstanding, session.pattern = "D" in options, "O" in options, pattern
    process.write(_banner(name, address, source, size, where))
    process.handlers[2] = lambda: process.exit(session.statistics())
    await _exchange(session, socket, count=count, interval=interval, linger=linger, deadline=deadline)
    return session.statistics()


def _banner(name: str, address: Address, source: Address, size: int, where: str) -> str:
    origin = f" from {format_ip(source)}{'' if literal_address(where) else f' {where}'}:" if where else ""
    if len(address) == 16:
        return f"PING {name} ({format_ip(address)}){origin} {size} data bytes\n"
    return f"PING {name} ({format_ip(address)}){origin} {size}({size + 28}) bytes of data.\n"


def _bind(socket: IcmpSocket, where: str) -> str:
    if not where:
        return ""
    address = literal_address(where)
    try:
        if address is None:
            socket.bind_device(where)
        else:
            socket.bind(address)
    except OSError as error:
        return f"unknown iface: {where}" if address is None else f"bind: {strerror(error)}"
    return ""


async def _exchange(
    session: _Session, socket: IcmpSocket, *, count: int, interval: float, linger: float, deadline: float
) -> None:
    process = session.process
    clock = process.clock
    session.started_ns = session.last_ns = next_ns = clock.now_ns
    until_ns = deadline_ns(clock, deadline) if deadline else NEVER_NS
    while clock.now_ns < until_ns:
        if clock.now_ns >= next_ns:
            if count and session.transmitted >= count:
                return
            _send(session, socket)
            next_ns = deadline_ns(clock, interval)
            if count and session.transmitted >= count:
                twice_ns = 2 * max(session.times_ns, default=0)
                next_ns = clock.now_ns + (max(twice_ns, to_ns(interval)) if session.times_ns else to_ns(linger))
        try:
            await session.take(await socket.recv(remaining_s(clock, min(next_ns, until_ns))))
        except TimeoutError:
            continue
        if count and len(session.times_ns) + session.errors >= count:
            return


def _send(session: _Session, socket: IcmpSocket) -> None:
    process = session.process
    if session.reports_outstanding and session.transmitted and session.acknowledged < session.transmitted:
        process.write(f"{session.stamp()}no answer yet for icmp_seq={session.transmitted}\n")
    session.transmitted += 1
    sequence = session.transmitted & 0xFFFF
    session.sent_ns[sequence] = session.last_ns = process.clock.now_ns
    try:
        socket.send_echo(
            session.address, process.pid & 0xFFFF, sequence, _payload(process, session.size, session.pattern)
        )
    except OSError as error:
        process.error(f"ping: sendmsg: {strerror(error)}\n")
        session.errors += 1


def _tos(text: str | None) -> int:
    """Parse a type of service, decimal or hexadecimal; `None` means 0. Raises `UsageError` for an invalid value."""
    try:
        value = int(text or "0", 16 if (text or "").lower().startswith("0x") else 10)
    except ValueError:
        raise UsageError(f"invalid argument: '{text}'") from None
    if not 0 <= value <= 255:
        raise UsageError(f"invalid argument: '{text}': out of range: 0 <= value <= 255")
    return value


def _pattern(text: str | None) -> bytes:
    """Parse the pattern that fills the payload, up to 16 bytes in hexadecimal; `None` means no pattern.

    Raises `UsageError` for an invalid pattern.
    """
    digits = text or ""
    if any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise UsageError(f"invalid argument: '{text}': patterns must be specified as hex digits")
    pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)][:16]
    return bytes(int(pair, 16) for pair in pairs)


def _payload(process: Process, size: int, pattern: bytes) -> bytes:
    stamp = (process.clock.now_ns // 1000).to_bytes(_TIMESTAMP, "little") if size >= _TIMESTAMP else b""
    rest = size - len(stamp)
    if pattern:
        return stamp + (pattern * (rest // len(pattern) + 1))[:rest]
    return stamp + bytes(at & 0xFF for at in range(len(stamp), size))
