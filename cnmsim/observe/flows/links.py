"""Measurements of links while flows run: frames, bytes and drops, with throughput and queue length over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from cnmsim.kernel.clock import NS_PER_S, Clock, Timer

if TYPE_CHECKING:
    from cnmsim.observe.directory import Directory
    from cnmsim.underlay.cable import Attachment, Lane
    from cnmsim.underlay.segment import Segment


@frozen
class LinkResult:
    """The measurements of one direction of a link while the flows ran.

    `name` is `"a:eth0 → lan"` for the cable from an interface to a segment, or `"lan → a:eth0"` for the other
    direction; for a container's veth pair it is `"web:eth0 →"` or `"→ web:eth0"`. `frames` and `bytes` count all
    traffic that crossed the link, not only the flows'. `dropped` counts the frames that were lost on it, by reason.
    `bandwidth_bps` is `None` for a link without a limit. `queue_max_bytes` is the greatest length that the queue
    reached, and `queue_max_s` the time that it then took to drain. `throughput_bps` and `queue_bytes` are sampled at
    `times_s`.
    """

    name: str
    frames: int
    bytes: int
    duration_s: float
    dropped: Mapping[str, int] = field(factory=dict)
    bandwidth_bps: float | None = None
    queue_max_bytes: int = 0
    queue_max_s: float = 0.0
    times_s: tuple[float, ...] = ()
    throughput_bps: tuple[float, ...] = ()
    queue_bytes: tuple[int, ...] = ()

    @property
    def utilisation(self) -> float | None:
        """The fraction of the bandwidth that was used, from 0 to 1; `None` if the bandwidth is not limited."""
        if self.bandwidth_bps is None or not self.duration_s:
            return None
        return self.bytes * 8 / (self.bandwidth_bps * self.duration_s)


@define(eq=False)
class _Watched:
    """One direction of a link that is being measured: its counters, and samples of bytes and queue length.

    `is_up` is True for the direction from the interface `station` to the segment. `attachment` is its cable, `None`
    for a veth pair. `before` and `drops_before` are the counters at the start.
    """

    name: str
    station: Any
    is_up: bool
    attachment: Attachment | None = None
    before: tuple[int, int] = (0, 0)
    drops_before: dict[str, int] = field(factory=dict)
    samples: list[tuple[int, int]] = field(factory=list)

    def count(self) -> tuple[int, int]:
        """Return the frames and bytes that crossed the link so far."""
        station, lane = self.station, self.lane
        if not self.is_up:
            return station.rx_packets, station.rx_bytes
        if lane is None:
            return station.tx_packets, station.tx_bytes
        return station.tx_packets - sum(lane.drops.values()), station.tx_bytes - lane.dropped_bytes

    @property
    def lane(self) -> Lane | None:
        """The cable's transmit direction, with its queue and drops, or `None` for a veth pair, which has no queue."""
        if self.attachment is None:
            return None
        return self.attachment.up if self.is_up else self.attachment.down

    @property
    def bandwidth_bps(self) -> float | None:
        """The link's bandwidth in bits per second; `None` if it is not limited."""
        return None if self.attachment is None else self.attachment.options.bandwidth_bps

    def queue_bytes(self, now_ns: int) -> int:
        """Return the number of bytes that are queued or being transmitted on the link at `now_ns`.

        The number is estimated from the time until which the cable is reserved for frames. Because a segment reserves
        the outgoing cable when a frame enters the segment, possibly long before the frame reaches the cable, the
        estimate is limited to the longest queue so far.
        """
        lane, bandwidth_bps = self.lane, self.bandwidth_bps
        if lane is None or bandwidth_bps is None:
            return 0
        queued_ns = min(max(0, lane.busy_until_ns - now_ns), lane.peak_ns)
        return round(queued_ns * bandwidth_bps / (8 * NS_PER_S))


class LinkWatch:
    """Measures the links of a lab: takes a sample of each every `step_ns`, until `stop`."""

    def __init__(self, clock: Clock, segments: Iterable[Segment], directory: Directory, step_ns: int) -> None:
        self._clock = clock
        self._step_ns = step_ns
        self._begun_ns = clock.now_ns
        self._times_ns: list[int] = []
        self._links = [*_cables(segments), *_virtual_cables(directory)]
        for link in self._links:
            link.before = link.count()
            if link.lane is not None:
                link.lane.peak_ns = 0
                link.drops_before = dict(link.lane.drops)
        self._timer: Timer | None = None
        self._sample()

    def _sample(self) -> None:
        now_ns = self._clock.now_ns
        self._times_ns.append(now_ns)
        for link in self._links:
            link.samples.append((link.count()[1], link.queue_bytes(now_ns)))
        self._timer = self._clock.call_at_ns(now_ns + self._step_ns, self._sample)

    def stop(self) -> tuple[LinkResult, ...]:
        """Stop sampling. Return the measurements of the links that carried or dropped at least one frame."""
        if self._timer is not None:
            self._timer.cancel()
        results = (self._result(link) for link in self._links)
        return tuple(result for result in results if result.frames or result.dropped)

    def _result(self, link: _Watched) -> LinkResult:
        frames, size = (after - before for after, before in zip(link.count(), link.before, strict=True))
        times_ns, samples = self._times_ns, link.samples
        rates = [
            (later[0] - sooner[0]) * 8 * NS_PER_S / (until - since)
            for since, until, sooner, later in zip(times_ns, times_ns[1:], samples, samples[1:], strict=False)
        ]
        lane, bandwidth_bps = link.lane, link.bandwidth_bps
        peak_ns = lane.peak_ns if lane is not None and bandwidth_bps is not None else 0
        drops = Counter(lane.drops if lane is not None else {}) - Counter(link.drops_before)
        return LinkResult(
            link.name,
            frames,
            size,
            (self._clock.now_ns - self._begun_ns) / NS_PER_S,
            dict(drops),
            bandwidth_bps,
            round(peak_ns * (bandwidth_bps or 0) / (8 * NS_PER_S)),
            peak_ns / NS_PER_S,
            tuple((time_ns - self._begun_ns) / NS_PER_S for time_ns in times_ns[1:]),
            tuple(rates),
            tuple(queue for _, queue in samples[1:]),
        )


def _cables(segments: Iterable[Segment]) -> Iterable[_Watched]:
    """Yield both directions of every cable of the segments."""
    for segment in segments:
        for attachment in segment.attachments:
            station = attachment.station
            if not hasattr(station, "tx_packets"):
                continue
            host = getattr(getattr(station, "namespace", None), "name", "")
            name = f"{host}:{station.name}" if host else station.name
            yield _Watched(f"{name} → {segment.name}", station, True, attachment)
            yield _Watched(f"{segment.name} → {name}", station, False, attachment)


def _virtual_cables(directory: Directory) -> Iterable[_Watched]:
    for namespace in dict.fromkeys(location.namespace for location in directory.locations):
        for device in namespace.devices.values():
            if device.kind == "veth" and device.master is None:
                name = f"{namespace.name}:{device.name}"
                yield _Watched(f"{name} →", device, True)
                yield _Watched(f"→ {name}", device, False)
