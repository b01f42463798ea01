"""Sentences of causes in routing."""

from __future__ import annotations

from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis.causes import routes as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, _answer, _dropped, _reason, sentence


@sentence.register(causes.NoRoute)
def _(cause: causes.NoRoute) -> str:
    return f"{cause.place} has no {'IPv6 ' if cause.is_ipv6 else ''}route to {cause.address}"


@sentence.register(causes.Dropped)
def _(cause: causes.Dropped) -> str:
    hop = cause.drop.hop
    match hop.reason:
        case DropReason.LINK_DOWN | DropReason.NO_CARRIER:
            return f"lost at {hop.where}: {_reason(cause.drop)}"
        case DropReason.LINK_LOSS if hop.decision:
            return f"{_answer(cause.drop)}lost at {hop.where}: {hop.decision}"
        case DropReason.LINK_LOSS:
            return f"lost on the link at {hop.where}, which loses packets"
        case DropReason.NO_DESTINATION:
            return f"{_dropped(cause.drop, 'refused')}: {hop.what}"
    why = {
        DropReason.REVERSE_PATH: f"a packet from {hop.source_text} should not arrive at {hop.device}",
        DropReason.MARTIAN: f"{hop.source_text} > {hop.destination_text} is not valid on {hop.device}",
        DropReason.TTL_EXCEEDED: "its TTL ran out",
        DropReason.FRAGMENTATION_NEEDED: hop.what,
        DropReason.MTU_EXCEEDED: hop.what,
        DropReason.NAT_EXHAUSTED: "no free port is left for address translation",
        DropReason.IPV6_DISABLED: f"IPv6 is disabled on {hop.device}",
    }
    return f"{_dropped(cause.drop)}: {why.get(hop.reason, _reason(cause.drop)) if hop.reason else hop.what}"


@sentence.register(causes.RouteRefuses)
def _(cause: causes.RouteRefuses) -> str:
    what = "that rule" if cause.is_rule else "the route there"
    return f"{_dropped(cause.drop)}: {what} is meant to refuse"


@sentence.register(causes.ForwardingOff)
def _(cause: causes.ForwardingOff) -> str:
    return (
        f"{'the answer' if cause.is_reply else 'it'} stops on {cause.place}: IP forwarding is disabled there "
        f"({cause.key} = 0), before "
        "any chain is traversed"
    )


@sentence.register(causes.RoutingLoop)
def _(cause: causes.RoutingLoop) -> str:
    places = [place for place, _ in cause.routes]
    routes = "; ".join(f"{place} by {route}" for place, route in cause.routes)
    return f"it goes round between {' and '.join(places)} until its TTL runs out on {cause.place}: {routes}"


@sentence.register(causes.SilentGateway)
def _(cause: causes.SilentGateway) -> str:
    subject = f"the answer from {cause.replier}" if cause.replier else "it"
    return (
        f"{subject} stops on {cause.place}: the route to {cause.address} there, {cause.route}, leads to "
        f"{cause.gateway}, and no host on that link answers "
        "for the address"
    )


@sentence.register(causes.MulticastNotForwarded)
def _(cause: causes.MulticastNotForwarded) -> str:
    by = f" by {cause.device} ({cause.route})" if cause.route else ""
    return (
        f"{cause.address} is a multicast address: {cause.source} sends it{by}, it stops on {cause.place}, and no "
        "router or tunnel of "
        "Docker carries it on"
    )


TEMPLATES.update(
    {
        causes.InternalNetworksOnly: (
            "{0.container} has no default route: {0.networks!n} is internal and leads nowhere else"
        ),
        causes.NoIpv6Route: "{0.container} has no IPv6 route to {0.address}: its networks have no IPv6",
        causes.ReplyHasNoRoute: (
            "the answer is lost: {0.place} has no route to {0.address}, and {0.host} let that address of "
            "{0.container} out untranslated"
        ),
        causes.NotAttached: "{0.container} has no route to {0.address}: it is attached to no network",
        causes.ContainerNetworkUnknown: (
            "{0.source} has no route to {0.address}: only {0.host} has a route to the network of {0.container}"
        ),
        causes.LinkDown: "{0.device} of {0.source} is down, and the routes by it are gone with it",
        causes.NoAddress: "{0.source} has no address: none is configured, and DHCP assigned none",
        causes.NarrowMask: (
            "{0.source} has only {0.subnet} on its link (its address is {0.own}), and {0.address} of "
            "{0.neighbour}, whose network is {0.neighbour_subnet}, is outside of it"
        ),
        causes.ConntrackFull: (
            "the connection table of {0.place} is full ({0.limit}): it accepts no packet of a new connection"
        ),
    }
)
