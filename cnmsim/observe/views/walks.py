"""The HTML card of a trace: the finding, then the table of steps, with the same step numbers as in the picture.

Decisions, rewrites, deliveries and drops are marked by signs as well as by colour, because colours are lost on GitHub
and in black-and-white print.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.kernel.events import Event, Step
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.trace.table import HEADERS, Row, sections_of
from cnmsim.observe.views.headers import headers_of
from cnmsim.observe.views.markup import (
    BAD,
    CELL,
    DECIDED,
    GOOD,
    LOST,
    SOFT,
    STEP,
    WELL,
    banner,
    card,
    headed_table,
    note,
    safe,
    words,
)

if TYPE_CHECKING:
    from cnmsim.observe.trace.hops import Hop
    from cnmsim.observe.trace.trace import Trace

_GROUNDS = {Step.DROPPED: LOST, Step.DELIVERED: WELL, Step.TRANSLATED: "rgba(59,130,246,.17)"}
_SIGNS = {Step.DROPPED: "✕ ", Step.DELIVERED: "✓ ", Step.TRANSLATED: "⇄ "}
#: The task id at the end of the name of a task's container.
_TASK_ID = re.compile(r"(?<=\.\d)(\d*)\.[a-z0-9]{25}\b")
_TUNNELS = frozenset({Step.ENCAPSULATED, Step.DECAPSULATED})


def walk_card(trace: Trace) -> str:
    """Return the HTML card of a trace."""
    parts = [finding_banner(trace)]
    shown = trace.shown()
    if shown:
        parts.append(walk_table(trace))
    left_out = len(trace.hops) - len(shown)
    if left_out:
        parts.append(note(f"{left_out} plain steps not shown"))
    return card(trace.title, "trace", *parts)


def badge(trace: Trace) -> tuple[str, str]:
    """Return the verdict of a trace and the background on which it is shown; ("", "") if the probe has not ended."""
    if trace.finding is None:
        return "", ""
    verdict = trace.finding.verdict
    if verdict is Verdict.PATH_OPEN:
        return verdict.value, STEP
    return verdict.value + (" (assumed)" if trace.finding.assumptions else ""), GOOD if trace.is_reachable else BAD


def finding_banner(trace: Trace) -> str:
    """Return the HTML of a trace's verdict with its cause, fix and remarks; "" if the probe has not ended."""
    if trace.finding is None:
        return ""
    (_, _, cause), *more = (line.partition(": ") for line in trace.conclusion_lines())
    fix_label, fix = trace.fix_text()
    rest = ((label, fix if label == fix_label else text) for label, _, text in more)
    return banner(badge(trace)[0], cause, badge(trace)[1], *rest)


def walk_table(trace: Trace) -> str:
    """Return the HTML table of a trace: its packets in order, each with its steps."""
    own = {id(hop): event for hop, event in zip(trace.hops, trace.events, strict=True)}
    shown = trace.shown()
    named = trace.in_file_names(shown)
    events = {id(name): own[id(hop)] for hop, name in zip(shown, named, strict=True)}
    decisive = _decisive(trace)
    decided = next((name for hop, name in zip(shown, named, strict=True) if hop is decisive), None)
    body = []
    for section in sections_of(named):
        body.append(
            f'<tr style="background:transparent"><td colspan="{len(HEADERS) + 1}" style="{CELL};padding-top:9px">'
            f"<b>{safe(section.title)}</b></td></tr>"
        )
        body += [_row(row, events[id(row.hop)], is_decisive=row.hop is decided) for row in section.rows]
    return headed_table(((text, "") for text in ("#", *map(str.lower, HEADERS))), body)


def _decisive(trace: Trace) -> Hop | None:
    """Return the step to mark as decisive; `None` if the table does not show it.

    If the table leaves out the deciding hop because it repeats an earlier one, return that earlier hop.
    """
    hop = trace.deciding_hop
    if hop is None:
        return None
    same = (candidate for candidate in trace.shown() if _what_it_was(candidate) == _what_it_was(hop))
    return next((candidate for candidate in trace.shown() if candidate == hop), None) or next(same, None)


def _what_it_was(hop: Hop) -> tuple[object, ...]:
    return (hop.place, hop.device, hop.step, hop.decision, hop.reason)


def _row(row: Row, event: Event, *, is_decisive: bool) -> str:
    time, place, device, what, decision, addresses = row.cells
    colour = _GROUNDS.get(row.step, DECIDED if is_decisive else "transparent")
    sign = _SIGNS.get(row.step, "")
    summary = f"<b>{safe(sign + what)}</b>" if sign or is_decisive else safe(what)
    cause = f"<b>{words(decision)}</b>" if is_decisive and decision else words(decision)
    if is_decisive:
        cause += ' <b style="white-space:nowrap">◂ decided</b>'
    inner = _inside(event) if row.hop.step in _TUNNELS else ""
    ends = _ends(row.hop.addresses if inner else addresses) + (f'<div style="{SOFT}">{inner}</div>' if inner else "")
    firm = f"{CELL};white-space:nowrap"
    short = _TASK_ID.sub(r"\1", place)
    where = safe(place) if short == place else f'<span title="{safe(place)}">{safe(short)}</span>'
    cells = (
        f'<td style="{firm};text-align:right">{row.number}</td><td style="{firm};text-align:right">{safe(time)}</td>'
        f'<td style="{firm}">{where}</td><td style="{firm}">{safe(device)}</td>'
        f'<td style="{CELL};min-width:11em">{summary}</td>'
        f'<td style="{CELL};min-width:14em;overflow-wrap:anywhere">{cause}</td>'
        f'<td style="{firm}">{ends}</td>'
    )
    return f'<tr style="background:{colour};border:0">{cells}</tr>'


def _ends(addresses: str) -> str:
    """Format the text `SOURCE > DESTINATION` as HTML, with a line break before the destination."""
    source, arrow, destination = addresses.partition(" > ")
    return f"{safe(source)} &gt;<br/>{safe(destination)}" if arrow else safe(source)


def _inside(event: Event) -> str:
    """Return the VNI, source and destination of the packet inside a VXLAN packet, as HTML; "" for other packets."""
    headers = headers_of(event.data, is_frame=event.is_frame) if event.data else ()
    fields = {header.protocol: dict(header.fields) for header in headers if header.depth == 1}
    outer = {header.protocol: dict(header.fields) for header in headers if header.depth == 0}
    packet = fields.get("IPv4") or fields.get("IPv6")
    if packet is None or "VXLAN" not in outer:
        return ""
    ports = fields.get("TCP") or fields.get("UDP")
    ends = [f"{packet[end]}:{ports[f'{end} port']}" if ports else packet[end] for end in ("source", "destination")]
    return f"in VNI {safe(outer['VXLAN']['VNI'])}:<br/>{safe(ends[0])} &gt;<br/>{safe(ends[1])}"
