"""The result of a diagnosis, and what several diagnoses have in common."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes import Cause, Drop
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.fixes.changes import (
    AskOther,
    Change,
    ConnectNetwork,
    ContainerOption,
    CreateNetwork,
    Manual,
    PublishPort,
    RecreateContainer,
    Steps,
    Task,
)
from cnmsim.observe.location import Location
from cnmsim.observe.trace.hops import Hop

_NEW_NETWORKS = ("app", "app2", "app3", "app4")


@frozen
class Diagnosis:
    """Why something failed, and the changes that may help: alternatives, the best first."""

    cause: Cause
    changes: tuple[Change, ...] = ()


def diagnosis(cause: Cause, *changes: Change) -> Diagnosis:
    """Return a diagnosis with these alternatives."""
    return Diagnosis(cause, changes)


def drop_of(context: DiagnosisContext, hop: Hop) -> Drop:
    """Return the facts on a drop that all sentences about it begin with."""
    return Drop(hop, context.replier(hop))


def networks_of(location: Location) -> tuple[str, ...]:
    """Return the names of the networks that a location is attached to."""
    return tuple(item.network for item in location.attachments)


def publish(target: Location, port: int, protocol: str) -> tuple[Change, ...]:
    """Return how a container's port is reached from outside its host: by a published port, or by publishing it."""
    for item in target.published:
        if item.port == port and not item.is_loopback_only:
            return (AskOther(target.host, item.host_port, is_published=True),)
    return (*publish_as(target, port, port, protocol), Manual(Task.USE_GATEWAY_MODE))


def publish_as(target: Location, port: int, host_port: int, protocol: str, host: str = "") -> tuple[Change, ...]:
    """Return the change that publishes a port of a container, and asks its host there; for a task there is none."""
    if target.task:
        return (Manual(Task.PUBLISH_ANY_PORT, target.name),)
    published = PublishPort(target.host, target.name, port, host_port, protocol)
    return (Steps((published, AskOther(host or target.host, host_port))),)


def join_a_network(source: Location) -> Change:
    """Return how a container without a network gets one: one in network mode none can not be connected to another."""
    if source.network_mode == "none":
        return RecreateContainer(source.host, source.name, ContainerOption.BRIDGE_NETWORK)
    return ConnectNetwork(source.host, "", source.name)


def join_user_network(context: DiagnosisContext, goal: Location) -> Change:
    """Connect the source to a user-defined network of `goal`, or both to a new one, and ask by name."""
    source = context.source
    ask = AskOther(goal.name)
    for item in goal.attachments:
        if not item.is_default and source.on_network(item.network) is None:
            return Steps((ConnectNetwork(source.host, item.network, source.name), ask))
    return Steps((*join_new_network(context, goal, source), ask))


def join_new_network(context: DiagnosisContext, *locations: Location) -> tuple[Change, ...]:
    """Create a network on the source's host and connect containers to it."""
    host = context.source.host
    used = {item.network for each in context.directory.locations if each.host == host for item in each.attachments}
    name = next(each for each in _NEW_NETWORKS if each not in used)
    return (CreateNetwork(host, name), *(ConnectNetwork(host, name, each.name) for each in locations))


def leave_internal_network(context: DiagnosisContext) -> Change:
    """Connect the source to a network that leads out: one of its host's, or a new one."""
    source = context.source
    for location in context.directory.locations:
        for item in location.attachments if location.host == source.host else ():
            is_open = not item.is_internal and not item.is_default and item.driver == "bridge"
            if is_open and source.on_network(item.network) is None:
                return ConnectNetwork(source.host, item.network, source.name)
    return Steps((CreateNetwork(source.host, "outside"), ConnectNetwork(source.host, "outside", source.name)))


def share_network(asker: Location, target: Location) -> Change:
    """Connect one of two containers to a user-defined network of the other, the asker if possible."""
    for one, other in ((target, asker), (asker, target)):
        for item in one.attachments:
            if not item.is_default:
                return ConnectNetwork(other.host, item.network, other.name)
    return ConnectNetwork(asker.host, "", asker.name)
