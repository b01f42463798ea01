"""The embedded DNS resolver of a sandbox, on 127.0.0.11, run by the daemon inside the container's namespace.

Its sockets have ephemeral ports, to which NAT in that namespace redirects port 53. It answers for names on the
container's networks and forwards other queries. Source: moby `libnetwork/resolver.go`, `libnetwork/resolver_unix.go`
(all releases).
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from functools import cache
from random import Random
from typing import Any, Protocol

from attrs import define, field, frozen

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.events import Reporter, Step
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.parser import parse_rule
from cnmsim.kernel.netfilter.rule import Rule as FilterRule
from cnmsim.kernel.process import Process
from cnmsim.kernel.sockets.tcp import SOMAXCONN, TcpSocket
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.kernel.task import Task, run_until
from cnmsim.libnetwork.dnsmessage import (
    AAAA,
    MX,
    NOERROR,
    PTR,
    A,
    Query,
    Rejection,
    address_record,
    answer,
    pointer_record,
    read_query,
    reversed_address,
)
from cnmsim.libnetwork.forwarder import Forwarder
from cnmsim.libnetwork.resolvconf import INTERNAL_SERVER, Upstream

OUTPUT_CHAIN = "DOCKER_OUTPUT"
POSTROUTING_CHAIN = "DOCKER_POSTROUTING"
NFT_TABLE = "docker-dns"
#: Idle timeout of a TCP client in seconds (github.com/miekg/dns).
_TCP_IDLE_S = 8.0
_SERVER = format_ip(INTERNAL_SERVER)


@cache
def _redirecting(protocol: str) -> tuple[FilterRule, FilterRule]:
    """Return two rules for one protocol: for queries to the resolver, and for its answers.

    The first redirects port 53 to the resolver's port, the second restores port 53 in the answers. The resolver's
    port is 1, a placeholder. The result is cached, because parsing the rules takes longer than the rest of a
    resolver's start.
    """
    there = f"-d {_SERVER} -p {protocol} --dport 53 -j DNAT --to-destination {_SERVER}:1"
    back = f"-s {_SERVER} -p {protocol} --sport 1 -j SNAT --to-source :53"
    return parse_rule(there.split(), 4)[0], parse_rule(back.split(), 4)[0]


class NameLookup(Protocol):
    """The interface through which a resolver finds the names and addresses on the container's networks.

    A sandbox implements it.
    """

    @property
    def has_external_access(self) -> bool:
        """Whether a network of the container has a route to the outside."""

    def resolve_name(self, name: str, family: int) -> list[Address] | None:
        """Return the addresses of a name in address family 4 or 6.

        Return [] if the name has no address of this family, `None` if the name is unknown.
        """

    def resolve_address(self, address: Address) -> str | None:
        """Return `<name>.<network>` for an address on a network of the container; `None` for any other address."""


@frozen
class DnsAnswer:
    """The answer to a query: its response code, e.g. `NOERROR`, and the data of its records as text.

    `is_forwarded` is True if an upstream server answered.
    """

    name: str
    kind: str
    rcode: str
    records: tuple[str, ...]
    is_forwarded: bool

    def __str__(self) -> str:
        return f"{self.name} {self.kind}: {', '.join(self.records) or self.rcode}"


@define(eq=False, repr=False)
class Resolver:
    """The embedded DNS resolver of one sandbox.

    `names` resolves names on the container's networks. Other queries are forwarded to `upstreams`, some of them from
    the host's namespace `host`. With `ndots_set` names of a single label are not forwarded. `random` shuffles the
    addresses of an answer. `owner` is the daemon's process. With `uses_nftables` port 53 is redirected by nftables
    instead of iptables.
    """

    namespace: NetworkNamespace
    host: NetworkNamespace
    names: NameLookup
    upstreams: Sequence[Upstream]
    random: Random
    ndots_set: bool = False
    owner: Process | None = None
    uses_nftables: bool = False
    _udp: UdpSocket | None = field(default=None, init=False)
    _tcp: TcpSocket | None = field(default=None, init=False)
    _forwarder: Forwarder = field(init=False)
    _tasks: list[Task[None]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._forwarder = Forwarder(self.namespace, self.host, self.upstreams, self.owner)

    def __repr__(self) -> str:
        servers = ", ".join(map(str, self.upstreams)) or "none"
        return f"<Resolver of {self.namespace.name}, upstream {servers}>"

    def lookup(self, name: str, kind: str = "A", *, timeout_s: float = 30) -> DnsAnswer:
        """Query the resolver for `name` and a record type such as `A`, `AAAA`, `PTR` or `MX`, and return the answer.

        A program in the sandbox would get the same answer. Virtual time passes while an upstream server is queried.
        For `PTR`, `name` may be an address. Raises `InvalidParameter` for a name or type that DNS does not have,
        `TimeoutError` if there is no answer within `timeout_s` seconds.
        """
        import dns.exception
        import dns.message
        import dns.rcode
        import dns.reversename

        try:
            asked = name
            if kind.upper() == "PTR" and not name.rstrip(".").endswith(".arpa"):
                asked = str(dns.reversename.from_address(name))
            message = dns.message.make_query(asked, kind)
        except (dns.exception.DNSException, ValueError, AttributeError) as error:
            raise InvalidParameter(f"no query for {name!r} {kind!r}: {error}") from None
        message.id = 1  # dnspython draws it from the real machine's random numbers
        wire = message.to_wire()
        query = read_query(wire)
        state = self.random.getstate()
        is_local = not isinstance(query, Rejection) and self._local_records(query) is not None
        self.random.setstate(state)
        response = run_until(self.namespace.clock, self.respond(wire, is_tcp=True), timeout_s)
        if response is None:
            raise TimeoutError(f"no answer for {name} {kind}")
        answered = dns.message.from_wire(response)
        records = tuple(str(item) for rrset in answered.answer for item in rrset)
        return DnsAnswer(name, kind.upper(), dns.rcode.to_text(answered.rcode()), records, not is_local)

    @property
    def is_running(self) -> bool:
        """Whether the resolver's sockets are open."""
        return self._udp is not None

    @property
    def ports(self) -> tuple[int, int]:
        """The ports of the resolver's UDP and TCP sockets; 0 while it is stopped."""
        return (0 if self._udp is None else self._udp.local_port, 0 if self._tcp is None else self._tcp.local_port)

    def start(self) -> None:
        """Open the resolver's sockets, and redirect port 53 to them. Do nothing if it is running.

        Raises `OSError` if 127.0.0.11 cannot be bound.
        """
        if self.is_running:
            return
        udp, tcp = UdpSocket(self.namespace, 4, self.owner), TcpSocket(self.namespace, 4, self.owner)
        try:
            udp.bind((INTERNAL_SERVER, 0))
            tcp.bind((INTERNAL_SERVER, 0))
            tcp.listen(SOMAXCONN)
        except OSError:
            udp.close()
            tcp.close()
            raise
        self._udp, self._tcp = udp, tcp
        self._redirect(udp.local_port, tcp.local_port)
        udp.on_readable = self._take_datagrams
        tcp.on_accept = self._take_connection

    def stop(self) -> None:
        """Close the resolver's sockets and cancel pending queries.

        The rules that redirect port 53 stay, as in the engine.
        """
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for socket in (self._udp, self._tcp):
            if socket is not None:
                socket.close()
        self._udp = self._tcp = None

    def withdraw(self) -> None:
        """Stop the resolver and delete the rules that redirect port 53.

        Used if the join that started it has failed.
        """
        self.stop()
        if self.uses_nftables:
            from cnmsim.kernel.netfilter.nftables import NfTables

            NfTables.of(self.namespace.netfilter).execute(f"destroy table ip {NFT_TABLE}\n")
            return
        tables = self.namespace.netfilter.iptables(4)
        for hook, chain in (("OUTPUT", OUTPUT_CHAIN), ("POSTROUTING", POSTROUTING_CHAIN)):
            tables.delete("nat", hook, f"-d {_SERVER} -j {chain}")
            tables.flush_chain("nat", chain)
            tables.delete_chain("nat", chain)

    def _redirect(self, udp_port: int, tcp_port: int) -> None:
        if self.uses_nftables:
            self._redirect_with_nftables(udp_port, tcp_port)
            return
        tables = self.namespace.netfilter.iptables(4)
        for hook, chain in (("OUTPUT", OUTPUT_CHAIN), ("POSTROUTING", POSTROUTING_CHAIN)):
            if tables.has_chain("nat", chain):
                tables.flush_chain("nat", chain)
            else:
                tables.new_chain("nat", chain)
                tables.insert("nat", hook, f"-d {_SERVER} -j {chain}")
        for protocol, port in (("udp", udp_port), ("tcp", tcp_port)):
            there, back = _redirecting(protocol)
            tables.insert_rule("nat", OUTPUT_CHAIN, there.with_value("to-destination", f"{_SERVER}:{port}"))
            tables.insert_rule("nat", POSTROUTING_CHAIN, back.with_value("sport", str(port)))

    def _redirect_with_nftables(self, udp_port: int, tcp_port: int) -> None:
        """Create the nftables table `docker-dns`, which redirects port 53 to the resolver's sockets.

        Source: moby `daemon/libnetwork/resolver_unix.go`, setupNftablesNAT.
        """
        from cnmsim.kernel.netfilter.nftables import NfTables
        from cnmsim.libnetwork.nftables import BaseChain, DaemonTable, Rule

        server = _SERVER
        ports = (("udp", udp_port), ("tcp", tcp_port))
        table = DaemonTable(NfTables.of(self.namespace.netfilter), "ip", NFT_TABLE)
        table.create(
            [
                BaseChain("dns-dnat", "nat", "output", "dstnat"),
                *(
                    Rule("dns-dnat", f"ip daddr {server} {protocol} dport 53 counter dnat to {server}:{port}")
                    for protocol, port in ports
                ),
                BaseChain("dns-snat", "nat", "postrouting", "srcnat"),
                *(
                    Rule("dns-snat", f"ip saddr {server} {protocol} sport {port} counter snat to :53")
                    for protocol, port in ports
                ),
            ]
        )

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.is_done]
        self._tasks.append(Task(self.namespace.clock, work))

    def _take_datagrams(self, socket: UdpSocket) -> None:
        while socket.pending:
            wire, client = socket.recvfrom_nowait()
            self._run(self._reply(socket, wire, client))

    async def _reply(self, socket: UdpSocket, wire: bytes, client: tuple[Address, int]) -> None:
        response = await self.respond(wire)
        if response is None:
            return
        try:
            socket.sendto(response, client)
        except OSError as error:
            self._note(f"resolver: the answer could not be sent: {error.strerror}")

    def _take_connection(self, client: TcpSocket) -> None:
        self._run(self._converse(client))

    async def _converse(self, client: TcpSocket) -> None:
        """Answer the queries of one TCP connection. Each message is preceded by its length (RFC 1035 §4.2.2)."""
        waiting = b""
        try:
            while data := await client.recv(timeout=_TCP_IDLE_S):
                waiting += data
                while len(waiting) >= 2 and len(waiting) >= (end := 2 + int.from_bytes(waiting[:2])):
                    response = await self.respond(waiting[2:end], is_tcp=True)
                    waiting = waiting[end:]
                    if response is None:
                        return
                    client.send(len(response).to_bytes(2) + response)
        except OSError as error:  # reset, or idle for too long
            self._note(f"resolver: a TCP client disconnected: {error.strerror or error}")
        finally:
            client.close()

    async def respond(self, wire: bytes, *, is_tcp: bool = False) -> bytes | None:
        """Answer one DNS message that arrived over UDP or, if `is_tcp` is set, over TCP.

        Return the response, or `None` if none is to be sent.
        """
        query = read_query(wire)
        if isinstance(query, Rejection):
            return query.answer
        limit = query.limit(is_tcp=is_tcp)
        records = self._local_records(query)
        if records is not None:
            self._note(
                f"resolver: {query.kind_name} {query.name} answered from Docker's own records ({len(records)})"
            )
            return answer(query, records, limit=limit)
        if self.ndots_set and query.kind in {A, AAAA} and "." not in query.name.removesuffix("."):
            self._note(f"resolver: {query.name} has one label and ndots is set: not forwarded")
            return answer(query, limit=limit, rcode=NOERROR)
        return await self._forwarder.forward(
            query, wire, is_tcp=is_tcp, has_external_access=self.names.has_external_access
        )

    def _local_records(self, query: Query) -> list[bytes] | None:
        """Return the records with which the resolver answers itself; `None` if the query is to be forwarded."""
        if query.kind in {A, AAAA}:
            addresses = self.names.resolve_name(query.name, 6 if query.kind == AAAA else 4)
            return None if addresses is None else [address_record(ip) for ip in self._shuffled(addresses)]
        if query.kind == MX:
            # After an empty answer, mail servers use the addresses of the name itself (RFC 5321 §5.1).
            is_known = any(self.names.resolve_name(query.name, family) for family in (4, 6))
            return [] if is_known else None
        if query.kind == PTR and (address := reversed_address(query.name)) is not None:
            name = self.names.resolve_address(address)
            return None if name is None else [pointer_record(name)]
        return None

    def _shuffled(self, addresses: Sequence[Address]) -> list[Address]:
        shuffled = list(dict.fromkeys(addresses))
        if len(shuffled) > 1:
            self.random.shuffle(shuffled)
        return shuffled

    def _note(self, what: str) -> None:
        if self.namespace.clock.context is not None:
            self.namespace.report(
                Step.NOTE, what, b"", decision=f"embedded resolver of {self.namespace.name}", detail=Reporter.RESOLVER
            )
