"""Why a service of a swarm does not answer: it has no task, the asker is not on its network, or the port is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import is_loopback
from cnmsim.observe.diagnosis.advice import Advice
from cnmsim.observe.diagnosis.diagnosis_context import (
    DiagnosisContext,
    address_at,
    port_of,
    source_of,
    source_port_of,
)
from cnmsim.observe.diagnosis.overlay import towards, unheard
from cnmsim.observe.diagnosis.stale_vxlan import FILE_EXISTS, leftovers
from cnmsim.observe.swarm_view import IDLE_S, SwarmView, ports_of, rule_against_managers
from cnmsim.observe.trace.hops import Hop
from cnmsim.swarm.objects import PublishMode

if TYPE_CHECKING:
    from cnmsim.observe.location import Location
    from cnmsim.swarm.objects import Service


def unknown_service(context: DiagnosisContext, name: str) -> Advice | None:
    """Say why the name of a service is not found; `None` if no service of the asker's swarm has it."""
    swarm = towards(context)
    service = swarm.service(name) if swarm is not None else None
    if swarm is None or service is None:
        return None
    source = context.source
    if not source.is_container:
        return (
            f"a host's resolver knows no services, and {service.name} is a service of the swarm",
            _published_where(swarm, service) or "publish a port of it, or ask from a container on its network",
        )
    networks = swarm.networks_of(service)
    shared = [item.network for item in source.attachments if item.network in networks]
    if not shared:
        return _other_network(swarm, source, service, networks)
    running = swarm.running(service)
    if not running:
        return why_no_task(context, swarm, service)
    hosts = swarm.hosts_of(service)
    head = (
        f"{source.host} has not heard of service {service.name} on {shared[0]} (its tasks are on {', '.join(hosts)})"
    )
    return unheard(context, source.host, hosts[0], head)


def why_no_task(context: DiagnosisContext, swarm: SwarmView, service: Service) -> Advice:
    """Say why no task of a service runs, with what the task's own error leaves out."""
    cause, fix = swarm.why_no_task(service)
    if FILE_EXISTS in cause:
        networks = swarm.networks_of(service)
        for each in leftovers(context.directory.locations, [swarm]):
            if each.network in networks:
                return f"{cause}: {each}", each.fix
    return cause, fix


def _other_network(swarm: SwarmView, source: Location, service: Service, networks: list[str]) -> Advice:
    ours = " and ".join(item.network for item in source.attachments) or "no network"
    if not networks:
        return (
            f"service {service.name} is on no network with names, and {source.name} on {ours}",
            f"docker service update --network-add NETWORK {service.name}",
        )
    theirs = " and ".join(networks)
    cause = f"the two share no network ({source.name} is on {ours}, service {service.name} on {theirs})"
    asker = swarm.service(source.service) if source.service else None
    if asker is not None:
        return cause, f"docker service update --network-add {networks[0]} {asker.name}"
    if swarm.is_attachable(networks[0]):
        return cause, f"attach both to one network: docker network connect {networks[0]} {source.name}"
    return (
        f"{cause}; {networks[0]} is not attachable: only services may join it",
        f"make the network with --attachable, or run {source.name} as a service on it",
    )


def _published_where(swarm: SwarmView, service: Service) -> str:
    for port in ports_of(service):
        hosts = swarm.hosts_of(service) if port.publish_mode is PublishMode.HOST else list(swarm.members)
        if hosts:
            return f"use the published port {hosts[0]}:{port.published_port}"
    return ""


def refused_port(context: DiagnosisContext, loss: Hop, host: Location) -> Advice | None:
    """Say why a host refuses a port that a service of its swarm publishes; `None` if none does."""
    swarm = next((each for each in context.directory.swarms if host.name in each.members), None)
    if swarm is None:
        return _not_a_member(context, host)
    port = port_of(loss)
    service = swarm.service_at(port, context.target.protocol)
    if service is None:
        return None
    head = f"{host.name} answers, but nothing listens on port {port} there"
    running = swarm.hosts_of(service)
    if not running:
        cause, fix = why_no_task(context, swarm, service)
        return f"{head}: it is published by service {service.name}; {cause}", fix
    if any(each.published_port == port and each.publish_mode is PublishMode.HOST for each in ports_of(service)):
        where = ", ".join(running)
        return (
            f"{head}: service {service.name} publishes it in mode host, only on the nodes that run one of its tasks ({where})",
            f"ask {running[0]}:{port}, or publish it in mode ingress",
        )
    if host.name in swarm.without_mesh:
        why = f"with --firewall-backend=nftables {host.name} has no chain DOCKER-FORWARD, and publishes no port of the routing mesh"
        return f"{head}: {why}", 'give the daemon "firewall-backend": "iptables", or publish the port in mode host'
    text = f"{head}: the routing mesh of {host.name} has no port for service {service.name}, which runs on {', '.join(running)}"
    return unheard(context, host.name, running[0], text)


