"""Diagnose swarm services: no running task, no shared network, or a port that is published elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import is_loopback
from cnmsim.observe.diagnosis.causes.base import Cause, Remark
from cnmsim.observe.diagnosis.causes.gossip import PortMissingInMesh, ServiceUnknown
from cnmsim.observe.diagnosis.causes.remarks import NodeDown, VirtualAddress
from cnmsim.observe.diagnosis.causes.services import (
    BalancerHasNoTask,
    ConnectionForgotten,
    HostKnowsNoServices,
    NoRoutingMesh,
    NoRunningTask,
    NoSharedServiceNetwork,
    NotInSwarm,
    PortOfService,
    PublishedOnNodesOfTasks,
    ServiceHasNoNetwork,
    TaskStatus,
)
from cnmsim.observe.diagnosis.diagnosis import Diagnosis, diagnosis, networks_of
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.overlay import not_learnt, swarm_of
from cnmsim.observe.diagnosis.stale_vxlan import FILE_EXISTS, stale_vxlan_devices
from cnmsim.observe.diagnosis.swarm_ports import heartbeats_filtered
from cnmsim.observe.fixes.changes import (
    ActivateNode,
    AskOther,
    Change,
    ChangeDaemonOption,
    ConnectNetwork,
    DeleteLink,
    Manual,
    NetworkSetting,
    RecreateNetwork,
    ScaleService,
    UpdateService,
)
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.swarm_view import IDLE_S, SwarmView, ports_of
from cnmsim.observe.trace.hops import Hop

if TYPE_CHECKING:
    from cnmsim.observe.location import Location
    from cnmsim.swarm.objects import Service


def unknown_service(context: DiagnosisContext, name: str) -> Diagnosis | None:
    """Diagnose why the name of a swarm service was not found; `None` if the source's swarm has no such service."""
    swarm = swarm_of(context)
    service = swarm.service(name) if swarm is not None else None
    if swarm is None or service is None:
        return None
    source = context.source
    if not source.is_container:
        return Diagnosis(HostKnowsNoServices(service.name), _published_at(swarm, service))
    networks = swarm.networks_of(service)
    shared = [item.network for item in source.attachments if item.network in networks]
    if not shared:
        return _no_shared_network(swarm, source, service, networks)
    running = swarm.running(service)
    if not running:
        return no_running_task(context, swarm, service)
    hosts = tuple(swarm.hosts_of(service))
    return not_learnt(context, source.host, hosts[0], ServiceUnknown(source.host, service.name, shared[0], hosts))


def _published_at(swarm: SwarmView, service: Service) -> tuple[Change, ...]:
    from cnmsim.swarm.objects import PublishMode

    for port in ports_of(service):
        hosts = swarm.hosts_of(service) if port.publish_mode is PublishMode.HOST else list(swarm.members)
        if hosts:
            return (AskOther(hosts[0], port.published_port, is_published=True),)
    return Manual(Task.PUBLISH_ANY_PORT, service.name), Manual(Task.ASK_FROM_NETWORK)


def _no_shared_network(swarm: SwarmView, source: Location, service: Service, networks: list[str]) -> Diagnosis:
    ours = networks_of(source)
    if not networks:
        cause: Cause = ServiceHasNoNetwork(service.name, source.name, ours)
        return diagnosis(cause, UpdateService(swarm.manager, service.name, "--network-add", ""))
    asker = swarm.service(source.service) if source.service else None
    is_closed = asker is None and not swarm.is_attachable(networks[0])
    closed = networks[0] if is_closed else ""
    cause = NoSharedServiceNetwork(source.name, ours, service.name, tuple(networks), closed)
    if asker is not None:
        return diagnosis(cause, UpdateService(swarm.manager, asker.name, "--network-add", networks[0]))
    if not is_closed:
        return diagnosis(cause, ConnectNetwork(source.host, networks[0], source.name))
    return diagnosis(
        cause,
        RecreateNetwork(swarm.manager, networks[0], NetworkSetting.ATTACHABLE),
        Manual(Task.USE_SERVICE, source.name),
    )


# ---- services without a running task


