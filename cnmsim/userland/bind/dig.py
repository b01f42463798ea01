"""The dig command of bind 9.20."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, parse_ip
from cnmsim.userland.bind.client import Client, resolve_servers, type_name
from cnmsim.userland.libc.resolver import draw_query_id, read_config, reverse_name

if TYPE_CHECKING:
    import dns.message
    import dns.rrset

    from cnmsim.kernel.process import Process

VERSION = "9.20.30-1~deb13u1-Debian"
_LAST_PORT = 65535
_PAYLOAD = 1232
#: Switches that are accepted only with their default value. The output for the other value is not implemented.
_FIXED_SWITCHES = {
    "multiline": False, "trace": False, "qr": False, "identify": False, "adflag": False, "ttlid": True,
    "defname": True, "fail": True, "cdflag": False, "nssearch": False, "keepopen": False, "besteffort": True,
    "rrcomments": True, "class": True,
}  # fmt: skip
#: The switches that set a Boolean field of `_Request`.
_SWITCHES = {
    "short": "is_short", "search": "searches", "recurse": "recurses", "rec": "recurses", "edns": "edns",
    "cookie": "cookie", "ignore": "accepts_truncated", "tcp": "uses_tcp", "vc": "uses_tcp",
}  # fmt: skip
_TYPES = ("A", "AAAA", "ANY", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "DS", "CAA", "HTTPS", "NAPTR")


@define
class _Request:
    """A parsed dig command line."""

    name: str = ""
    kind: str = "A"
    server: str = ""
    port: int = 53
    tries: int = 3
    timeout_s: float = 5
    family: int = 0
    flags: set[str] = field(
        factory=lambda: {"comments", "question", "answer", "authority", "additional", "stats", "cmd"}
    )
    is_short: bool = False
    searches: bool = False
    recurses: bool = True
    ndots: int | None = None
    edns: bool = True
    cookie: bool = True
    payload: int = _PAYLOAD
    wants_signatures: bool = False
    accepts_truncated: bool = False
    uses_tcp: bool = False
    source: tuple[Address, int] | None = None


class _Usage(Exception):
    pass


class _Fatal(Exception):
    """Raised to end dig at once: `printed` goes to standard output, the exception's text to standard error."""

    def __init__(self, text: str, printed: str = "") -> None:
        super().__init__(text)
        self.printed = printed


def _read(arguments: list[str]) -> _Request:
    request = _Request()
    words = list(arguments)

    def value(option: str, rest: str) -> str:
        if rest:
            return rest
        if not words:
            raise _Usage(f"Invalid option: -{option}")
        return words.pop(0)

    while words:
        word = words.pop(0)
        if word.startswith("@"):
            request.server = word[1:]
        elif word.startswith("+"):
            _read_plus(request, word[1:])
        elif word.startswith("-") and len(word) > 1:
            option, rest = word[1], word[2:]
            if option == "x":
                try:
                    request.name, request.kind = reverse_name(parse_ip(value(option, rest))), "PTR"
                except ValueError as error:
                    raise _Usage(f"Invalid IP address {str(error).rpartition(' ')[2]}") from None
            elif option == "p":
                request.port = int(value(option, rest))
            elif option == "t":
                request.kind = value(option, rest).upper()
            elif option == "q":
                request.name = value(option, rest)
            elif option in "46":
                request.family = int(option)
            elif option == "b":
                request.source = _read_source(value(option, rest))
            elif option in "cyk":
                klass = value(option, rest)
                if option != "c" or klass.upper() != "IN":
                    raise _Usage(f"Invalid option: -{option}")
            elif (
                option not in "rm"
            ):  # -r and -m have no effect: no ~/.digrc is read, and memory debugging prints nothing
                raise _Usage(f"Invalid option: {word}")
        elif word.upper() in _TYPES and request.name:
            request.kind = word.upper()
        elif word.upper() == "IN":
            continue
        elif word.upper() in _TYPES and words:
            request.kind = word.upper()
        else:
            request.name = word
    if not request.name:
        request.name, request.kind = ".", "NS"
    return request


