"""Why what an overlay network carries was lost between two nodes: what blocks its tunnel, or what a node has not heard of.

A frame in a tunnel is lost as the packet around it, which is UDP to the data path port, or ESP where the network is encrypted;
who reads of "port 4789" must be told whose traffic that was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.device import Nic
from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.diagnosis.advice import Advice
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext, address_at, destination_of, source_of
from cnmsim.observe.location import Location
from cnmsim.observe.swarm_view import SwarmView, remedy, rule_against_gossip
from cnmsim.observe.trace.hops import Hop
from cnmsim.underlay.segment import Segment

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device

#: Bytes a tunnel puts in front: Ethernet, IPv4, UDP and VXLAN headers; ESP adds up to so many more.
VXLAN_BYTES = 50
ESP_BYTES = 26
_OVERLAY_PLACE = ": overlay "
_FILTERED = frozenset({DropReason.NETFILTER_DROP, DropReason.NETFILTER_POLICY, DropReason.NETFILTER_REJECT})
_TOO_LONG = frozenset({DropReason.MTU_EXCEEDED, DropReason.FRAGMENTATION_NEEDED, DropReason.CONGESTION})
_NO_IPSEC = frozenset(
    {DropReason.NO_STATE, DropReason.INTEGRITY, DropReason.POLICY_MISMATCH, DropReason.POLICY_BLOCK}
)

#: An address nobody on the node answers for, or a MAC address that is still remembered and leads nowhere.
_UNKNOWN = frozenset({DropReason.NEIGHBOUR_FAILED, DropReason.NO_TUNNEL_ENDPOINT})


@frozen
class Tunnel:
    """The tunnel that a message was in: the network it carries, the hop at which it went in, whether it is ESP by now."""

    network: str
    entrance: Hop
    is_encrypted: bool

    @property
    def port(self) -> int:
        """The UDP port of the outer packet, as it was before it was encrypted."""
        text = self.entrance.addresses.rpartition(":")[2]
        return int(text) if text.isdigit() else 0

    @property
    def kind(self) -> str:
        """What a firewall sees."""
        return "ESP packet (IP protocol 50)" if self.is_encrypted else f"VXLAN packet (UDP port {self.port})"

    @property
    def match(self) -> str:
        """The condition of an iptables rule for it."""
        return "-p esp" if self.is_encrypted else f"-p udp --dport {self.port}"


def overlay_of(place: str) -> tuple[str, str]:
    """Part the name of an overlay's namespace into host and network; ("", "") for other places."""
    host, found, network = place.partition(_OVERLAY_PLACE)
    return (host, network) if found else ("", "")


def tunnel_at(context: DiagnosisContext, loss: Hop) -> Tunnel | None:
    """Give the tunnel in which the message of a hop was at that point, `None` if it was in none."""
    inside: list[Hop] = []
    for hop in context.hops:
        if hop is loss:
            break
        if hop.message != loss.message:
            continue
        if hop.step is Step.SENT:
            inside.clear()
        elif hop.step is Step.ENCAPSULATED:
            inside.append(hop)
        elif hop.step is Step.DECAPSULATED and inside:
            inside.pop()
    entrance = next((hop for hop in inside if overlay_of(hop.place)[1]), None)
    if entrance is None:
        return None
    return Tunnel(overlay_of(entrance.place)[1], entrance, len(inside) > 1)


def advice_in_tunnel(context: DiagnosisContext, loss: Hop) -> Advice | None:
    """Say why what a tunnel carried was lost; `None` if the loss has nothing to do with one."""
    tunnel = tunnel_at(context, loss)
    if tunnel is None:
        return _unknown_neighbour(context, loss) if loss.reason in _UNKNOWN else None
    begin = _begin(context, loss, tunnel)
    by = f" by {loss.decision}" if loss.decision else ""
    if loss.reason in _FILTERED:
        return _filtered(begin, by, loss, tunnel)
    if loss.reason in _TOO_LONG:
        return _too_long(context, begin, loss, tunnel)
    if loss.reason in _NO_IPSEC:
        return (
            f"{begin} is dropped on {loss.place}{by}: {loss.what}",
            f"let gossip (port 7946) and ESP pass between the nodes, so that {loss.place} has the keys of its peers",
        )
    if loss.reason is DropReason.TUNNEL_ENDPOINT_MISMATCH:
        return _other_source(context, begin, loss, tunnel)
    if loss.reason is DropReason.PORT_CLOSED:
        return (
            f"{begin} finds nobody on {loss.place}: no device takes UDP port {tunnel.port} there",
            f"use the same data path port on all nodes, and check that {loss.place} has network {tunnel.network}",
        )
    if loss.reason is DropReason.LINK_LOSS and loss.decision:
        return f"{begin} is lost at {loss.where}: {loss.decision}", "mend the wiring there (lab.heal())"
    reason = loss.reason.value if loss.reason else loss.what
    return f"{begin} is lost at {loss.where}{by}: {reason}", f"repair the way between the nodes at {loss.where}"


