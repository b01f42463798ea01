"""A log of link faults, such as duplicate addresses, that a kernel can detect but that no program is notified of."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.kernel.address import Address, Mac, format_ip, format_mac
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import DuplicateAddress, Step

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device

#: A continuing conflict is logged again after this long.
_REPEAT_INTERVAL_NS = 60 * NS_PER_S
_MAX_EVENTS = 1000


class LinkEventKind(Enum):
    """The kinds of link events."""

    DUPLICATE_ADDRESS = "duplicate-address"


@frozen
class LinkEvent:
    """One event on a link.

    `place` is the name of the namespace (a host or a container) whose `device` received the frame, `address` the IP
    address that two interfaces claim, `macs` the MAC addresses of the two. `time_ns` is virtual time in nanoseconds.
    """

    time_ns: int
    kind: LinkEventKind
    place: str
    device: str
    address: Address
    macs: tuple[Mac, Mac]

    @property
    def text(self) -> str:
        """A description of the event in one sentence."""
        first, second = map(format_mac, self.macs)
        return f"duplicate address {format_ip(self.address)}: {first} and {second} both claim it"

    def __str__(self) -> str:
        return f"{self.time_ns / NS_PER_S:.6f} {self.place} {self.device}: {self.text}"


@define
class LinkEventLog:
    """The last events of one machine, oldest first."""

    events: list[LinkEvent] = field(factory=list)

    def add(self, notice: LinkEvent) -> bool:
        """Append an event. Return True if it was appended.

        An event is not appended if one with the same namespace, address and MAC addresses was logged within the last
        minute.
        """
        for logged in reversed(self.events):
            if notice.time_ns - logged.time_ns > _REPEAT_INTERVAL_NS:
                break
            if (logged.place, logged.address, set(logged.macs)) == (notice.place, notice.address, set(notice.macs)):
                return False
        self.events.append(notice)
        del self.events[:-_MAX_EVENTS]
        return True


def report_duplicate_address(device: Device, address: Address, first: Mac, second: Mac, frame: bytes) -> None:
    """Log that the interfaces with the MACs `first` and `second` claim the same address on the link of `device`.

    `frame` is the received frame that contains the second claim.
    """
    namespace = device.namespace
    if namespace is None:
        return
    notice = LinkEvent(
        device.clock.now_ns, LinkEventKind.DUPLICATE_ADDRESS, namespace.name, device.name, address, (first, second)
    )
    if namespace.machine is not None:
        namespace.machine.link_events.add(notice)
    if device.clock.context is not None:
        namespace.report(
            Step.NOTE, notice.text, frame, device=device.name, is_frame=True, detail=DuplicateAddress(address)
        )
