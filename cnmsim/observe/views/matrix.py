"""Pictures of a reachability matrix: a square for each pair, and the number of pairs for each verdict.

The signs in the squares differ in shape as well as in colour: a tick if reachable, a cross if refused, a stroke if
unreachable, a bar if there was no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.views.canvas import FILE_STYLE
from cnmsim.observe.views.markup import LOST, MONO, SOFT, WELL, card, framed, note, safe, short, table

if TYPE_CHECKING:
    from cnmsim.observe.reachability.matrix import Difference, Reachability

_SIZE, _LETTER, _LONGEST = 16, 6.8, 28
#: The largest number of columns of a matrix that is shown as a table of words.
_FEW = 12
_REACHED, _REFUSED, _SILENT = "#15803d", "#b45309", "#dc2626"
_COLOURS = {
    Verdict.ANSWERED: _REACHED,
    Verdict.DELIVERED: _REACHED,
    Verdict.PATH_OPEN: _REACHED,
    Verdict.REFUSED: _REFUSED,
}
_SIGNS = {
    Verdict.ANSWERED: "M4 8.2l2.8 2.8L12 5.6", Verdict.DELIVERED: "M4 8.2l2.8 2.8L12 5.6",
    Verdict.PATH_OPEN: "M4 8h8M9 5l3 3-3 3",
    Verdict.REFUSED: "M5 5l6 6M11 5l-6 6", Verdict.UNREACHABLE: "M5 11l6-6",
    Verdict.NAME_NOT_FOUND: "M5.5 11h.1M8 11h.1M10.5 11h.1",
}  # fmt: skip
_BAR = "M5 8h6"


def matrix_card(what: Reachability) -> str:
    """Return the HTML card of the reachability matrix `what`.

    A small matrix is shown as a table of verdicts, a larger one as a picture, a very large one as the number of pairs
    with each verdict.
    """
    kind = f"{len(what.sources)} sources by {len(what.services)} services, {what.probes} probes"
    if what.is_large:
        counts = [(verdict.value, str(count)) for verdict, count in what.counts().items()]
        return card("reachability", kind, table(("verdict", "pairs"), counts, numbers=(1,)))
    if not what.services or not what.sources:
        return card("reachability", kind, note("nothing listens"))
    if len(what.services) <= _FEW:
        return card("reachability", kind, _words(what))
    title = f"reachability: {kind}"
    return card(
        "reachability", kind, _legend(what), framed(matrix_svg(what), matrix_svg(what, standalone=True), title)
    )


def _words(what: Reachability) -> str:
    rows = []
    for source in what.sources:
        verdicts = [what.verdict(source, service) for service in what.services]
        rows.append([source, *(f"{'✓' if verdict.is_reachable else '✕'} {verdict.value}" for verdict in verdicts)])
    return table(("from \\ to", *what.services), rows, rigid=range(len(what.services) + 1))


def _legend(what: Reachability) -> str:
    entries = []
    for verdict, count in what.counts().items():
        sign = (
            f'<svg width="{_SIZE}" height="{_SIZE}" viewBox="0 0 {_SIZE} {_SIZE}" aria-hidden="true" '
            f'style="vertical-align:-3px">{_cell(verdict, 0, 0)}</svg>'
        )
        entries.append(
            f'<span style="margin-right:16px;white-space:nowrap">{sign} {safe(verdict.value)} {count}</span>'
        )
    port = _common_port(what.services)
    note = f'<span style="{SOFT}">all at {safe(port)}</span>' if port else ""
    return f'<div style="margin:4px 0">{" ".join(entries)}{note}</div>'


def _common_port(services: Sequence[str]) -> str:
    ports = {service.rpartition(":")[2] for service in services}
    return next(iter(ports)) if len(ports) == 1 and all(":" in service for service in services) else ""


def matrix_svg(what: Reachability, *, standalone: bool = False) -> str:
    """Return the picture of a reachability matrix as SVG, with the names of rows and columns.

    If all columns have the same port, it is left out of their names. With `standalone` the result is a file of its
    own.
    """
    port = _common_port(what.services)
    columns = [service.removesuffix(f":{port}") if port else service for service in what.services]
    left = 10 + _LETTER * max(min(len(source), _LONGEST) for source in what.sources)
    top = 10 + _LETTER * max(min(len(column), _LONGEST) for column in columns)
    width, height = left + _SIZE * len(columns) + 8, top + _SIZE * len(what.sources) + 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" '
        f'font-family="{safe(MONO)}" font-size="11" fill="currentColor" role="img" aria-label="reachability">'
    )
    parts = [head, FILE_STYLE if standalone else ""]
    for at, name in enumerate(columns):
        x = left + _SIZE * at + 12
        parts.append(
            f'<text transform="translate({x:.1f} {top - 5:.1f}) rotate(-90)">{safe(short(name, _LONGEST))}</text>'
        )
    for row, source in enumerate(what.sources):
        y = top + _SIZE * row
        parts.append(
            f'<text x="{left - 6:.1f}" y="{y + 12:.1f}" text-anchor="end">{safe(short(source, _LONGEST))}</text>'
        )
        for column, service in enumerate(what.services):
            verdict = what.verdict(source, service)
            title = f"{source} → {service}: {verdict.value}"
            parts.append(_cell(verdict, left + _SIZE * column, y, title))
    return "".join([*parts, "</svg>"])


def _cell(verdict: Verdict, x: float, y: float, title: str = "") -> str:
    colour = _COLOURS.get(verdict, _SILENT)
    is_reached = verdict.is_reachable
    fill = f'fill="{colour}"' if is_reached else f'fill="{colour}" fill-opacity=".16"'
    ink = "#fff" if is_reached else colour
    tooltip = f"<title>{safe(title)}</title>" if title else ""
    return (
        f'<g transform="translate({x:.1f} {y:.1f})">'
        f'<rect x="1" y="1" width="{_SIZE - 2}" height="{_SIZE - 2}" rx="2" {fill}>{tooltip}</rect>'
        f'<path d="{_SIGNS.get(verdict, _BAR)}" fill="none" stroke="{ink}" stroke-width="1.8" '
        'stroke-linecap="round" pointer-events="none"/></g>'
    )


def difference_card(what: Difference) -> str:
    """Return the HTML card of the difference of two matrices: each changed pair with its verdicts before and after.

    Pairs that became reachable and pairs that became unreachable have different colours.
    """
    if not what.changes:
        return card("difference", "in reachability", note("no difference"))
    opened, closed = set(map(id, what.opened)), set(map(id, what.closed))
    rows, marks = [], []
    for change in what.changes:
        before, after = (verdict.value if verdict else "not there" for verdict in (change.before, change.after))
        word = "opened" if id(change) in opened else "closed" if id(change) in closed else ""
        rows.append((change.source, change.service, before, after, word))
        marks.append({"opened": WELL, "closed": LOST}.get(word, ""))
    kind = f"in reachability: {len(opened)} opened, {len(closed)} closed"
    return card("difference", kind, table(("from", "to", "before", "after", ""), rows, marks))
