"""Causes in packet filters, and other drops."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause, Drop


@frozen
class Filtered(Cause):
    """A packet filter dropped or rejected a packet of the probe.

    `purpose` is what the deciding rule is for, `None` if unknown.
    """

    drop: Drop
    purpose: Cause | None = None


@frozen
class NoSharedNetwork(Cause):
    """A rule that isolates Docker networks from each other dropped a packet: two containers share no network.

    `networks` are those of the container `source`, `other_networks` those of the container `other`.
    """

    source: str
    networks: tuple[str, ...]
    other: str
    other_networks: tuple[str, ...]


@frozen
class OtherNetworkAddress(Cause):
    """A packet was sent to the address that `container` has on a network to which `source` is not attached."""

    address: str
    container: str
    source: str


@frozen
class InternalNetwork(Cause):
    """A packet was dropped because it would enter or leave an internal network.

    `stranger` is the container at the other end, which is not attached to that network; "" if there is none.
    """

    network: str
    stranger: str = ""


@frozen
class IccDisabled(Cause):
    """A packet between two containers was dropped because the network is configured with `icc=false`."""

    network: str


@frozen
class LoopbackOnly(Cause):
    """The port is published only on 127.0.0.1 of the host `place`, so a packet from another machine was dropped."""

    place: str


@frozen
class ProtectsHost(Cause):
    """A packet was dropped by a firewall of the host `place`, in a chain for packets to the host itself."""

    place: str


@frozen
class OtherRuleSet(Cause):
    """A packet was dropped by a rule in tables that Docker does not write and that `iptables -S` does not list.

    `is_legacy` is True for tables of iptables-legacy, False for native nftables tables.
    """

    place: str
    is_legacy: bool


@frozen
class StraySegment(Cause):
    """The machine `place` answered a TCP segment with RST because the segment belongs to no connection there.

    `packet` is the label of the segment, e.g. `TCP SYN-ACK`.
    """

    place: str
    packet: str


@frozen
class TranslatedToNobody(Cause):
    """A NAT rule on `place` rewrote the destination to `address`, which no machine or container of the lab has."""

    place: str
    rule: str
    address: str