def _begin(context: DiagnosisContext, loss: Hop, tunnel: Tunnel) -> str:
    """Begin the sentence: what was lost, and between which nodes."""
    subject = "the answer: its" if context.is_reply(loss) else "the"
    sender = overlay_of(tunnel.entrance.place)[0]
    receiver = context.directory.owner(address_at(tunnel.entrance) or b"")
    to = receiver.name if receiver is not None else destination_of(tunnel.entrance)
    return f"{subject} {tunnel.kind} from {sender} to {to} that carries network {tunnel.network}"


def _filtered(begin: str, by: str, loss: Hop, tunnel: Tunnel) -> Advice:
    chain = next((name for name in ("INPUT", "OUTPUT", "FORWARD") if name in loss.decision), "FORWARD")
    more = "; a firewall that lists ports only lets no ESP pass" if tunnel.is_encrypted else ""
    return (
        f"{begin} is dropped on {loss.place}{by}{more}",
        f"let it pass on {loss.place}: iptables -I {chain} {tunnel.match} -j ACCEPT",
    )


def _other_source(context: DiagnosisContext, begin: str, loss: Hop, tunnel: Tunnel) -> Advice:
    """Explain a frame from another address than its sender's data path address (Linux drivers/net/vxlan, vxlan_snoop)."""
    receiver = overlay_of(loss.place)[0] or loss.place
    found = re.search(r"dst (\S+)", loss.decision)
    wanted = found.group(1) if found else "another address"
    used, peer = source_of(tunnel.entrance), destination_of(tunnel.entrance)
    sender = overlay_of(tunnel.entrance.place)[0]
    cause = (
        f"{begin} is dropped by {receiver}: it comes from {used}, and {receiver} takes frames of that MAC from {wanted} only, the data "
        f"path address with which {sender} joined; routes choose the outer source address, and {sender}'s route to {peer} chooses {used}"
    )
    way = next(
        (
            hop.decision
            for hop in context.hops
            if hop.step is Step.ROUTED and hop.place == sender and destination_of(hop) == peer
        ),
        "",
    )
    via = re.search(r"(?:via \S+ )?dev \S+", way)
    fix = f"on {sender}: ip route replace {peer} {via.group(0)} src {wanted}" if via else f"join {sender} again"
    return cause, f"{fix}; or have {sender} join with --data-path-addr {used}"


def _too_long(context: DiagnosisContext, begin: str, loss: Hop, tunnel: Tunnel) -> Advice:
    header = VXLAN_BYTES + (ESP_BYTES if tunnel.is_encrypted else 0)
    found = re.search(r"(?:carries|MTU of|MTU|mtu) (\d+)", f"{loss.decision} {loss.what}")
    mtu = int(found.group(1)) if found else smallest_mtu(context, loss)[0]
    where = f"segment {loss.place}" if loss.what.startswith("segment ") else loss.where
    option = f" com.docker.network.driver.mtu={mtu}" if mtu else " a smaller com.docker.network.driver.mtu"
    limit = f", which carries {mtu} bytes" if mtu else ""
    return (
        f"{begin} is too long for {where}{limit}: {header} bytes of headers come on top of what the container sends",
        f"make network {tunnel.network} with{option}, or raise the MTU of {where}",
    )


# ---- what was never put into a tunnel


def _unknown_neighbour(context: DiagnosisContext, loss: Hop) -> Advice | None:
    """Explain a neighbour on an overlay network nobody answered for: the node's tunnel device knows nothing of it."""
    silent = next(
        (
            hop
            for hop in reversed(context.hops)
            if hop.reason in {DropReason.PROXY_UNANSWERED, DropReason.NO_TUNNEL_ENDPOINT} and overlay_of(hop.place)[1]
        ),
        None,
    )
    if silent is None:
        return None
    host, network = overlay_of(silent.place)
    goal = destination_of(loss)
    owner = context.directory.owner(address_at(loss) or b"")
    head = f"{host} does not know where {goal} is: {silent.device} of network {network} has no neighbour or FDB entry for it"
    if owner is None or owner.host == host:
        return f"{head}, and no running container has that address", "use the name instead of a remembered address"
    if not owner.is_container:
        cause = (
            f"{goal} is {owner.name}, a host, but the subnet of network {network} holds that address too: {host} looks for"
            f" {owner.name} in the tunnel {silent.device}, and never answers it"
        )
        return cause, "make the network with another --subnet, or init the swarm with --default-addr-pool"
    return unheard(context, host, owner.host, f"{head} ({owner.name} on {owner.host})")


