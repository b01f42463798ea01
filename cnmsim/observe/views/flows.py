"""The HTML card of flows: a chart of throughput and queues over time, and tables of flows and links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.observe.flows.text import (
    FLOW_HEADERS,
    LINK_HEADERS,
    MAX_ROWS,
    duration_text,
    flow_row,
    link_row,
    rate_text,
    remarks,
    shown_links,
)
from cnmsim.observe.views.markup import ACCENT, PALETTE, SOFT, card, heading, note, safe, table

if TYPE_CHECKING:
    from cnmsim.observe.flows.result import FlowReport

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 150, 74, 22, 10
#: The largest number of flows for which each flow has a line of its own in the chart.
_MAX_LINES = len(PALETTE)


def flows_card(report: FlowReport) -> str:
    """Return the HTML card of a flow report: a chart, and tables of flows and links."""
    parts = [_chart(report)]
    parts.append(
        table(
            [header.lower() for header in FLOW_HEADERS], [flow_row(flow) for flow in report.flows[:MAX_ROWS]],
            numbers=(1, 2, 3, 4, 5, 8), rigid=range(len(FLOW_HEADERS)),
        )
    )  # fmt: skip
    if len(report) > MAX_ROWS:
        parts.append(note(f"{len(report) - MAX_ROWS} more flows; to_frame() has all of them"))
    links = shown_links(report)
    if links:
        parts += [
            heading("links"),
            table(
                [header.lower() for header in LINK_HEADERS], [link_row(link) for link in links[:MAX_ROWS]],
                numbers=(1, 2, 4), rigid=range(len(LINK_HEADERS)),
            ),
        ]  # fmt: skip
        if len(links) > MAX_ROWS:
            parts.append(note(f'{len(links) - MAX_ROWS} more links; to_frame("links") has all of them'))
    parts += [note(line) for line in remarks(report)]
    kind = f"{report.delivered:,} of {report.sent:,} messages, {rate_text(report.throughput_bps)}"
    title = report[0].name if len(report) == 1 else f"{len(report)} flows"
    return card(title, kind, *parts)


def _chart(report: FlowReport) -> str:
    """Return a chart as HTML: the throughput of each flow, or of all if there are many, and the longest queue.

    Return "" if there is no throughput to draw.
    """
    rows = report.throughput()
    if not rows:
        return ""
    if len(report) <= _MAX_LINES:
        series = [[rates[flow.name] for _, rates in rows] for flow in report]
        labels = [flow.name for flow in report]
    else:
        series, labels = [[sum(rates.values()) for _, rates in rows]], [f"all {len(report)} flows"]
    highest = max(max(values) for values in series) or 1.0
    until = rows[-1][0]
    lines = "".join(
        f'<polyline fill="none" stroke="{PALETTE[at % len(PALETTE)]}" stroke-width="1.6" '
        f'points="{_points(values, highest)}"><title>{safe(label)}</title></polyline>'
        for at, (label, values) in enumerate(zip(labels, series, strict=True))
    )
    right, base = _WIDTH - 8, _HEIGHT - _BOTTOM
    axis = (
        f'<path d="M{_LEFT} {_TOP}V{base}H{right}" fill="none" stroke="currentColor" stroke-opacity=".45"/>'
        f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor="end">{safe(rate_text(highest))}</text>'
        f'<text x="{_LEFT - 6}" y="{base}" text-anchor="end">0</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">0 s</text>'
        f'<text x="{right}" y="{_HEIGHT - 6}" text-anchor="end">{safe(duration_text(until))}</text>'
    )
    legend = " ".join(_entry(PALETTE[at % len(PALETTE)], "━", label) for at, label in enumerate(labels))
    longest = max(report.links, key=lambda link: link.queue_max_bytes, default=None)
    queue = ""
    if longest is not None and longest.queue_max_bytes and max(longest.queue_bytes, default=0):
        points = _points(longest.queue_bytes, max(longest.queue_bytes), longest.times_s[-1] / until if until else 1.0)
        title = f"queue of {longest.name}"
        queue = f'<polyline fill="none" stroke="{ACCENT}" stroke-dasharray="3 3" points="{points}">'
        queue += f"<title>{safe(title)}</title></polyline>"
        legend += f" {_entry(ACCENT, '┅', f'{title}, up to {longest.queue_max_bytes:,} bytes')}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'style="width:100%;max-width:{_WIDTH}px;display:block" role="img" '
        f'aria-label="throughput over time" font-size="11" fill="currentColor">{axis}{lines}{queue}</svg>'
        f'<div style="{SOFT};font-size:12px;margin-bottom:4px">throughput {legend}</div>'
    )


def _entry(colour: str, sign: str, label: str) -> str:
    return f'<span style="white-space:nowrap"><span style="color:{colour}">{sign}</span> {safe(label)}</span>'


def _points(values: Sequence[float], highest: float, stretch: float = 1.0) -> str:
    right, base = _WIDTH - 8, _HEIGHT - _BOTTOM
    span = (right - _LEFT) * min(stretch, 1.0)
    return " ".join(
        f"{_LEFT + span * (at + 1) / len(values):.1f},{base - (base - _TOP) * value / highest:.1f}"
        for at, value in enumerate(values)
    )
