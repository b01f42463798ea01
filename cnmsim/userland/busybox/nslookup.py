"""The nslookup applet of busybox.

It queries the name servers one after the other. Unless -type is given, it queries for A and AAAA records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.digits import is_number
from cnmsim.kernel.address import family_of, format_endpoint, literal_address, parse_ip
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.task import sleep
from cnmsim.userland.bind.lookup import TITLES, record_line
from cnmsim.userland.busybox.applet import complain, connect_error_text, read_options, show_usage
from cnmsim.userland.deadline import deadline_ns, remaining_s
from cnmsim.userland.libc.resolver import (
    ResolveError,
    Resolver,
    draw_query_id,
    parse_answer,
    read_config,
    reverse_name,
)

if TYPE_CHECKING:
    import dns.message
    import dns.rrset

    from cnmsim.kernel.address import Address
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.udp import UdpSocket

_SYNOPSIS = (
    "[-type=QUERY_TYPE] [-debug] HOST [DNS_SERVER]\n\nQuery DNS about HOST\n\nQUERY_TYPE: "
    "soa,ns,a,aaaa,cname,mx,txt,ptr,srv,any"
)
_TYPES = ("soa", "ns", "a", "aaaa", "cname", "mx", "txt", "ptr", "srv", "any")
_TIMEOUT_S, _TRIES = 5, 2
_SERVFAIL_RETRIES = 2


@define(eq=False)
class _Query:
    name: str
    message: dns.message.Message
    answer: dns.message.Message | None = None
    latency_ms: int = 0


@define(eq=False)
class _Server:
    name: str
    address: Address
    port: int = 53
    #: Datagrams received from the server, and those of them that answer a query.
    datagrams: int = 0
    replies: int = 0

    def __str__(self) -> str:
        return format_endpoint(self.address, self.port)


async def main(process: Process) -> int:
    """Run `nslookup [-type=TYPE]… [-debug] [-timeout=SECS] [-retry=TRIES] HOST [SERVER]`."""
    import dns.exception

    options = read_options(
        process,
        "",
        _SYNOPSIS,
        arguments=[
            argument.replace("-query=", "-type=").replace("-querytype=", "-type=") for argument in process.argv[1:]
        ],
        long=("type=", "debug", "port=", "retry=", "timeout="),
        single_dash_long=True,
    )
    timeout_s = options.number("timeout", _TIMEOUT_S, low=1)
    tries = options.number("retry", _TRIES, low=1, high=100)
    types = [kind.lower() for kind in options.every("type")]
    for kind in types:
        if kind not in _TYPES:
            return complain(process, f'invalid query type "{kind}"')
    if not 1 <= len(options.operands) <= 2:
        return show_usage(process, _SYNOPSIS)
    host = options.operands[0]
    try:
        queries = _queries(process, host, types)
    except (dns.exception.DNSException, UnicodeError):
        process.write(f"*** Can't find {host}: Parse error\n")
        return 1
    servers = await _servers(process, options.operands[1:], options.get("port"))
    if servers is None:
        return 1
    for server in servers:
        try:
            await _query_server(process, server, queries, timeout_s, timeout_s / tries)
        except OSError as error:
            return complain(process, connect_error_text(server.address, error))
        if server.replies:
            return _print(process, queries, is_debug="debug" in options)
    process.write(";; connection timed out; no servers could be reached\n\n")
    return 1


def _queries(process: Process, host: str, types: list[str]) -> list[_Query]:
    import dns.message

    names, kinds = host, [kind for kind in _TYPES if kind in types]
    if not types:
        address = literal_address(host)
        names, kinds = (host, ["a", "aaaa"]) if address is None else (reverse_name(address), ["ptr"])
    # A name without a dot is looked up in each search domain only (add_query_with_search).
    search = () if "." in names or kinds == ["ptr"] else read_config(process).search
    candidates = [f"{names}.{domain}" for domain in search] or [names]
    return [
        _Query(name, dns.message.make_query(name.rstrip(".") + ".", kind, id=draw_query_id(process)))
        for kind in kinds
        for name in candidates
    ]


async def _servers(process: Process, names: list[str], port: str | None) -> list[_Server] | None:
    number = int(port) if port and is_number(port) else 53
    if not names:
        return [_Server(server, parse_ip(server), number) for server in read_config(process).servers]
    name = names[0]
    if name.count(":") == 1:
        name, _, port_text = name.partition(":")
        number = int(port_text) if is_number(port_text) else 53
    try:
        address = (await Resolver(process).addresses(name))[0]
    except ResolveError:
        complain(process, f"bad address '{names[0]}'")
        return None
    return [_Server(name, address, number)]


async def _query_server(
    process: Process, server: _Server, queries: list[_Query], timeout_s: float, interval_s: float
) -> None:
    """Send the queries to one server and store each answer in its query.

    A query without an answer is sent again every `interval_s`, until all are answered or `timeout_s` has passed.
    Raises `OSError` if there is no route to the server.
    """
    socket = process.udp(family_of(server.address))
    socket.connect((server.address, server.port))
    clock = process.clock
    started_ns = next_send_ns = clock.now_ns
    until_ns = deadline_ns(clock, timeout_s)
    retries = _SERVFAIL_RETRIES * len(queries)
    try:
        while any(query.answer is None for query in queries) and clock.now_ns < until_ns:
            if clock.now_ns >= next_send_ns:
                next_send_ns = deadline_ns(clock, interval_s)
                for query in queries:
                    if query.answer is None and not _send(process, socket, server, query):
                        return
                    await sleep(clock, 0)  # an error that the first query causes is reported by the second
            try:
                data, _ = await socket.recvfrom(remaining_s(clock, min(next_send_ns, until_ns)))
            except TimeoutError:
                continue
            except OSError as error:
                complain(process, f"read: {strerror(error)}")
                continue
            if not server.datagrams:
                process.write(f"Server:\t\t{server.name}\nAddress:\t{server}\n\n")
            server.datagrams += 1
            answer = parse_answer(data)
            query_answered = next(
                (query for query in queries if answer is not None and query.message.id == answer.id), None
            )
            if answer is None or query_answered is None or query_answered.answer is not None:
                continue
            if answer.rcode() == 2 and retries:
                retries -= 1
                if not _send(process, socket, server, query_answered):
                    return
                continue
            query_answered.answer = answer
            query_answered.latency_ms = (clock.now_ns - started_ns) // 1_000_000
            server.replies += 1
    finally:
        socket.close()


def _send(process: Process, socket: UdpSocket, server: _Server, query: _Query) -> bool:
    try:
        socket.send(query.message.to_wire())
    except OSError as error:
        complain(process, f"write to '{server.name}': {strerror(error)}")
        return False
    return True


def _print(process: Process, queries: list[_Query], *, is_debug: bool) -> int:
    import dns.flags
    import dns.rcode

    status = 0
    for number, query in enumerate(queries):
        answer = query.answer
        if answer is None:
            process.write(f"*** Can't find {query.name}: No answer\n\n")
            continue
        if is_debug:
            process.write(f"Query #{number} completed in {query.latency_ms}ms:\n")
        if answer.rcode() != dns.rcode.NOERROR:
            process.write(f"** server can't find {query.name}: {dns.rcode.to_text(answer.rcode())}\n")
            status = 1
        else:
            if not answer.flags & dns.flags.AA:
                process.write("Non-authoritative answer:\n")
            elif is_debug:
                process.write("authoritative answer:\n")
            process.write("".join(line for rrset in answer.answer for line in _record_lines(rrset)))
        process.write("\n")
    return status


def _record_lines(rrset: dns.rrset.RRset) -> list[str]:
    import dns.rdatatype

    name = rrset.name.to_text(omit_final_dot=True)
    kind = dns.rdatatype.to_text(rrset.rdtype)
    if kind not in ("A", "AAAA", "SOA", *TITLES):
        return []
    if kind != "SOA":
        return [record_line(name, kind, _value(kind, record)) for record in rrset]
    return [
        f"{name}\n\torigin = {record.mname.to_text(omit_final_dot=True)}\n"
        f"\tmail addr = {record.rname.to_text(omit_final_dot=True)}\n\tserial = {record.serial}\n"
        f"\trefresh = {record.refresh}\n\tretry = {record.retry}\n\texpire = {record.expire}\n"
        f"\tminimum = {record.minimum}\n"
        for record in rrset
    ]


def _value(kind: str, record: Any) -> str:
    """Format the data of `record`, whose type is `kind`, as busybox prints it.

    Domain names have no final dot, and the strings of a TXT record are joined into one.
    """
    if kind == "TXT":
        return f'"{b"".join(record.strings).decode(errors="replace")}"'
    text: str = record.to_text()
    return text if text.endswith(" .") else text.removesuffix(".")