def unheard(context: DiagnosisContext, host: str, other: str, head: str) -> Advice:
    """Say why `host` lacks what `other` has to tell: gossip does not pass, or the managers no longer count with it."""
    swarm = next((each for each in context.directory.swarms if host in each.members), None)
    for each in (host, other):
        if swarm is not None and each in swarm.halted:
            return f"{head}: {each} takes no part in the swarm: {swarm.halted[each]}", remedy(
                each, swarm.halted[each]
            )
    culprit = rule_against_gossip(context.directory.locations)
    if culprit is not None:
        location, rule = culprit
        chain = rule.split()[1]
        return (
            f"{head}: nodes tell each other by gossip, and {rule} on {location.name} keeps port 7946 shut",
            f"let TCP and UDP port 7946 pass: iptables -D {chain} {rule.partition(f'-A {chain} ')[2]} on {location.name}",
        )
    if swarm is not None and not swarm.hears(host, other):
        return (
            f"{head}: nodes tell each other by gossip, and {host} hears none from {other}",
            f"let TCP and UDP port 7946 pass between {host} and {other}, both ways",
        )
    return f"{head}, which comes by gossip", "wait until the nodes have told each other (lab.settle())"


# ---- how long a packet may be


def smallest_mtu(context: DiagnosisContext, upto: Hop | None = None) -> tuple[int, str]:
    """Give the smallest MTU an outer packet met on its way, and where; (0, "") if it was in no tunnel."""
    found: list[tuple[int, str]] = []
    for hop in context.hops:
        if hop is upto:
            break
        if hop.step in {Step.ROUTED, Step.TRANSMITTED} and tunnel_at(context, hop) is not None:
            device = _device(context, hop)
            if device is not None:
                found.append((device.mtu, hop.where))
            medium = device.link if isinstance(device, Nic) else None
            if isinstance(medium, Segment):
                found.append((medium.mtu, f"segment {medium.name}"))
    return min(found, default=(0, ""))


def _device(context: DiagnosisContext, hop: Hop) -> Device | None:
    location: Location | None = context.location(hop.place)
    return location.namespace.devices.get(hop.device) if location is not None and not location.is_container else None


def mtu_remarks(context: DiagnosisContext) -> list[str]:
    """Warn of a tunnel that is narrower than the network it carries: small packets pass, full ones do not."""
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
    # Outer packets may be fragmented by whoever routes them, but no switch does that.
    what = "small packets pass, full ones do not" if where.startswith("segment") else "full packets are fragmented"
    return [
        f"{what}: network {network} has an MTU of {inner}, its tunnel adds {header} bytes, and {where} carries {mtu}; "  # noqa: ISC004
        f"set com.docker.network.driver.mtu={mtu} on the network"
    ]


def _inner_mtu(context: DiagnosisContext, network: str) -> int:
    for location in (context.source,):
        attachment = location.on_network(network)
        for address in attachment.addresses if attachment is not None else ():
            for device in location.namespace.devices.values():
                if any(item.address == address for item in device.addresses):
                    return device.mtu
    return 0


def towards(context: DiagnosisContext) -> SwarmView | None:
    """Give the swarm the asker's host is in, or else the one of whom it knocks at."""
    hosts = {context.source.host}
    if context.destination is not None:
        hosts.add(context.destination.host)
    return next((each for each in context.directory.swarms if hosts & set(each.members)), None)


def never_arrived(context: DiagnosisContext) -> Advice | None:
    """Explain a packet into a tunnel that its other end never saw, though nobody dropped it; `None` if that end did see it."""
    entrance = next(
        (hop for hop in reversed(context.attempt) if hop.step is Step.ENCAPSULATED and overlay_of(hop.place)[1]), None
    )
    end = context.directory.owner(address_at(entrance) or b"") if entrance is not None else None
    if entrance is None or end is None:
        return None
    if any(hop.place == end.namespace.name and hop.time_ns >= entrance.time_ns for hop in context.hops):
        return None
    host, network = overlay_of(entrance.place)
    return (
        f"what {host} sends to {end.name} for network {network} leaves, and nothing of it arrives: {end.name} is cut off or has no power, "  # noqa: ISC004
        f"and the tables of {host} still lead there",
        f"bring {end.name} back, or wait: gossip forgets it after some seconds, and the managers replace its tasks",
    )