def no_running_task(context: DiagnosisContext, swarm: SwarmView, service: Service) -> Diagnosis:
    """Diagnose why a service has no running task, by the state of one of its tasks.

    The task is the latest one that is meant to run or, if there is none, the latest one that failed.
    """
    from cnmsim.swarm.objects import Availability, Replicated, TaskState

    name, mode = service.name, service.spec.mode
    if isinstance(mode, Replicated) and mode.replicas == 0:
        return diagnosis(NoRunningTask(name, TaskStatus.SCALED_TO_ZERO), ScaleService(swarm.manager, name, 1))
    details = Manual(Task.CHECK_SERVICE, name)
    tasks = [
        task
        for task in swarm.store.tasks.by_service(service.id)
        if task.desired_state <= TaskState.RUNNING or task.status.err
    ]
    if not tasks:
        return diagnosis(NoRunningTask(name, TaskStatus.NONE), details)
    task = max(tasks, key=lambda each: (each.desired_state <= TaskState.RUNNING, each.meta.created_ns, each.id))
    if task.state in {TaskState.ASSIGNED, TaskState.READY} and (
        failed := [each for each in tasks if each.status.err]
    ):
        task = max(failed, key=lambda each: each.meta.created_ns)  # the next one waits for the restart delay
    error = task.status.err
    if task.state is TaskState.PENDING:
        change: Change = Manual(Task.USE_CONSTRAINTS, name)
        idle = [node.hostname for node in swarm.store.nodes if node.spec.availability is not Availability.ACTIVE]
        if idle and "not available" in error:
            change = ActivateNode(swarm.manager, idle[0])
        elif "not available" in error:
            silent = (_unheard(context, swarm, node.hostname) for node in swarm.store.nodes)
            found = next((each for each in silent if each is not None), None)
            if found is not None:
                cause = NoRunningTask(name, TaskStatus.PENDING, error, reason=found.cause)
                return Diagnosis(cause, (*found.changes, change))
        return diagnosis(NoRunningTask(name, TaskStatus.PENDING, error), change)
    if task.state is TaskState.NEW:
        networks = " or ".join(swarm.networks_of(service))
        return diagnosis(
            NoRunningTask(name, TaskStatus.NEW, networks), Manual(Task.USE_LARGER_SUBNET, networks or "its networks")
        )
    if swarm.has_lost_node(task) and task.node_id:
        host = swarm.host_of(task)
        found = _unheard(context, swarm, host)
        if found is not None:
            cause = NoRunningTask(name, TaskStatus.NODE_DOWN, host, reason=found.cause)
            return Diagnosis(cause, (*found.changes, Manual(Task.WAIT_FOR_REPLACEMENT)))
        return diagnosis(
            NoRunningTask(name, TaskStatus.NODE_DOWN, host),
            Manual(Task.WAIT_FOR_REPLACEMENT),
            Manual(Task.BRING_BACK, host),
        )
    if task.state is TaskState.STARTING:
        return diagnosis(NoRunningTask(name, TaskStatus.STARTING), Manual(Task.CHECK_HEALTH, name))
    if FILE_EXISTS in error:
        attached = swarm.networks_of(service)
        for device in stale_vxlan_devices(context.directory.locations, [swarm]):
            if device.network in attached:
                cause = NoRunningTask(name, TaskStatus.OTHER, error, task.state.name.lower(), device)
                return diagnosis(cause, DeleteLink(device.host, device.device))
    return diagnosis(NoRunningTask(name, TaskStatus.OTHER, error, task.state.name.lower()), details)


def _unheard(context: DiagnosisContext, swarm: SwarmView, host: str) -> Diagnosis | None:
    """Diagnose a node that is down although it runs: a packet filter drops its heartbeats.

    Return `None` for any other node.
    """
    is_silent = swarm.is_down(host) and host not in swarm.halted
    return heartbeats_filtered(context.directory, swarm, host) if is_silent else None


# ---- published ports


def refused_by_member(context: DiagnosisContext, hop: Hop, host: Location) -> Diagnosis | None:
    """Diagnose a host that refused a port published by a service of its swarm; `None` if no service publishes it.

    If the host is in no swarm, the services of all swarms of the lab are considered.
    """
    from cnmsim.swarm.objects import PublishMode

    swarm = next((each for each in context.directory.swarms if host.name in each.members), None)
    if swarm is None:
        return _not_a_member(context, host)
    port = hop.destination_port
    service = swarm.service_at(port, context.target.protocol)
    if service is None:
        return None
    running = swarm.hosts_of(service)
    if not running:
        result = no_running_task(context, swarm, service)
        return Diagnosis(PortOfService(host.name, port, service.name, result.cause), result.changes)
    if any(each.published_port == port and each.publish_mode is PublishMode.HOST for each in ports_of(service)):
        return diagnosis(
            PublishedOnNodesOfTasks(host.name, port, service.name, tuple(running)),
            AskOther(running[0], port),
            Manual(Task.PUBLISH_IN_INGRESS_MODE),
        )
    if host.name in swarm.without_mesh:
        return diagnosis(
            NoRoutingMesh(host.name, port),
            ChangeDaemonOption(host.name, "firewall-backend", '"iptables"'),
            Manual(Task.PUBLISH_IN_HOST_MODE),
        )
    unknown = PortMissingInMesh(host.name, port, service.name, tuple(running))
    return not_learnt(context, host.name, running[0], unknown)


