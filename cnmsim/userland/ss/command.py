"""iproute2's `ss`: lists the TCP and UDP sockets of the namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, bracketed, format_ip
from cnmsim.kernel.netfilter.option_values import port_text
from cnmsim.kernel.sockets.base import mapped
from cnmsim.userland.libc.getopt import Options, UsageError, getopt
from cnmsim.userland.ss.filter import (
    ALL,
    CONNECTED,
    ESTABLISHED,
    LISTENING,
    FilterError,
    FilterSyntaxError,
    read_expression,
    read_states,
)

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.table import SocketInfo


def address_text(address: Address | None, port: int, family: int, *, is_dual: bool) -> tuple[str, str]:
    """Format an address and a port as ss prints them. Return both texts.

    A wildcard address is printed as `*` if `is_dual` is set, i.e. if the socket accepts both IPv4 and IPv6.
    """
    number = str(port) if port else "*"
    if address is None or not any(address):
        return ("*" if is_dual else "[::]" if family == 6 else "0.0.0.0"), number  # noqa: S104
    if family == 6:
        return bracketed(mapped(address)), number
    return format_ip(address), number


_LONG = {
    "tcp": "t", "udp": "u", "all": "a", "numeric": "n", "listening": "l", "processes": "p", "no-header": "H",
    "ipv4": "4", "ipv6": "6", "summary": "s", "options": "o", "no-queues": "Q", "raw": "w", "unix": "x",
    "packet": "0", "sctp": "S", "dccp": "d", "mptcp": "M", "family=": "f", "query=": "A", "socket=": "A",
    "oneline": "O",
}  # fmt: skip
#: Kinds of sockets that are not modelled. Their lists are always empty.
_ABSENT = "wx0SdM"
_STREAMS = {"tcp", "S", "d", "M"}
_FAMILIES = {"inet": "4", "inet6": "6", "link": "", "unix": "", "netlink": "", "vsock": "", "tipc": "", "xdp": ""}
_USAGE = "Usage: ss [ OPTIONS ]\n       ss [ OPTIONS ] [ FILTER ]\n"


async def main(process: Process) -> int:
    """Run `ss [-tuanlpoH46sQ] [-f FAMILY] [-A QUERY] [state STATE] [EXPRESSION]`."""
    try:
        options = getopt(process.argv[1:], "tuanlpoH46sQOwx0SdMf:A:", _LONG)
        kinds, families = _kinds(options), _families(options)
        usual = CONNECTED if _STREAMS.intersection(kinds) else ESTABLISHED
        chosen = ALL if "a" in options else LISTENING if "l" in options else usual
        states, words = read_states(options.operands, chosen)
        test = read_expression(" ".join(words))
    except UsageError as error:
        process.error(f"ss: {error}\n{_USAGE}")
        return 255
    except FilterError as error:
        process.error(f"{error}\n{_USAGE if isinstance(error, FilterSyntaxError) else ''}")
        return error.status
    table = process.namespace.sockets
    # The kernel dumps IPv4 sockets before IPv6 sockets.
    sockets = sorted(table.listeners() + table.connections(), key=lambda info: info.family)
    if "s" in options:
        process.write(_summary(sockets))
        return 0
    has_names = "n" not in options
    rows = []
    for kind in kinds:
        for info in sockets:
            if info.protocol != kind or str(info.family) not in families or info.state not in states:
                continue
            if test(info):
                rows.append(_row(info, _extras(process, info, options), has_names=has_names))
    # -x and -0 each select several socket types, so the Netid column is printed.
    hidden = {0} if len(kinds) == 1 and kinds[0] not in ("x", "0") else set()
    if len(states) == 1:
        hidden.add(1)
    if "Q" in options:
        hidden |= {2, 3}
    title = "Process" if "p" in options else ""
    columns = process.env.get("COLUMNS", "")
    screen = int(columns) if is_number(columns) and int(columns) else None
    process.write(_layout(rows, hidden, title=title, has_header="H" not in options, screen=screen))
    return 0


def _kinds(options: Options) -> list[str]:
    """Return the kinds of sockets that the options select, in display order.

    Raises `UsageError` for an unknown kind.
    """
    kinds = {name for name, letter in (("udp", "u"), ("tcp", "t")) if letter in options}
    kinds |= {letter for letter in _ABSENT if letter in options}
    for query in options.every("A"):
        for name in query.split(","):
            if name not in _QUERIES:
                raise UsageError(f'"{name}" is illegal value for option -A')
            kinds |= _QUERIES[name]
    return [name for name in ("udp", "tcp", *_ABSENT) if name in kinds] or ["udp", "tcp"]


_QUERIES = {
    "all": {"udp", "tcp"}, "inet": {"udp", "tcp"}, "tcp": {"tcp"}, "udp": {"udp"}, "raw": {"w"}, "unix": {"x"},
    "unix_dgram": {"x"}, "unix_stream": {"x"}, "unix_seqpacket": {"x"}, "packet": {"0"}, "packet_raw": {"0"},
    "packet_dgram": {"0"}, "netlink": {"x"}, "dccp": {"d"}, "sctp": {"S"}, "mptcp": {"M"}, "vsock_stream": {"x"},
    "vsock_dgram": {"x"}, "tipc": {"x"}, "xdp": {"x"},
}  # fmt: skip


def _families(options: Options) -> set[str]:
    families = {letter for letter in "46" if letter in options}
    name = options.get("f")
    if name is not None:
        if name not in _FAMILIES:
            raise UsageError(f'"{name}" is invalid family')
        families.add(_FAMILIES[name])
    return families or {"4", "6"}


def _row(info: SocketInfo, extras: str, *, has_names: bool) -> list[str]:
    local = address_text(info.local, info.local_port, info.family, is_dual=info.is_dual)
    remote = address_text(info.remote, info.remote_port, info.family, is_dual=info.is_dual)
    cells = [info.protocol, info.state, f"{info.recv_queue:<6}", f"{info.send_queue:<6}"]
    for host, port in (local, remote):
        cells += f"{host}:", port if port == "*" else port_text(int(port), is_numeric=not has_names)
    return [*cells, extras]


def _extras(process: Process, info: SocketInfo, options: Options) -> str:
    words = []
    if "p" in options and info.pid:
        words.append(f'users:(("{info.program}",pid={info.pid},fd=3))')
    if "o" in options and info.timer is not None:
        name, due_ns, count = info.timer
        words.append(f"timer:({name},{span_text((due_ns - process.clock.now_ns) // 1_000_000)},{count})")
    return "".join(f" {word}" for word in words)


def span_text(milliseconds: int) -> str:
    """Format a duration as ss does: `1min12sec`, or `1.500ms`.

    Seconds are omitted from ten minutes on, milliseconds from ten seconds on.
    """
    minutes, seconds, rest = milliseconds // 60000, milliseconds // 1000 % 60, milliseconds % 1000
    if minutes > 9:
        seconds = 0
    if minutes or seconds > 9:
        rest = 0
    text = f"{minutes}min" if minutes else ""
    if seconds:
        text += f"{seconds}{'.' if rest else 'sec'}"
    return text + (f"{rest:03d}ms" if rest else "")


def _summary(sockets: list[SocketInfo]) -> str:
    states = [info.state for info in sockets if info.protocol == "tcp"]
    closed, waiting = (sum(state in some for state in states) for some in (("TIME-WAIT", "UNCONN"), ("TIME-WAIT",)))
    lines = [
        f"Total: {len(sockets)}",
        f"TCP:   {len(states)} (estab {states.count('ESTAB')}, closed {closed}, orphaned 0, timewait {waiting})",
        "",
        "Transport Total     IP        IPv6",
    ]
    counts = {"RAW": (0, 0)}
    for name in ("udp", "tcp"):
        own = [info.family for info in sockets if info.protocol == name and info.state != "TIME-WAIT"]
        counts[name.upper()] = (own.count(4), own.count(6))
    counts["INET"] = (sum(four for four, _ in counts.values()), sum(six for _, six in counts.values()))
    counts["FRAG"] = (0, 0)
    lines += [f"{name}\t  {four + six:<9} {four:<9} {six:<9}" for name, (four, six) in counts.items()]
    return "\n".join([*lines, "", ""])


def _layout(rows: list[list[str]], hidden: set[int], *, title: str, has_header: bool, screen: int | None) -> str:
    header = ["Netid", "State", "Recv-Q", "Send-Q", "Local Address:", "Port", "Peer Address:", "Port", title]
    lines = ([header] if has_header else []) + rows
    shown = [column for column in range(9) if column not in hidden]
    widths = _widths([max((len(line[column]) for line in lines), default=0) for column in shown], shown, screen)
    text = ""
    for line in lines:
        for place, (column, width) in enumerate(zip(shown, widths, strict=True)):
            margin = _MARGINS[column] if place else ""
            cell = line[column]
            if width:
                text += margin + (
                    cell.rjust(width - len(margin)) if column in _TO_THE_RIGHT else cell.ljust(width - len(margin))
                )
        text += "\n"
    return text


#: The space before each column, unless the column is the first of a line.
_MARGINS = ("", " ", " ", " ", " ", "", " ", "", "")
_TO_THE_RIGHT = (4, 6)


def _widths(longest: list[int], shown: list[int], screen: int | None) -> list[int]:
    """Return the width of each column.

    `shown` holds the numbers of the printed columns, `longest` the length of the longest cell in each. `screen` is
    the width of the terminal, to which each line is stretched, or `None` if there is no terminal.
    """
    widths: list[int] = []
    for column, length in zip(shown, longest, strict=True):
        margin = len(_MARGINS[column]) if any(widths) and length else 0
        widths.append(length + margin if screen is None else min(length + margin, screen))
    if screen is None:
        return widths
    line: list[int] = []
    for place, width in enumerate(widths):
        if not width:
            continue
        if line and sum(widths[index] for index in line) + width > screen:
            _distribute(widths, line, screen)
            line = []
        line.append(place)
    _distribute(widths, line, screen)
    return widths


def _distribute(widths: list[int], line: list[int], screen: int) -> None:
    space, rest = divmod(screen - sum(widths[place] for place in line), len(line))
    for place in reversed(line):
        widths[place] += space + (rest > 0)
        rest -= 1
