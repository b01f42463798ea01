"""Replay a recorded capture at a device of a lab."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cnmsim.errors import InvalidParameter
from cnmsim.observe.capture.capture import compiled_filter
from cnmsim.observe.packets.capture_file import RecordedFrame, read_capture
from cnmsim.observe.packets.origin import Origin
from cnmsim.observe.packets.rewrite import Rewrite
from cnmsim.observe.packets.sender import MAX_COUNT, Batch
from cnmsim.observe.packets.walks import Walks
from cnmsim.userland.tcpdump.primitives import CapturedFrame


def replay(
    place: object,
    path: str | Path,
    *,
    rewrite: Mapping[str, str],
    filter: str,  # noqa: A002 - scapy's name
    direction: str | None,
    speed: float,
    count: int | None,
    timeout_s: float,
) -> Walks:
    """Send the frames of a capture file at a device of `place`. See `Lab.replay` for the parameters."""
    if direction not in {None, "in", "out"}:
        raise InvalidParameter(f"direction is 'in', 'out' or None: {direction!r}")
    if not speed > 0:
        raise InvalidParameter(f"speed is a factor greater than 0: {speed}")
    if not timeout_s >= 0 or (count is not None and count < 1):
        raise InvalidParameter(f"timeout_s is 0 or more, count 1 or more: {timeout_s}, {count}")
    origin = Origin.of(place)
    origin = Origin(origin.namespace, origin.device_towards(None))
    rules = Rewrite.parse(rewrite)
    matches = compiled_filter(filter) if filter else None
    # The whole file is read first, so that a damaged file is refused before any frame is sent.
    frames = [frame for frame in read_capture(path) if matches is None or matches(_filtered(frame))][:count]
    if len(frames) > MAX_COUNT:
        raise InvalidParameter(f"{len(frames):,} frames: limit them to {MAX_COUNT:,} by count=… or filter=…")
    return Batch(origin).send_timed(_timed(frames, rules.frame, direction, speed), timeout_s)


def _filtered(frame: RecordedFrame) -> CapturedFrame:
    return CapturedFrame.of(frame.data, frame.direction)


def _timed(
    frames: list[RecordedFrame], rewrite: Callable[[bytes], bytes], direction: str | None, speed: float
) -> Iterator[tuple[int, bytes, bool]]:
    """Yield (time, frame, is inbound) for each frame; inbound means that the device receives the frame.

    Times are in nanoseconds since the first frame, divided by `speed`. `rewrite` changes a frame's addresses.
    `direction` ("in" or "out") replaces the direction recorded in the file. If neither exists, "in" is assumed.
    """
    start_ns = frames[0].offset_ns if frames else 0
    for frame in frames:
        offset_ns = round((frame.offset_ns - start_ns) / speed)
        yield offset_ns, rewrite(frame.data), (direction or frame.direction or "in") == "in"
