"""Capture frames until a limit is reached, as scapy's `sniff` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cnmsim.errors import InvalidParameter
from cnmsim.observe.trace.tracer import LabView, capture

if TYPE_CHECKING:
    from scapy.plist import PacketList


def sniff(
    lab: LabView,
    patterns: Sequence[str],
    *,
    count: int,
    timeout_s: float,
    stop_filter: Callable[[Any], bool] | None,
    started_callback: Callable[[], object] | None,
    **options: Any,
) -> PacketList:
    """Capture frames until a limit is reached, and return them as packets. See `Lab.sniff` for the parameters."""
    if count < 0 or not timeout_s >= 0:
        raise InvalidParameter(f"count and timeout_s are 0 or more: {count}, {timeout_s}")
    seen = 0

    def is_done() -> bool:
        nonlocal seen
        if count and len(taken) >= count:
            return True
        new, seen = taken.frames[seen:], len(taken)
        return stop_filter is not None and any(stop_filter(taken.packet_of(frame)) for frame in new)

    with capture(lab, *patterns, **options) as taken:
        if started_callback is not None:
            started_callback()
        lab.clock.run_for(timeout_s, stop=is_done)
    return taken.packets[:count] if count else taken.packets
