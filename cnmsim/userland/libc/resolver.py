"""The C library's stub resolver: looks names up in /etc/hosts, then asks the servers of /etc/resolv.conf over UDP.

It behaves like glibc, which is also in Debian's static busybox: A and AAAA are queried at the same time from one
socket, `search` and `ndots` apply, and addresses are sorted by RFC 6724. Not modelled: nsswitch.conf, TCP fallback,
DNSSEC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.digits import is_number
from cnmsim.kernel.address import (
    Address,
    family_of,
    is_link_local,
    is_loopback,
    literal_address,
    parse_ip,
)
from cnmsim.userland.deadline import deadline_ns, remaining_s

if TYPE_CHECKING:
    import dns.message

    from cnmsim.kernel.process import Process

_MAX_SERVERS = 3


class ResolveError(Exception):
    """A name could not be resolved. The text is that of gai_strerror(3).

    `is_temporary` is True if the reason is that no name server answered.
    """

    def __init__(self, message: str, *, is_temporary: bool = False) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary


@frozen
class ResolverConfig:
    """The settings of /etc/resolv.conf. `timeout_s` applies to one attempt at one server."""

    servers: tuple[str, ...] = ("127.0.0.1",)
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout_s: float = 5
    attempts: int = 2

    @classmethod
    def parse(cls, text: str, *, domain: str = "") -> ResolverConfig:
        """Parse the text of a resolv.conf(5).

        Unknown lines are ignored, as are servers that are not addresses. glibc also reads short forms of IPv4
        addresses, such as `127.1`, which are ignored here.
        If the text contains no search list, `domain` is used as the search list.
        """
        servers: list[str] = []
        search: tuple[str, ...] = (domain,) if domain else ()
        ndots, timeout_s, attempts = 1, 5.0, 2
        for line in text.splitlines():
            words = line.split("#")[0].split(";")[0].split()
            if len(words) < 2:
                continue
            if words[0] == "nameserver":
                server = words[1].partition("%")[0]
                if literal_address(server) is not None:
                    servers.append(server)
            elif words[0] == "search":
                search = tuple(word for word in words[1:] if word != ".")
            elif words[0] == "domain":
                search = (words[1],)
            elif words[0] == "options":
                for option in words[1:]:
                    name, _, value = option.partition(":")
                    if not is_number(value):
                        continue
                    if name == "ndots":
                        ndots = min(15, int(value))
                    elif name == "timeout":
                        timeout_s = max(1.0, min(30.0, float(value)))
                    elif name == "attempts":
                        attempts = max(1, min(5, int(value)))
        return cls(tuple(servers[:_MAX_SERVERS]) or ("127.0.0.1",), search, ndots, timeout_s, attempts)

    def candidates(self, name: str) -> list[str]:
        """Return the absolute names to try in turn for `name`, as `search` and `ndots` determine (resolv.conf(5))."""
        if name.endswith("."):
            return [name]
        searched = [f"{name}.{domain.strip('.')}." for domain in self.search]
        if name.count(".") >= self.ndots:
            return [f"{name}.", *searched]
        return [*searched, f"{name}."]


def read_config(process: Process) -> ResolverConfig:
    """Parse the process's /etc/resolv.conf. If the file is missing, the only server is 127.0.0.1."""
    domain = process.hostname.partition(".")[2]
    try:
        text = process.files.read("/etc/resolv.conf").decode(errors="replace")
    except OSError:
        text = ""
    return ResolverConfig.parse(text, domain=domain)


def read_hosts(process: Process) -> str:
    """Return the text of the process's /etc/hosts, "" if the file is missing."""
    try:
        return process.files.read("/etc/hosts").decode(errors="replace")
    except OSError:
        return ""


