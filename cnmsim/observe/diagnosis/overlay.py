"""Diagnose overlay networks: what blocks the tunnel between two nodes, or which entry a node lacks.

Between the nodes a frame travels inside an outer packet and is dropped with it. The outer packet is UDP to the data
path port, or ESP if the network is encrypted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.device import Nic
from cnmsim.kernel.events import DropReason, MtuLimit, Step
from cnmsim.observe.diagnosis.causes.base import Cause, Fact, Remark
from cnmsim.observe.diagnosis.causes.gossip import (
    GossipSilent,
    MemberHalted,
    NotLearnt,
    OverlayNeighbourUnknown,
)
from cnmsim.observe.diagnosis.causes.overlay import (
    OverlayAddressUnknown,
    OverlayHoldsHostAddress,
    TunnelFiltered,
    TunnelIntoSilence,
    TunnelLost,
    TunnelPacket,
    TunnelPortClosed,
    TunnelSourceUnexpected,
    TunnelTooLong,
    TunnelWithoutKeys,
)
from cnmsim.observe.diagnosis.causes.remarks import TunnelMtuTooSmall
from cnmsim.observe.diagnosis.diagnosis import Diagnosis, diagnosis, drop_of
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.swarm_ports import FILTERED, gossip_filtered, opening_changes
from cnmsim.observe.fixes.changes import (
    Change,
    Manual,
    NetworkSetting,
    RecreateNetwork,
    RejoinSwarm,
    RepairLinks,
    ReplaceRoute,
)
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.location import Location
from cnmsim.observe.swarm_view import SwarmView, needs_unlock
from cnmsim.observe.trace.hops import Hop
from cnmsim.underlay.segment import Segment

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device

#: Bytes that a tunnel adds: Ethernet, IPv4, UDP and VXLAN headers; and the most that ESP adds to these.
VXLAN_BYTES = 50
ESP_BYTES = 26
_MTU = "com.docker.network.driver.mtu"
_OVERLAY_PLACE = ": overlay "
_TOO_LONG = frozenset({DropReason.MTU_EXCEEDED, DropReason.FRAGMENTATION_NEEDED, DropReason.CONGESTION})
_NO_IPSEC = frozenset(
    {DropReason.NO_STATE, DropReason.INTEGRITY, DropReason.POLICY_MISMATCH, DropReason.POLICY_BLOCK}
)

#: The node's VXLAN device has no neighbour entry for the address, or has one without an FDB entry for its MAC
#: address.
_UNKNOWN = frozenset({DropReason.NEIGHBOUR_FAILED, DropReason.NO_TUNNEL_ENDPOINT})


@frozen
class Tunnel:
    """A tunnel through which a packet travels.

    `entrance` is the hop at which the packet was encapsulated. `is_encrypted` is True if the outer packet is inside
    ESP.
    """

    network: str
    entrance: Hop
    is_encrypted: bool


def overlay_of(place: str) -> tuple[str, str]:
    """Split the place name of an overlay network's namespace into host and network; ("", "") for other places.

    Example: `node1: overlay app` becomes ("node1", "app").
    """
    host, separator, network = place.partition(_OVERLAY_PLACE)
    return (host, network) if separator else ("", "")


def tunnel_at(context: DiagnosisContext, hop: Hop) -> Tunnel | None:
    """Return the tunnel through which the packet of `hop` was travelling at that hop; `None` if it was in none."""
    inside: list[Hop] = []
    for each in context.hops:
        if each is hop:
            break
        if each.message != hop.message:
            continue
        if each.step is Step.SENT:
            inside.clear()
        elif each.step is Step.ENCAPSULATED:
            inside.append(each)
        elif each.step is Step.DECAPSULATED and inside:
            inside.pop()
    entrance = next((each for each in inside if overlay_of(each.place)[1]), None)
    if entrance is None:
        return None
    return Tunnel(overlay_of(entrance.place)[1], entrance, len(inside) > 1)


def dropped_in_tunnel(context: DiagnosisContext, hop: Hop) -> Diagnosis | None:
    """Diagnose a packet that was dropped inside a tunnel, or because a VXLAN device has no entry for its destination.

    Return `None` for any other drop.
    """
    tunnel = tunnel_at(context, hop)
    if tunnel is None:
        return _unknown_neighbour(context, hop) if hop.reason in _UNKNOWN else None
    packet = _packet(context, hop, tunnel)
    drop = drop_of(context, hop)
    if hop.reason in FILTERED:
        opened = ("esp", 0) if tunnel.is_encrypted else ("udp", packet.port)
        changes = opening_changes(context.directory, hop, *opened) or (Manual(Task.CHANGE_RULE, hop.place),)
        return Diagnosis(TunnelFiltered(packet, drop), changes)
    if hop.reason in _TOO_LONG:
        return _too_long(context, packet, hop, tunnel)
    if hop.reason in _NO_IPSEC:
        return diagnosis(TunnelWithoutKeys(packet, drop), Manual(Task.ALLOW_ESP, hop.place))
    if hop.reason is DropReason.TUNNEL_ENDPOINT_MISMATCH:
        return _unexpected_source(context, packet, hop, tunnel)
    if hop.reason is DropReason.PORT_CLOSED:
        change = Manual(Task.CHECK_DATA_PATH, hop.place, tunnel.network)
        return diagnosis(TunnelPortClosed(packet, hop.place), change)
    if hop.reason is DropReason.LINK_LOSS and hop.decision:
        return diagnosis(TunnelLost(packet, drop), RepairLinks())
    return diagnosis(TunnelLost(packet, drop), Manual(Task.REPAIR_PATH, hop.where))


def _packet(context: DiagnosisContext, hop: Hop, tunnel: Tunnel) -> TunnelPacket:
    """Return a description of the outer packet at `hop`: its sending and receiving node, network and port.

    `tunnel` is the tunnel to which the packet belongs.
    """
    entrance = tunnel.entrance
    receiver = context.owner_of_destination(entrance)
    return TunnelPacket(
        overlay_of(entrance.place)[0],
        receiver.name if receiver is not None else entrance.destination_text,
        tunnel.network,
        entrance.destination_port,
        is_encrypted=tunnel.is_encrypted,
        is_reply=context.is_reply(hop),
    )


def _unexpected_source(context: DiagnosisContext, packet: TunnelPacket, hop: Hop, tunnel: Tunnel) -> Diagnosis:
    """Diagnose an outer packet whose source address is not its sender's data path address.

    Source: drivers/net/vxlan, vxlan_snoop.
    """
    receiver = overlay_of(hop.place)[0] or hop.place
    entry = re.search(r"dst (\S+)", hop.decision)
    expected = entry.group(1) if entry else ""
    used, peer, sender = tunnel.entrance.source_text, tunnel.entrance.destination_text, packet.sender
    route = next(
        (
            each.decision
            for each in context.hops
            if each.step is Step.ROUTED and each.place == sender and each.destination_text == peer
        ),
        "",
    )
    path = re.search(r"(?:via \S+ )?dev \S+", route)
    change: Change = RejoinSwarm(sender)
    if path and expected:
        change = ReplaceRoute(sender, peer, f"{path.group(0)} src {expected}")
    cause = TunnelSourceUnexpected(packet, receiver, used, expected, peer)
    return diagnosis(cause, change, Manual(Task.USE_DATA_PATH_ADDRESS, sender, used))


def _too_long(context: DiagnosisContext, packet: TunnelPacket, hop: Hop, tunnel: Tunnel) -> Diagnosis:
    header = VXLAN_BYTES + (ESP_BYTES if tunnel.is_encrypted else 0)
    mtu = hop.size_limit or smallest_mtu(context, hop)[0]
    is_segment = isinstance(hop.detail, MtuLimit) and hop.detail.is_segment
    where = f"segment {hop.place}" if is_segment else hop.where
    value = f"{_MTU}={mtu}" if mtu else _MTU
    host = context.source.host if context.source.on_network(tunnel.network) is not None else packet.sender
    change = RecreateNetwork(host, tunnel.network, NetworkSetting.OPTION, value)
    return diagnosis(TunnelTooLong(packet, where, mtu, header), change, Manual(Task.RAISE_MTU, where))


# ---- packets that did not enter a tunnel


def _unknown_neighbour(context: DiagnosisContext, hop: Hop) -> Diagnosis | None:
    """Diagnose a packet to an address for which the node's VXLAN device has no entry; otherwise return `None`."""
    reasons = {DropReason.PROXY_UNANSWERED, DropReason.NO_TUNNEL_ENDPOINT}
    silent = next(
        (each for each in reversed(context.hops) if each.reason in reasons and overlay_of(each.place)[1]), None
    )
    if silent is None:
        return None
    host, network = overlay_of(silent.place)
    address = hop.destination_text
    owner = context.owner_of_destination(hop)
    if owner is None or owner.host == host:
        return diagnosis(OverlayAddressUnknown(host, address, silent.device, network), Manual(Task.USE_NAME))
    if not owner.is_container:
        return diagnosis(
            OverlayHoldsHostAddress(address, owner.name, network, host, silent.device),
            RecreateNetwork(host, network, NetworkSetting.SUBNET),
            Manual(Task.USE_ADDRESS_POOL),
        )
    unknown = OverlayNeighbourUnknown(host, address, silent.device, network, owner.name, owner.host)
    return not_learnt(context, host, owner.host, unknown)


