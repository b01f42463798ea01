"""Diagnose a refused probe: which location refused it, and at which address or port a program does listen."""

from __future__ import annotations

from attrs import evolve

from cnmsim.kernel.address import format_ip, is_loopback, parse_ip
from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis.assumptions import path_open
from cnmsim.observe.diagnosis.causes.base import Cause, Remark
from cnmsim.observe.diagnosis.causes.refusals import (
    ListenerNotPublished,
    ListensByOtherProtocol,
    ListensElsewhere,
    ListensOnLoopback,
    ListensOnOtherPorts,
    LocalhostIsItself,
    LocalhostIsThisMachine,
    NothingListens,
    OtherPortsPublished,
    PublishedAsOtherPort,
    PublishedForOtherFamily,
    PublishedOnInternalNetworks,
    PublishedOnLoopback,
    PublisherNotRunning,
    Refused,
)
from cnmsim.observe.diagnosis.causes.remarks import ProxyClosed
from cnmsim.observe.diagnosis.diagnosis import (
    Diagnosis,
    ask_own_host,
    diagnosis,
    join_user_network,
    leave_internal_network,
    networks_of,
    publish_as,
    start_again,
)
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.success import proxy_note
from cnmsim.observe.diagnosis.verdict import REFUSALS, Verdict
from cnmsim.observe.fixes.changes import AskOther, Change, Manual, RebindProgram
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.location import Listener, Location, Published, shared_networks
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.packet_summary import endpoint_text

#: The HTTPS port: its clients speak TLS, so no other port can take its place.
_TLS_PORT = 443


def refused(context: DiagnosisContext, verdict: Verdict) -> Finding:
    """Return the finding, with the given verdict, for a probe that was refused."""
    drops = [hop for hop in context.drops if hop.reason in REFUSALS | {DropReason.STRAY_SEGMENT}]
    if not drops:
        return Finding(verdict, Refused(context.endpoint_text), (Manual(Task.START_LISTENER, context.address_text),))
    hop = drops[-1]
    if hop.reason is not DropReason.PORT_CLOSED:
        from cnmsim.observe.diagnosis.drops import diagnose_drop

        result = diagnose_drop(context, hop)
        return Finding(verdict, result.cause, result.changes, (), hop)
    server = context.location_at(hop.place)
    if server is None:
        return Finding(verdict, NothingListens(hop.place, context.endpoint_text), (), (), hop)
    unknown = _path_open(context, hop, server)
    if unknown is not None:
        return unknown
    result = _closed_port(context, hop, server)
    return Finding(verdict, result.cause, result.changes, _proxy_remark(context, server), hop)


def _path_open(context: DiagnosisContext, hop: Hop, server: Location) -> Finding | None:
    """Return a finding with the verdict "path open" if it is unknown whether the server listens on the port.

    `hop` is where the server refused the packet. Return `None` if the cause of the refusal is known.
    """
    connected = context.outcome.address
    if context.source is server and connected is not None and is_loopback(connected):
        result = _localhost(context, server, hop.destination_port)
        if any(not isinstance(change, Manual) for change in result.changes):
            return None
    endpoint = endpoint_text(hop.destination, hop.destination_port) if hop.destination else context.endpoint_text
    return path_open(context, hop, server, endpoint)


def _proxy_remark(context: DiagnosisContext, server: Location) -> tuple[Remark, ...]:
    proxy = proxy_note(context)
    return (ProxyClosed(proxy.place, server.name),) if proxy is not None else ()


