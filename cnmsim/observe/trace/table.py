"""Draw a trace as a table for terminals, in plain text or for rich. `views.walks` renders it for notebooks.

The hops of one packet are listed together under its label. Addresses are printed at a packet's first hop and wherever
they are rewritten; an empty cell means "as above". If columns would become too narrow, the decision and the addresses
are printed below the event.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import Step
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.rule_decision import RuleSet
from cnmsim.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

HEADERS = ("TIME", "WHERE", "DEVICE", "WHAT", "DECIDED BY", "ADDRESSES")
_GAP = 2
_MINIMUM = (6, 5, 6, 12, 12, 14)
#: Indices of the columns whose text is wrapped; the others are as wide as their text.
_FLEXIBLE = (3, 4, 5)
#: The minimum width of a column in a small table, and the maximum length of a word that is not broken.
_NARROWEST, _LONGEST_WORD = 14, 30
#: The minimum width of WHAT and DECIDED BY together; with less room, DECIDED BY is printed below the row.
_READABLE = 40
_MARK = "└ "

_STYLES = {
    Step.DROPPED: "bold red", Step.TRANSLATED: "yellow", Step.DELIVERED: "green", Step.NOTE: "cyan",
    Step.NEIGHBOUR: "dim",
}  # fmt: skip


@frozen
class Row:
    """A row of the table: the text of its six cells, the step that selects its colour, the hop, and its number."""

    cells: tuple[str, str, str, str, str, str]
    step: Step
    hop: Hop
    number: int


@frozen
class Section:
    """A section of the table: the rows of one packet, titled with the packet's label."""

    title: str
    rows: tuple[Row, ...]


def format_time(time_ns: int) -> str:
    """Format a time since the start of a trace, in ms or, from one second on, in s: `1.234 ms`, `1.234 s`."""
    if time_ns < NS_PER_S:
        return f"{time_ns / 1e6:.3f} ms"
    return f"{time_ns / NS_PER_S:.3f} s"


#: The decision of a socket. The column shows the program and the port; the addresses have a column of their own.
_SOCKET = re.compile(r"socket: (?P<owner>\S+(?: \(pid \d+\))?)(?P<listens> listening on \S+)?.*")
_ROUTE_DETAIL = re.compile(r" (proto|scope|src|metric) \S+")
_VERBS = {Step.SENT: "sends", Step.DELIVERED: "receives"}


def decided_by(hop: Hop) -> str:
    """Return a short text for what decided about the packet at a hop.

    It names the owner of a socket, a route without its attributes, or a rule with its table.
    """
    if hop.decision.startswith("socket: "):
        match = _SOCKET.match(hop.decision)
        return f"{match['owner']}{match['listens'] or ''}" if match else hop.decision
    if hop.step is Step.ROUTED:
        return _ROUTE_DETAIL.sub("", hop.decision)
    rule = hop.rule
    if rule is None or rule.rule_set is RuleSet.LEGACY or (rule.policy and rule.rule_set is RuleSet.IPTABLES):
        return hop.decision
    where = rule.table if rule.rule_set is RuleSet.IPTABLES else f"{rule.table} {rule.chain}"
    return f"{where}: {rule.rule or f'policy {rule.policy}'}"


def what_of(hop: Hop) -> str:
    """Return a short text for what happened at a hop, with the reason if the packet was dropped.

    The owner of a socket is left out, because `decided_by` returns it.
    """
    verb, layer4 = _VERBS.get(hop.step), hop.layer4
    # If a listening socket receives a SYN, the event's own text says that the connection is new.
    is_accepted = layer4.is_syn and hop.step is Step.DELIVERED and " listening on " in hop.decision
    if verb and hop.decision.startswith("socket: ") and not is_accepted:
        thing = ""
        if layer4.protocol == "tcp" or layer4.is_echo_reply:
            thing = hop.packet
        elif layer4.is_dns:
            thing = "the answer" if layer4.is_dns_reply else "the question"
        elif layer4.protocol == "udp":
            thing = f"{layer4.payload_bytes} bytes"
        elif layer4.is_echo_request:
            thing = "an echo request"
        if thing:
            return f"{verb} {thing}" + (" again" if hop.is_repeated else "")
    if hop.reason is None or hop.reason.value in hop.what:
        return hop.what
    return f"{hop.what}: {hop.reason.value}" if hop.what else hop.reason.value


