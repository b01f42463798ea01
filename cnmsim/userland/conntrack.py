"""conntrack (conntrack-tools 1.4): list, count, delete, flush."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import parse_ip
from cnmsim.userland.options import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.conntrack import Connection
    from cnmsim.kernel.process import Process

_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "sctp": 132}
_LONG = {
    "dump": "L", "delete": "D", "flush": "F", "count": "C", "proto=": "p", "orig-src=": "s", "src=": "s",
    "orig-dst=": "d", "dst=": "d", "reply-src=": "r", "reply-dst=": "q", "family=": "f", "sport=": "sport",
    "dport=": "dport", "orig-port-src=": "sport", "orig-port-dst=": "dport", "output=": "o", "state=": "state",
    "src-nat": "n", "dst-nat": "g", "any-nat": "j",
}  # fmt: skip


class _Filter:
    def __init__(self, options: Options) -> None:
        self.wanted: list[tuple[int, int, object]] = []
        protocol = options.get("p")
        if protocol is not None:
            number = _PROTOCOLS.get(protocol) or (int(protocol) if protocol.isdigit() else None)
            if number is None:
                raise UsageError(f"`{protocol}' unsupported protocol")
            self.wanted.append((0, 0, number))
        try:
            for name, side, place in (("s", 0, 1), ("d", 0, 2), ("r", 1, 1), ("q", 1, 2)):
                text = options.get(name)
                if text:
                    self.wanted.append((side, place, parse_ip(text)))
        except ValueError as error:
            raise UsageError(f"Invalid IP address `{str(error).rpartition(' ')[2]}'") from None
        for name, place in (("sport", 3), ("dport", 4)):
            if options.get(name):
                self.wanted.append((0, place, options.number(name, 0)))
        self.family = {"ipv6": 6, "ipv4": 4}.get(options.get("f") or "")
        self.is_nat = bool({"n", "g", "j"} & set(options.values))

    def __call__(self, connection: Connection) -> bool:
        if self.family is not None and connection.family != self.family:
            return False
        tuples = (connection.original, connection.reply)
        if self.is_nat and tuples[0][1:3] == (tuples[1][2], tuples[1][1]):
            return False
        return all(tuples[side][place] == value for side, place, value in self.wanted)


async def main(process: Process) -> int:
    """Run `conntrack -L|-D|-F|-C [-p PROTO] [-s ADDRESS] [-d ADDRESS] [--sport N] [--dport N] [-f ipv4|ipv6]`."""
    head = "conntrack v1.4.8 (conntrack-tools)"
    try:
        options = getopt(process.argv[1:], "LDFCEp:s:d:r:q:f:o:nghj", _LONG)
        chosen = _Filter(options)
    except UsageError as error:
        process.error(f"{head}: {error}\nTry `conntrack -h' or 'conntrack --help' for more information.\n")
        return 2
    table = process.namespace.netfilter.conntrack
    if "C" in options:
        process.write(f"{table.count}\n")
        return 0
    if "F" in options:
        table.flush()
        process.error(f"{head}: connection tracking table has been emptied.\n")
        return 0
    if not {"L", "D"} & set(options.values):
        process.error(f"{head}: Try `conntrack -h' or 'conntrack --help' for more information.\n")
        return 2
    if chosen.family is None and "L" in options:
        chosen.family = 4
    found = [connection for connection in table.entries() if chosen(connection)]
    process.write("".join(f"{table.entry_text(connection)}\n" for connection in found))
    if "D" in options:
        gone = table.flush(chosen)
        process.error(f"{head}: {gone} flow entries have been deleted.\n")
        return 0 if gone else 1
    process.error(f"{head}: {len(found)} flow entries have been shown.\n")
    return 0