def not_learnt(context: DiagnosisContext, host: str, other: str, unknown: Cause) -> Diagnosis:
    """Diagnose why the node `host` lacks an entry that the node `other` announces by gossip.

    `unknown` is the cause that names the missing entry. The reasons are tried in this order: one of the nodes is
    halted, a rule drops gossip, gossip does not get through, the entry has not arrived yet.
    """
    swarm = next((each for each in context.directory.swarms if host in each.members), None)
    for member in (host, other):
        if swarm is not None and member in swarm.halted:
            obstacle = swarm.halted[member]
            change = RejoinSwarm(member, needs_unlock=needs_unlock(obstacle))
            return diagnosis(NotLearnt(unknown, MemberHalted(member, obstacle)), change)
    filtered = None if swarm is None else gossip_filtered(context.directory, swarm, host, other)
    if filtered is not None:
        return Diagnosis(NotLearnt(unknown, filtered.cause), filtered.changes)
    if swarm is not None and not swarm.hears(host, other):
        return diagnosis(NotLearnt(unknown, GossipSilent(host, other)), Manual(Task.ALLOW_GOSSIP, host, other))
    return diagnosis(NotLearnt(unknown, Fact.GOSSIP_PENDING), Manual(Task.WAIT_FOR_GOSSIP))


