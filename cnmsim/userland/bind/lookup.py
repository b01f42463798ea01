"""The nslookup and host commands of bind 9.20."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.address import literal_address
from cnmsim.userland.bind.client import Client, resolve_servers, type_name
from cnmsim.userland.libc.getopt import Options, UsageError, getopt
from cnmsim.userland.libc.resolver import draw_query_id, read_config, reverse_name

if TYPE_CHECKING:
    import dns.message
    import dns.rrset

    from cnmsim.kernel.process import Process

#: The label that nslookup prints before a record's data, by record type (bind bin/dig/nslookup.c, `rtypetext`).
TITLES = {
    "PTR": "name", "CNAME": "canonical name", "NS": "nameserver", "MX": "mail exchanger", "TXT": "text",
    "SRV": "service",
}  # fmt: skip


async def nslookup(process: Process) -> int:
    """Run bind's `nslookup [-type=TYPE] [-timeout=SECS] [-retry=TRIES] NAME [SERVER]`."""
    import dns.exception
    import dns.flags
    import dns.message
    import dns.rcode

    kinds, operands, port = ["A", "AAAA"], [], 53
    timeout_s, tries = 5, 3
    for argument in process.argv[1:]:
        if not argument.startswith("-"):
            operands.append(argument)
            continue
        name, _, value = argument[1:].partition("=")
        if name in ("type", "q", "querytype", "query", "ty", "t"):
            kinds = [value.upper()]
        elif name == "port" and is_number(value):
            port = int(value)
        elif name in ("timeout", "ti") and is_number(value):
            timeout_s = int(value)
        elif name in ("retry", "ret") and is_number(value):
            tries = int(value)
    if not operands:
        process.error("nslookup: usage: nslookup [-opt ...] host [server]\n")
        return 1
    host = operands[0]
    config = read_config(process)
    server = operands[1] if len(operands) > 1 else ""
    servers = await resolve_servers(process, server)
    if servers is None:
        process.write(f"nslookup: couldn't get address for '{server}': not found\n")
        return 1
    client = Client(process, port, timeout_s, tries)
    address = literal_address(host)
    is_reverse = address is not None
    names = config.candidates(host)
    if address is not None:
        names, kinds = [f"{reverse_name(address)}."], ["PTR"]
    responses: list[dns.message.Message] = []
    answered = ""
    for name in names:
        responses = []
        answered = name
        for kind in kinds:
            try:
                result = await client.query_servers(
                    servers, dns.message.make_query(name, kind, id=draw_query_id(process))
                )
            except (dns.exception.DNSException, UnicodeError):
                process.write(f"nslookup: '{host}' is not a legal IDNA2008 name\n")
                return 1
            if result is None:
                process.write("".join(f";; {problem}\n" for problem in client.problems))
                process.write(";; no servers could be reached\n\n")
                return 1
            responses.append(result[0])
            if result[0].rcode() != dns.rcode.NOERROR:
                break
        if responses[0].rcode() == dns.rcode.NOERROR:
            break
    if not is_reverse:
        process.write(f"Server:\t\t{server or client.server}\nAddress:\t{client.server}#{port}\n\n")
    first = responses[0]
    if first.rcode() != dns.rcode.NOERROR:
        shown = answered.rstrip(".") if is_reverse or len(names) == 1 else host
        process.write(f"** server can't find {shown}: {dns.rcode.to_text(first.rcode())}\n\n")
        return 1
    lines = [line for answer in responses for rrset in answer.answer for line in _nslookup_lines(rrset)]
    if not lines:
        process.write(f"*** Can't find {host}: No answer\n\n")
        return 0
    if not first.flags & dns.flags.AA and not is_reverse:
        process.write("Non-authoritative answer:\n")
    process.write("".join(lines) + "\n")
    return 0


def _nslookup_lines(rrset: dns.rrset.RRset) -> list[str]:
    kind, name = type_name(rrset.rdtype), rrset.name.to_text(omit_final_dot=True)
    return [record_line(name, kind, record.to_text()) for record in rrset]


def record_line(name: str, kind: str, value: str) -> str:
    """Format a record as nslookup prints it. `kind` is the record type, `value` the record's data.

    bind's nslookup passes domain names in `value` with their final dot, busybox's without it.
    """
    if kind in ("A", "AAAA"):
        return f"Name:\t{name}\nAddress: {value}\n"
    return f"{name}\t{TITLES.get(kind, kind.lower())} = {value}\n"


async def host(process: Process) -> int:
    """Run bind's `host [-46] [-t TYPE] [-W SECS] [-R RETRIES] [-p PORT] NAME [SERVER]`."""
    import dns.exception
    import dns.message
    import dns.rcode

    try:
        options = getopt(process.argv[1:], "46dvwrt:W:R:p:c:")
        timeout_s, tries, port = (
            options.number("W", 5),
            options.number("R", 1) + 1,
            options.number("p", 53, high=65535),
        )
    except UsageError:
        options = Options()
    operands = options.operands
    if not operands:
        process.error(
            "Usage: host [-aCdilrTvVw] [-c class] [-N ndots] [-t type] [-W time] [-R number] hostname [server]\n"
        )
        return 1
    name = operands[0]
    servers = await resolve_servers(process, operands[1] if len(operands) > 1 else "", options.family)
    if servers is None:
        process.write(f"host: couldn't get address for '{operands[1]}': not found\n")
        return 1
    client = Client(process, port, timeout_s, max(2, tries))
    address = literal_address(name)
    query_name, kinds = name.rstrip("."), ["A", "AAAA", "MX"]
    if address is not None:
        query_name, kinds = reverse_name(address), ["PTR"]
    if "t" in options:
        kinds = [(options.get("t") or "").upper()]
    for kind in kinds:
        try:
            response = await client.query_servers(
                servers, dns.message.make_query(query_name + ".", kind, id=draw_query_id(process))
            )
        except (dns.exception.DNSException, UnicodeError):
            return 1
        if response is None:
            process.write(
                "".join(f";; {problem}\n" for problem in client.problems) + ";; no servers could be reached\n"
            )
            return 1
        if response[0].rcode() != dns.rcode.NOERROR:
            code = response[0].rcode()
            process.write(f"Host {query_name} not found: {int(code)}({dns.rcode.to_text(code)})\n")
            return 1
        words = {
            "A": "has address",
            "AAAA": "has IPv6 address",
            "MX": "mail is handled by",
            "PTR": "domain name pointer",
        }
        for rrset in response[0].answer:
            owner = rrset.name.to_text(omit_final_dot=True)
            verb = words.get(type_name(rrset.rdtype), "is an alias for")
            process.write("".join(f"{owner} {verb} {record.to_text()}\n" for record in rrset))
    return 0
