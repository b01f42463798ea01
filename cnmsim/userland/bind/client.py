"""DNS queries as bind's tools (dig, host, nslookup) send them (bind 9.20)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, family_of, format_ip, parse_ip
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.sockets.tcp import TcpSocket
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.userland.deadline import deadline_ns, remaining_s
from cnmsim.userland.libc.resolver import ResolveError, Resolver, parse_answer, read_config

if TYPE_CHECKING:
    import dns.message

    from cnmsim.kernel.process import Process

_PROBLEMS = {
    "Connection refused": "connection refused", "Network is unreachable": "network unreachable",
    "No route to host": "host unreachable", "Operation not permitted": "permission denied",
    "Cannot assign requested address": "address not available", "Address already in use": "address in use",
}  # fmt: skip


class Client:
    """Sends a query to several servers in turn, as often and with the timeouts that bind's tools use.

    `port`, `timeout_s` (of one attempt) and `tries` (rounds over all servers) apply to every query. `source` is the
    local address and port to send from, `None` for any. `uses_tcp` selects TCP instead of UDP. `was_sent` is True
    once a query was sent. `problems` holds the error text of every failed attempt. `server` and `query_time_ms`
    describe the last answer.
    """

    def __init__(self, process: Process, port: int = 53, timeout_s: float = 5, tries: int = 3) -> None:
        self.process = process
        self.port = port
        self.timeout_s = timeout_s
        self.tries = tries
        self.source: tuple[Address, int] | None = None
        self.uses_tcp = self.was_sent = False
        self.sent_ns = 0
        self.query_time_ms = 0
        self.server = ""
        self.problems: list[str] = []

    async def query_servers(
        self, servers: list[Address], query: dns.message.Message
    ) -> tuple[dns.message.Message, int] | None:
        """Send `query` to each server in turn. Return the first answer and its length in bytes.

        Return `None` if no server answered in `tries` rounds. The error text of every failed attempt is appended to
        `problems`.
        """
        for _ in range(self.tries):
            for server in servers:
                response = await (self._try_stream if self.uses_tcp else self._try)(server, query)
                if response is not None:
                    self.server = format_ip(server)
                    return response
        return None

    async def _try(self, server: Address, query: dns.message.Message) -> tuple[dns.message.Message, int] | None:
        where = f"{format_ip(server)}#{self.port}"
        clock = self.process.clock
        socket = UdpSocket(self.process.namespace, family_of(server), owner=self.process)
        self.sent_ns = clock.now_ns
        until_ns = deadline_ns(clock, self.timeout_s)
        try:
            if not self._bind(socket, server, query, "UDP setup with"):
                return None
            socket.connect((server, self.port))
            socket.send(query.to_wire())
            self.was_sent = True
            while True:
                data, _ = await socket.recvfrom(remaining_s(clock, until_ns))
                if (response := self._match_response(query, data)) is not None:
                    return response
        except TimeoutError:
            self.problems.append(f"communications error to {where}: timed out")
        except OSError as error:
            self.problems.append(f"communications error to {where}: {_problem_text(error)}")
        finally:
            socket.close()
        return None

    async def _try_stream(
        self, server: Address, query: dns.message.Message
    ) -> tuple[dns.message.Message, int] | None:
        clock = self.process.clock
        socket = TcpSocket(self.process.namespace, family_of(server), owner=self.process)
        self.sent_ns = clock.now_ns
        until_ns = deadline_ns(clock, self.timeout_s)
        try:
            if not self._bind(socket, server, query, "Connection to"):
                return None
            await socket.connect((server, self.port), self.timeout_s)
            wire = query.to_wire()
            socket.send(len(wire).to_bytes(2) + wire)
            self.was_sent = True
            data = b""
            while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2]):
                more = await socket.recv(timeout=remaining_s(clock, until_ns))
                if not more:
                    self.problems.append(f"communications error to {format_ip(server)}#{self.port}: end of file")
                    return None
                data += more
            return self._match_response(query, data[2:])
        except OSError as error:
            self._refuse(server, query, "Connection to", error)
        finally:
            socket.close()
        return None

    def _bind(self, socket: UdpSocket | TcpSocket, server: Address, query: dns.message.Message, what: str) -> bool:
        try:
            if self.source is not None:
                socket.bind(self.source)
        except OSError as error:
            self._refuse(server, query, what, error)
            return False
        return True

    def _refuse(self, server: Address, query: dns.message.Message, what: str, error: OSError) -> None:
        name = query.question[0].name.to_text(omit_final_dot=True)
        text = format_ip(server)
        self.problems.append(f"{what} {text}#{self.port}({text}) for {name} failed: {_problem_text(error)}.")

    def _match_response(self, query: dns.message.Message, data: bytes) -> tuple[dns.message.Message, int] | None:
        answer = parse_answer(data)
        if answer is None or not query.is_response(answer):
            return None
        self.query_time_ms = (self.process.clock.now_ns - self.sent_ns) // 1_000_000
        return answer, len(data)


def _problem_text(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    text = strerror(error)
    return _PROBLEMS.get(text, text.lower())


async def resolve_servers(process: Process, name: str, family: int = 0) -> list[Address] | None:
    """Return the addresses of the DNS server `name`, or of all servers in resolv.conf if `name` is "".

    Return `None` if `name` cannot be resolved. `family` (4, 6, or 0 for both) restricts the addresses of `name`.
    """
    if not name:
        return [parse_ip(server) for server in read_config(process).servers]
    try:
        return await Resolver(process).addresses(name, family)
    except ResolveError:
        return None


def type_name(number: int) -> str:
    """Return the name of the DNS record type `number`, e.g. `AAAA` for 28."""
    import dns.rdatatype

    return dns.rdatatype.to_text(dns.rdatatype.RdataType(number))
