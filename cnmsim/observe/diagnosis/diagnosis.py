"""The result of a diagnosis, and helpers that several diagnoses use, mostly to choose the suggested changes."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause, Drop
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.directory import Directory
from cnmsim.observe.fixes.changes import (
    HOST_NAME,
    AskOther,
    Change,
    ConnectNetwork,
    ContainerOption,
    CreateNetwork,
    Manual,
    PublishPort,
    RecreateContainer,
    StartContainer,
    Steps,
)
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.location import Location
from cnmsim.observe.trace.hops import Hop

_NEW_NETWORKS = ("app", "app2", "app3", "app4")


@frozen
class Diagnosis:
    """Why a probe ended as it did, and the changes that may help. The changes are alternatives, the best first."""

    cause: Cause
    changes: tuple[Change, ...] = ()


def diagnosis(cause: Cause, *changes: Change) -> Diagnosis:
    """Return a `Diagnosis` of `cause`; the changes are passed as separate arguments."""
    return Diagnosis(cause, changes)


def drop_of(context: DiagnosisContext, hop: Hop) -> Drop:
    """Return the `Drop` for a hop at which a packet was dropped; for a reply, with the name of its sender."""
    return Drop(hop, context.replier(hop))


def networks_of(location: Location) -> tuple[str, ...]:
    """Return the names of the networks that a location is attached to."""
    return tuple(item.network for item in location.attachments)


def publish(target: Location, port: int, protocol: str) -> tuple[Change, ...]:
    """Return changes that make `port` of the container `target` reachable from outside its host.

    If the port is published already, the change is to probe the published port. Otherwise there are two alternatives:
    publish the port, or use gateway mode `routed`. `protocol` is `tcp` or `udp`.
    """
    for item in target.published:
        if (item.protocol, item.port) == (protocol, port) and not item.is_loopback_only:
            return (AskOther(target.host, item.host_port, is_published=True),)
    return (*publish_as(target, port, port, protocol), Manual(Task.USE_GATEWAY_MODE))


def publish_as(target: Location, port: int, host_port: int, protocol: str, host: str = "") -> tuple[Change, ...]:
    """Return the change that publishes `port` of the container `target` as `host_port`, and then probes that port.

    `protocol` is `tcp` or `udp`. `host` is the name or address to probe, by default the container's host.
    """
    published = PublishPort(target.host, target.name, port, host_port, protocol)
    return (Steps((published, AskOther(host or target.host, host_port))),)


def join_a_network(source: Location, *goals: Location) -> Change:
    """Return the change that attaches the container `source`, which has no network, to a network of one of `goals`.

    If no goal is on a user-defined network, the user chooses the network. A container in network mode `none` cannot
    be connected to a network, so it is recreated first.
    """
    connect = next((_connect(source, goal) for goal in goals if _connect(source, goal).network), None)
    if source.network_mode != "none":
        return connect or ConnectNetwork(source.host, "", source.name)
    recreate = RecreateContainer(source.host, source.name, ContainerOption.BRIDGE_NETWORK)
    return Steps((recreate, connect)) if connect is not None else recreate


def _connect(source: Location, goal: Location) -> ConnectNetwork:
    """Return the change that connects `source` to a user-defined network of `goal` on which it is not yet.

    Without such a network, the change names none.
    """
    names = (item.network for item in goal.attachments if not item.is_default)
    network = next((name for name in names if source.on_network(name) is None), "")
    return ConnectNetwork(source.host, network, source.name)


def join_user_network(context: DiagnosisContext, goal: Location, *, ask: bool = False) -> Change:
    """Return the change that puts the source on a user-defined network with `goal`.

    The source joins a user-defined network of `goal`; if there is none, both are connected to a new network. With
    `ask`, the probe then uses the name of `goal`.
    """
    connect = _connect(context.source, goal)
    steps = (connect,) if connect.network else join_new_network(context, goal, context.source)
    return Steps((*steps, *([AskOther(goal.name)] if ask else [])))


def start_again(host: str, container: str, status: str) -> tuple[Change, ...]:
    """Return the changes for a container that is not running: start it, and see why it ended unless it never ran."""
    start = StartContainer(host, container)
    return (start,) if status == "created" else (start, Manual(Task.CHECK_ENDED, container))


def join_new_network(context: DiagnosisContext, *locations: Location) -> tuple[Change, ...]:
    """Return the changes that create a network on the source's host and connect `locations` to it.

    The changes are to be made one after the other.
    """
    host = context.source.host
    used = {item.network for each in context.directory.locations if each.host == host for item in each.attachments}
    name = next(each for each in _NEW_NETWORKS if each not in used)
    return (CreateNetwork(host, name), *(ConnectNetwork(host, name, each.name) for each in locations))


def ask_own_host(container: Location, port: int) -> tuple[Change, ...]:
    """Return the changes by which a container reaches `port` of the host that it runs on, the best first."""
    ask = AskOther(HOST_NAME, port)
    name_host = RecreateContainer(container.host, container.name, ContainerOption.HOST_GATEWAY)
    return ask, *(() if container.task else (Steps((name_host, ask)),))


def leave_internal_network(directory: Directory, source: Location) -> Change:
    """Return the change that connects the container `source` to a network that is not internal.

    If the container's host has no such network, the change creates one first.
    """
    for location in directory.locations:
        for item in location.attachments if location.host == source.host else ():
            is_open = not item.is_internal and not item.is_default and item.driver == "bridge"
            if is_open and source.on_network(item.network) is None:
                return ConnectNetwork(source.host, item.network, source.name)
    return Steps((CreateNetwork(source.host, "outside"), ConnectNetwork(source.host, "outside", source.name)))


def share_network(asker: Location, target: Location) -> Change:
    """Return the change that puts two containers, `asker` and `target`, on a common network.

    If `target` is on a user-defined network, `asker` joins that network. Otherwise, if `asker` is on one, `target`
    joins it. If neither is on a user-defined network, the change names no network: the user chooses one.
    """
    for one, other in ((target, asker), (asker, target)):
        for item in one.attachments:
            if not item.is_default:
                return ConnectNetwork(other.host, item.network, other.name)
    return ConnectNetwork(asker.host, "", asker.name)
