"""How bind's tools ask name servers (bind 9.20)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_ip, parse_ip
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.userland.resolve import ResolveError, Resolver, parse_answer, read_config

if TYPE_CHECKING:
    import dns.message

    from cnmsim.kernel.process import Process

_TROUBLES = {"Connection refused": "connection refused", "Network is unreachable": "network unreachable",
             "No route to host": "host unreachable", "Operation not permitted": "permission denied"}  # fmt: skip


class Client:
    """Puts one query to servers in turn, with tries and timeouts as bind's tools have them."""

    def __init__(self, process: Process, port: int = 53, timeout_s: float = 5, tries: int = 3) -> None:
        self.process = process
        self.port = port
        self.timeout_s = timeout_s
        self.tries = tries
        self.sent_at = 0.0
        self.took_ms = 0
        self.server = ""
        self.troubles: list[str] = []

    async def ask(self, servers: list[Address], query: dns.message.Message) -> tuple[dns.message.Message, int] | None:
        """Give the answer and its length in bytes, `None` if none comes; what went wrong is in `troubles`."""
        for _ in range(self.tries):
            for server in servers:
                found = await self._try(server, query)
                if found is not None:
                    self.server = format_ip(server)
                    return found
        return None

    async def _try(self, server: Address, query: dns.message.Message) -> tuple[dns.message.Message, int] | None:
        where = f"{format_ip(server)}#{self.port}"
        clock = self.process.clock
        socket = UdpSocket(self.process.namespace, 6 if len(server) == 16 else 4, owner=self.process)
        self.sent_at = clock.now
        try:
            socket.connect((server, self.port))
            socket.send(query.to_wire())
            while True:
                data, _ = await socket.recvfrom(max(0.0, self.sent_at + self.timeout_s - clock.now))
                answer = parse_answer(data)
                if answer is not None and query.is_response(answer):
                    self.took_ms = int((clock.now - self.sent_at) * 1000)
                    return answer, len(data)
        except TimeoutError:
            self.troubles.append(f"communications error to {where}: timed out")
        except OSError as error:
            text = strerror(error)
            self.troubles.append(f"communications error to {where}: {_TROUBLES.get(text, text.lower())}")
        finally:
            socket.close()
        return None


async def servers_named(process: Process, name: str, family: int = 0) -> list[Address] | None:
    """Give the addresses of the server that a command line names, or of those of resolv.conf if `name` is empty.

    `None` if it has none. `family` is 4, 6, or 0 for both.
    """
    if not name:
        return [parse_ip(server) for server in read_config(process).servers]
    try:
        return await Resolver(process).addresses(name, family)
    except ResolveError:
        return None


def draw_id(process: Process) -> int:
    """Draw the number of a query."""
    return process.machine.random.randrange(65536)


def type_name(number: int) -> str:
    """Give the name of a type of records."""
    import dns.rdatatype

    return dns.rdatatype.to_text(dns.rdatatype.RdataType(number))
