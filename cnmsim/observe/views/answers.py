"""HTML cards for results: explanations, engine errors, checkups and captures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.observe.diagnosis.file_names import in_file_names
from cnmsim.observe.trace.packet_summary import summarize
from cnmsim.observe.trace.table import what_of
from cnmsim.observe.views.markup import (
    BAD,
    CELL,
    GOOD,
    SOFT,
    STEP,
    banner,
    card,
    facts,
    headed_table,
    heading,
    note,
    safe,
    table,
)
from cnmsim.observe.views.walks import finding_banner, walk_table

if TYPE_CHECKING:
    from cnmsim.observe.capture.capture import Capture
    from cnmsim.observe.diagnosis.engine_errors import ErrorExplanation
    from cnmsim.observe.doctor.fault import Checkup
    from cnmsim.observe.explain import Explanation
    from cnmsim.observe.fixes.fix import Fix
    from cnmsim.observe.packets.walks import Walks
    from cnmsim.observe.trace.hops import Hop

#: The maximum number of captured frames that a card shows.
_FRAMES = 200
_SEVERITIES = {"error": BAD, "warning": STEP, "note": "#4b5563"}


def explanation_card(what: Explanation) -> str:
    """Return the HTML card of an explanation: the answer, facts about both locations, and the trace."""
    rows = [("" if at else "facts", fact) for at, fact in enumerate(what.facts)]
    if what.by_address is not None and what.by_address.finding is not None:
        rows.insert(0, ("by address", str(what.by_address.finding).splitlines()[0]))
    parts = [finding_banner(what.trace), facts(rows)]
    if what.trace.shown():
        parts += [heading("steps"), walk_table(what.trace)]
    return card(what.trace.title, "explained", *parts)


def fix_card(fix: Fix) -> str:
    """Return the HTML card of a fix: its sentence, the commands or the new destination, and whether it was tried."""
    question = fix.question
    asked = [] if fix.changes else [("ask", f"{question.destination} {question.service}")]
    rows = [*asked, *(("type" if at == 0 else "", command) for at, command in enumerate(fix.commands))]
    tried = "worked on a copy of the lab" if fix.was_tried else "not tried"
    return card(fix.text, "fix", facts([*rows, ("", tried)]))


def hop_card(hop: Hop) -> str:
    """Return the HTML card of one hop of a trace."""
    rows = [
        ("time", f"{hop.time_ns / NS_PER_S * 1000:.3f} ms"),
        ("packet", hop.packet),
        ("addresses", hop.addresses),
        ("what", what_of(hop)),
        ("decided by", hop.decision),
        ("reason", hop.reason.value if hop.reason is not None else ""),
    ]
    return card(hop.where, "step", facts([row for row in rows if row[1]]))


def walks_card(walks: Walks) -> str:
    """Return the HTML card of several sent packets: their number by outcome, and each packet with its outcome."""
    rows = walks.rows()
    counts = [(outcome, str(count)) for outcome, count in walks.counts.most_common()]
    more = len(walks) - len(rows)
    parts = [facts(counts), table(("time", "packet", "outcome"), rows)]
    if more > 0:
        parts.append(note(f"{more} more packets"))
    return card(f"{len(walks)} packets", "sent", *parts)


def error_card(what: ErrorExplanation) -> str:
    """Return the HTML card of an explained engine error."""
    return card(
        "", "", banner("refused", what.message, BAD, ("because", what.cause), ("advice (not tried)", what.advice))
    )


def checkup_card(what: Checkup) -> str:
    """Return the HTML card of a checkup: each fault with its severity, location and advice."""
    if not what.faults:
        return card("checkup", "", banner("nothing found", "", GOOD))
    rows = []
    for fault in what.faults:
        word = fault.severity.name.lower()
        label, outline = fault.help
        text, *changed = outline.splitlines()
        lines = f'<pre style="margin:2px 0 0">{safe(chr(10).join(changed))}</pre>' if changed else ""
        place = f"{fault.place} ({fault.source})" if fault.source else fault.place
        rows.append(
            f'<tr style="background:transparent;border:0"><td style="{CELL};white-space:nowrap">'
            f'<b style="background:{_SEVERITIES[word]};color:#fff;border-radius:9px;padding:1px 8px">{safe(word)}</b>'
            f'</td><td style="{CELL};max-width:72em;overflow-wrap:anywhere"><b>{safe(place)}</b>'
            f"<div>{safe(fault.text)}</div>"
            f'<div style="{SOFT}"><b>{safe(label)}</b> {safe(text)}</div>{lines}</td></tr>'
        )
    grid = headed_table((("severity", ""), ("fault", "")), rows)
    return card("checkup", f"{len(what.faults)} found", grid)


def capture_card(what: Capture) -> str:
    """Return the HTML card of a capture: its devices, its duration, and its first frames.

    The time of a frame is counted from the first one.
    """
    frames = what.frames
    begin = frames[0].time_ns if frames else 0
    names = what.file_names()
    places = [in_file_names(point.name, names) for point in what.points]
    rows = []
    for number, frame in enumerate(frames[:_FRAMES], 1):
        summary = summarize(frame.data, is_frame=True)
        rows.append(
            (str(number), f"{(frame.time_ns - begin) / NS_PER_S:.6f}", places[frame.point], frame.direction,
             str(len(frame.data)), summary.label, summary.addresses)
        )  # fmt: skip
    kind = f"capture of {len(frames)} frames at {len(what.points)} devices"
    parts = (
        [table(("no.", "time", "device", "", "bytes", "frame", "addresses"), rows, numbers=(0, 1, 4), rigid=(2, 6))]
        if rows
        else []
    )
    if len(frames) > _FRAMES:
        parts.append(note(f"{len(frames) - _FRAMES} more; save() writes all of them for Wireshark"))
    return card(", ".join(what.patterns), kind, *parts)