def _not_a_member(context: DiagnosisContext, host: Location) -> Diagnosis | None:
    for swarm in context.directory.swarms:
        service = swarm.service_at(context.target.port, context.target.protocol)
        if service is not None and host.has_engine:
            return diagnosis(
                NotInSwarm(host.name, service.name, context.target.port),
                Manual(Task.ASK_MEMBER, ", ".join(swarm.members)),
                Manual(Task.JOIN_SWARM, host.name),
            )
    return None


# ---- load balancers


def no_destination(context: DiagnosisContext, hop: Hop) -> Diagnosis | None:
    """Diagnose a swarm's load balancer that has no real server (task) for a service.

    Return `None` if the packet was not dropped at a load balancer of a swarm.
    """
    if not is_balancer(hop.place):
        return None
    service = _service_of(context, hop)
    swarm = swarm_of(context)
    if swarm is None or service is None:
        return None
    running = swarm.hosts_of(service)
    if running:
        host = context.directory.at(hop.place)
        unknown = BalancerHasNoTask(hop.place, service.name)
        return not_learnt(context, host.host if host else context.source.host, running[0], unknown)
    result = no_running_task(context, swarm, service)
    return Diagnosis(BalancerHasNoTask(hop.place, service.name, result.cause), result.changes)


def is_balancer(place: str) -> bool:
    """Return True if `place` is the name of a load balancer's sandbox: `lb-…` or `…-sbox`."""
    return place.startswith("lb-") or place.endswith("-sbox")


def connection_forgotten(context: DiagnosisContext, hop: Hop) -> Diagnosis | None:
    """Diagnose a connection that a load balancer reset because IPVS no longer has an entry for it.

    Return `None` for any other packet.

    Source: net/netfilter/ipvs/ip_vs_proto_tcp.c (tcp_timeouts, tcp_conn_schedule).
    """
    if not is_balancer(hop.place) or hop.layer4.protocol != "tcp" or hop.layer4.is_syn:
        return None
    service, swarm = _service_of(context, hop), swarm_of(context)
    changes: tuple[Change, ...] = (Manual(Task.USE_KEEPALIVE),)
    if service is not None and swarm is not None:
        changes += (UpdateService(swarm.manager, service.name, "--endpoint-mode", "dnsrr"),)
    return Diagnosis(ConnectionForgotten(hop.place, service.name if service is not None else "", IDLE_S), changes)


def _service_of(context: DiagnosisContext, hop: Hop) -> Service | None:
    swarm, address = swarm_of(context), hop.destination
    if swarm is None or address is None or is_loopback(address):
        return None
    return swarm.service_of_address(address) or swarm.service_at(hop.destination_port, context.target.protocol)


# ---- remarks


def virtual_address_remarks(context: DiagnosisContext) -> list[Remark]:
    """Return a remark on load balancing by IPVS, in a list, if the destination is a service's virtual IP."""
    swarm, address = swarm_of(context), context.outcome.address
    service = swarm.service_of_address(address) if swarm is not None and address is not None else None
    if swarm is None or service is None:
        return []
    count = swarm.backends(context.source.host, service)
    return [VirtualAddress(context.address_text, service.name, count, IDLE_S)]


def down_remarks(context: DiagnosisContext) -> list[Remark]:
    """Return a remark for each node that the managers regard as down.

    Only the nodes of the probe's source, of its destination and of the server that received the request are
    considered.
    """
    swarm, delivery = swarm_of(context), context.delivery
    if swarm is None:
        return []
    server = context.location_at(delivery.place) if delivery is not None else None
    locations = (context.source, context.destination, server)
    hosts = dict.fromkeys(location.host for location in locations if location is not None)
    remarks: list[Remark] = []
    for host in filter(swarm.is_down, hosts):
        obstacle = swarm.halted.get(host, "")
        found = _unheard(context, swarm, host)
        reason, changes = (found.cause, found.changes) if found is not None else (None, ())
        remarks.append(NodeDown(host, obstacle, reason, next(iter(changes), None)))
    return remarks
