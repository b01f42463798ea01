"""Results of flows as text for terminals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cnmsim.observe.trace.table import plain_grid

if TYPE_CHECKING:
    from cnmsim.observe.flows.links import LinkResult
    from cnmsim.observe.flows.result import FlowReport, FlowResult

#: The largest number of flows that are listed one by one.
MAX_ROWS = 40
FLOW_HEADERS = (
    "FLOW", "SENT", "DELIVERED", "LOST", "REORDERED", "RETRANSMITTED", "LATENCY MIN/MEDIAN/99 %", "JITTER",
    "THROUGHPUT",
)  # fmt: skip
LINK_HEADERS = ("LINK", "FRAMES", "BYTES", "DROPPED", "UTILISATION", "LONGEST QUEUE")


def duration_text(seconds: float) -> str:
    """Format a duration in seconds with three significant digits and a fitting unit: `1.25 ms`."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def rate_text(bits_per_second: float) -> str:
    """Format a rate in bits per second with a fitting unit: `1.25 Mbit/s`."""
    for limit, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bits_per_second >= limit * 0.9995:
            return f"{bits_per_second / limit:.3g} {unit}"
    return f"{bits_per_second:.3g} bit/s"


def counts_text(counts: Mapping[str, int]) -> str:
    """Format counts by reason: `12 lost on the link, 3 no route`."""
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())


def flow_row(flow: FlowResult) -> tuple[str, ...]:
    """Return the cells of a flow's row in the table with the columns `FLOW_HEADERS`."""
    latency = flow.latency
    delays = (
        "/".join(duration_text(value) for value in (latency.min_s, latency.median_s, latency.p99_s))
        if latency
        else "-"
    )
    lost = f"{flow.lost_count:,} ({flow.loss:.1%})" if flow.lost_count else "0"
    return (
        flow.name, f"{flow.sent:,}", f"{flow.delivered:,}", lost, f"{flow.reordered:,}",
        f"{flow.retransmitted:,}" if flow.protocol == "tcp" else "-", delays, duration_text(flow.jitter_s),
        rate_text(flow.throughput_bps),
    )  # fmt: skip


def link_row(link: LinkResult) -> tuple[str, ...]:
    """Return the cells of a link's row in the table with the columns `LINK_HEADERS`."""
    queue = f"{link.queue_max_bytes:,} bytes, {duration_text(link.queue_max_s)}" if link.bandwidth_bps else "-"
    used = f"{link.utilisation:.1%}" if link.utilisation is not None else "-"
    return link.name, f"{link.frames:,}", f"{link.bytes:,}", counts_text(link.dropped) or "0", used, queue


def shown_links(report: FlowReport) -> list[LinkResult]:
    """Return the links to show in the table.

    These are links that dropped or queued frames, or that carried at least 1 % of the bytes of the busiest link.
    """
    least = max((link.bytes for link in report.links), default=0) / 100
    return [link for link in report.links if link.dropped or link.queue_max_bytes or link.bytes >= least]


def remarks(report: FlowReport) -> list[str]:
    """Return the sentences below the tables: reasons of losses, receivers and errors."""
    lines = []
    if report.lost:
        lines.append(f"lost: {counts_text(report.lost)}")
    dropped = {reason: count for flow in report for reason, count in flow.dropped.items()}
    if dropped:
        lines.append(f"TCP segments dropped and sent again: {counts_text(dropped)}")
    if len(report.receivers) > 1:
        lines.append("received by: " + ", ".join(f"{name} {count:,}" for name, count in report.receivers.items()))
    lines += [f"{name}: {error}" for name, error in list(report.errors.items())[:MAX_ROWS]]
    return lines


def text_of(report: FlowReport) -> str:
    """Return the tables of flows and links as text, with remarks below."""
    shown = report.flows[:MAX_ROWS]
    parts = [plain_grid(FLOW_HEADERS, [flow_row(flow) for flow in shown])]
    if len(report) > len(shown):
        parts.append(
            f"… and {len(report) - len(shown)} more flows; all together: {report.sent:,} sent, "
            f"{report.delivered:,} delivered, {rate_text(report.throughput_bps)}"
        )
    links = shown_links(report)
    if links:
        parts += ["", plain_grid(LINK_HEADERS, [link_row(link) for link in links[:MAX_ROWS]])]
    if len(links) > MAX_ROWS:
        parts.append(f"… and {len(links) - MAX_ROWS} more; `links` has all of them")
    lines = remarks(report)
    return "\n".join([*parts, *([""] if lines else []), *lines])
