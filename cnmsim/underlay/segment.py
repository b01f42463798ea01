"""Ethernet segments: a learning switch or a hub, with one cable to each attached device, called a station.

A switch learns source addresses and floods frames to unknown destinations (IEEE 802.1D §7.8, §7.9); a hub repeats
every frame to all stations. Faults can be configured. Once one port has a VLAN configuration, the switch separates
VLANs on all ports (IEEE 802.1Q). Spanning tree is not modelled: a trunk that would close a loop is rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve

from cnmsim.kernel.address import Mac, format_mac
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.events import QUEUE_FULL, Detail, DropReason, Event, MtuLimit, QueueFull, Step
from cnmsim.underlay.cable import AGEING_NS, Attachment, CableOptions, Lane, LearntAddress, SegmentPath, Station
from cnmsim.underlay.vlans import PortVlans

_HEADER = 14
_VLAN_TAG = b"\x81\x00"

Tap = Callable[[int, str, bytes], None]


class Segment:
    """An Ethernet broadcast domain: a switch, or a hub.

    `latency_s` (0.1 ms by default) is the transit time between any two stations; the latencies of their two cables
    are added to it. `mtu` is the size of the largest payload in bytes; a larger frame is dropped silently, as by a
    real switch. If `is_hub` is True, frames are repeated to all stations, and no addresses are learnt.
    `refuse_unknown_macs` models a hypervisor's port security: a station may send only from the address that its
    interface had when it was attached, and receives only frames to that address or to a group.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        latency_s: float = 0.0001,
        bandwidth_bps: float | None = None,
        loss: float = 0.0,
        mtu: int = 1500,
        is_hub: bool = False,
        refuse_unknown_macs: bool = False,
    ) -> None:
        if mtu < 68:  # RFC 791: every link carries at least 68 bytes
            raise ValueError(f"mtu must be at least 68: {mtu}")
        self.name = name
        self.clock = clock
        self.mtu = mtu
        self.is_hub = is_hub
        self.refuse_unknown_macs = refuse_unknown_macs
        self._taps: tuple[Tap, ...] = ()
        self._loses: Callable[[bytes, Station], str] | None = None
        #: The properties that apply to all frames in the segment.
        self.options = CableOptions(latency_s, bandwidth_bps, loss)
        self._random = clock.stream(f"segment/{name}")
        self._attachments: dict[Station, Attachment] = {}
        #: Learnt addresses by VLAN (0 without VLANs) and MAC.
        self._learnt: dict[tuple[int, Mac], LearntAddress] = {}
        #: Cached paths by the first 12 bytes of a frame, the destination and the source MAC. Only cables that do
        #: nothing but delay frames have one.
        self._paths: dict[bytes, SegmentPath] = {}
        #: Whether the segment separates VLANs. If not, it ignores tags.
        self.has_vlans = False
        self._drops: dict[str, int] = {}

    def __repr__(self) -> str:
        lost = ", ".join(f"{reason} {number}" for reason, number in self._drops.items())
        stations = ", ".join(station.name for station in self._attachments)
        return f"<Segment {self.name}: {stations}{f'; dropped: {lost}' if lost else ''}>"

    @property
    def drops(self) -> dict[str, int]:
        """The number of frames that the segment has dropped since its creation, by reason (values of `DropReason`).

        A flooded frame counts once for each station to which it was not delivered. Every other frame that a station
        has sent was delivered or is in transit.
        """
        return dict(self._drops)

    @property
    def taps(self) -> tuple[Tap, ...]:
        """Callbacks that receive every frame sent into the segment."""
        return self._taps

    @taps.setter
    def taps(self, taps: tuple[Tap, ...]) -> None:
        self._taps = taps
        self._invalidate_paths()

    @property
    def loses(self) -> Callable[[bytes, Station], str] | None:
        """The configured fault, a function that is called with each frame and its receiver; `None` if there is none.

        The function returns the reason why the frame is lost, or "" if it is not lost.
        """
        return self._loses

    @loses.setter
    def loses(self, loses: Callable[[bytes, Station], str] | None) -> None:
        self._loses = loses
        self._invalidate_paths()

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The attachments of all stations, in the order of attachment."""
        return tuple(self._attachments.values())

    @property
    def stations(self) -> tuple[Station, ...]:
        """The attached stations in the order of attachment."""
        return tuple(self._attachments)

    def attachment_of(self, station: Station) -> Attachment:
        """Return the attachment of a station. Raises `KeyError` if the station is not attached."""
        return self._attachments[station]

    def set_vlans(self, station: Station, vlans: PortVlans | None) -> None:
        """Configure the VLANs of the port to which a station is attached.

        `None` is the default: a trunk if the station is a switch, otherwise an access port of VLAN 1. As soon as one
        port is configured, the whole segment separates VLANs.
        """
        self._attachments[station].vlans = vlans
        self.has_vlans = self.has_vlans or vlans is not None
        self._learnt.clear()
        self._invalidate_paths()

    def vlans_of(self, station: Station) -> PortVlans:
        """Return the VLANs of a station's port: those that `set_vlans` configured, or the default ones."""
        configured = self._attachments[station].vlans
        if configured is not None:
            return configured
        return PortVlans.trunk() if self._attachments[station].leads_to_switch else PortVlans()

    def configure(
        self,
        *,
        latency_s: float | None = None,
        bandwidth_bps: float | None = None,
        loss: float | None = None,
        mtu: int | None = None,
    ) -> None:
        """Change properties of the segment. An argument that is `None` leaves its property unchanged.

        `bandwidth_bps` changes every cable that has the segment's bandwidth; cables with a bandwidth of their own
        keep it.
        """
        before = self.options.bandwidth_bps
        changes: dict[str, Any] = {"latency_s": latency_s, "bandwidth_bps": bandwidth_bps, "loss": loss}
        self._invalidate_paths()
        self.options = evolve(self.options, **{name: value for name, value in changes.items() if value is not None})
        if bandwidth_bps is not None:
            for attachment in self._attachments.values():
                if attachment.options.bandwidth_bps == before:
                    attachment.options = evolve(attachment.options, bandwidth_bps=bandwidth_bps)
        if mtu is not None:
            self.mtu = mtu

    def attach(
        self,
        station: Station,
        *,
        latency_s: float = 0.0,
        bandwidth_bps: float | None = None,
        loss: float = 0.0,
        vlans: PortVlans | None = None,
        refuse_unknown_macs: bool | None = None,
        leads_to_switch: bool = False,
        hairpin: bool = False,
    ) -> Attachment:
        """Attach a station by a cable with these properties, and return its attachment.

        `vlans` is the port's VLAN configuration as in `set_vlans`. `refuse_unknown_macs` overrides the segment's
        setting for this port. `leads_to_switch` marks the cable to another switch, whose port is a trunk by default.
        With `hairpin` a frame may leave through the port that received it (the reflective relay that vepa requires).
        Raises `ValueError` if the station is attached elsewhere, or for VLANs on a hub.
        """
        if vlans is not None and self.is_hub:
            raise ValueError(f"{self.name} is a hub, which has no VLANs")
        if station.link is not None:
            raise ValueError(f"{station.name} is plugged in already")
        limit = self.options.bandwidth_bps if bandwidth_bps is None else bandwidth_bps
        is_strict = self.refuse_unknown_macs if refuse_unknown_macs is None else refuse_unknown_macs
        attachment = Attachment(
            station, CableOptions(latency_s, limit, loss), station.mac, None, is_strict, leads_to_switch, hairpin
        )
        self._attachments[station] = attachment
        self._invalidate_paths()
        station.plug(self)
        if vlans is not None:
            self.set_vlans(station, vlans)
        return attachment

    def detach(self, station: Station) -> None:
        """Detach a station. Frames in transit to it are lost. Raises `ValueError` if the station is not attached."""
        if self._attachments.pop(station, None) is None:
            raise ValueError(f"{station.name} is not attached to {self.name}")
        station.plug(None)
        self._forget_station(station)

    def pull(self, station: Station) -> Attachment:
        """Detach a station and return its attachment, the argument for `plug_again`.

        Raises `ValueError` if the station is not attached.
        """
        attachment = self._attachments.get(station)
        self.detach(station)
        assert attachment is not None
        return attachment

    def plug_again(self, attachment: Attachment) -> None:
        """Attach a station again after `pull` detached it. `attachment` is the result of `pull`.

        The cable's options and the port's settings are the same as before. Raises `ValueError` if the station is
        attached elsewhere by now.
        """
        station = attachment.station
        if station.link is not None:
            raise ValueError(f"{station.name} is plugged in already")
        self._attachments[station] = attachment
        self._invalidate_paths()
        station.plug(self)

    def _forget_station(self, station: Station) -> None:
        self._invalidate_paths()
        self._learnt = {key: entry for key, entry in self._learnt.items() if entry.attachment.station is not station}

    def _invalidate_paths(self) -> None:
        for path in self._paths.values():
            path.is_valid = False
        self._paths.clear()

    def path(self, macs: bytes, sender: Station, length: int) -> SegmentPath | None:
        """Return the cached path of a frame from the station `sender`, or `None` if no valid path is cached.

        `macs` is the destination MAC followed by the source MAC. `length` is the length of the frame in bytes.
        """
        path = self._paths.get(macs)
        if path is None or path.sender is not sender or not path.carries(length, self.clock.now_ns):
            return None
        return path

    def carry(self, frame: bytes, sender: Station) -> None:
        """Carry a frame from `sender`, an attached station, to its receivers."""
        now_ns = self.clock.now_ns
        path = self.path(frame[:12], sender, len(frame))
        if path is not None:
            path.here.heard_ns = now_ns
            self.clock.post_at_ns(now_ns + path.delay_ns, self.deliver, frame, path.port)
            return
        for tap in self.taps:
            tap(now_ns, "in", frame)
        source = self._attachments[sender]
        overhead = _HEADER + (4 if frame[12:14] == _VLAN_TAG else 0)
        if len(frame) > self.mtu + overhead:
            text = f"{len(frame) - overhead} bytes, the MTU of the segment is {self.mtu}"
            self._dropped(
                frame, source.up, sender, DropReason.MTU_EXCEEDED, text, MtuLimit(self.mtu, is_segment=True)
            )
            return
        if source.refuses_unknown_macs and frame[6:12] != source.known_mac:
            text = f"{sender.name} may send from {format_mac(source.known_mac)} only, not {format_mac(frame[6:12])}"
            self._dropped(frame, source.up, sender, DropReason.PORT_SECURITY, text)
            return
        if self._is_lost(source.options.loss):
            self._dropped(frame, source.up, sender, DropReason.LINK_LOSS, "")
            return
        wait_ns = source.up.wait_ns(len(frame), source.options, now_ns)
        if wait_ns is None:
            full = QueueFull(source.options.queue_frames)
            text = f"the queue into {self.name} holds {full.limit_frames} frames and is full"
            self._dropped(frame, source.up, sender, DropReason.LINK_LOSS, text, full)
            return
        vlan = 0
        if self.has_vlans:
            admitted = self.vlans_of(sender).admit(frame)
            if admitted is None:
                text = f"the port of {sender.name} is {self.vlans_of(sender)}"
                self._dropped(frame, source.up, sender, DropReason.NO_VLAN, text)
                return
            vlan, frame = admitted
        self._learn(frame[6:12], source, vlan)
        delay_ns = wait_ns + round((source.options.latency_s + self.options.latency_s) * NS_PER_S)
        receivers = self._receivers(frame, source, vlan)
        if len(receivers) == 1 and not vlan:
            self._cache_path(frame, source, receivers[0])
        if not receivers:
            self._dropped(frame, source.up, sender, DropReason.NO_BRIDGE_PORT, "no other station to send it to")
        for receiver in receivers:
            out = self.vlans_of(receiver.station).emit(vlan, frame) if vlan else frame
            self._send_down(out, receiver, delay_ns)

    def _learn(self, mac: Mac, source: Attachment, vlan: int) -> None:
        if self.is_hub or mac[0] & 1:
            return
        entry = self._learnt.get((vlan, mac))
        if entry is None:
            self._learnt[vlan, mac] = LearntAddress(source, self.clock.now_ns)
            return
        if entry.attachment is not source:
            entry.attachment = source
            self._invalidate_paths()
        entry.heard_ns = self.clock.now_ns

    def _cache_path(self, frame: bytes, source: Attachment, receiver: Attachment) -> None:
        """Cache the path of `frame` from port `source` to port `receiver` if frames on it are only delayed."""
        here, there = self._learnt.get((0, frame[6:12])), self._learnt.get((0, frame[:6]))
        if here is None or there is None or there.attachment is not receiver or not self.options.is_plain:
            return
        if self._taps or self._loses is not None:
            return
        if source.is_plain and receiver.is_plain:
            latency_s = source.options.latency_s + self.options.latency_s
            delay_ns = round(latency_s * NS_PER_S) + round(receiver.options.latency_s * NS_PER_S)
            self._paths[frame[:12]] = SegmentPath(source.station, here, there, receiver, delay_ns, self.mtu + _HEADER)

    def _receivers(self, frame: bytes, source: Attachment, vlan: int) -> list[Attachment]:
        """Return the attachments to which a frame must be delivered.

        `source` is the port that received it, in the VLAN `vlan`.
        """
        target = frame[:6]
        if not (self.is_hub or target[0] & 1):
            learnt = self._learnt.get((vlan, target))
            if learnt is not None and self.clock.now_ns - learnt.heard_ns <= AGEING_NS:
                known = learnt.attachment
                is_back = known is source and not source.hairpin
                return [known] if not is_back and self._is_delivered_to(known, target, vlan) else []
        return [
            attachment
            for attachment in self._attachments.values()
            if (attachment is not source or source.hairpin) and self._is_delivered_to(attachment, target, vlan)
        ]

    def _is_delivered_to(self, attachment: Attachment, target: Mac, vlan: int) -> bool:
        if vlan and not self.vlans_of(attachment.station).carries(vlan):
            return False
        return not attachment.refuses_unknown_macs or attachment.known_mac == target or bool(target[0] & 1)

    def _send_down(self, frame: bytes, receiver: Attachment, delay_ns: int) -> None:
        options = receiver.options
        if self._is_lost(self.options.loss) or self._is_lost(options.loss):
            self._dropped(frame, receiver.down, receiver.station, DropReason.LINK_LOSS, "")
            return
        arrival_ns = self.clock.now_ns + delay_ns
        wait_ns = receiver.down.wait_ns(len(frame), options, arrival_ns)
        if wait_ns is None:
            full = QueueFull(options.queue_frames)
            text = f"the queue to {receiver.station.name} holds {full.limit_frames} frames and is full"
            self._dropped(frame, receiver.down, receiver.station, DropReason.LINK_LOSS, text, full)
            return
        self.clock.post_at_ns(
            arrival_ns + wait_ns + round(options.latency_s * NS_PER_S), self.deliver, frame, receiver
        )

    def deliver(self, frame: bytes, receiver: Attachment) -> None:
        """Deliver a frame that has crossed the cable of `receiver` to the station at the end of the cable."""
        if self._attachments.get(receiver.station) is not receiver:
            self._dropped(
                frame,
                receiver.down,
                receiver.station,
                DropReason.NO_CARRIER,
                "unplugged while the frame was in transit",
            )
            return
        if self.loses is not None:
            why = self.loses(frame, receiver.station)
            if why:
                self._dropped(frame, receiver.down, receiver.station, DropReason.LINK_LOSS, why)
                return
        receiver.station.receive(frame)

    def _is_lost(self, share: float) -> bool:
        return share > 0 and self._random.random() < share

    def _dropped(
        self,
        frame: bytes,
        lane: Lane,
        station: Station,
        reason: DropReason,
        decision: str,
        detail: Detail | None = None,
    ) -> None:
        text = QUEUE_FULL if isinstance(detail, QueueFull) else reason.value
        lane.drops[text] = lane.drops.get(text, 0) + 1
        self._drops[text] = self._drops.get(text, 0) + 1
        lane.dropped_bytes += len(frame)
        if not self.clock.observes_drops:
            return
        what = f"segment {self.name}: {reason.value}"
        event = Event(
            self.clock.now_ns, self.name, station.name, Step.DROPPED, what, decision, frame, True, reason, detail
        )
        if self.clock.context is not None:
            self.clock.context.report(event)
        if self.clock.meter is not None:
            self.clock.meter.dropped(event)
