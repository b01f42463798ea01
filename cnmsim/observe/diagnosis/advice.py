"""What advice on a loss is made of: sentences that several causes have in common."""

from __future__ import annotations

from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.location import Location
from cnmsim.observe.trace.hops import Hop

#: A cause and its fix.
Advice = tuple[str, str]


def where_lost(context: DiagnosisContext, loss: Hop, verb: str = "dropped") -> str:
    """Begin the sentence: what was lost where, by which rule."""
    subject = f"the answer from {context.sender(loss)} is " if context.is_reply(loss) else ""
    by = f" by {loss.decision}" if loss.decision else ""
    return f"{subject}{verb} on {loss.place}{by}"


def networks_of(location: Location) -> str:
    """Name the networks that a station is on."""
    names = [item.network for item in location.attachments]
    return " and ".join(names) if names else "no network"


def publish(target: Location, port: int) -> str:
    """Say how a container's port is asked from outside its host."""
    for item in target.published:
        if item.port == port and not item.is_loopback_only:
            return f"use the published port {target.host}:{item.host_port}"
    suffix = f"{port}:{port}" if port else "HOSTPORT:PORT"
    return f"publish the port (-p {suffix}) and ask {target.host}, or set the network's gateway_mode to routed"


def join_a_network(source: Location) -> str:
    """Say how a container without a network gets one: one that was started with `none` takes no other."""
    if source.network_mode == "none":
        return f"start {source.name} on a network instead of none: a container in network_mode none takes no other"
    return f"docker network connect NETWORK {source.name}"