# ---- how long a packet may be


def smallest_mtu(context: DiagnosisContext, upto: Hop | None = None) -> tuple[int, str]:
    """Return the smallest MTU on the path of a tunnel's outer packets, and the device or link that has it.

    If `upto` is given, only hops before it are considered. Return (0, "") if no packet was in a tunnel.
    """
    limits: list[tuple[int, str]] = []
    for hop in context.hops:
        if hop is upto:
            break
        if hop.step in {Step.ROUTED, Step.TRANSMITTED} and tunnel_at(context, hop) is not None:
            device = _device(context, hop)
            if device is not None:
                limits.append((device.mtu, hop.where))
            medium = device.link if isinstance(device, Nic) else None
            if isinstance(medium, Segment):
                limits.append((medium.mtu, f"segment {medium.name}"))
    return min(limits, default=(0, ""))


def _device(context: DiagnosisContext, hop: Hop) -> Device | None:
    location: Location | None = context.location_at(hop.place)
    return location.namespace.devices.get(hop.device) if location is not None and not location.is_container else None


def mtu_remarks(context: DiagnosisContext) -> list[Remark]:
    """Return a remark, in a list, if the MTU on the tunnel's path is too small for the overlay network.

    Too small means that full packets of the network, with the headers of the tunnel, exceed it.
    """
    entrance = next(
        (hop for hop in context.attempt if hop.step is Step.ENCAPSULATED and overlay_of(hop.place)[1]), None
    )
    if entrance is None:
        return []
    network = overlay_of(entrance.place)[1]
    mtu, where = smallest_mtu(context)
    inner = _inner_mtu(context, network)
    is_encrypted = any(hop.step is Step.ENCAPSULATED and not overlay_of(hop.place)[1] for hop in context.attempt)
    header = VXLAN_BYTES + (ESP_BYTES if is_encrypted else 0)
    if not mtu or not inner or inner + header <= mtu:
        return []
    return [TunnelMtuTooSmall(network, inner, header, where, mtu)]


def _inner_mtu(context: DiagnosisContext, network: str) -> int:
    source = context.source
    attachment = source.on_network(network)
    for address in attachment.addresses if attachment is not None else ():
        for device in source.namespace.devices.values():
            if any(item.address == address for item in device.addresses):
                return device.mtu
    return 0


def swarm_of(context: DiagnosisContext) -> SwarmView | None:
    """Return the swarm that the source's or the destination's host is a member of; `None` if there is none."""
    hosts = {context.source.host}
    if context.destination is not None:
        hosts.add(context.destination.host)
    return next((each for each in context.directory.swarms if hosts & set(each.members)), None)


def tunnel_into_silence(context: DiagnosisContext) -> Diagnosis | None:
    """Diagnose a packet that entered a tunnel and did not arrive, although no drop was recorded.

    Return `None` for any other packet.
    """
    entrance = next(
        (hop for hop in reversed(context.attempt) if hop.step is Step.ENCAPSULATED and overlay_of(hop.place)[1]),
        None,
    )
    end = context.owner_of_destination(entrance) if entrance is not None else None
    if entrance is None or end is None:
        return None
    if any(hop.place == end.namespace.name and hop.time_ns >= entrance.time_ns for hop in context.hops):
        return None
    host, network = overlay_of(entrance.place)
    cause = TunnelIntoSilence(host, end.name, network)
    return diagnosis(cause, Manual(Task.BRING_BACK, end.name), Manual(Task.WAIT_FOR_REPLACEMENT))
