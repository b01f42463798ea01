"""bind's dig, nslookup and host, version 9.20."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.address import Address, format_ip, parse_ip
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.userland.errno_text import strerror
from cnmsim.userland.resolve import ResolveError, Resolver, parse_answer, read_config, reverse_name

if TYPE_CHECKING:
    import dns.message
    import dns.rrset

    from cnmsim.kernel.process import Process

VERSION = "9.20.30-1~deb13u1-Debian"
_TYPES = ("A", "AAAA", "ANY", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "DS", "CAA", "HTTPS", "NAPTR")
_TROUBLES = {"Connection refused": "connection refused", "Network is unreachable": "network unreachable",
             "No route to host": "host unreachable", "Operation not permitted": "permission denied"}  # fmt: skip


@define
class _Request:
    """What a dig command line asks for."""

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


class _Usage(Exception):
    pass


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
            elif option in "cbyk":
                value(option, rest)
            elif option != "u":
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


def _read_plus(request: _Request, text: str) -> None:
    name, _, value = text.partition("=")
    is_on = not name.startswith("no")
    name = name.removeprefix("no")
    if name in ("tries", "retry") and value.isdigit():
        request.tries = max(1, int(value) + (name == "retry"))
    elif name in ("time", "timeout") and value.isdigit():
        request.timeout_s = max(1, int(value))
    elif name == "short":
        request.is_short = is_on
    elif name == "search":
        request.searches = is_on
    elif name in ("recurse", "rec"):
        request.recurses = is_on
    elif name == "edns":
        request.edns = is_on
    elif name == "ndots" and value.isdigit():
        request.ndots = int(value)
        request.searches = True
    elif name == "all":
        request.flags = set(_Request().flags) if is_on else set()
    elif name in ("comments", "question", "answer", "authority", "additional", "stats", "cmd"):
        (request.flags.add if is_on else request.flags.discard)(name)
    elif name not in (
        "tcp",
        "dnssec",
        "multiline",
        "cookie",
        "trace",
        "qr",
        "identify",
        "adflag",
        "ttlid",
        "defname",
        "fail",
    ):
        raise _Usage(f"Invalid option: +{text}")


async def main(process: Process) -> int:
    """Run `dig [@SERVER] [-p PORT] [-x ADDRESS] [NAME] [TYPE] [+short] [+tries=N] [+time=N] …`."""
    import dns.exception
    import dns.flags
    import dns.message

    try:
        request = _read(process.argv[1:])
    except (_Usage, ValueError) as error:
        process.error(f"{error}\nUsage:  dig [@global-server] [domain] [q-type] [q-class] {{q-opt}}\n")
        return 1
    if request.kind not in _TYPES:
        process.write(f";; Warning, ignoring invalid type {request.kind}\n")
        request.kind = "A"
    config = read_config(process)
    servers = await _servers(process, request)
    if servers is None:
        process.error(f"dig: couldn't get address for '{request.server}': not found\n")
        return 10
    client = Client(process, request.port, request.timeout_s, request.tries)
    names = config.candidates(request.name) if request.searches else [request.name.rstrip(".") + "."]
    found = None
    for name in names:
        try:
            query = dns.message.make_query(
                name, request.kind, use_edns=0 if request.edns else -1, payload=1232, id=_draw(process)
            )
        except (dns.exception.DNSException, UnicodeError):
            process.write(f"dig: '{request.name}' is not a legal IDNA2008 name\n")
            return 1
        if not request.recurses:
            query.flags &= ~dns.flags.RD
        found = await client.ask(servers, query)
        if found is None or found[0].answer:
            break
    for trouble in client.troubles:
        process.write(f";; {trouble}\n")
    if found is None:
        if "cmd" in request.flags:
            process.write(_greeting(process, request))
        process.write(";; no servers could be reached\n")
        return 9
    answer, size = found
    if request.is_short:
        for rrset in answer.answer:
            process.write("".join(f"{record.to_text()}\n" for record in rrset))
        return 0
    if "cmd" in request.flags:
        process.write(_greeting(process, request))
    process.write(_answer_text(answer, request))
    if "stats" in request.flags:
        when = time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(process.clock.wall_s))
        where = request.server or client.server
        process.write(
            f";; Query time: {client.took_ms} msec\n;; SERVER: {client.server}#{request.port}({where}) (UDP)\n"
            f";; WHEN: {when}\n;; MSG SIZE  rcvd: {size}\n\n"
        )
    return 0


def _draw(process: Process) -> int:
    return process.machine.random.randrange(65536)


async def _servers(process: Process, request: _Request) -> list[Address] | None:
    if not request.server:
        return [parse_ip(server) for server in read_config(process).servers]
    try:
        return await Resolver(process).addresses(request.server, request.family)
    except ResolveError:
        return None


def _greeting(process: Process, request: _Request) -> str:
    arguments = " ".join(process.argv[1:])
    found = "; (1 server found)\n" if request.server else ""
    return f"\n; <<>> DiG {VERSION} <<>> {arguments}\n{found};; global options: +cmd\n"


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
            f";; ->>HEADER<<- opcode: {dns.opcode.to_text(answer.opcode())}, status: {dns.rcode.to_text(answer.rcode())}, id: {answer.id}",
            f";; flags: {flags}; QUERY: {counts[0]}, ANSWER: {counts[1]}, AUTHORITY: {counts[2]}, ADDITIONAL: {extra}",
        ]
        if answer.flags & dns.flags.RD and not answer.flags & dns.flags.RA:
            lines.append(";; WARNING: recursion requested but not available")
        lines.append("")
        if has_opt:
            lines += [";; OPT PSEUDOSECTION:", f"; EDNS: version: {answer.edns}, flags:; udp: {answer.payload}"]
    if "question" in request.flags:
        lines += [";; QUESTION SECTION:"]
        lines += [
            ";" + _columns(entry.name.to_text(), "", "IN", _kind(entry.rdtype)) for entry in answer.question
        ] + [""]
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


def _kind(number: int) -> str:
    import dns.rdatatype

    return dns.rdatatype.to_text(dns.rdatatype.RdataType(number))


def _columns(name: str, ttl: str, klass: str, kind: str, data: str = "") -> str:
    """Put fields where dig's tabs put them: columns at 24, 32, 40 and 48, the question's `;` counted."""
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
    return [_columns(name, str(rrset.ttl), "IN", _kind(rrset.rdtype), record.to_text()) for record in rrset]


# --- nslookup and host -----------------------------------------------------------------------------------------------


async def nslookup(process: Process) -> int:
    """Run bind's `nslookup [-type=TYPE] NAME [SERVER]`."""
    import dns.exception
    import dns.flags
    import dns.message
    import dns.rcode

    kinds, operands, port = ["A", "AAAA"], [], 53
    for argument in process.argv[1:]:
        if not argument.startswith("-"):
            operands.append(argument)
            continue
        name, _, value = argument[1:].partition("=")
        if name in ("type", "q", "querytype", "query", "ty", "t"):
            kinds = [value.upper()]
        elif name == "port" and value.isdigit():
            port = int(value)
    if not operands:
        process.error("nslookup: usage: nslookup [-opt ...] host [server]\n")
        return 1
    host = operands[0]
    config = read_config(process)
    request = _Request(server=operands[1] if len(operands) > 1 else "", port=port)
    servers = await _servers(process, request)
    if servers is None:
        process.write(f"nslookup: couldn't get address for '{request.server}': not found\n")
        return 1
    client = Client(process, port)
    try:
        names, kinds = [reverse_name(parse_ip(host)) + "."], ["PTR"]
        is_reverse = True
    except ValueError:
        names, is_reverse = config.candidates(host), False
    found: list[dns.message.Message] = []
    answered = ""
    for name in names:
        found = []
        answered = name
        for kind in kinds:
            try:
                result = await client.ask(servers, dns.message.make_query(name, kind, id=_draw(process)))
            except (dns.exception.DNSException, UnicodeError):
                process.write(f"nslookup: '{host}' is not a legal IDNA2008 name\n")
                return 1
            if result is None:
                process.write("".join(f";; {trouble}\n" for trouble in client.troubles))
                process.write(";; no servers could be reached\n\n")
                return 1
            found.append(result[0])
            if result[0].rcode() != dns.rcode.NOERROR:
                break
        if found[0].rcode() == dns.rcode.NOERROR:
            break
    if not is_reverse:
        process.write(f"Server:\t\t{request.server or client.server}\nAddress:\t{client.server}#{port}\n\n")
    first = found[0]
    if first.rcode() != dns.rcode.NOERROR:
        shown = answered.rstrip(".") if is_reverse or len(names) == 1 else host
        process.write(f"** server can't find {shown}: {dns.rcode.to_text(first.rcode())}\n\n")
        return 1
    lines = [line for answer in found for rrset in answer.answer for line in _nslookup_lines(rrset)]
    if not lines:
        process.write(f"*** Can't find {host}: No answer\n\n")
        return 0
    if not first.flags & dns.flags.AA and not is_reverse:
        process.write("Non-authoritative answer:\n")
    process.write("".join(lines) + "\n")
    return 0