def lookup_hosts(text: str, name: str, family: int = 0) -> list[Address]:
    """Return the addresses of `name` in the text of /etc/hosts, in the order of the file.

    `family` is 4, 6, or 0 for both.
    """
    lower_name = name.rstrip(".").lower()
    addresses: list[Address] = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if lower_name not in (word.lower() for word in words[1:]):
            continue
        try:
            address = parse_ip(words[0])
        except ValueError:
            continue
        if not family or (family == 6) == (len(address) == 16):
            addresses.append(address)
    return addresses


def reverse_hosts(text: str, address: Address) -> str | None:
    """Return the first name of an address in the text of /etc/hosts, or `None` if the address is not in it."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        try:
            if len(words) > 1 and parse_ip(words[0]) == address:
                return words[1]
        except ValueError:
            continue
    return None


def reverse_name(address: Address) -> str:
    """Return the domain name of an address's PTR record, e.g. `4.3.2.10.in-addr.arpa` for 10.2.3.4."""
    if len(address) == 4:
        return ".".join(str(octet) for octet in reversed(address)) + ".in-addr.arpa"
    return ".".join(reversed(address.hex())) + ".ip6.arpa"


@define
class _Exchange:
    """One attempt to query one server: the queries sent, and the answers received so far by query identifier."""

    queries: list[dns.message.Message]
    answers: dict[int, dns.message.Message] = field(factory=dict)

    @property
    def is_complete(self) -> bool:
        return len(self.answers) == len(self.queries)


class Resolver:
    """The stub resolver that a process uses. `config` defaults to the settings of its /etc/resolv.conf."""

    def __init__(self, process: Process, config: ResolverConfig | None = None) -> None:
        self.process = process
        self.config = config or read_config(process)

    async def addresses(self, name: str, family: int = 0) -> list[Address]:
        """Return the addresses of a name in order of preference, as getaddrinfo(3) does.

        If `name` is itself an IP address, only that is returned. `family` is 4, 6, or 0 for both. Raises
        `ResolveError` if there are no addresses of this family.
        """
        literal = literal_address(name.partition("%")[0])
        if literal is not None:
            if family and (family == 6) != (len(literal) == 16):
                raise ResolveError("Address family for hostname not supported")
            return [literal]
        file_addresses = lookup_hosts(read_hosts(self.process), name, family)
        if file_addresses and not family:
            # glibc's lookup in /etc/hosts returns the IPv6 addresses first.
            file_addresses.sort(key=lambda address: len(address) != 16)
        return sort_addresses(self.process, file_addresses or await self._query_addresses(name, family))

    async def host_entry(self, name: str) -> tuple[str, list[Address]]:
        """Return the canonical name and the IPv4 addresses of a name (gethostbyname(3)).

        They come from the first matching line of /etc/hosts, or else from the name servers. Raises `ResolveError` if
        there are no addresses.
        """
        for line in read_hosts(self.process).splitlines():
            if addresses := lookup_hosts(line, name, 4):
                return line.split()[1], addresses
        return name, await self._query_addresses(name, 4)

    async def _query_addresses(self, name: str, family: int) -> list[Address]:
        import dns.rcode

        kinds = ["AAAA"] if family == 6 else ["A"] if family == 4 else ["A", "AAAA"]
        has_failure = has_name = False
        for candidate in self.config.candidates(name):
            answers = await self.query(candidate, kinds)
            if answers is None:
                has_failure = True
                continue
            addresses = [address for answer in answers for address in _addresses_in(answer)]
            if addresses:
                return addresses
            codes = [answer.rcode() for answer in answers]
            has_failure = has_failure or dns.rcode.SERVFAIL in codes
            has_name = has_name or dns.rcode.NOERROR in codes
        if has_name and not has_failure:
            raise ResolveError("No address associated with hostname")
        if has_failure:
            raise ResolveError("Temporary failure in name resolution", is_temporary=True)
        raise ResolveError("Name or service not known")

    async def reverse_lookup(self, address: Address) -> str | None:
        """Return the host name of an address (getnameinfo(3)), or `None` if it has none."""
        name = reverse_hosts(read_hosts(self.process), address)
        if name is not None:
            return name
        import dns.rdatatype

        answers = await self.query(reverse_name(address) + ".", ["PTR"])
        for rrset in answers[0].answer if answers else ():
            if rrset.rdtype == dns.rdatatype.PTR:
                return rrset[0].target.to_text(omit_final_dot=True)  # type: ignore[no-any-return]
        return None

    async def query(self, name: str, kinds: list[str]) -> list[dns.message.Message] | None:
        """Query the name servers for all record types `kinds` of `name`. Return one answer per type.

        The servers are tried in turn until one answers without an error such as SERVFAIL or REFUSED. If each server
        that answers returns such an error, the answers of the last one are returned. Return `None` if no server
        answers, or if `name` is not a valid domain name.
        """
        import dns.exception
        import dns.message
        import dns.rcode

        try:
            queries = [dns.message.make_query(name, kind, id=draw_query_id(self.process)) for kind in kinds]
        except (dns.exception.DNSException, UnicodeError):
            return None
        refused: list[dns.message.Message] | None = None
        for _ in range(self.config.attempts):
            for server in self.config.servers:
                answers = await self._try(server, _Exchange(list(queries)))
                if answers is None:
                    continue
                if any(answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) for answer in answers):
                    return answers
                refused = answers
            if refused is not None:
                break
        return refused

    async def _try(self, server: str, exchange: _Exchange) -> list[dns.message.Message] | None:
        try:
            address = parse_ip(server)
            socket = self.process.udp(family_of(address))
        except (ValueError, OSError):
            return None
        try:
            socket.connect((address, 53))
            for query in exchange.queries:
                socket.send(query.to_wire())
            until_ns = deadline_ns(self.process.clock, self.config.timeout_s)
            while not exchange.is_complete:
                data, _ = await socket.recvfrom(remaining_s(self.process.clock, until_ns))
                answer = parse_answer(data)
                if answer is not None and any(query.is_response(answer) for query in exchange.queries):
                    exchange.answers[answer.id] = answer
        except OSError:
            return None
        finally:
            socket.close()
        return [exchange.answers[query.id] for query in exchange.queries]


