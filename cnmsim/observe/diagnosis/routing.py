"""Why a machine finds no way though there is one: a link that is down, a mask too narrow, a gateway that is not there, a loop."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.device import Nic
from cnmsim.kernel.events import Step
from cnmsim.observe.diagnosis.advice import Advice
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext, address_at, destination_of
from cnmsim.observe.trace.hops import Hop

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.route import Route
    from cnmsim.observe.location import Location


_SILENT = re.compile(r"nobody on \S+ answers for (\S+)")
_MANY_CONNECTIONS = 262144


def link_down(context: DiagnosisContext) -> Advice | None:
    """Tell of the source's interface towards the address that is down, with its routes; `None` if there is none."""
    source, address = context.source, context.outcome.address
    for device in source.namespace.devices.values():
        if device.is_up or device.kind == "loopback" or address is None:
            continue
        if any(own.family == (4 if len(address) == 4 else 6) for own in device.addresses):
            fix = (
                f"docker restart {source.name}"
                if source.is_container
                else f"on {source.name}: ip link set {device.name} up"
            )
            return f"{device.name} of {source.name} is down, and the routes by it are gone with it", fix
    return None


def no_address(context: DiagnosisContext) -> Advice | None:
    """Tell of a host that has no address at all; `None` if it has one."""
    source = context.source
    if source.is_container or source.addresses:
        return None
    return (
        f"{source.name} has no address: none was given to it by hand or by DHCP",
        f"give {source.name} an address on its network",
    )


def narrow_mask(context: DiagnosisContext) -> Advice | None:
    """Tell of a neighbour that the source's mask keeps out of its network; `None` if it is none."""
    source, target, address = context.source, context.destination, context.outcome.address
    if target is None or address is None or source.is_container:
        return None
    other = next(
        (each for each in target.namespace.devices.values() if any(own.address == address for own in each.addresses)),
        None,
    )
    theirs = (
        next((own.prefix for own in other.addresses if own.address == address), None) if other is not None else None
    )
    for device in source.namespace.devices.values():
        if not (isinstance(device, Nic) and isinstance(other, Nic) and device.link is other.link is not None):
            continue
        for own in device.addresses:
            if theirs is None or own.family != theirs.family or own.address not in theirs or address in own.prefix:
                continue
            text = format_ip(own.address)
            return (
                f"{source.name} takes only {own.prefix} for its own network (its address is {text}/{own.prefix.length}), and "  # noqa: ISC004
                f"{context.address} of {target.name}, which counts {theirs} as one network, is outside of it",
                f"give {source.name} the mask of the others; on {source.name}: ip address add {text}/{theirs.length} dev {device.name}",
            )
    return None


def is_off(location: Location) -> bool:
    """Whether a machine has interfaces and none of them is plugged in: no power, or no cable."""
    plugs = [each for each in location.namespace.devices.values() if isinstance(each, Nic)]
    return not location.is_container and bool(plugs) and all(each.link is None for each in plugs)


def silent_gateway(context: DiagnosisContext, loss: Hop) -> Advice | None:
    """Tell of a route whose gateway nobody is; `None` if it was the destination itself that did not answer."""
    found, location, goal = _SILENT.search(loss.what), context.location(loss.place), address_at(loss)
    if found is None or location is None or goal is None or found.group(1) == destination_of(loss):
        return None
    gateway = parse_ip(found.group(1))
    route = _route(location.namespace, goal, gateway)
    if route is None:
        return None
    subject = f"the answer from {context.sender(loss)}" if context.is_reply(loss) else "it"
    cause = (
        f"{subject} stops on {loss.place}: the route to {destination_of(loss)} there, {route}, leads to {found.group(1)}, and nobody "
        "on that wire answers for the address"
    )
    router = _router(context, location, gateway)
    if location.is_container:
        better = f"--gateway {format_ip(router)}" if router is not None else "the --gateway that is there"
        return cause, f"make the network of {location.name} with {better}"
    prefix = "default" if route.prefix.length == 0 else str(route.prefix)
    if router is not None:
        return (
            cause,
            f"name a gateway that is there; on {loss.place}: ip route replace {prefix} via {format_ip(router)}",
        )
    return cause, f"name a gateway that is there; on {loss.place}: ip route del {prefix} via {found.group(1)}"


def _route(namespace: NetworkNamespace, goal: Address, gateway: Address) -> Route | None:
    routes = namespace.routes(4 if len(goal) == 4 else 6).routes
    fitting = [each for each in routes if each.gateway == gateway and goal in each.prefix]
    return max(fitting, key=lambda each: each.prefix.length, default=None)


def _router(context: DiagnosisContext, location: Location, gateway: Address) -> Address | None:
    """Find a machine of the lab that forwards, on the wire on which the gateway was looked for."""
    wires = [
        own.prefix
        for device in location.namespace.devices.values()
        for own in device.addresses
        if gateway in own.prefix
    ]
    for other in context.directory.locations:
        if other.is_container or other is location or other.namespace.sysctl_get("net.ipv4.ip_forward") != "1":
            continue
        for address in other.addresses:
            if any(address in wire for wire in wires) and not other.has_engine:
                return address
    return None


def loop(context: DiagnosisContext, loss: Hop) -> Advice | None:
    """Name the machines that send a packet to each other until its TTL runs out; `None` if it went round nowhere."""
    places = [hop.place for hop in context.hops if hop.message == loss.message and hop.step is Step.ROUTED]
    again = list(dict.fromkeys(place for place in places if places.count(place) > 1))
    if len(again) < 2:
        return None
    goal = destination_of(loss)
    ways = {
        hop.place: hop.decision
        for hop in context.hops
        if hop.message == loss.message and hop.step is Step.ROUTED and hop.place in again
    }
    listed = "; ".join(f"{place} by {way}" for place, way in ways.items())
    return (
        f"it goes round between {' and '.join(again)} until its TTL runs out on {loss.place}: {listed}",
        f"correct the route to {goal} on {' or '.join(again)}",
    )


def table_full(loss: Hop) -> Advice | None:
    """Tell of a connection table without room (net/netfilter/nf_conntrack_core.c); `None` if it is another reason."""
    if "nf_conntrack_max" not in loss.decision:
        return None
    return (
        f"the connection table of {loss.place} is full ({loss.decision.partition(' ')[0]}): it takes no packet of a new connection",
        f"make room; sysctl -w net.netfilter.nf_conntrack_max={_MANY_CONNECTIONS} on {loss.place}",
    )