def _nslookup_lines(rrset: dns.rrset.RRset) -> list[str]:
    kind, name = _kind(rrset.rdtype), rrset.name.to_text(omit_final_dot=True)
    lines: list[str] = []
    for record in rrset:
        if kind in ("A", "AAAA"):
            lines.append(f"Name:\t{name}\nAddress: {record.to_text()}\n")
        elif kind == "PTR":
            lines.append(f"{name}\tname = {record.to_text()}\n")
        elif kind == "CNAME":
            lines.append(f"{name}\tcanonical name = {record.to_text()}\n")
        elif kind == "MX":
            lines.append(f"{name}\tmail exchanger = {record.to_text()}\n")
        else:
            lines.append(f"{name}\t{'text' if kind == 'TXT' else kind.lower()} = {record.to_text()}\n")
    return lines


async def host(process: Process) -> int:
    """Run bind's `host NAME [SERVER]`."""
    import dns.exception
    import dns.message
    import dns.rcode

    operands = [argument for argument in process.argv[1:] if not argument.startswith("-")]
    if not operands:
        process.error(
            "Usage: host [-aCdilrTvVw] [-c class] [-N ndots] [-t type] [-W time] [-R number] hostname [server]\n"
        )
        return 1
    name = operands[0]
    servers = await _servers(process, _Request(server=operands[1] if len(operands) > 1 else ""))
    if servers is None:
        process.write(f"host: couldn't get address for '{operands[1]}': not found\n")
        return 1
    client = Client(process, tries=2)
    try:
        asked, kinds = reverse_name(parse_ip(name)), ["PTR"]
    except ValueError:
        asked, kinds = name.rstrip("."), ["A", "AAAA", "MX"]
    for kind in kinds:
        try:
            found = await client.ask(servers, dns.message.make_query(asked + ".", kind, id=_draw(process)))
        except (dns.exception.DNSException, UnicodeError):
            return 1
        if found is None:
            process.write(
                "".join(f";; {trouble}\n" for trouble in client.troubles) + ";; no servers could be reached\n"
            )
            return 1
        if found[0].rcode() != dns.rcode.NOERROR:
            code = found[0].rcode()
            process.write(f"Host {asked} not found: {int(code)}({dns.rcode.to_text(code)})\n")
            return 1
        words = {
            "A": "has address",
            "AAAA": "has IPv6 address",
            "MX": "mail is handled by",
            "PTR": "domain name pointer",
        }
        for rrset in found[0].answer:
            owner = rrset.name.to_text(omit_final_dot=True)
            verb = words.get(_kind(rrset.rdtype), "is an alias for")
            process.write("".join(f"{owner} {verb} {record.to_text()}\n" for record in rrset))
    return 0
