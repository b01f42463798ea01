"""Captures: the frames at devices of a lab, available as scapy packets and as pcapng files.

A device is named `place:device`, where the place is the name of a host or a container (`node1:eth0`, `web:eth0`).
Patterns may contain shell wildcards (`node1:br-*`, `*:lo`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from attrs import define, evolve, field

from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.kernel.address import Address
from cnmsim.kernel.clock import EPOCH_S, NS_PER_S
from cnmsim.observe.capture.pcapng import CapturedFrame, CapturePoint, to_pcapng
from cnmsim.observe.capture.verdicts import VerdictRecorder
from cnmsim.observe.diagnosis.file_names import in_file_names
from cnmsim.observe.display import Displayable
from cnmsim.observe.packets.codec import dissect, stamp
from cnmsim.observe.trace.packet_summary import summarize
from cnmsim.observe.trace.table import plain_grid
from cnmsim.suggestion import suggestion

if TYPE_CHECKING:
    from types import TracebackType

    from scapy.plist import PacketList

    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.observe.trace.trace import Trace
    from cnmsim.userland.tcpdump.primitives import Predicate


@define(eq=False)
class Capture(Displayable):
    """The frames captured at some devices, from construction until `stop` (or the end of its `with` block).

    `patterns` select the devices. `namespaces` returns the network namespaces of the lab. `names` returns the host
    names of each address, for the file's name resolution; it is called when the file is written. `epoch_s` is the
    Unix time at which the lab's clock started. Call `refresh` to include devices created later. `filter` is an
    expression in the language of tcpdump; only frames that match it are captured. `prn` is called with every captured
    scapy packet; its return value is printed, unless it is `None`. With `verdicts`, the capture also records whether
    each packet was delivered or dropped, while its `with` block lasts. `file_names` returns the mapping from the
    engine's names to those of the Compose or stack file. Raises `NotFound` if no device matches any
    pattern, `InvalidParameter` for an invalid filter.
    """

    patterns: tuple[str, ...]
    namespaces: Callable[[], Iterable[NetworkNamespace]]
    names: Callable[[], Mapping[Address, Sequence[str]]] = dict
    epoch_s: int = EPOCH_S
    filter: str = ""
    prn: Callable[[Any], Any] | None = None
    verdicts: bool = False
    file_names: Callable[[], Mapping[str, str]] = dict
    points: list[CapturePoint] = field(factory=list)
    frames: list[CapturedFrame] = field(factory=list)
    _taps: dict[Device, Any] = field(factory=dict)
    _recorder: VerdictRecorder | None = None
    _matches: Predicate | None = None

    def __attrs_post_init__(self) -> None:
        if self.filter:
            self._matches = compiled_filter(self.filter)
        if not self.refresh():
            names = self.file_names()
            known = sorted(
                {
                    f"{names.get(space.name, space.name)}:{name}"
                    for space in self.namespaces()
                    for name in space.devices
                }
            )
            raise NotFound(f"no device fits {', '.join(self.patterns)}{suggestion(self.patterns[0], known)}")

    def refresh(self) -> int:
        """Also capture at matching devices created since the last call.

        Return the total number of devices at which frames are now captured.
        """
        shown = self.file_names()
        for space in self.namespaces():
            for device in space.devices.values():
                name = f"{space.name}:{device.name}"
                names = {name, f"{shown.get(space.name, space.name)}:{device.name}"}
                if device not in self._taps and any(
                    fnmatchcase(each, pattern) for each in names for pattern in self.patterns
                ):
                    self._attach(device, name)
        return len(self._taps)

    def _attach(self, device: Device, name: str) -> None:
        number = len(self.points)
        self.points.append(CapturePoint(name, f"{device.kind}, mtu {device.mtu}", device.mac))

        def take(time_ns: int, direction: str, frame: bytes) -> None:
            if self._matches is not None and not self._fits(self._matches, frame, direction):
                return
            captured = CapturedFrame(time_ns, number, direction, frame)
            self.frames.append(captured)
            if self.prn is not None:
                device.clock.call_soon(self._call, captured)

        self._taps[device] = take
        device.taps = (*device.taps, take)

    @staticmethod
    def _fits(matches: Predicate, frame: bytes, direction: str) -> bool:
        from cnmsim.userland.tcpdump.primitives import CapturedFrame as FilteredFrame

        return matches(FilteredFrame.of(frame, direction))

    def _call(self, frame: CapturedFrame) -> None:
        assert self.prn is not None
        printed = self.prn(self.packet_of(frame))
        if printed is not None:
            print(printed)  # noqa: T201 - as scapy's sniff does

    def stop(self) -> None:
        """Stop capturing. The frames captured so far remain available."""
        for device, tap in self._taps.items():
            device.taps = tuple(other for other in device.taps if other is not tap)

    def __enter__(self) -> Self:
        if self.verdicts:
            clock = next(iter(self._taps)).clock
            self._recorder = VerdictRecorder(clock.context)
            clock.context = self._recorder
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        clock = next(iter(self._taps)).clock
        if self._recorder is not None and clock.context is self._recorder:
            clock.context = self._recorder.outer

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        return f"<Capture {', '.join(self.patterns)}: {len(self.frames)} frames at {len(self.points)} devices>"

    def __str__(self) -> str:
        names = self.file_names()
        rows = [
            (
                f"{frame.time_ns / NS_PER_S:.6f}",
                in_file_names(self.points[frame.point].name, names),
                frame.direction,
                summary.label,
                summary.addresses,
            )
            for frame in self.frames
            for summary in (summarize(frame.data, is_frame=True),)
        ]
        return f"{self!r}\n" + plain_grid(("TIME", "DEVICE", "", "FRAME", "ADDRESSES"), rows)

    @property
    def packets(self) -> PacketList:
        """The frames as a list of scapy packets.

        Each packet has the attributes `time` (Unix time), `sniffed_on` (such as `node1:eth0`), `direction` (1 in, 2
        out, as in pcapng files) and `verdict`. `verdict` is a text that says where the packet was delivered or
        dropped; it is "" if that was not recorded (see `verdicts`).
        """
        from scapy.plist import PacketList

        return PacketList([self.packet_of(frame) for frame in self.frames], name="Captured")

    def packet_of(self, frame: CapturedFrame) -> Any:
        """Convert a captured frame to a scapy packet with the attributes that `packets` describes."""
        packet: Any = stamp(
            dissect(frame.data), self.epoch_s + frame.time_ns / NS_PER_S, self.points[frame.point].name
        )
        packet.direction = 1 if frame.direction == "in" else 2
        packet.verdict = self._recorder.verdict(frame.data, frame.time_ns) if self._recorder is not None else ""
        return packet

    def to_bytes(self, trace: Trace | None = None) -> bytes:
        """Return the captured frames as the content of a pcapng file.

        If `trace` is given, its verdict and its drops are added as comments on the frames concerned.
        """
        frames = commented(self.frames, trace) if trace is not None else self.frames
        comment = f"{trace.title}: {trace.finding}" if trace is not None and trace.finding else ""
        return to_pcapng(self.points, frames, names=self.names(), comment=comment, epoch_s=self.epoch_s)

    def save(self, path: str | Path, trace: Trace | None = None) -> Path:
        """Write a pcapng file to `path` and return that path. `trace` is used as in `to_bytes`.

        Raises `OSError` if the file cannot be written.
        """
        path = Path(path)
        path.write_bytes(self.to_bytes(trace))
        return path


def compiled_filter(expression: str) -> Predicate:
    """Compile `expression`, a filter in the language of tcpdump, to a function that returns True for matching frames.

    Raises `InvalidParameter` if the filter is not valid.
    """
    from cnmsim.userland.tcpdump.filter import compile_filter
    from cnmsim.userland.tcpdump.primitives import FilterError

    try:
        return compile_filter(expression)
    except FilterError as error:
        raise InvalidParameter(
            f"the filter {expression!r} is not valid: {error}; write it as for tcpdump, such as 'tcp port 80'"
        ) from None


def commented(frames: Sequence[CapturedFrame], trace: Trace) -> list[CapturedFrame]:
    """Return copies of the frames with packet comments from a trace.

    Where the trace has a drop, the last frame that carried the packet before the drop gets a comment: where and why
    it was dropped. The last frame that carries the packet on which the trace's verdict is based gets a comment with
    the verdict.
    """
    walks = [summarize(frame.data, is_frame=True).walk for frame in frames]
    comments: dict[int, list[str]] = {}
    for event, hop in zip(trace.events, trace.hops, strict=True):
        if not hop.is_drop:
            continue
        walk = summarize(event.data, is_frame=event.is_frame).walk
        sights = [
            index for index, seen in enumerate(walks) if seen == walk and frames[index].time_ns <= event.time_ns
        ]
        if sights:
            reason = hop.reason.value if hop.reason else hop.what
            text = f"lost on {hop.where}: {reason}" + (f" ({hop.decision})" if hop.decision else "")
            known = comments.setdefault(sights[-1], [])
            if text not in known:
                known.append(text)
    if trace.finding and frames:
        comments.setdefault(_decisive(trace, walks), []).append(f"{trace.title}: {trace.finding}")
    return [
        evolve(frame, comments=(*frame.comments, *comments[index])) if index in comments else frame
        for index, frame in enumerate(frames)
    ]


def _decisive(trace: Trace, walks: Sequence[object]) -> int:
    """Return the index of the last frame that carries the packet on which the trace's verdict is based.

    `walks` has one key for each captured frame; frames of the same packet have equal keys. If the packet was not
    captured, return the index of the very last frame.
    """
    hop = trace.finding.hop if trace.finding else None
    if hop is not None:
        event = trace.events[trace.hops.index(hop)]
        walk = summarize(event.data, is_frame=event.is_frame).walk
        sights = [index for index, seen in enumerate(walks) if seen == walk]
        if sights:
            return sights[-1]
    return len(walks) - 1