def _closed_port(context: DiagnosisContext, hop: Hop, server: Location) -> Diagnosis:
    port, protocol = hop.destination_port, context.target.protocol
    endpoint = endpoint_text(hop.destination, port) if hop.destination is not None else context.endpoint_text
    same_port = server.listening_on(protocol, port)
    on_loopback = [item for item in same_port if item.is_loopback_only]
    if not server.is_container:
        if any(_is_published_on_loopback(item, protocol, port) for item in _containers_on(context, server)):
            return _port_of_host(context, hop, server, endpoint)
        by_family = _published_for_other_family(context, server, port, endpoint)
        if by_family is not None:
            return by_family
    if on_loopback and len(on_loopback) == len(same_port):
        cause: Cause = ListensOnLoopback(server.name, endpoint, str(on_loopback[0]))
        address = format_ip(on_loopback[0].address)
        return diagnosis(cause, RebindProgram(server.host, server.name, address))
    connected = context.outcome.address
    if context.source is server and connected is not None and is_loopback(connected) and server.is_container:
        return _localhost(context, server, port)
    if context.source is server and connected is not None and is_loopback(connected):
        elsewhere = _published_elsewhere(context, server, port)
        if elsewhere is not None:
            return elsewhere
    if same_port:
        listener = _reachable_endpoint(server, same_port[0])
        cause = ListensElsewhere(server.name, endpoint, tuple(map(str, same_port)))
        return diagnosis(cause, AskOther(format_ip(listener.address), listener.port))
    if not server.is_container:
        return _port_of_host(context, hop, server, endpoint)
    return _port_of_container(context, server, port, endpoint)


def _port_of_container(context: DiagnosisContext, server: Location, port: int, endpoint: str) -> Diagnosis:
    protocol = context.target.protocol
    by_other = _by_other_protocol(context, server, port, endpoint)
    if by_other is not None:
        return by_other
    listeners = [item for item in server.services if not item.is_loopback_only]
    if listeners:
        texts = tuple(dict.fromkeys(f"{item.port}/{item.protocol}" for item in listeners))
        cause: Cause = ListensOnOtherPorts(server.name, endpoint, texts)
        return Diagnosis(
            cause, _other_port(context, server, port, {item.port for item in listeners if item.protocol == protocol})
        )
    cause = NothingListens(server.name, endpoint, has_no_port=True)
    return diagnosis(cause, *_rebind(context, server), Manual(Task.START_PROGRAM, server.name))


def _by_other_protocol(context: DiagnosisContext, server: Location, port: int, endpoint: str) -> Diagnosis | None:
    """Diagnose a port of `server` on which a program listens only with the other transport protocol.

    Return `None` if there is no such program. `endpoint` is the address and port that the probe used, as text.
    """
    protocol = context.target.protocol
    other = "udp" if protocol == "tcp" else "tcp"
    if all(item.is_loopback_only for item in server.listening_on(other, port)):
        return None
    cause = ListensByOtherProtocol(server.name, endpoint, protocol, port, other)
    return diagnosis(cause, AskOther(port=port, protocol=other))


def _rebind(context: DiagnosisContext, server: Location) -> tuple[Change, ...]:
    """Return the change that makes a program listen on all addresses instead of loopback only, in a tuple.

    The tuple is empty if no program of the server listens on loopback with the target's protocol.
    """
    for item in server.services:
        if item.is_loopback_only and item.protocol == context.target.protocol:
            return (RebindProgram(server.host, server.name, format_ip(item.address)),)
    return ()


def _other_port(context: DiagnosisContext, server: Location, asked: int, ports: set[int]) -> tuple[Change, ...]:
    """Return the changes that use another port than the probed one, because the container listens only there.

    `asked` is the port of the container that refused, `ports` are those on which it listens. If it listens on several
    ports, or TLS is involved (port 443), the result is advice to choose a port.
    """
    if len(ports) != 1 or _TLS_PORT in {context.target.port, asked, *ports}:
        return (Manual(Task.USE_LISTENED_PORT, server.name),)
    (port,) = ports
    if context.destination is not None and context.destination is not server:
        host = _asked_host(context, server)
        return publish_as(server, port, context.target.port, context.target.protocol, host)
    return (AskOther(port=port),)


def _asked_host(context: DiagnosisContext, server: Location) -> str:
    """Return the host name to probe once a port of `server` is published on its host.

    That is the name that the probe used, if it is a name of that host; otherwise the host's own name.
    """
    destination = context.destination
    is_its_host = destination is not None and not destination.is_container and destination.name == server.host
    return context.target.host if is_its_host else server.host


