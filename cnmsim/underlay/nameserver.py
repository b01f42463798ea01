"""A name server for plain hosts: it is authoritative for its own names and forwards no queries.

It answers like dnsmasq with `--no-resolv --server=/#/` and `--host-record`. A known name has A and AAAA records, and
a PTR record for each address, with TTL 0. If a known name has no record of the requested type, the answer is empty;
for any other name it is NXDOMAIN. Messages are encoded by dnspython, over UDP and TCP (RFC 1035 §4.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.kernel.address import Address, format_ip, parse_ip

if TYPE_CHECKING:
    import dns.message

    from cnmsim.kernel.process import Process, Program
    from cnmsim.kernel.sockets.tcp import TcpSocket
    from cnmsim.kernel.sockets.udp import UdpSocket

#: The size of the largest UDP message that the server accepts, which it sends by EDNS (dnsmasq: `edns-packet-max`).
_EDNS_PAYLOAD = 1232
_PORT = 53
#: The name in a zone that stands for all public names.
ANY_PUBLIC_NAME = "*"
#: Top-level domains of more than two letters that count as public. All of two letters do: they belong to countries.
_TOP_LEVEL = frozenset(
    "academy agency aero app art asia bar biz blog build care cat center chat city cloud club codes coffee com "  # noqa: SIM905
    "community company computer consulting design dev digital direct download edu education email energy events "
    "exchange expert express family fm foundation fun games global gov group guide health help host hosting house "
    "icu info ink institute int international jobs land legal life link live lol ltd management market media mil "
    "mobi moe money name net network news ninja observer one online org page partners photo photos plus press pro "
    "pub red report rocks run sale school science services site social software solutions space store stream studio "
    "style support systems team tech technology tips today tools top tube university video vip website wiki win "
    "work works world xyz zone".split()
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


@define(eq=False)
class Zone:
    """The names for which a server is authoritative.

    `addresses` maps a name, in lower case without the final dot, to its addresses. The addresses of the name `*`
    apply to every public name that is not in the zone.
    """

    addresses: dict[str, list[Address]] = field(factory=dict)

    @classmethod
    def of(cls, names: Mapping[str, str | Iterable[str]]) -> Zone:
        """Build a zone from a mapping such as `{"www.example.com": "203.0.113.10"}`.

        A name may have several addresses.

        Raises `ValueError` for an invalid address.
        """
        zone = cls()
        for name, addresses in names.items():
            for text in [addresses] if isinstance(addresses, str) else addresses:
                zone.add(name, text)
        return zone

    def add(self, name: str, address: str) -> None:
        """Add an address to a name. Raises `ValueError` if the address is invalid."""
        self.addresses.setdefault(_canonical(name), []).append(parse_ip(address))

    def find(self, name: str) -> list[Address] | None:
        """Return the addresses of a name, or `None` if the zone does not contain the name.

        For a public name that it does not contain, return the addresses of `*`, if any.
        """
        found = self.addresses.get(name)
        return self.addresses.get(ANY_PUBLIC_NAME) if found is None and is_public_name(name) else found

    def name_of(self, address: Address) -> str | None:
        """Return the first name that has this address, or `None` if there is none. The name `*` is skipped."""
        known = (name for name, addresses in self.addresses.items() if address in addresses)
        return next((name for name in known if name != ANY_PUBLIC_NAME), None)

    def answer(self, wire: bytes, *, limit: int | None = None) -> bytes | None:
        """Return the response to a DNS message, or `None` if the message is not a valid query.

        `limit` is the maximum size of the response in bytes; `None` means the size in the query's EDNS option, or
        512. A longer response is truncated (TC).
        """
        import dns.exception
        import dns.flags
        import dns.message
        import dns.rcode

        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return None
        if query.flags & dns.flags.QR:
            return None
        response = dns.message.make_response(query, recursion_available=True, our_payload=_EDNS_PAYLOAD)
        if len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
        else:
            self._add_answer(response)
        try:
            return response.to_wire(max_size=limit or max(512, query.payload), prepend_length=False)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _add_answer(self, response: dns.message.Message) -> None:
        import dns.flags
        import dns.rcode
        import dns.rdataclass
        import dns.rdatatype
        import dns.reversename
        import dns.rrset

        question = response.question[0]
        name = _canonical(question.name.to_text())
        records: list[str] = []
        kind = question.rdtype
        addresses = self.find(name)
        if addresses is not None:
            length = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 16}.get(kind)
            records = [format_ip(address) for address in addresses if len(address) == length]
        elif kind == dns.rdatatype.PTR and (pointed := self._ptr_target(question.name)) is not None:
            records = [pointed + "."]
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if records and question.rdclass == dns.rdataclass.IN:
            response.flags |= dns.flags.AA
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", kind, *records))

    def _ptr_target(self, name: Any) -> str | None:
        import dns.exception
        import dns.reversename

        try:
            address = dns.reversename.to_address(name)
        except (dns.exception.DNSException, ValueError):
            return None
        return self.name_of(parse_ip(str(address)))


def is_public_name(name: str) -> bool:
    """Return True if a name has several labels and a public top-level domain, such as `www.example.com`."""
    *labels, top = _canonical(name).split(".")
    is_top = top in _TOP_LEVEL or (len(top) == 2 and top.isascii() and top.isalpha())
    return is_top and bool(labels) and all(_LABEL.fullmatch(label) for label in labels)


def _canonical(name: str) -> str:
    return name.rstrip(".").lower()


def name_server(zone: Zone) -> Program:
    """Return a program that answers for `zone` on UDP and TCP port 53 of all addresses of a host."""

    async def main(process: Process) -> int:
        listener = process.tcp(6)
        listener.bind(("::", _PORT))
        listener.listen()
        process.task(_accept(zone, process, listener))
        socket = process.udp(6)
        socket.bind(("::", _PORT))
        while True:
            wire, peer = await socket.recvfrom()
            answer = zone.answer(wire)
            if answer is not None:
                _send(process, socket, answer, peer)

    return main


def _send(process: Process, socket: UdpSocket, answer: bytes, peer: Any) -> None:
    try:
        socket.sendto(answer, peer)
    except OSError as lost:  # logged, as real servers do
        process.error(f"failed to send packet: {lost.strerror}\n")


async def _accept(zone: Zone, process: Process, listener: TcpSocket) -> None:
    while True:
        process.task(_serve_connection(zone, await listener.accept()))


async def _serve_connection(zone: Zone, connection: TcpSocket) -> None:
    """Answer the length-prefixed queries of one TCP connection (RFC 1035 §4.2.2)."""
    waiting = b""
    try:
        while data := await connection.recv():
            waiting += data
            while len(waiting) >= 2 and len(waiting) >= (end := 2 + int.from_bytes(waiting[:2])):
                answer = zone.answer(waiting[2:end], limit=65535)
                waiting = waiting[end:]
                if answer is None:
                    return
                connection.send(len(answer).to_bytes(2) + answer)
    except OSError:
        return  # the client reset the connection
    finally:
        connection.close()