def draw_query_id(process: Process) -> int:
    """Return a random identifier for a DNS query (RFC 1035 §4.1.1)."""
    return process.machine.random.randrange(65536)


def parse_answer(data: bytes) -> dns.message.Message | None:
    """Parse a DNS message. Return `None` if it is malformed."""
    import dns.exception
    import dns.message

    try:
        return dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None


def _addresses_in(answer: dns.message.Message) -> list[Address]:
    import dns.rdatatype

    kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
    return [parse_ip(record.address) for rrset in answer.answer if rrset.rdtype in kinds for record in rrset]


def _scope(address: Address) -> int:
    if is_loopback(address) or is_link_local(address):
        return 2
    return 0xE


def _label(address: Address) -> int:
    if len(address) == 4:
        return 4
    if is_loopback(address):
        return 0
    return 6 if address[0] & 0xFE == 0xFC else 1


def _precedence(address: Address) -> int:
    if len(address) == 4:
        return 10
    return 50 if is_loopback(address) else 40


def sort_addresses(process: Process, addresses: list[Address]) -> list[Address]:
    """Sort destination addresses as getaddrinfo(3) does (RFC 6724 §6).

    Addresses without a route come last. The others are compared with the source address that the kernel selects for
    them. First come addresses of the same scope as their source address, then those with the same label (RFC 6724
    §2.1) as it, then those with a higher precedence, then those with a smaller scope. Addresses that are equal in all
    this keep their order.
    """
    if len(addresses) < 2:
        return addresses

    def key(address: Address) -> tuple[bool, bool, bool, int, int]:
        try:
            source = process.namespace.route_output(address).src
        except OSError:
            return True, True, True, -_precedence(address), 0
        return (
            False,
            _scope(source) != _scope(address),
            _label(source) != _label(address),
            -_precedence(address),
            _scope(address),
        )

    return sorted(addresses, key=key)
