"""busybox traceroute and traceroute6: send UDP probes, or ICMP echo requests with -I, with increasing TTL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, family_of, format_ip, literal_address, parse_ip
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain, show_usage, usage_errors
from cnmsim.userland.invocation import invoked_name
from cnmsim.userland.libc.getopt import Options, getopt
from cnmsim.userland.libc.resolver import ResolveError, Resolver
from cnmsim.userland.ping.session import is_echo_reply, milliseconds

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.icmp import IcmpSocket
    from cnmsim.kernel.sockets.udp import UdpSocket

_SYNOPSIS = (
    "[-46FIn] [-f 1ST_TTL] [-m MAXTTL] [-q PROBES] [-p PORT]\n\t[-t TOS] [-w WAIT_SEC] [-s SRC_IP] [-i IFACE] [-z "
    "PAUSE_MSEC] HOST [BYTES]"
)
_MARKS4 = {0: "!N", 1: "!H", 2: "!P", 4: "!F", 5: "!S", 9: "!U", 10: "!W", 13: "!X"}
_MARKS6 = {0: "!N", 1: "!P", 2: "!S", 3: "!A"}


@frozen
class _Answer:
    """The response to a probe.

    `reporter` is the sender's address, `time_ns` the round-trip time, `mark` an annotation such as `!H` or "".
    `is_last` is True if the destination itself sent the response.
    """

    reporter: Address
    time_ns: int
    is_last: bool = False
    mark: str = ""


@define(eq=False)
class _Tracer:
    process: Process
    address: Address
    options: Options
    size: int
    wait_s: float
    port: int
    resolver: Resolver
    tos: int = 0
    pause_s: float = 0
    sequence: int = 0
    names: dict[Address, str] = field(factory=dict)

    async def probe(self, ttl: int) -> _Answer | None:
        """Send one probe with this TTL. Return the response, or `None` after a timeout.

        Raises `OSError` if the probe cannot be sent.
        """
        self.sequence += 1
        if self.pause_s and self.sequence > 1:
            await self.process.sleep(self.pause_s)
        if "I" in self.options:
            return await self._echo(ttl)
        return await self._datagram(ttl)

    def prepare(self, socket: UdpSocket | IcmpSocket) -> None:
        """Set on `socket` the options that the command line requests: TOS, don't-fragment, device."""
        socket.tos = self.tos
        socket.dont_fragment = True if "F" in self.options else socket.dont_fragment
        if self.options.get("i"):
            socket.bind_device(self.options.get("i") or "")

    async def _datagram(self, ttl: int) -> _Answer | None:
        from cnmsim.kernel.sockets.errors import QueuedError

        family = family_of(self.address)
        socket = self.process.udp(family)
        socket.ttl = ttl
        socket.recverr = True
        try:
            self.prepare(socket)
            if self.options.get("s"):
                socket.bind((self.options.get("s") or "", 0))
            sent = self.process.clock.now_ns
            socket.sendto(
                bytes(self.size - (48 if family == 6 else 28)), (self.address, self.port + self.sequence - 1)
            )
            try:
                _, (src, _) = await socket.recvfrom(self.wait_s)
            except TimeoutError:
                return None
            except QueuedError as error:
                info = error.info
                took = self.process.clock.now_ns - sent
                if info.icmp_type == (3 if family == 6 else 11):
                    return _Answer(info.reporter, took)
                if info.code == (4 if family == 6 else 3):
                    return _Answer(info.reporter, took, is_last=True)
                marks = _MARKS6 if family == 6 else _MARKS4
                return _Answer(info.reporter, took, mark=marks.get(info.code, f"!<{info.code}>"))
            else:
                return _Answer(src, self.process.clock.now_ns - sent, is_last=True)
        finally:
            socket.close()

    async def _echo(self, ttl: int) -> _Answer | None:
        socket = self.process.icmp(family_of(self.address))
        try:
            self.prepare(socket)
            if self.options.get("s"):
                socket.bind(parse_ip(self.options.get("s") or ""))
            sent = self.process.clock.now_ns
            header = 48 if len(self.address) == 16 else 28
            socket.send_echo(self.address, self.process.pid & 0xFFFF, self.sequence, bytes(self.size - header), ttl)
            try:
                packet = await socket.recv(self.wait_s)
            except TimeoutError:
                return None
            took = self.process.clock.now_ns - sent
            if is_echo_reply(packet):
                return _Answer(packet.src, took, is_last=True)
            if packet.icmp_type == (3 if packet.family == 6 else 11):
                return _Answer(packet.src, took)
            marks = _MARKS6 if packet.family == 6 else _MARKS4
            return _Answer(packet.src, took, mark=marks.get(packet.icmp_code, f"!<{packet.icmp_code}>"))
        finally:
            socket.close()

    async def display_name(self, address: Address) -> str:
        """Format an address for output: `HOSTNAME (ADDRESS)`, or only the address with -n."""
        text = format_ip(address)
        if "n" in self.options:
            return text
        if address not in self.names:
            self.names[address] = f"{await self.resolver.reverse_lookup(address) or text} ({text})"
        return self.names[address]


