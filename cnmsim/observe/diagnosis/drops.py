"""Diagnose a dropped packet, with one function for each drop reason of the kernel."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

from cnmsim.kernel.address import is_lan_address, is_multicast
from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.diagnosis import link, routing, service
from cnmsim.observe.diagnosis.causes.filters import StraySegment, TranslatedToNobody
from cnmsim.observe.diagnosis.causes.links import AddressHidden, HostOff, NeighbourSilent, NextHopSilent
from cnmsim.observe.diagnosis.causes.routes import (
    ContainerNetworkUnknown,
    Dropped,
    ForwardingOff,
    InternalNetworksOnly,
    MulticastNotForwarded,
    NoIpv6Route,
    NoRoute,
    NotAttached,
    ReplyHasNoRoute,
    RouteRefuses,
)
from cnmsim.observe.diagnosis.diagnosis import (
    Diagnosis,
    diagnosis,
    drop_of,
    join_a_network,
    leave_internal_network,
    networks_of,
    publish,
)
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.firewall import dropped_by_policy, dropped_by_rule
from cnmsim.observe.diagnosis.overlay import dropped_in_tunnel
from cnmsim.observe.diagnosis.success import REWRITES_DESTINATION
from cnmsim.observe.fixes.changes import (
    AddRoute,
    Change,
    ChangeDaemonOption,
    DeleteRoute,
    DeleteRoutingRule,
    Manual,
    NetworkSetting,
    RecreateNetwork,
    RepairLinks,
    RestartDaemon,
    SetSysctl,
)
from cnmsim.observe.fixes.fix_candidates import deciding_rule
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.trace.hops import Hop

_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
_MTU = "com.docker.network.driver.mtu"


def diagnose_drop(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    """Return why the packet was dropped at the hop, and the changes that may help."""
    assert hop.reason is not None
    if _is_multicast(context):
        return _multicast(context, hop)
    in_tunnel = dropped_in_tunnel(context, hop)
    if in_tunnel is not None:
        return in_tunnel
    if (dead := _dead_translation(context, hop)) is not None:
        return dead
    return _BY_REASON.get(hop.reason, _plain)(context, hop)


def _is_multicast(context: DiagnosisContext) -> bool:
    """Return True if the destination is a multicast group (RFC 5771 section 3, RFC 4291 section 2.7)."""
    address = context.outcome.address
    return address is not None and is_multicast(address)


def _multicast(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    sent = next((each for each in context.attempt if each.step is Step.ROUTED), None)
    device, route = (sent.device, sent.decision) if sent is not None and sent.decision else ("", "")
    cause = MulticastNotForwarded(context.address_text, context.source.name, device, route, hop.place)
    return diagnosis(cause, Manual(Task.USE_TASK_NAMES))


# ---- routes


def _no_route(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    child = link.route_to_child_missing(context, hop)
    if child is not None:
        return child
    location = context.location_at(hop.place)
    if location is not None and location is context.source:
        return no_route_from_source(context)
    source = context.source
    if context.is_reply(hop) and source.is_container and hop.place != source.host:
        return diagnosis(
            ReplyHasNoRoute(hop.place, hop.destination_text, source.host, source.name),
            *_masquerade(context),
            ChangeDaemonOption(source.host, "iptables", "true"),
            AddRoute(hop.place),
        )
    cause = NoRoute(hop.place, hop.destination_text)
    return diagnosis(cause, _outside_project(context) or AddRoute(hop.place))


def _outside_project(context: DiagnosisContext) -> Change | None:
    """Return the advice for a destination that is no machine of the default topology, which cnmsim chose.

    It may be a machine on the LAN that the Compose file does not mention, or a public address while the user chose
    that none answers. Return `None` for a lab of the user's own hosts: all machines of such a lab are simulated.
    """
    address, is_offline = context.outcome.address, context.directory.is_offline
    if address is None:
        return None
    if is_lan_address(address):
        is_around_project = is_offline or any(item.stands_for_internet for item in context.directory.locations)
        return Manual(Task.NAME_MACHINE, context.address_text) if is_around_project else None
    return Manual(Task.LEAVE_OUT_OFFLINE) if is_offline and ip_address(address).is_global else None


def _masquerade(context: DiagnosisContext) -> tuple[Change, ...]:
    for item in context.source.attachments:
        if not item.is_default and item.options.get(_MASQUERADE) == "false":
            value = f"{_MASQUERADE}=true"
            return (RecreateNetwork(context.source.host, item.network, NetworkSetting.OPTION, value),)
    return ()


def no_route_from_source(context: DiagnosisContext) -> Diagnosis:
    """Diagnose a packet that was never sent because the source has no route to the destination."""
    source, address = context.source, context.address_text
    own = routing.link_down(context) or routing.no_address(context) or routing.narrow_mask(context)
    if own is not None:
        return own
    if source.is_container and not source.attachments:
        goals = [] if context.destination is None else [context.destination]
        return diagnosis(NotAttached(source.name, address), join_a_network(source, *goals))
    target = context.destination
    if not source.is_container and target is not None and target.is_container and target.host != source.name:
        cause = ContainerNetworkUnknown(source.name, address, target.host, target.name)
        return Diagnosis(cause, publish(target, context.target.port, context.target.protocol))
    is_ipv6 = context.outcome.address is not None and len(context.outcome.address) == 16
    if source.is_container and all(item.is_internal for item in source.attachments):
        return diagnosis(
            InternalNetworksOnly(source.name, networks_of(source)),
            leave_internal_network(context.directory, source),
        )
    if source.is_container and is_ipv6:
        return diagnosis(NoIpv6Route(source.name, address), _enable_ipv6(context))
    return diagnosis(NoRoute(source.name, address, is_ipv6=is_ipv6), AddRoute(source.name))


def _enable_ipv6(context: DiagnosisContext) -> Change:
    source = context.source
    user_defined = (item for item in source.attachments if not item.is_default and item.driver == "bridge")
    network = next((item.network for item in user_defined), "")
    return RecreateNetwork(source.host, network, NetworkSetting.IPV6)


def _route_refuses(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    rule = re.match(r"ip rule (\d+): ", hop.decision)
    if rule is not None:
        cause = RouteRefuses(drop_of(context, hop), is_rule=True)
        return diagnosis(cause, DeleteRoutingRule(hop.place, int(rule[1])))
    route = hop.decision.partition(", by rule ")[0]
    return diagnosis(RouteRefuses(drop_of(context, hop), is_rule=False), DeleteRoute(hop.place, route))


def _forwarding_off(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    key = hop.decision.partition(" ")[0] or "net.ipv4.ip_forward"
    cause = ForwardingOff(hop.place, key, is_reply=context.is_reply(hop))
    return diagnosis(cause, SetSysctl(hop.place, key, "1"))


def _neighbour_failed(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    wire = link.unanswered(context, hop) or routing.silent_gateway(context, hop)
    if wire is not None:
        return wire
    address = hop.destination_text
    owner = context.owner_of_destination(hop)
    if owner is None:
        silent = NeighbourSilent(hop.place, address, hop.device, is_known_address=not address)
        return diagnosis(silent, _outside_project(context) or Manual(Task.USE_NAME))
    hiding = _hiding_network(context, hop)
    if hiding and owner.host != hop.place and owner.on_network(hiding) is None:
        cause = AddressHidden(hop.place, address, owner.label, hiding, owner.name)
        return diagnosis(cause, RecreateNetwork(hop.place, hiding, NetworkSetting.SUBNET))
    if routing.is_off(owner):
        return diagnosis(
            HostOff(hop.place, address, hop.device, owner.name), Manual(Task.BRING_BACK, owner.name), RepairLinks()
        )
    return diagnosis(
        NextHopSilent(hop.place, hop.device, address), Manual(Task.CHECK_SEGMENT, owner.label, hop.place)
    )


def _hiding_network(context: DiagnosisContext, hop: Hop) -> str:
    """Return the Docker network on whose bridge the machine of the hop sent ARP requests.

    Return "" if the device of the hop is not the bridge of a Docker network.
    """
    here = (
        item
        for location in context.directory.locations
        if location.host == hop.place
        for item in location.attachments
    )
    return next((item.network for item in here if item.bridge and item.bridge == hop.device), "")


def _reverse_path(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return diagnosis(
        Dropped(drop_of(context, hop)),
        Manual(Task.USE_SYMMETRIC_ROUTE, hop.source_text),
        SetSysctl(hop.place, "net.ipv4.conf.all.rp_filter", "2"),
    )


def _martian(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return diagnosis(Dropped(drop_of(context, hop)), Manual(Task.USE_VALID_ADDRESS))


def _ttl(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return routing.loop(context, hop) or diagnosis(Dropped(drop_of(context, hop)), Manual(Task.CHECK_LOOP))


def _too_big(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    limit = f"{_MTU}={hop.size_limit}" if hop.size_limit else _MTU
    source = context.source
    networks = [item.network for item in source.attachments if not item.is_default] or [""]
    changes = (RecreateNetwork(source.host, network, NetworkSetting.OPTION, limit) for network in networks)
    return diagnosis(Dropped(drop_of(context, hop)), *changes)


# ---- links, and the rest


def _link(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return diagnosis(Dropped(drop_of(context, hop)), Manual(Task.BRING_LINK_UP, hop.where))


def _link_loss(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    fix = RepairLinks() if hop.decision else Manual(Task.REDUCE_LOSS)
    return diagnosis(Dropped(drop_of(context, hop)), fix)


def _nat_exhausted(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return diagnosis(Dropped(drop_of(context, hop)), Manual(Task.WIDEN_PORT_RANGE))


def _no_destination(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return service.no_destination(context, hop) or diagnosis(
        Dropped(drop_of(context, hop)), Manual(Task.CHECK_VIRTUAL_SERVICE, hop.place)
    )


def _untracked(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return routing.conntrack_full(hop) or _plain(context, hop)


def _stray(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return service.connection_forgotten(context, hop) or diagnosis(
        StraySegment(hop.place, hop.packet), Manual(Task.RECONNECT)
    )


def _ipv6_disabled(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return diagnosis(Dropped(drop_of(context, hop)), _enable_ipv6(context))


def _plain(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return diagnosis(Dropped(drop_of(context, hop)), Manual(Task.CHECK_PLACE, hop.where))


_BY_REASON: dict[DropReason, Callable[[DiagnosisContext, Hop], Diagnosis]] = {
    DropReason.NETFILTER_DROP: dropped_by_rule,
    DropReason.CONNTRACK_INVALID: _untracked,
    DropReason.STRAY_SEGMENT: _stray,
    DropReason.NETFILTER_POLICY: dropped_by_policy,
    DropReason.NETFILTER_REJECT: dropped_by_rule,
    DropReason.NAT_EXHAUSTED: _nat_exhausted,
    DropReason.NO_DESTINATION: _no_destination,
    DropReason.NO_ROUTE: _no_route,
    DropReason.UNREACHABLE_ROUTE: _route_refuses,
    DropReason.BLACKHOLE_ROUTE: _route_refuses,
    DropReason.PROHIBIT_ROUTE: _route_refuses,
    DropReason.FORWARDING_DISABLED: _forwarding_off,
    DropReason.NEIGHBOUR_FAILED: _neighbour_failed,
    DropReason.REVERSE_PATH: _reverse_path,
    DropReason.MARTIAN: _martian,
    DropReason.TTL_EXCEEDED: _ttl,
    DropReason.FRAGMENTATION_NEEDED: _too_big,
    DropReason.MTU_EXCEEDED: _too_big,
    DropReason.LINK_DOWN: _link,
    DropReason.NO_CARRIER: _link,
    DropReason.LINK_LOSS: _link_loss,
    DropReason.IPV6_DISABLED: _ipv6_disabled,
    DropReason.PORT_SECURITY: link.port_security,
    DropReason.NO_VLAN: link.no_vlan,
    DropReason.KEPT_APART: link.mode_isolates,
}


def _dead_translation(context: DiagnosisContext, drop: Hop) -> Diagnosis | None:
    """Return a diagnosis if a NAT rule sent the dropped packet to an address that nothing in the lab has.

    Such a rule is left over from a container that is gone or has another address now. Return `None` for any other
    packet.
    """
    address = drop.destination
    if address is None or context.is_reply(drop) or context.directory.owner(address) is not None:
        return None
    rewriting = [hop for hop in context.translations() if REWRITES_DESTINATION.search(hop.decision)]
    if not rewriting or rewriting[-1].destination != address:
        return None
    hop = rewriting[-1]
    cause = TranslatedToNobody(hop.place, hop.decision, drop.destination_text)
    removal = tuple(deciding_rule(hop, context.directory))
    return diagnosis(cause, *(removal or (RestartDaemon(hop.place),)), Manual(Task.CHANGE_RULE, hop.place))
