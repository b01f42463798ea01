"""Charts of flows with matplotlib: throughput, latency and queues over time."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cnmsim.errors import InvalidParameter

if TYPE_CHECKING:
    from cnmsim.observe.flows.result import FlowReport

#: The largest number of flows that get a line of their own and a place in the legend.
_MAX_LINES = 12
_MAX_QUEUES = 6


def plot(report: FlowReport, axes: Any = None) -> Any:
    """Draw three charts, one below the other: throughput, latency and queues over time. Return the figure.

    `axes` are three axes to draw on instead of a new figure. Raises `ImportError` if matplotlib is not installed,
    `InvalidParameter` if the number of axes is not three.
    """
    if axes is None:
        # A figure made without pyplot belongs to no window, so it needs no display.
        figure = import_module("matplotlib.figure").Figure(figsize=(8, 7), layout="constrained")
        axes = figure.subplots(3, 1, sharex=True)
    else:
        axes = list(axes)
        if len(axes) != 3:
            raise InvalidParameter(f"plot draws on three axes: throughput, latency and queues, not {len(axes)}")
        figure = axes[0].figure
    _throughput(report, axes[0])
    _latency(report, axes[1])
    _queues(report, axes[2])
    axes[2].set_xlabel("virtual time (s)")
    return figure


def _throughput(report: FlowReport, axes: Any) -> None:
    rows = report.throughput()
    times = [end for end, _ in rows]
    if len(report) <= _MAX_LINES:
        for flow in report:
            axes.plot(times, [rates[flow.name] / 1e6 for _, rates in rows], label=flow.name)
    else:
        axes.plot(times, [sum(rates.values()) / 1e6 for _, rates in rows], label=f"all {len(report)} flows")
    axes.set_ylabel("throughput (Mbit/s)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")


def _latency(report: FlowReport, axes: Any) -> None:
    for flow in report:
        arrived = [message for message in flow.messages if message.latency_s is not None]
        axes.plot(
            [message.sent_s for message in arrived],
            [message.latency_s * 1e3 for message in arrived if message.latency_s is not None],
            ".", markersize=2,
        )  # fmt: skip
    axes.set_ylabel("latency (ms)")
    axes.set_ylim(bottom=0)


def _queues(report: FlowReport, axes: Any) -> None:
    queued = sorted((link for link in report.links if link.queue_max_bytes), key=lambda link: -link.queue_max_bytes)
    for link in queued[:_MAX_QUEUES]:
        axes.plot(link.times_s, [size / 1000 for size in link.queue_bytes], label=link.name)
    axes.set_ylabel("queue (kB)")
    axes.set_ylim(bottom=0)
    if queued:
        axes.legend(fontsize="small")
