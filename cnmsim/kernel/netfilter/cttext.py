"""Formats of connection table entries as libnetfilter_conntrack prints them: a line, XML, or command options.

Source: libnetfilter_conntrack, src/conntrack/snprintf_default.c and snprintf_xml.c; conntrack-tools 1.4.8,
src/conntrack.c.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.netfilter.tcpstate import TcpState

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.connection import Connection
    from cnmsim.kernel.netfilter.tuples import ConntrackTuple

#: Protocol names; any other protocol is printed as `unknown`.
PROTOCOL_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp", 33: "dccp", 136: "udplite", 47: "gre"}
_WITH_PORTS = frozenset({6, 17, 33, 132, 136})
_WITH_TYPES = frozenset({1, 58})


def entry_id(connection: Connection) -> int:
    """Return the number that `conntrack` prints as `id=`, computed from the connection.

    If two connections have the same tuple at different times, their numbers differ.
    """
    return zlib.crc32(f"{connection.original}{connection.began_ns}".encode())


def entry_line(
    connection: Connection,
    seconds: int | None,
    *,
    is_extended: bool = False,
    has_id: bool = False,
    is_event: bool = False,
) -> str:
    """Return one entry as `conntrack -L` prints it, or with `is_event` as `conntrack -E` does.

    `seconds` is the remaining time; None omits it. `is_extended` adds the address family (`-o extended`), `has_id`
    the id (`-o id`).
    """
    protocol = connection.protocol
    words = [f"{'ipv6     10' if connection.family == 6 else 'ipv4     2'}"] if is_extended else []
    words.append(f"{PROTOCOL_NAMES.get(protocol, 'unknown'):<8} {protocol}")
    words += [] if seconds is None else [str(seconds)]
    words += [TcpState(connection.tcp_state).name] if protocol == 6 else []
    words.append(_tuple_text(connection.original))
    words += [] if connection.seen_reply else ["[UNREPLIED]"]
    words.append(_tuple_text(connection.reply))
    words += ["[ASSURED]"] if connection.is_assured else []
    words += [f"mark={connection.mark}"] if connection.mark or not is_event else []
    words += [] if is_event else ["use=1"]
    words += [f"id={entry_id(connection)}"] if has_id else []
    return " ".join(words)


def entry_xml(connection: Connection, seconds: int | None, event: str = "") -> str:
    """Return one entry as `-o xml` prints it.

    `seconds` is the remaining time; None omits it. `event` is `new`, `update` or `destroy`; "" for a listing.
    """
    kind = f' type="{event}"' if event else ""
    parts = [f"<flow{kind}>", _xml_side("original", connection.original), _xml_side("reply", connection.reply)]
    state = f"<state>{TcpState(connection.tcp_state).name}</state>" if connection.protocol == 6 else ""
    left = "" if seconds is None else f"<timeout>{seconds}</timeout>"
    mark = f"<mark>{connection.mark}</mark>" if connection.mark or not event else ""
    use = "" if event else "<use>1</use>"
    number = f"<id>{entry_id(connection)}</id>"
    flags = "<assured/>" if connection.is_assured else "" if connection.seen_reply else "<unreplied/>"
    parts.append(f'<meta direction="independent">{state}{left}{mark}{use}{number}{flags}</meta></flow>')
    return "".join(parts)


def entry_command(connection: Connection, seconds: int | None, verb: str = "-A") -> str:
    """Return the arguments of the `conntrack` command that creates, updates or deletes an entry.

    `verb` is `-A`, `-U` or `-D`. `seconds` is the remaining time; None omits it.
    """
    protocol, src, dst, first, second = connection.original
    reply = connection.reply
    status = ["SEEN_REPLY"] if connection.seen_reply else []
    status += ["ASSURED"] if connection.is_assured else []
    words = [verb] + ([] if seconds is None else ["-t", str(seconds)])
    words += ["-u", ",".join(status) or "UNSET", "-s", format_ip(src), "-d", format_ip(dst)]
    words += ["-g" if reply[1] != dst else "-r", format_ip(reply[1])]
    words += ["-n" if reply[2] != src else "-q", format_ip(reply[2])]
    name = PROTOCOL_NAMES.get(protocol, str(protocol))
    words += ["-p", name]
    if protocol in _WITH_TYPES:
        values = (("type", second >> 8), ("code", second & 0xFF), ("id", first))
        words += [word for field, value in values for word in (f"--{name}-{field}", str(value))]
    elif protocol in _WITH_PORTS:
        words += ["--sport", str(first), "--dport", str(second)]
        words += ["--reply-port-src", str(reply[3]), "--reply-port-dst", str(reply[4])]
    words += ["--state", TcpState(connection.tcp_state).name] if protocol == 6 else []
    return " ".join(words)


def _tuple_text(key: ConntrackTuple) -> str:
    protocol, src, dst, first, second = key
    text = f"src={format_ip(src)} dst={format_ip(dst)}"
    if protocol in _WITH_TYPES:
        return f"{text} type={second >> 8} code={second & 0xFF} id={first}"
    if protocol in _WITH_PORTS:
        return f"{text} sport={first} dport={second}"
    return text


def _xml_side(direction: str, key: ConntrackTuple) -> str:
    protocol, src, dst, first, second = key
    number, name = (10, "ipv6") if len(src) == 16 else (2, "ipv4")
    ports = f"<sport>{first}</sport><dport>{second}</dport>" if protocol in _WITH_PORTS else ""
    return (
        f'<meta direction="{direction}"><layer3 protonum="{number}" protoname="{name}">'
        f"<src>{format_ip(src)}</src><dst>{format_ip(dst)}</dst></layer3>"
        f'<layer4 protonum="{protocol}" protoname="{PROTOCOL_NAMES.get(protocol, "unknown")}">{ports}</layer4></meta>'
    )