def _localhost(context: DiagnosisContext, server: Location, port: int) -> Diagnosis:
    listening = [
        item
        for item in context.directory.locations
        if item.attachments and item is not server and item.listening_on(context.target.protocol, port)
    ]
    near = [item for item in listening if shared_networks(server, item)]
    cause = LocalhostIsItself(context.target.host, server.name, port)
    if near:
        return diagnosis(cause, AskOther(near[0].service or near[0].name, port))
    if listening:
        return diagnosis(cause, join_user_network(context, listening[0], ask=True))
    for item in context.directory.locations:
        for binding in item.published:
            is_asked = (binding.host_port, binding.protocol) == (port, context.target.protocol)
            if is_asked and shared_networks(server, item):
                return diagnosis(cause, AskOther(item.service or item.name, binding.port))
    machine = context.directory.find(server.host)
    if machine.listening_on(context.target.protocol, port):
        return diagnosis(cause, *ask_own_host(server, port))
    return diagnosis(cause, Manual(Task.USE_LISTENER_NAME))


def _published_elsewhere(context: DiagnosisContext, machine: Location, port: int) -> Diagnosis | None:
    """Diagnose a probe of `localhost` for a port that another machine publishes; `None` if none does.

    `machine` is the machine that `localhost` means.
    """
    for item in context.directory.locations:
        for binding in item.published:
            is_asked = (binding.host_port, binding.protocol) == (port, context.target.protocol)
            if is_asked and item.host != machine.name:
                address = binding.host_ip if binding.is_loopback_only else ""
                cause = LocalhostIsThisMachine(context.target.host, machine.name, port, item.host, address)
                if address:
                    changes = publish_as(item, binding.port, port, binding.protocol, item.host)
                    return diagnosis(cause, Manual(Task.ASK_FROM_DOCKER_HOST, item.host), *changes)
                return diagnosis(cause, AskOther(item.host, port))
    return None


def _reachable_endpoint(server: Location, listener: Listener) -> Listener:
    """Return a listener with an address that others can use: one of the server's in place of a wildcard address.

    The new address has the IP version of the wildcard address. Any other listener is returned unchanged.
    """
    if any(listener.address):
        return listener
    own = next((item for item in server.addresses if len(item) == len(listener.address)), listener.address)
    return evolve(listener, address=own)


# ---- ports of hosts, which containers publish


def _containers_on(context: DiagnosisContext, host: Location) -> list[Location]:
    return [item for item in context.directory.locations if item.host == host.name and item.is_container]


def _is_published_on_loopback(location: Location, protocol: str, port: int) -> bool:
    """Return True if `location` publishes a container port as the host port `port` on loopback addresses only.

    `protocol` is the protocol of the port.
    """
    bindings = [item for item in location.published if (item.protocol, item.host_port) == (protocol, port)]
    return bool(bindings) and all(item.is_loopback_only for item in bindings)


def _published_for_other_family(
    context: DiagnosisContext, server: Location, port: int, endpoint: str
) -> Diagnosis | None:
    is_ipv6 = context.outcome.address is not None and len(context.outcome.address) == 16
    for item in _containers_on(context, server):
        own = (context.target.protocol, port)
        bindings = [each for each in item.published if (each.protocol, each.host_port) == own and each.host_ip]
        if bindings and all((":" in each.host_ip) is not is_ipv6 for each in bindings):
            addresses = tuple(dict.fromkeys(each.host_ip for each in bindings))
            cause = PublishedForOtherFamily(endpoint, item.name, port, server.name, addresses, 6 if is_ipv6 else 4)
            return Diagnosis(cause, _publish_for_all(context, item, bindings[0].port, port))
    return None


def _publish_for_all(context: DiagnosisContext, container: Location, port: int, host_port: int) -> tuple[Change, ...]:
    host = _asked_host(context, container)
    return publish_as(container, port, host_port, context.target.protocol, host)


