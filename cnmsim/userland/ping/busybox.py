"""busybox ping and ping6. Like the real programs, they ignore ICMP errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.address import family_of, format_ip, literal_address
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain, show_usage
from cnmsim.userland.deadline import NEVER_NS, deadline_ns, remaining_s
from cnmsim.userland.invocation import invoked_name
from cnmsim.userland.libc.getopt import Options, UsageError, getopt
from cnmsim.userland.libc.resolver import ResolveError, Resolver
from cnmsim.userland.ping.session import EchoSession, is_echo_reply, milliseconds

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.skbuff import Packet
    from cnmsim.kernel.sockets.icmp import IcmpSocket

_LINGER_S = 10


@define(eq=False)
class _Session(EchoSession):
    options: Options

    def take(self, packet: Packet) -> None:
        """Process a received packet. If it is a reply to this ping, count it and, without -q, print it."""
        reply = self.count_reply(packet) if is_echo_reply(packet) else None
        if reply is not None and "q" not in self.options:
            self.process.write(
                f"{len(packet.payload)} bytes from {format_ip(packet.src)}: seq={reply.sequence} ttl={packet.ttl} "
                f"time={milliseconds(reply.time_ns)} ms{' (DUP!)' if reply.is_repeated else ''}\n"
            )

    def statistics(self) -> int:
        """Print the statistics of the run. Return the exit status."""
        received = len(self.times_ns)
        loss = (self.transmitted - received) * 100 // self.transmitted if self.transmitted else 0
        repeated = f"{self.repeated} duplicates, " if self.repeated else ""
        self.process.write(
            f"\n--- {self.name} ping statistics ---\n{self.transmitted} packets transmitted, "
            f"{received} packets received, {repeated}{loss}% packet loss\n"
        )
        if self.times_ns:
            values = (min(self.times_ns), sum(self.times_ns) // received, max(self.times_ns))
            self.process.write(f"round-trip min/avg/max = {'/'.join(map(milliseconds, values))} ms\n")
        return int(not received)


async def main(process: Process) -> int:
    """Run `ping [-46q] [-c COUNT] [-s SIZE] [-i SECS] [-t TTL] [-I IFACE/IP] [-W SECS] [-w SECS] HOST`."""
    try:
        options = getopt(process.argv[1:], "46qnc:s:i:t:I:W:w:p:")
        count = options.number("c", 0)
        size = options.number("s", 56, high=65507)
        interval = options.seconds("i", 1)
        linger = options.number("W", _LINGER_S)
        deadline = options.number("w", 0)
        ttl = options.number("t", 0, high=255)
        pattern = bytes([int(options.get("p", "0") or "0", 16) & 0xFF])
    except (UsageError, ValueError) as error:
        if "invalid number" in str(error) or "range" in str(error):
            return complain(process, str(error))
        return show_usage(process, "[OPTIONS] HOST", str(error))
    if len(options.operands) != 1:
        return show_usage(process, "[OPTIONS] HOST")
    name = options.operands[0]
    family = 6 if invoked_name(process) == "ping6" else options.family
    try:
        address = (await Resolver(process).addresses(name, family))[0]
    except ResolveError:
        return complain(process, f"bad address '{name}'")
    try:
        socket = process.icmp(family_of(address))
    except PermissionError:
        process.write(f"PING {name} ({format_ip(address)}): {size} data bytes\n")
        return complain(process, "permission denied (are you root?)")
    if ttl:
        socket.ttl = ttl
    try:
        _bind(socket, options.get("I"))
    except (OSError, ValueError) as error:
        text = strerror(error) if isinstance(error, OSError) else "No such device"
        return complain(process, f"can't bind to interface {options.get('I')}: {text}")
    session = _Session(process, name, address, options)
    process.write(f"PING {name} ({format_ip(address)}): {size} data bytes\n")
    process.handlers[2] = lambda: process.exit(session.statistics())
    clock = process.clock
    sequence = 0
    next_ns = clock.now_ns
    until_ns = deadline_ns(clock, deadline) if deadline else NEVER_NS
    while clock.now_ns < until_ns:
        if clock.now_ns >= next_ns:
            if count and session.transmitted >= count:
                break
            session.sent_ns[sequence] = clock.now_ns
            session.transmitted += 1
            try:
                socket.send_echo(address, process.pid & 0xFFFF, sequence, pattern * size)
            except OSError as error:
                return complain(process, f"sendto: {strerror(error)}")
            sequence = (sequence + 1) & 0xFFFF
            next_ns = deadline_ns(clock, interval)
            if count and session.transmitted >= count:
                # After the last request, busybox waits -W seconds if it has no reply yet, else two round trips in
                # whole seconds.
                slowest = max(session.times_ns, default=0) * 2 // NS_PER_S
                next_ns = deadline_ns(clock, max(1, slowest) if session.times_ns else linger)
        try:
            session.take(await socket.recv(remaining_s(clock, min(next_ns, until_ns))))
        except TimeoutError:
            continue
        if count and len(session.times_ns) >= count:
            break
    return session.statistics()


def _bind(socket: IcmpSocket, where: str | None) -> None:
    if where is None:
        return
    address = literal_address(where)
    if address is None:
        socket.bind_device(where)
    else:
        socket.bind(address)