def _read_source(text: str) -> tuple[Address, int]:
    address, _, port = text.partition("#")
    if port and not is_number(port):
        raise _Fatal("Couldn't parse port number")
    if int(port or 0) > _LAST_PORT:
        raise _Fatal("Couldn't parse port number", f"invalid port number '{port}': out of range\n")
    try:
        return parse_ip(address), int(port or 0)
    except ValueError:
        raise _Fatal(f"invalid address {address}") from None


def _read_plus(request: _Request, text: str) -> None:
    name, _, value = text.partition("=")
    is_on = not name.startswith("no")
    name = name.removeprefix("no")
    if name in ("tries", "retry") and is_number(value):
        request.tries = max(1, int(value) + (name == "retry"))
    elif name in ("time", "timeout") and is_number(value):
        request.timeout_s = max(1, int(value))
    elif name in _SWITCHES:
        setattr(request, _SWITCHES[name], is_on)
    elif name == "bufsize" and (is_number(value) or not is_on):
        request.edns, request.payload = True, int(value) if is_on else _PAYLOAD
    elif name == "ndots" and is_number(value):
        request.ndots = int(value)
        request.searches = True
    elif name == "all":
        request.flags = set(_Request().flags) if is_on else set()
    elif name in ("comments", "question", "answer", "authority", "additional", "stats", "cmd"):
        (request.flags.add if is_on else request.flags.discard)(name)
    elif name == "dnssec":
        request.wants_signatures = is_on
        request.edns = request.edns or is_on
    elif _FIXED_SWITCHES.get(name) is not is_on:
        raise _Usage(f"Invalid option: +{text}")


async def main(process: Process) -> int:
    """Run `dig [@SERVER] [-b ADDRESS[#PORT]] [-p PORT] [-x ADDRESS] [NAME] [TYPE] [+SWITCH] [+OPTION=N]`."""
    import dns.edns
    import dns.exception
    import dns.flags
    import dns.message

    try:
        request = _read(process.argv[1:])
    except _Fatal as error:
        process.write(error.printed)
        process.error(f"dig: {error}\n")
        return 1
    except (_Usage, ValueError) as error:
        process.error(f"{error}\nUsage:  dig [@global-server] [domain] [q-type] [q-class] {{q-opt}}\n")
        return 1
    if request.kind not in _TYPES:
        process.write(f";; Warning, ignoring invalid type {request.kind}\n")
        request.kind = "A"
    config = read_config(process)
    if request.ndots is not None:
        config = evolve(config, ndots=request.ndots)
    servers = await resolve_servers(process, request.server, request.family)
    if servers is None:
        process.error(f"dig: couldn't get address for '{request.server}': not found\n")
        return 10
    client = Client(process, request.port, request.timeout_s, request.tries)
    client.source, client.uses_tcp = request.source, request.uses_tcp
    names = config.candidates(request.name) if request.searches else [request.name.rstrip(".") + "."]
    response = None
    for name in names:
        try:
            query = dns.message.make_query(name, request.kind, id=draw_query_id(process))
        except (dns.exception.DNSException, UnicodeError):
            process.write(f"dig: '{request.name}' is not a legal IDNA2008 name\n")
            return 1
        if not request.recurses:
            query.flags &= ~dns.flags.RD
        if request.edns:
            cookie = dns.edns.GenericOption(dns.edns.COOKIE, process.machine.random.randbytes(8))
            flags = int(dns.flags.DO) if request.wants_signatures else 0
            query.use_edns(0, flags, payload=request.payload, options=[cookie] if request.cookie else [])
        response = await client.query_servers(servers, query)
        is_cut = response is not None and bool(response[0].flags & dns.flags.TC)
        if is_cut and not client.uses_tcp and not request.accepts_truncated:
            client.problems.append("Truncated, retrying in TCP mode.")
            client.uses_tcp = True
            response = await client.query_servers(servers, query)
        if response is None or response[0].answer:
            break
    for problem in client.problems:
        process.write(f";; {problem}\n")
    if response is None:
        if "cmd" in request.flags and client.was_sent:
            process.write(_banner(process, request))
        process.write(";; no servers could be reached\n")
        return 9
    answer, size = response
    if request.is_short:
        for rrset in answer.answer:
            process.write("".join(f"{record.to_text()}\n" for record in rrset))
        return 0
    if "cmd" in request.flags:
        process.write(_banner(process, request))
    process.write(_answer_text(answer, request))
    if "stats" in request.flags:
        when = time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(process.clock.unix_s))
        where, transport = request.server or client.server, "TCP" if client.uses_tcp else "UDP"
        process.write(
            f";; Query time: {client.query_time_ms} msec\n;; SERVER: {client.server}#{request.port}({where}) "
            f"({transport})\n"
            f";; WHEN: {when}\n;; MSG SIZE  rcvd: {size}\n\n"
        )
    return 0