def _port_of_host(context: DiagnosisContext, hop: Hop, server: Location, endpoint: str) -> Diagnosis:
    if context.directory.swarms:
        from cnmsim.observe.diagnosis.service import refused_by_member

        by_swarm = refused_by_member(context, hop, server)
        if by_swarm is not None:
            return by_swarm
    port, protocol, containers = hop.destination_port, context.target.protocol, _containers_on(context, server)
    for item in containers:
        for binding in item.published:
            if (binding.protocol, binding.host_port) == (protocol, port) and binding.is_loopback_only:
                cause: Cause = PublishedOnLoopback(endpoint, port, server.name, binding.host_ip)
                return Diagnosis(cause, _publish_for_all(context, item, binding.port, port))
    for item in containers:
        for binding in item.published:
            if (binding.protocol, binding.port) == (protocol, port) and not binding.is_loopback_only:
                cause = PublishedAsOtherPort(server.name, endpoint, item.name, port, binding.host_port)
                return diagnosis(cause, AskOther(_name_for(context, server, binding), binding.host_port))
    for item in containers:
        for binding in item.published:
            if (binding.protocol, binding.port) == (protocol, port):
                return _published_as_loopback_port(context, server, item, binding, endpoint)
    for item in containers:
        if item.is_internal_only and any(
            (each.protocol, each.host_port) == (protocol, port) for each in item.requested
        ):
            cause = PublishedOnInternalNetworks(endpoint, item.name, networks_of(item))
            return diagnosis(cause, leave_internal_network(context.directory, item))
    for stopped in context.directory.stopped_containers:
        if stopped.host == server.name and any(
            (each.protocol, each.host_port) == (protocol, port) for each in stopped.published
        ):
            cause = PublisherNotRunning(server.name, endpoint, stopped.name, stopped.status)
            return diagnosis(cause, *start_again(stopped.host, stopped.name, stopped.status))
    for item in containers:
        if item.listening_on(protocol, port):
            cause = ListenerNotPublished(server.name, endpoint, item.name)
            return Diagnosis(cause, _publish_for_all(context, item, port, port))
    by_other = _by_other_protocol(context, server, port, endpoint)
    if by_other is not None:
        return by_other
    return _published_ports(context, server, endpoint, containers)


def _published_as_loopback_port(
    context: DiagnosisContext, server: Location, container: Location, binding: Published, endpoint: str
) -> Diagnosis:
    """Diagnose a probe of a port of `server` that a container publishes as another port, on a loopback address only.

    `binding` is how the container publishes it; `endpoint` is the probed address and port as text.
    """
    port, host_port = binding.port, binding.host_port
    if context.source.namespace is server.namespace:
        cause: Cause = PublishedAsOtherPort(server.name, endpoint, container.name, port, host_port)
        return diagnosis(cause, AskOther(binding.own_name, host_port))
    cause = PublishedOnLoopback(endpoint, port, container.name, endpoint_text(parse_ip(binding.host_ip), host_port))
    return Diagnosis(cause, _publish_for_all(context, container, port, port))


def _published_ports(
    context: DiagnosisContext, server: Location, endpoint: str, containers: list[Location]
) -> Diagnosis:
    """Diagnose a host port on which nothing listens. The cause lists the ports that `containers` publish.

    `endpoint` is the probed address and port as text; `containers` are those of the host `server`. A published port
    is proposed only if it is the only one, and no other container listens: otherwise another program may be meant.
    """
    published = {
        each.host_port: item.name
        for item in containers
        for each in item.published
        if each.protocol == context.target.protocol and not each.is_loopback_only
    }
    start = Manual(Task.START_LISTENER, server.name)
    if not published:
        return diagnosis(NothingListens(server.name, endpoint), start)
    cause = OtherPortsPublished(server.name, endpoint, tuple(sorted(published.items())))
    use = (
        AskOther(_name_for(context, server), next(iter(published)))
        if len(published) == 1 and sum(bool(item.services) for item in containers) <= 1
        else Manual(Task.USE_PUBLISHED)
    )
    return diagnosis(cause, use, start)


def _name_for(context: DiagnosisContext, server: Location, binding: Published | None = None) -> str:
    """Return the name by which the source reaches the host `server`, or one of its published ports.

    A container in the host's namespace uses `localhost`, unless the port is published on another address.
    """
    if not context.source.is_container or context.source.namespace is not server.namespace:
        return server.name
    return binding.own_name if binding is not None else "localhost"
