"""Places: objects with a network namespace, such as hosts and containers, from which packets can be sent.

The code that sends packets for a user is in a higher layer, because it traces them: `lab` registers it here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol


class PacketSender(Protocol):
    """The functions that the methods of `Place` call, with the same parameters."""

    def send(self, place: object, packets: object, **options: Any) -> Any:
        """Send packets from a place, and return what happened to them (see `Place.send`)."""

    def ask(self, place: object, packets: object, **options: Any) -> Any:
        """Send packets from a place, and return the packets that answer them (see `Place.ask`)."""


_sender: list[PacketSender] = []


def set_packet_sender(sender: PacketSender) -> None:
    """Register the object that sends packets from places."""
    _sender[:] = [sender]


class Place:
    """Base class of objects with a network namespace: hosts, containers, sandboxes and network interfaces."""

    __slots__ = ()

    def send(
        self,
        packets: Any | Iterable[Any],
        *,
        device: str = "",
        inbound: bool = False,
        interval_s: float = 0.0,
        count: int | None = None,
        timeout_s: float = 5.0,
    ) -> Any:
        """Send a packet. Return its walk: a record of its hops, its verdict and the packets that came back.

        `packets` is a scapy packet that begins with `IP`, `IPv6` or an Ethernet header (`Ether`), the `bytes` of an
        Ethernet frame, or an iterable of these; an iterable is sent `interval_s` seconds apart and returns a list of
        walks. `count` limits the number of packets sent. A header field of a scapy packet whose value is `None`, such
        as the source address, gets the value that this place would use.

        An IP packet goes through a raw socket (raw(7), `IP_HDRINCL`): it is routed, and passes OUTPUT. An Ethernet
        frame goes through a packet socket (packet(7)): it leaves by `device` as it is. Without `device` that is the
        interface of the route to the packet's destination, or the only interface. An IP packet that the kernel cannot
        parse, and one with a `device`, also goes through a packet socket. `inbound` makes the device receive the
        packet, as if it came from the wire.

        Virtual time passes until the fate of every packet is certain and no frame that it caused is in transit, at
        most `timeout_s` seconds. Raises `InvalidParameter` for what cannot be sent, `NotFound` for an unknown device,
        `Unavailable` for a place without a network.
        """
        return _sender[0].send(
            self, packets, device=device, inbound=inbound, interval_s=interval_s, count=count, timeout_s=timeout_s
        )

    def ask(self, packets: Any | Iterable[Any], *, device: str = "", timeout_s: float = 2.0) -> Any:
        """Send a packet and return the first packet that answers it.

        Return `None` if there is none within `timeout_s` seconds. If `packets` is an iterable, all its packets are
        sent at once, and a list is returned. Which packet answers another is decided by scapy (`Packet.answers`), as
        in its `sr1`. Parameters and errors are those of `send`.
        """
        return _sender[0].ask(self, packets, device=device, timeout_s=timeout_s)
