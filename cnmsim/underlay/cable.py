"""The cables of an Ethernet segment, with their options and queues.

The device at the end of a cable is called a station.
"""

from __future__ import annotations

from typing import Any, Protocol

from attrs import define, field, frozen, validators

from cnmsim.kernel.address import Mac
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.underlay.vlans import PortVlans

#: The seconds after which a switch forgets an address from which no frame came (IEEE 802.1D table 7-5).
AGEING_S = 300
AGEING_NS = AGEING_S * NS_PER_S
_MAX_DURATION_S = 86_400


class Carrier(Protocol):
    """A medium to which stations are attached, such as a segment."""

    def carry(self, frame: bytes, sender: Any) -> None:
        """Deliver a frame, which the attached station `sender` transmits, to the other stations that receive it."""


class Station(Protocol):
    """A device at the end of a cable: a physical interface, or one end of a trunk between two switches."""

    name: str
    mac: Mac

    @property
    def link(self) -> Any:
        """The segment to which the station is attached, or `None` if it is attached to none."""

    def plug(self, link: Any) -> None:
        """Connect the station to the segment `link`, or disconnect it if `link` is `None`."""

    def receive(self, frame: bytes) -> None:
        """Receive a frame from the cable."""


def _duration(_owner: object, attribute: object, value: float) -> None:
    if not 0 <= value < _MAX_DURATION_S:
        raise ValueError(f"{getattr(attribute, 'name', 'value')} must be between 0 and a day: {value}")


@frozen
class CableOptions:
    """The properties of one cable; they apply to each direction.

    `latency_s` is the delay of each frame. `bandwidth_bps` is in bits per second, `None` for unlimited. If it is
    limited, frames are queued, at most `queue_frames` of them. `loss` is the fraction of frames that are lost (0 to
    1).
    """

    latency_s: float = field(default=0.0, validator=_duration)
    bandwidth_bps: float | None = field(default=None, validator=validators.optional(validators.gt(0)))
    loss: float = field(default=0.0, validator=[validators.ge(0), validators.le(1)])
    queue_frames: int = field(default=1000, validator=validators.ge(1))

    @property
    def is_plain(self) -> bool:
        """Whether the cable delays all frames by the same time and does nothing else."""
        return self.bandwidth_bps is None and self.loss == 0


@define(eq=False)
class Lane:
    """One direction of a cable.

    `busy_until_ns` is the virtual time at which its queue will be empty. `drops` contains the number of dropped
    frames by reason, `dropped_bytes` is their total length.
    """

    busy_until_ns: int = 0
    #: The longest time that a frame took to be queued and transmitted since a measurement began.
    peak_ns: int = 0
    drops: dict[str, int] = field(factory=dict)
    dropped_bytes: int = 0

    def wait_ns(self, length: int, options: CableOptions, now_ns: int) -> int | None:
        """Queue a frame of `length` bytes at the time `now_ns`, and return the nanoseconds until it is transmitted.

        Return `None` if the queue is full, and 0 if the cable's bandwidth is unlimited.
        """
        if options.bandwidth_bps is None:
            return 0
        each_ns = round(length * 8 * NS_PER_S / options.bandwidth_bps)
        start_ns = max(now_ns, self.busy_until_ns)
        if start_ns - now_ns > each_ns * options.queue_frames:
            return None
        self.busy_until_ns = start_ns + each_ns
        wait_ns = self.busy_until_ns - now_ns
        self.peak_ns = max(self.peak_ns, wait_ns)
        return wait_ns


@define(eq=False)
class Attachment:
    """A station's connection to a segment: its cable, and the segment's port at which the cable ends.

    `vlans` is the VLAN configuration of the port, `None` if it has none. If `refuses_unknown_macs` is True, the port
    accepts only frames from `known_mac`, the address that the station had when it was attached, and delivers only
    frames to that address and to groups. `leads_to_switch` marks a cable to another switch. If `hairpin` is True, a
    frame may leave through the port that received it. `up` is the direction from the station to the segment, `down`
    the opposite one.
    """

    station: Station
    options: CableOptions
    known_mac: Mac
    vlans: PortVlans | None = None
    refuses_unknown_macs: bool = False
    leads_to_switch: bool = False
    hairpin: bool = False
    up: Lane = field(factory=Lane)
    down: Lane = field(factory=Lane)

    @property
    def is_plain(self) -> bool:
        """Whether the port accepts any MAC address, and the cable only delays all frames by the same time."""
        return self.options.is_plain and not self.refuses_unknown_macs


@define(eq=False)
class LearntAddress:
    """A learnt MAC address. `attachment` leads to it; `heard_ns` is the virtual time of the last frame from it."""

    attachment: Attachment
    heard_ns: int


@define(eq=False)
class SegmentPath:
    """A cached path from one station of a segment to another, on which frames are delayed but not otherwise affected.

    See kernel/offload/datagram_path.py. `here` and `there` are the learnt addresses of sender and receiver, `port` is
    the receiver's attachment, and `max_length` the maximum length of a frame in bytes. `is_valid` becomes False when
    the segment changes.
    """

    sender: Station
    here: LearntAddress
    there: LearntAddress
    port: Attachment
    delay_ns: int
    max_length: int
    is_valid: bool = True

    def carries(self, length: int, now_ns: int) -> bool:
        """Return True if a frame of `length` bytes may use the path at the time `now_ns`.

        It may if the path is still valid, the frame is not too long, and the receiver's learnt address has not aged
        out.
        """
        return self.is_valid and length <= self.max_length and now_ns - self.there.heard_ns <= AGEING_NS
