"""Look up a name as a program's C library does: /etc/hosts, then the name servers of /etc/resolv.conf.

Queries are real DNS packets from the source's own namespace. All are recorded, because their order and the answers
explain why a lookup failed. Sources: resolv.conf(5), hosts(5); the search list and `ndots` are applied as in glibc.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from attrs import field, frozen

from cnmsim.kernel.address import Address, format_ip, parse_ip
from cnmsim.userland.libc.resolver import ResolverConfig, lookup_hosts, read_config, read_hosts

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

HOSTS_FILE = "/etc/hosts"


class LookupResult(Enum):
    """The outcome of one query."""

    FOUND = auto()
    NO_RECORD = auto()  # NOERROR without an address: the name exists
    NO_NAME = auto()  # NXDOMAIN
    FAILED = auto()  # SERVFAIL, REFUSED or another RCODE
    MALFORMED = auto()  # the name cannot be queried, or the answer cannot be parsed
    NO_ANSWER = auto()
    ERROR = auto()  # the socket returned an error


@frozen
class Query:
    """One query for a name. `record` is the type, such as `A`, and `result` the outcome as text.

    `server` is the name server, or `HOSTS_FILE` if /etc/hosts has the name.
    """

    name: str
    record: str
    server: str
    result: str
    outcome: LookupResult

    def __str__(self) -> str:
        return f"{self.record} {self.name} @{self.server}: {self.result}"


@frozen
class Lookup:
    """The result of a name lookup: the addresses (empty if none was found) and all queries that were made."""

    name: str
    addresses: tuple[Address, ...] = ()
    queries: tuple[Query, ...] = field(default=())

    @property
    def is_silent(self) -> bool:
        """Whether queries were sent and no name server answered any of them."""
        return bool(self.queries) and all(
            query.outcome in {LookupResult.NO_ANSWER, LookupResult.ERROR} for query in self.queries
        )


async def look_up(process: Process, name: str, *, family: int = 0) -> Lookup:
    """Look up `name` with the hosts file, resolv.conf and network of `process`, as its C library would.

    DNS queries are sent, which takes virtual time. `family` is the IP version, 4 or 6; 0 tries IPv4 first, then IPv6.
    """
    families = (4, 6) if family == 0 else (family,)
    hosts = read_hosts(process)
    for ip_version in families:
        chosen = tuple(lookup_hosts(hosts, name, ip_version))
        if chosen:
            record = "A" if ip_version == 4 else "AAAA"
            text = ", ".join(format_ip(address) for address in chosen)
            return Lookup(name, chosen, (Query(name, record, HOSTS_FILE, text, LookupResult.FOUND),))
    config = read_config(process)
    queries: list[Query] = []
    for candidate in (absolute.removesuffix(".") for absolute in config.candidates(name)):
        for ip_version in families:
            addresses = await _query_servers(process, config, candidate, "A" if ip_version == 4 else "AAAA", queries)
            if addresses:
                return Lookup(name, addresses, tuple(queries))
            if Lookup(name, (), tuple(queries)).is_silent:
                return Lookup(name, (), tuple(queries))
            if queries and queries[-1].outcome is not LookupResult.NO_RECORD:
                # If the server does not have the name at all, or fails, the name's other record type is not queried.
                break
    return Lookup(name, (), tuple(queries))


async def _query_servers(
    process: Process, config: ResolverConfig, name: str, record: str, queries: list[Query]
) -> tuple[Address, ...]:
    """Query the servers in turn for `name`, append each query to `queries`, and return the addresses found.

    After SERVFAIL, REFUSED or no answer the next server is queried, as in the C library. `record` is `A` or `AAAA`.
    """
    for _ in range(config.attempts):
        for server in config.servers:
            query, addresses = await _query(process, server, name, record, config.timeout_s)
            queries.append(query)
            if addresses or query.outcome in {LookupResult.NO_NAME, LookupResult.NO_RECORD}:
                return addresses
    return ()


async def _query(
    process: Process, server: str, name: str, record: str, timeout_s: float
) -> tuple[Query, tuple[Address, ...]]:
    import dns.exception
    import dns.message
    import dns.rcode
    import dns.rdatatype

    try:
        question = dns.message.make_query(name, record, id=process.machine.random.randrange(1, 65536))
    except dns.exception.DNSException:
        return Query(name, record, server, "not a domain name", LookupResult.MALFORMED), ()
    socket = process.udp(6 if ":" in server else 4)
    try:
        socket.connect((server, 53))
        socket.send(question.to_wire())
        while True:
            data, _ = await socket.recvfrom(timeout=timeout_s)
            answer = dns.message.from_wire(data)
            if answer.id == question.id:
                break
    except TimeoutError:
        return Query(name, record, server, f"no answer in {timeout_s:g} s", LookupResult.NO_ANSWER), ()
    except OSError as error:
        return Query(name, record, server, (error.strerror or str(error)).lower(), LookupResult.ERROR), ()
    except dns.exception.DNSException:
        return Query(name, record, server, "malformed answer", LookupResult.MALFORMED), ()
    finally:
        socket.close()
    record_type = dns.rdatatype.from_text(record)
    addresses = tuple(
        parse_ip(item.to_text()) for rrset in answer.answer if rrset.rdtype == record_type for item in rrset
    )
    code = answer.rcode()
    if addresses:
        result, outcome = ", ".join(format_ip(address) for address in addresses), LookupResult.FOUND
    elif code == dns.rcode.NOERROR:
        result, outcome = "no such record", LookupResult.NO_RECORD
    else:
        result = dns.rcode.to_text(code)
        outcome = LookupResult.NO_NAME if code == dns.rcode.NXDOMAIN else LookupResult.FAILED
    return Query(name, record, server, result, outcome), addresses
