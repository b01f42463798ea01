"""Sentences about routes, links and packet filters."""

from __future__ import annotations

from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis import causes
from cnmsim.observe.diagnosis.sentences.base import _answer, _article, _dropped, _networks, _reason, _vlan, sentence


@sentence.register(causes.NoRoute)
def _(cause: causes.NoRoute) -> str:
    return f"{cause.place} has no {'IPv6 ' if cause.is_ipv6 else ''}route to {cause.address}"


@sentence.register(causes.InternalNetworksOnly)
def _(cause: causes.InternalNetworksOnly) -> str:
    return f"{cause.container} has no default route: {_networks(cause.networks)} is internal and leads nowhere else"


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
        DropReason.REVERSE_PATH: f"a packet from {hop.source_text} should not come in by {hop.device}",
        DropReason.MARTIAN: f"{hop.source_text} > {hop.destination_text} has no business on {hop.device}",
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


@sentence.register(causes.NeighbourSilent)
def _(cause: causes.NeighbourSilent) -> str:
    known = "" if cause.is_known_address else "; no running container or host has that address"
    link = cause.device or "its link"
    return f"{cause.place} sent requests for {cause.address} on {link} and received no answer{known}"


@sentence.register(causes.HostOff)
def _(cause: causes.HostOff) -> str:
    return (
        f"{cause.place} sent requests for {cause.address} on {cause.device or 'its link'}, and {cause.host}, "
        "which has that address, has no power or no cable"
    )


@sentence.register(causes.NextHopSilent)
def _(cause: causes.NextHopSilent) -> str:
    return f"{cause.place} received no answer on {cause.device or 'its link'} for the next hop to {cause.address}"


@sentence.register(causes.ParentAndChild)
def _(cause: causes.ParentAndChild) -> str:
    return (
        f"{cause.guest} is {_article(cause.kind)} child of {cause.host}'s {cause.parent}, and a parent and its "
        "children never receive each "
        "other's frames: what either sends leaves by the wire"
    )


@sentence.register(causes.SiblingsIsolated)
def _(cause: causes.SiblingsIsolated) -> str:
    how = (
        "keeps its containers apart"
        if cause.mode == "private"
        else "leaves it to the switch to send frames back, and this one does not"
    )
    return f"{cause.one} and {cause.other} are both on {cause.parent}, and {cause.kind} mode {cause.mode} {how}"


@sentence.register(causes.IpvlanRouteMissing)
def _(cause: causes.IpvlanRouteMissing) -> str:
    return (
        f"{'the answer is lost: ' if cause.is_reply else ''}{cause.place} has no route to {cause.subnet}, an "
        "ipvlan network in mode "
        f"{cause.mode} of {cause.host}"
    )


@sentence.register(causes.DifferentVlans)
def _(cause: causes.DifferentVlans) -> str:
    return (
        f"{cause.one}'s {cause.device} is in {_vlan(cause.vlan)}, {cause.other}'s {cause.other_device} in "
        f"{_vlan(cause.other_vlan)}: they "
        "are different networks on one wire"
    )


@sentence.register(causes.Filtered)
def _(cause: causes.Filtered) -> str:
    verb = "rejected" if cause.drop.hop.reason is DropReason.NETFILTER_REJECT else "dropped"
    separator = "; " if isinstance(cause.purpose, causes.NoSharedNetwork) else ""
    purpose = f"{separator}{sentence(cause.purpose)}" if cause.purpose is not None else ""
    return _dropped(cause.drop, verb) + purpose


@sentence.register(causes.NoSharedNetwork)
def _(purpose: causes.NoSharedNetwork) -> str:
    return (
        f"the two share no network ({purpose.source} is on {_networks(purpose.networks)}, {purpose.other} on "
        f"{_networks(purpose.other_networks)})"
    )


@sentence.register(causes.InternalNetwork)
def _(purpose: causes.InternalNetwork) -> str:
    stranger = f", and {purpose.stranger} is not on it" if purpose.stranger else ""
    return f"; {purpose.network} is internal: nothing enters or leaves it{stranger}"


@sentence.register(causes.OtherRuleSet)
def _(purpose: causes.OtherRuleSet) -> str:
    listing = "iptables-legacy -S" if purpose.is_legacy else "nft list ruleset"
    return (
        f": {purpose.place} has more than one rule set, a packet must pass all, and only {listing} lists the one "
        "that dropped it"
    )