def _not_a_member(context: DiagnosisContext, host: Location) -> Advice | None:
    for swarm in context.directory.swarms:
        service = swarm.service_at(context.target.port, context.target.protocol)
        if service is not None and host.has_engine:
            return (
                f"{host.name} is not in the swarm whose service {service.name} publishes port {context.target.port}",
                f"ask one of {', '.join(swarm.members)}, or let {host.name} join",
            )
    return None


def no_destination(context: DiagnosisContext, loss: Hop) -> Advice | None:
    """Say why a load balancer of a swarm has nobody to choose; `None` if it is another's."""
    if not is_balancer(loss.place):
        return None
    service = _service_of(context, loss)
    swarm = towards(context)
    if swarm is None or service is None:
        return None
    begin = f"{loss.place} refuses: it knows no task of service {service.name} to send it to"
    running = swarm.hosts_of(service)
    if running:
        host = context.directory.at(loss.place)
        return unheard(context, host.host if host else context.source.host, running[0], begin)
    cause, fix = why_no_task(context, swarm, service)
    return f"{begin}; {cause}", fix


def is_balancer(place: str) -> bool:
    """Whether a place is a load-balancer sandbox."""
    return place.startswith("lb-") or place.endswith("-sbox")


def forgotten(context: DiagnosisContext, loss: Hop) -> Advice | None:
    """Explain a reset by a load balancer that knows nothing of the connection: it was idle for too long.

    Source: net/netfilter/ipvs/ip_vs_proto_tcp.c (tcp_timeouts, tcp_conn_schedule).
    """
    if not is_balancer(loss.place) or not loss.packet.startswith("TCP") or loss.packet == "TCP SYN":
        return None
    service = _service_of(context, loss)
    name = f"service {service.name}" if service is not None else "the service"
    return (
        f"{loss.place} resets the connection to {name}: IPVS knows it no more (it forgets one that is idle for {IDLE_S} s, and "  # noqa: ISC004
        "within 120 s one that was closed), and takes no packet but a SYN for a new one",
        f"send keepalives more often than every {IDLE_S} s (net.ipv4.tcp_keepalive_time), or use --endpoint-mode dnsrr",
    )


def _service_of(context: DiagnosisContext, loss: Hop) -> Service | None:
    swarm, address = towards(context), address_at(loss)
    if swarm is None or address is None or is_loopback(address):
        return None
    return swarm.service_of_address(address) or swarm.service_at(port_of(loss), context.target.protocol)


def service_remarks(context: DiagnosisContext) -> list[str]:
    """Tell what an engineer should know of a service that answered."""
    swarm, address = towards(context), context.outcome.address
    kept = [_kept(context, hop) for hop in context.attempt if hop.decision.endswith("vs.conn_reuse_mode = 0")]
    service = swarm.service_of_address(address) if swarm is not None and address is not None else None
    if swarm is None or service is None:
        return kept
    count = swarm.backends(context.source.host, service)
    return [
        f"{context.address} is the virtual address of service {service.name}, balanced over {count} "  # noqa: ISC004
        f"task{'s' * (count != 1)}; a connection idle for {IDLE_S} s is forgotten",
        *kept,
    ]


def _kept(context: DiagnosisContext, hop: Hop) -> str:
    """Tell of a connection that was not balanced (net/netfilter/ipvs/ip_vs_core.c, is_new_conn_expected)."""
    port = source_port_of(hop)
    task = context.location(context.taken.place) if context.taken is not None else None
    to = task.name if task is not None else "the task it had before"
    return (
        f"{hop.place} does not balance this connection: it sends port {port} of {source_of(hop)} to {to} for 120 s after the last "
        f"connection from that port was closed ({hop.decision}, which Docker sets)"
    )


def down_remarks(context: DiagnosisContext) -> list[str]:
    """Tell of a node in the way of an answer that the managers take for down."""
    swarm, taken = towards(context), context.taken
    server = context.location(taken.place) if taken is not None else None
    hosts = [location.host for location in (context.source, context.destination, server) if location is not None]
    culprit = rule_against_managers(context.directory.locations) if swarm is not None else None
    why = f" ({culprit[1]} on {culprit[0].name})" if culprit is not None else ""
    return [
        f"the managers take {host} for down: {swarm.halted.get(host) or f'no heartbeat of it comes through to port 2377{why}'}"
        for host in dict.fromkeys(hosts)
        if swarm is not None and swarm.is_down(host)
    ]
