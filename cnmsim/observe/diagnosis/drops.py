"""Why a packet was lost, and what to do: one function a reason, chosen by the reason the kernel gave."""

from __future__ import annotations

import re
from collections.abc import Callable

from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.diagnosis import link, routing, service
from cnmsim.observe.diagnosis.advice import Advice, join_a_network, networks_of, publish, where_lost
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext, address_at, destination_of, source_of
from cnmsim.observe.diagnosis.firewall import by_policy, filtered, rejected
from cnmsim.observe.diagnosis.overlay import advice_in_tunnel
from cnmsim.observe.trace.hops import Hop


def advice_on(context: DiagnosisContext, loss: Hop) -> Advice:
    """Say why the packet was lost there, in one sentence, and give one fix."""
    assert loss.reason is not None
    if _is_multicast(context):
        return _multicast(context, loss)
    in_tunnel = advice_in_tunnel(context, loss)
    if in_tunnel is not None:
        return in_tunnel
    explain = _BY_REASON.get(loss.reason, _plain)
    return explain(context, loss)


def _is_multicast(context: DiagnosisContext) -> bool:
    """Whether a group was asked, not a machine (RFC 5771 section 3, RFC 4291 section 2.7)."""
    address = context.outcome.address
    return address is not None and (address[0] == 0xFF if len(address) == 16 else 224 <= address[0] < 240)


def _multicast(context: DiagnosisContext, loss: Hop) -> Advice:
    sent = next((hop for hop in context.attempt if hop.step is Step.ROUTED), None)
    by = f" by {sent.device} ({sent.decision})" if sent is not None and sent.decision else ""
    return (
        f"{context.address} is a multicast address: {context.source.name} sends it{by}, it stops on {loss.place}, and no router or tunnel of "  # noqa: ISC004
        "Docker carries it on",
        "find the others by name: a service's tasks.NAME gives the addresses of all its tasks",
    )


def _no_route(context: DiagnosisContext, loss: Hop) -> Advice:
    child = link.no_way_to_child(context, loss)
    if child is not None:
        return child
    location = context.location(loss.place)
    if location is not None and location is context.source:
        return no_route_from(context)
    if context.is_reply(loss) and context.source.is_container and loss.place != context.source.host:
        return (
            f"the answer is lost: {loss.place} has no route to {destination_of(loss)}, "  # noqa: ISC004
            f"and {context.source.host} let that address of {context.source.name} out untranslated",
            f"let {context.source.host} masquerade it (daemon option iptables, or the network's enable_ip_masquerade), "  # noqa: ISC004
            f"or add a route to it on {loss.place}",
        )
    return f"{loss.place} has no route to {destination_of(loss)}", f"add a route on {loss.place}"


def no_route_from(context: DiagnosisContext) -> Advice:
    """Say why the source itself knows no way."""
    source = context.source
    own = routing.link_down(context) or routing.no_address(context) or routing.narrow_mask(context)
    if own is not None:
        return own
    if source.is_container and not source.attachments:
        return f"{source.name} has no route to {context.address}: it is attached to no network", join_a_network(
            source
        )
    target = context.destination
    if not source.is_container and target is not None and target.is_container and target.host != source.name:
        return (
            f"{source.name} has no route to {context.address}: only {target.host} knows the network of {target.name}",
            publish(target, context.target.port),
        )
    family = "IPv6 " if ":" in context.address else ""
    if source.is_container and all(item.is_internal for item in source.attachments):
        return (
            f"{source.name} has no default route: {networks_of(source)} is internal and leads nowhere else",
            f"attach {source.name} to a network without --internal as well",
        )
    if source.is_container and family:
        return f"{source.name} has no IPv6 route to {context.address}: its networks have no IPv6", (
            "create the network with enable_ipv6 (--ipv6)"
        )
    return (
        f"{source.name} has no {family}route to {context.address}",
        f"add a route or a default gateway on {source.name}",
    )


def _route_says(context: DiagnosisContext, loss: Hop) -> Advice:
    refusing = re.match(r"ip rule (\d+): ", loss.decision)
    if refusing is not None:
        return f"{where_lost(context, loss)}: that rule is meant to refuse", (
            f"delete it on {loss.place}: ip rule del pref {refusing[1]}"
        )
    return f"{where_lost(context, loss)}: the route there is meant to refuse", (
        f"delete it on {loss.place}: ip route del {loss.decision.partition(', by rule ')[0]}"
    )


def _forwarding_off(context: DiagnosisContext, loss: Hop) -> Advice:
    key = loss.decision.partition(" ")[0] or "net.ipv4.ip_forward"
    subject = "the answer" if context.is_reply(loss) else "it"
    return (
        f"{subject} stops on {loss.place}: IP forwarding is disabled there ({key} = 0), before any chain is asked",
        f"sysctl -w {key}=1 on {loss.place}",
    )


