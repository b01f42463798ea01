"""The class `Place`: an object with a network namespace, such as a host or container, from which packets can be sent.

The code that sends packets for a user is in a higher layer, because it traces the packets. The package `lab`
registers that code here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol


class PacketSender(Protocol):
    """The functions that `Place.send` and `Place.ask` call, with the same parameters."""

    def send(self, place: object, packets: object, **options: Any) -> Any:
        """Send packets from a place, and return a record of each packet's path (see `Place.send`)."""

    def ask(self, place: object, packets: object, **options: Any) -> Any:
        """Send packets from a place, and return the packets received in answer (see `Place.ask`)."""


_sender: list[PacketSender] = []


def set_packet_sender(sender: PacketSender) -> None:
    """Register the object whose functions `Place.send` and `Place.ask` call."""
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
        """Send a packet. Return its `Walk`: a record of its hops, its verdict and the packets that came back.

        `packets` is a scapy packet that begins with `IP`, `IPv6` or an Ethernet header (`Ether`), the `bytes` of an
        Ethernet frame, or an iterable of these. The packets of an iterable are sent `interval_s` seconds apart, and
        the result is a `Walks`, a sequence of `Walk` objects. `count` limits the number of packets sent. A header
        field of a scapy packet whose value is `None`, such as the source address, gets the value that this host or
        container would use.

        An IP packet goes through a raw socket (raw(7), `IP_HDRINCL`): it is routed, and passes OUTPUT. An Ethernet
        frame goes through a packet socket (packet(7)): it leaves by `device`, unchanged. If `device` is "", it leaves
        by the interface of the route to the packet's destination, or by the only interface. An IP packet that the
        kernel cannot parse, or that is sent with a `device`, also goes through a packet socket. With `inbound` the
        device receives the packet instead, as if it had arrived from the link.

        Virtual time passes until the fate of every packet is certain and no frame that it caused is in transit, at
        most `timeout_s` seconds. Raises `InvalidParameter` for values that cannot be sent, `NotFound` for an unknown
        device, `Unavailable` if this host or container has no network.
        """
        return _sender[0].send(
            self, packets, device=device, inbound=inbound, interval_s=interval_s, count=count, timeout_s=timeout_s
        )

    def ask(self, packets: Any | Iterable[Any], *, device: str = "", timeout_s: float = 2.0) -> Any:
        """Send a packet and return the first packet that answers it, or `None` after `timeout_s` seconds.

        If `packets` is an iterable, all its packets are sent at once, and a list is returned with the answer to each.
        scapy decides whether a packet answers another (`Packet.answers`), as in its function `sr1`. Parameters and
        errors are those of `send`.
        """
        return _sender[0].ask(self, packets, device=device, timeout_s=timeout_s)