# Family, type and protocol of the raw socket, by the length of an address, as busybox prints them.
_RAW = {4: "AF_INET,3,1", 16: "AF_INET6,3,58"}


async def main(process: Process) -> int:
    """Run `traceroute [-46In] [-f TTL] [-m TTL] [-q PROBES] [-p PORT] [-w SECS] [-s SRC] [-i IFACE] HOST [BYTES]`."""
    with usage_errors(process, _SYNOPSIS):
        options = getopt(process.argv[1:], "46FIndf:m:p:q:s:t:w:z:i:")
        max_ttl = options.number("m", 30, low=1, high=255)
        first_ttl = options.number("f", 1, low=1, high=max_ttl)
        probes = options.number("q", 3, low=1)
        wait_s = options.seconds("w", 3)
        port = options.number("p", 33434, low=1, high=65535)
        tos, pause_ms = options.number("t", 0, high=255), options.number("z", 0)
    if not 1 <= len(options.operands) <= 2:
        return show_usage(process, _SYNOPSIS)
    name = options.operands[0]
    family = 6 if invoked_name(process).endswith("6") else options.family
    resolver = Resolver(process)
    try:
        address = (await resolver.addresses(name, family))[0]
    except ResolveError:
        return complain(process, f"bad address '{name}'")
    if not process.credentials.has("NET_RAW"):
        return complain(process, f"socket({_RAW[len(address)]}): Operation not permitted")
    size = 72 if len(address) == 16 else 46
    if len(options.operands) == 2 and is_number(options.operands[1]):
        size = max(size, min(32768, int(options.operands[1])))
    source = options.get("s")
    if source is not None and _is_foreign(process, source):
        return complain(process, f"can't set multicast source interface: {source}")
    origin = f" from {source}" if source else ""
    process.write(f"traceroute to {name} ({format_ip(address)}){origin}, {max_ttl} hops max, {size} byte packets\n")
    tracer = _Tracer(process, address, options, size, wait_s, port, resolver, tos, pause_ms / 1000)
    try:
        for ttl in range(first_ttl, max_ttl + 1):
            if await _hop(tracer, ttl, probes):
                break
    except OSError as error:
        process.write("\n")
        return complain(process, f"sendto: {strerror(error)}")
    return 0


def _is_foreign(process: Process, source: str) -> bool:
    address = literal_address(source)
    return address is None or not process.namespace.is_local(address)


async def _hop(tracer: _Tracer, ttl: int, probes: int) -> bool:
    """Send `probes` probes with one TTL and print the line for that hop.

    Return True if this was the last hop: the destination has responded, or all probes, except at most one, got an
    error such as `!H`.
    """
    process = tracer.process
    process.write(f"{ttl:2d}")
    last: Address | None = None
    is_over = False
    marked = 0
    for _ in range(probes):
        answer = await tracer.probe(ttl)
        if answer is None:
            process.write("  *")
            continue
        if answer.reporter != last:
            process.write(f"  {await tracer.display_name(answer.reporter)}")
            last = answer.reporter
        process.write(f"  {milliseconds(answer.time_ns)} ms{' ' + answer.mark if answer.mark else ''}")
        is_over = is_over or answer.is_last
        marked += bool(answer.mark)
    process.write("\n")
    return is_over or (marked > 0 and marked >= probes - 1)