def _neighbour_failed(context: DiagnosisContext, loss: Hop) -> Advice:
    wire = link.unanswered(context, loss) or routing.silent_gateway(context, loss)
    if wire is not None:
        return wire
    address = destination_of(loss)
    who = context.directory.owner(address_at(loss) or b"")
    if who is None:
        known = "; no running container or host has that address" if "." in address or ":" in address else ""
        return f"{loss.place} asked for {address} on {loss.device or 'its link'} and nobody answered{known}", (
            "use the name instead of a remembered address: a restarted container may have another one"
        )
    hiding = _hiding_network(context, loss)
    if hiding and who.host != loss.place and who.on_network(hiding) is None:
        return (
            f"{loss.place} looks for {address}, which is {who.label}, on its own network {hiding}: the network's subnet contains that "  # noqa: ISC004
            f"address, and its route is preferred to the one that leads to {who.name}",
            f"make network {hiding} with another --subnet",
        )
    if routing.is_off(who):
        return (
            f"{loss.place} asked for {address} on {loss.device or 'its link'}, and {who.name}, which has that address, has no power or no cable",
            f"bring {who.name} back (lab.heal(), or power_on() of the host)",
        )
    return f"{loss.place} asked on {loss.device or 'its link'} and nobody answered for the next hop to {address}", (
        f"check that {who.label} and {loss.place} are on one segment, and the route's gateway"
    )


def _hiding_network(context: DiagnosisContext, loss: Hop) -> str:
    """Name the network of the host whose bridge was asked, "" if it was another device."""
    here = (
        item
        for location in context.directory.locations
        if location.host == loss.place
        for item in location.attachments
    )
    return next((item.network for item in here if item.bridge and item.bridge == loss.device), "")


def _reverse_path(context: DiagnosisContext, loss: Hop) -> Advice:
    return f"{where_lost(context, loss)}: a packet from {source_of(loss)} should not come in by {loss.device}", (
        f"make the route back to {source_of(loss)} symmetric, or let the filter take any way back: "
        f"sysctl -w net.ipv4.conf.all.rp_filter=2 on {loss.place}"
    )


def _martian(context: DiagnosisContext, loss: Hop) -> Advice:
    return (
        f"{where_lost(context, loss)}: {source_of(loss)} > {destination_of(loss)} has no business on {loss.device}",
        "use an address that is valid on that link (127.0.0.0/8 never leaves its host)",
    )


def _ttl(context: DiagnosisContext, loss: Hop) -> Advice:
    round_trip = routing.loop(context, loss)
    if round_trip is not None:
        return round_trip
    return f"{where_lost(context, loss)}: its TTL ran out", "look for a routing loop in the walk above"


def _too_big(context: DiagnosisContext, loss: Hop) -> Advice:
    return f"{where_lost(context, loss)}: {loss.what}", (
        "set the network's MTU to the smallest on the way (com.docker.network.driver.mtu)"
    )


def _link(context: DiagnosisContext, loss: Hop) -> Advice:
    del context
    reason = loss.reason.value if loss.reason else loss.what
    return f"lost at {loss.where}: {reason}", f"bring the link at {loss.where} up"


def _link_loss(context: DiagnosisContext, loss: Hop) -> Advice:
    if loss.decision:
        subject = f"the answer from {context.sender(loss)} is " if context.is_reply(loss) else ""
        return f"{subject}lost at {loss.where}: {loss.decision}", "mend the wiring there (lab.heal())"
    return f"lost on the link at {loss.where}, which loses packets", "set a lower loss on that link"


def _nat_exhausted(context: DiagnosisContext, loss: Hop) -> Advice:
    return f"{where_lost(context, loss)}: no free port is left for address translation", (
        "widen net.ipv4.ip_local_port_range, or open fewer connections to one destination"
    )


def _no_destination(context: DiagnosisContext, loss: Hop) -> Advice:
    of_swarm = service.no_destination(context, loss)
    if of_swarm is not None:
        return of_swarm
    return (
        f"{where_lost(context, loss, 'refused')}: {loss.what}",
        f"look at `ipvsadm -Ln` on {loss.place}: give the service a real server whose weight is not 0",
    )


def _untracked(context: DiagnosisContext, loss: Hop) -> Advice:
    return routing.table_full(loss) or _plain(context, loss)


def _stray(context: DiagnosisContext, loss: Hop) -> Advice:
    of_swarm = service.forgotten(context, loss)
    if of_swarm is not None:
        return of_swarm
    return (
        f"{loss.place} answers {loss.packet} with a reset: it knows no connection it belongs to",
        "open the connection anew, and see why that end forgot it (restarted, or moved to another container)",
    )


def _ipv6_disabled(context: DiagnosisContext, loss: Hop) -> Advice:
    return (
        f"{where_lost(context, loss)}: IPv6 is disabled on {loss.device}",
        "create the network with enable_ipv6 (--ipv6)",
    )


def _plain(context: DiagnosisContext, loss: Hop) -> Advice:
    reason = loss.reason.value if loss.reason else loss.what
    return f"{where_lost(context, loss)}: {reason}", f"look at {loss.where} in the walk above"


_BY_REASON: dict[DropReason, Callable[[DiagnosisContext, Hop], Advice]] = {
    DropReason.NETFILTER_DROP: filtered,
    DropReason.CONNTRACK_INVALID: _untracked,
    DropReason.STRAY_SEGMENT: _stray,
    DropReason.NETFILTER_POLICY: by_policy,
    DropReason.NETFILTER_REJECT: rejected,
    DropReason.NAT_EXHAUSTED: _nat_exhausted,
    DropReason.NO_DESTINATION: _no_destination,
    DropReason.NO_ROUTE: _no_route,
    DropReason.UNREACHABLE_ROUTE: _route_says,
    DropReason.BLACKHOLE_ROUTE: _route_says,
    DropReason.PROHIBIT_ROUTE: _route_says,
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
    DropReason.KEPT_APART: link.kept_apart,
}
