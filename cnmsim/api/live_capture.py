"""The verb `capture` of the control socket: captures frames of a served lab, as lines of text or as a pcapng file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.userland.tcpdump.printer import Printer

if TYPE_CHECKING:
    from cnmsim.api.clock_driver import ClockDriver
    from cnmsim.lab import Lab
    from cnmsim.observe.capture.capture import Capture
    from cnmsim.observe.capture.pcapng import CapturedFrame

#: Interval at which a capture is read, in seconds of real time.
_LOOK_S = 0.05


@define(eq=False)
class LiveCapture:
    """A capture on the devices of `lab` that match `patterns`, including devices that are created later.

    The capture ends when `stop` is called, after `count` frames, or after `duration_s` seconds of virtual time. While
    it runs, a paused clock keeps step with real time. Raises `NotFound` if no device matches.
    """

    lab: Lab
    clock_driver: ClockDriver
    patterns: tuple[str, ...]
    count: int | None = None
    duration_s: float | None = None
    _capture: Capture = field(init=False)
    _printer: Printer = field(factory=lambda: Printer(is_numeric=True), init=False)
    _is_stopped: bool = field(default=False, init=False)
    _shown: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._capture = self.lab.capture(*self.patterns)

    @property
    def devices(self) -> list[str]:
        """The names of the captured devices, such as `node1:eth0`."""
        return [point.name for point in self._capture.points]

    @property
    def size(self) -> int:
        """The number of frames captured so far, at most `count`."""
        frames = self._shown + len(self._capture.frames)
        return frames if self.count is None else min(frames, self.count)

    def stop(self) -> None:
        """End the capture."""
        self._is_stopped = True

    async def run(self, tell: Callable[[str], Awaitable[None]] | None = None) -> None:
        """Wait until the capture has ended.

        `tell` is called with a line of text for each frame, and frames are not stored. With `tell` None they are
        stored for `to_pcapng`.
        """
        ends_ns = None if self.duration_s is None else self.lab.clock.now_ns + round(self.duration_s * NS_PER_S)
        with self._capture, self.clock_driver.run_realtime(lambda: True):
            while not self._is_over(ends_ns):
                self._capture.refresh()
                await self._show(tell)
                await asyncio.sleep(_LOOK_S)
            await self._show(tell)

    def to_pcapng(self) -> bytes:
        """Return the captured frames as the content of a pcapng file."""
        del self._capture.frames[self.size :]
        return self._capture.to_bytes()

    def _is_over(self, ends_ns: int | None) -> bool:
        if self._is_stopped or self.size == self.count:
            return True
        return ends_ns is not None and self.lab.clock.now_ns >= ends_ns

    async def _show(self, tell: Callable[[str], Awaitable[None]] | None) -> None:
        if tell is None:
            return
        frames = self._capture.frames[: self.size - self._shown]
        self._capture.frames.clear()
        self._shown += len(frames)
        if frames:
            await tell("".join(map(self._line, frames)))

    def _line(self, frame: CapturedFrame) -> str:
        seconds, nanos = divmod(frame.time_ns, NS_PER_S)
        stamp = time.strftime("%H:%M:%S", time.gmtime(self._capture.epoch_s + seconds))
        place = f"{self._capture.points[frame.point].name} {frame.direction.capitalize():<3}"
        return f"{stamp}.{nanos // 1000:06d} {place} {self._printer.line(frame.data)}\n"