def _banner(process: Process, request: _Request) -> str:
    arguments = " ".join(process.argv[1:])
    server_count = "; (1 server found)\n" if request.server else ""
    return f"\n; <<>> DiG {VERSION} <<>> {arguments}\n{server_count};; global options: +cmd\n"


def _answer_text(answer: dns.message.Message, request: _Request) -> str:
    import dns.flags
    import dns.opcode
    import dns.rcode

    lines: list[str] = []
    has_opt = answer.edns >= 0
    if "comments" in request.flags:
        flags = dns.flags.to_text(answer.flags).lower()
        counts = (
            len(answer.question),
            *(sum(len(rrset) for rrset in part) for part in (answer.answer, answer.authority)),
        )
        extra = sum(len(rrset) for rrset in answer.additional) + has_opt
        lines += [
            ";; Got answer:",
            (
                f";; ->>HEADER<<- opcode: {dns.opcode.to_text(answer.opcode())}, status: "
                f"{dns.rcode.to_text(answer.rcode())}, id: {answer.id}"
            ),
            (
                f";; flags: {flags}; QUERY: {counts[0]}, ANSWER: {counts[1]}, AUTHORITY: {counts[2]}, ADDITIONAL: "
                f"{extra}"
            ),
        ]
        if answer.flags & dns.flags.RD and not answer.flags & dns.flags.RA:
            lines.append(";; WARNING: recursion requested but not available")
        lines.append("")
        if has_opt:
            do = " do" if answer.ednsflags & dns.flags.DO else ""
            lines += [";; OPT PSEUDOSECTION:", f"; EDNS: version: {answer.edns}, flags:{do}; udp: {answer.payload}"]
    if "question" in request.flags:
        questions = [
            ";" + _columns(entry.name.to_text(), "", "IN", type_name(entry.rdtype)) for entry in answer.question
        ]
        lines += [";; QUESTION SECTION:", *questions, ""] if "comments" in request.flags else questions
    for part, title in (
        (answer.answer, "answer"),
        (answer.authority, "authority"),
        (answer.additional, "additional"),
    ):
        if part and title in request.flags:
            records = [line for rrset in part for line in _record_lines(rrset)]
            if "comments" in request.flags:
                records = [f";; {title.upper()} SECTION:", *records, ""]
            lines += records
    return "".join(f"{line}\n" for line in lines)


def _columns(name: str, ttl: str, klass: str, kind: str, data: str = "") -> str:
    """Format a line of dig's output for a record, or for the question (without TTL and data).

    TTL, class (`klass`), type (`kind`) and data start at columns 24, 32, 40 and 48, aligned with tabs. A `name` from
    the question section begins with `;`, which counts as one column.
    """
    text = name
    width = len(name) + (0 if ttl else 1)
    for stop, entry in ((24, ttl), (32, klass), (40, kind), (48, data)):
        tabs = max(1, (stop - width + 7) // 8)
        text += "\t" * tabs
        width = max(stop, (width // 8 + tabs) * 8)
        text += entry
        width += len(entry)
    return text.rstrip("\t")


def _record_lines(rrset: dns.rrset.RRset) -> list[str]:
    name = rrset.name.to_text()
    return [_columns(name, str(rrset.ttl), "IN", type_name(rrset.rdtype), record.to_text()) for record in rrset]
