"""Faults of a lab's wiring: unplugged cables, partitions, frames lost in one direction.

A frame's sender is recognised by its source address, if that is an address of one of the host's interfaces. A router
that translates addresses (NAT) therefore counts as the sender of the packets that it forwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.kernel.address import Address, Mac
from cnmsim.suggestion import suggestion
from cnmsim.underlay.interface import HostInterface
from cnmsim.underlay.segment import Segment

if TYPE_CHECKING:
    from random import Random

    from cnmsim.lab.host import Host
    from cnmsim.underlay.cable import Attachment, Station

_VLAN_TAG = b"\x81\x00"
_SOURCES = {
    b"\x08\x00": (12, 16),
    b"\x86\xdd": (8, 24),
    b"\x08\x06": (14, 18),
}  # IPv4, IPv6, ARP: the offsets of the sender's address


class Wiring(Protocol):
    """The parts of a lab on which faults act."""

    @property
    def hosts(self) -> Mapping[str, Host]:
        """The hosts by name."""

    @property
    def segments(self) -> Mapping[str, Segment]:
        """The segments by name."""


@define(eq=False)
class OneWayLoss:
    """Frames lost between hosts: `shares[sender, receiver]` is the fraction that is lost, from 0 to 1.

    `sender_of` maps a source address to the host that has it, `receiver_of` maps an interface to its host.
    """

    random: Random = field(repr=False)
    sender_of: dict[Address | Mac, str] = field(factory=dict)
    receiver_of: dict[HostInterface, str] = field(factory=dict)
    shares: dict[tuple[str, str], float] = field(factory=dict)

    def loses(self, frame: bytes, station: Station) -> str:
        """Return the reason for which `station`, an interface, does not receive a frame, or "" if it is not lost.

        If only a fraction of the frames is lost, a random number decides.
        """
        receiver = self.receiver_of.get(station) if isinstance(station, HostInterface) else None
        if receiver is None:
            return ""
        sender = self._sender(frame)
        share = self.shares.get((sender, receiver), 0.0)
        if not share or (share < 1 and self.random.random() >= share):
            return ""
        how = "" if share >= 1 else f"{share:.0%} of "
        return f"{how}what {sender} sends does not get to {receiver}"

    def _sender(self, frame: bytes) -> str:
        start = 18 if frame[12:14] == _VLAN_TAG else 14
        fields = _SOURCES.get(frame[start - 2 : start])
        if fields is not None:
            known = self.sender_of.get(frame[start + fields[0] : start + fields[1]])
            if known is not None:
                return known
        return self.sender_of.get(frame[6:12], "")


@define(eq=False)
class Faults:
    """The faults that are set on the wiring of a lab.

    Faults have no effect on hosts and segments that are added after they were set.
    """

    lab: Wiring = field(repr=False)
    random: Random = field(repr=False)
    _pulled: dict[HostInterface, tuple[str, Segment, Attachment]] = field(factory=dict, init=False, repr=False)
    _losses: OneWayLoss = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._losses = OneWayLoss(self.random)

    def cut(self, *ends: str) -> None:
        """Unplug hosts (`"node2"`) or single interfaces (`"node2:eth1"`).

        Raises `NotFound` for an unknown host or interface.
        """
        interfaces = [plug for end in ends for plug in self._interfaces(end)]
        for name, interface in interfaces:
            if isinstance(interface.link, Segment):
                segment = interface.link
                self._pulled[interface] = (name, segment, segment.pull(interface))

    def partition(self, groups: Iterable[Iterable[str]]) -> None:
        """Drop every frame between hosts of different groups. Hosts in no group are not affected.

        Raises `NotFound` for an unknown host, `InvalidParameter` for a host in two groups and for fewer than two
        groups.
        """
        sides = [list(dict.fromkeys(group)) for group in groups]
        names = [name for side in sides for name in side]
        if len(sides) < 2 or not all(sides):
            raise InvalidParameter("a partition has two or more groups of hosts")
        if len(names) != len(set(names)):
            raise InvalidParameter("a host is in one group only")
        for name in names:
            self._host(name)
        for number, side in enumerate(sides):
            others = [name for other in sides[:number] + sides[number + 1 :] for name in other]
            for sender in side:
                for receiver in others:
                    self._losses.shares[sender, receiver] = 1.0
        self._spread()

    def lose(self, sender: str, receiver: str, share: float) -> None:
        """Drop a fraction `share` (0 to 1) of the frames from the host `sender` to the host `receiver`.

        Raises `NotFound` for an unknown host, `InvalidParameter` for a fraction outside 0 to 1 or equal hosts.
        """
        self._host(sender)
        self._host(receiver)
        if not 0 <= share <= 1 or sender == receiver:
            raise InvalidParameter(f"from {sender} to {receiver}: a share from 0 to 1 is lost, between two hosts")
        self._losses.shares[sender, receiver] = share
        self._spread()

    def heal(self, *names: str) -> None:
        """Remove all faults, or only those of the hosts `names`: plug their cables in, and stop losing their frames.

        Raises `NotFound` for an unknown host.
        """
        for name in names:
            self._host(name)
        for interface, (name, segment, attachment) in list(self._pulled.items()):
            if not names or name in names:
                del self._pulled[interface]
                segment.plug_again(attachment)
        shares = self._losses.shares
        for pair in list(shares):
            if not names or set(pair) & set(names):
                del shares[pair]
        self._spread()

    def describe(self) -> list[str]:
        """Return the faults that are set, one sentence each."""
        texts = [f"{name}:{interface.name} is unplugged" for interface, (name, _, _) in self._pulled.items()]
        shares = sorted((pair, share) for pair, share in self._losses.shares.items() if share)
        return texts + [f"{share:.0%} of what {one} sends to {other} is lost" for (one, other), share in shares]

    # ---- addresses

    def _spread(self) -> None:
        """Update the loss of frames on all segments, with the present addresses of the hosts."""
        losses = self._losses
        has_any = any(losses.shares.values())
        losses.sender_of.clear()
        losses.receiver_of.clear()
        for name, host in self.lab.hosts.items() if has_any else ():
            for interface in host.interfaces:
                losses.receiver_of[interface] = name
                losses.sender_of[interface.mac] = name
                for address in interface.addresses:
                    losses.sender_of[address.address] = name
        for segment in self.lab.segments.values():
            segment.loses = losses.loses if has_any else None

    def _host(self, name: str) -> Host:
        host = self.lab.hosts.get(name)
        if host is None:
            raise NotFound(f"no host named {name}{suggestion(name, self.lab.hosts)}")
        return host

    def _interfaces(self, end: str) -> list[tuple[str, HostInterface]]:
        name, _, device = end.partition(":")
        matches = [(name, interface) for interface in self._host(name).interfaces if device in {"", interface.name}]
        if not matches:
            raise NotFound(f"{name} has no interface {device}")
        return matches