def sections_of(hops: Sequence[Hop], *, verbose: bool = False) -> tuple[Section, ...]:
    """Group hops by packet, in the order of each packet's first hop.

    Addresses that are the same as in the row above are left blank. With `verbose`, decisions are not shortened.
    """
    by_message: dict[int, list[tuple[int, Hop]]] = {}
    for number, hop in enumerate(hops, 1):
        by_message.setdefault(hop.message, []).append((number, hop))
    sections = []
    for message_hops in by_message.values():
        rows, shown = [], ""
        for number, hop in message_hops:
            addresses = "" if hop.addresses == shown else hop.addresses
            shown = hop.addresses
            decision = hop.decision if verbose else decided_by(hop)
            cells = (format_time(hop.time_ns), hop.place, hop.device, what_of(hop), decision, addresses)
            rows.append(Row(cells, hop.step, hop, number))
        sections.append(Section(message_hops[0][1].packet, tuple(rows)))
    return tuple(sections)


def _widths(rows: Sequence[Row], width: int) -> list[int]:
    """Return the width of each column, so that the table has `width` columns of text.

    Columns that are not wrapped are as wide as their text; the others share the rest.
    """
    natural = [max([len(header), *(len(row.cells[column]) for row in rows)]) for column, header in enumerate(HEADERS)]
    fixed = sum(natural[column] for column in range(len(HEADERS)) if column not in _FLEXIBLE)
    room = width - fixed - _GAP * (len(HEADERS) - 1)
    needed = [natural[column] for column in _FLEXIBLE]
    if sum(needed) > room:
        room = max(room, sum(_MINIMUM[column] for column in _FLEXIBLE))
        # If possible, addresses are broken only between source and destination.
        halves = max([len(HEADERS[5]), *(len(half) for row in rows for half in _halves(row.cells[5]))])
        addresses = min(halves, max(_MINIMUM[5], room // 2))
        shares = [*_shares(needed[:2], room - addresses), addresses]
        shares[2] += max(0, room - sum(shares))
        for column, share in zip(_FLEXIBLE, shares, strict=True):
            natural[column] = share
    return natural


def _shares(needed: Sequence[int], room: int) -> list[int]:
    """Divide the width `room` among columns that would need the widths `needed`.

    A column gets no more than it needs; the rest goes to the others.
    """
    shares = [0] * len(needed)
    left = sorted(range(len(needed)), key=lambda index: needed[index])
    while left:
        index = left.pop(0)
        shares[index] = min(needed[index], room // (len(left) + 1))
        room -= shares[index]
    return shares


def _halves(addresses: str) -> list[str]:
    source, arrow, destination = addresses.partition(" > ")
    return [f"{source} >", destination] if arrow else [source]


def _wrap(text: str, width: int) -> list[str]:
    parts = [text] if len(text) <= width else _halves(text)
    return [line for part in parts for line in textwrap.wrap(part, width, break_on_hyphens=False)] or [""]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].rjust(widths[0])
    rest = [cell.ljust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return (" " * _GAP).join([first, *rest]).rstrip()


def _lines(hops: Sequence[Hop], width: int, *, verbose: bool) -> Iterator[tuple[str, str]]:
    """Yield each line of the table with the style of its hop, which terminals show as a colour."""
    sections = sections_of(hops, verbose=verbose)
    rows = [row for section in sections for row in section.rows]
    widths = _widths(rows, width)
    needed = sum(max(len(row.cells[column]) for row in rows) for column in (3, 4))
    if widths[3] + widths[4] < min(needed, _READABLE):
        widths = _widths_above(rows, width)
    total = sum(widths) + _GAP * (len(widths) - 1)
    yield _line(HEADERS[: len(widths)], widths), "bold"
    if len(widths) < len(HEADERS):
        yield _below(HEADERS[4:], widths, total)[0], "bold"
    for section in sections:
        title = textwrap.shorten(section.title, max(20, total - 8), placeholder=" …")
        yield f"── {title} ".ljust(total, "─"), "blue"
        for row in section.rows:
            style = _STYLES.get(row.step, "")
            wrapped = [_wrap(cell, size) for cell, size in zip(row.cells, widths, strict=False)]
            for number in range(max(len(cell) for cell in wrapped)):
                part = [cell[number] if number < len(cell) else "" for cell in wrapped]
                yield _line(part, widths), style
            for line in _below(row.cells[len(widths) :], widths, total):
                yield line, style


def _widths_above(rows: Sequence[Row], width: int) -> list[int]:
    """Return the widths of the first four columns, for a table that prints decisions and addresses below its rows.

    `width` is the width of the table.
    """
    natural = [max([len(HEADERS[column]), *(len(row.cells[column]) for row in rows)]) for column in range(4)]
    room = width - sum(natural[:3]) - _GAP * 3
    return [*natural[:3], max(room, _MINIMUM[3])]


def _below(cells: Sequence[str], widths: Sequence[int], total: int) -> list[str]:
    """Return the lines to print below a row: a single line if all `cells` fit on it, else lines for each cell.

    `widths` are those of the columns above, and `total` is the width of the table.
    """
    given = [cell for cell in cells if cell]
    margin = " " * (widths[0] + _GAP)
    room = total - len(margin) - len(_MARK)
    together = (" " * _GAP).join(given)
    parts = [together] if len(together) <= room else given
    lines = [line for part in parts for line in (_wrap(part, room) if part else [])]
    return [margin + (" " * len(_MARK) if number else _MARK) + line for number, line in enumerate(lines)]


def text_table(hops: Sequence[Hop], width: int = 100, *, verbose: bool = False) -> str:
    """Return the table of the hops as plain text, wrapped to `width` columns.

    With `verbose`, decisions are not shortened.
    """
    return "\n".join(line for line, _ in _lines(hops, width, verbose=verbose))


@frozen
class RichTable:
    """The table of the hops for a rich console: as wide as the console, coloured by step."""

    hops: Sequence[Hop]
    is_verbose: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        for line, style in _lines(self.hops, options.max_width, verbose=self.is_verbose):
            yield Text(printable(line), style=style, no_wrap=True)


def plain_grid(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int = 0) -> str:
    """Return a small table as plain text. Each column is as wide as its longest text.

    If the table would be wider than `width` (0: no limit), the widest columns are wrapped. If words would have to be
    broken to make it fit, each row is shown as a list of its cells with their headers instead.
    """
    widths = [max([len(header), *(len(row[column]) for row in rows)]) for column, header in enumerate(headers)]
    room = width - _GAP * (len(widths) - 1)
    columns = list(zip(headers, *rows, strict=True))
    longest = [max((len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    lowest = [max(len(column[0]), word) for column, word in zip(columns, longest, strict=True)]
    if width and sum(lowest) > room:
        return "\n".join(line for row in rows for line in _record(headers, row, width))
    while width and sum(widths) > room:
        widest = max((at for at, size in enumerate(widths) if size > lowest[at]), key=lambda at: widths[at])
        widths[widest] -= 1
    return "\n".join(
        (" " * _GAP).join(part.ljust(size) for part, size in zip(parts, widths, strict=True)).rstrip()
        for line in [headers, *rows]
        for parts in _stacked(line, widths)
    )


def _record(headers: Sequence[str], row: Sequence[str], width: int) -> Iterator[str]:
    """Yield the lines of one table row that does not fit `width`: its first two cells, then one cell a line."""
    yield (" " * _GAP).join(filter(None, row[:2]))
    label = max(map(len, headers[2:]), default=0) + _GAP
    for header, cell in zip(headers[2:], row[2:], strict=True):
        if cell:
            yield from textwrap.wrap(
                f"{header:<{label}}{cell}", width, initial_indent=" " * _GAP,
                subsequent_indent=" " * (_GAP + label), break_on_hyphens=False,
            )  # fmt: skip


def _stacked(cells: Sequence[str], widths: Sequence[int]) -> Iterator[list[str]]:
    """Yield the lines of one table row, whose cells are wrapped to `widths`; each line is a list of cells."""
    wrapped = [
        textwrap.wrap(cell, size, break_on_hyphens=False) if len(cell) > size else [cell]
        for cell, size in zip(cells, widths, strict=True)
    ]
    for number in range(max(map(len, wrapped))):
        yield [lines[number] if number < len(lines) else "" for lines in wrapped]
