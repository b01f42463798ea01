"""Refused: who sent the refusal, and which address or port would have been heard instead."""

from __future__ import annotations

from attrs import evolve

from cnmsim.kernel.address import format_ip, is_loopback
from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext, port_of
from cnmsim.observe.diagnosis.drops import advice_on
from cnmsim.observe.diagnosis.finding import Finding, Verdict
from cnmsim.observe.diagnosis.service import refused_port
from cnmsim.observe.diagnosis.success import proxy_note
from cnmsim.observe.location import Listener, Location, shared_networks
from cnmsim.observe.trace.hops import Hop

#: Published ports that a sentence lists at most.
_MANY = 4
#: How a refusal ends a packet.
REFUSALS = frozenset({DropReason.PORT_CLOSED, DropReason.NETFILTER_REJECT, DropReason.NO_DESTINATION})


def refused(context: DiagnosisContext, verdict: Verdict) -> Finding:
    """Give the finding on a packet that was answered with a refusal."""
    losses = [hop for hop in context.losses if hop.reason in REFUSALS | {DropReason.STRAY_SEGMENT}]
    if not losses:
        return Finding(verdict, f"{context.goal} answered with a refusal", "start a program that listens there")
    loss = losses[-1]
    if loss.reason is not DropReason.PORT_CLOSED:
        cause, fix = advice_on(context, loss)
        return Finding(verdict, cause, fix, (), loss)
    server = context.location(loss.place)
    if server is None:
        return Finding(verdict, f"{loss.place} is alive, but nothing listens on {context.goal}", "", (), loss)
    cause, fix = _nobody_listens(context, loss, server)
    return Finding(verdict, cause, fix, _through(context, server), loss)


def _through(context: DiagnosisContext, server: Location) -> tuple[str, ...]:
    proxy = proxy_note(context)
    if proxy is not None:
        return (f"docker-proxy on {proxy.place} took the connection and closed it when {server.name} refused",)
    return ()


def _nobody_listens(context: DiagnosisContext, loss: Hop, server: Location) -> tuple[str, str]:
    port, protocol = port_of(loss), context.target.protocol
    goal = loss.addresses.partition(" > ")[2] or context.goal
    same_port = server.listening_on(protocol, port)
    alone = [item for item in same_port if item.is_loopback_only]
    if not server.is_container and any(_is_kept_to_itself(item, port) for item in _containers_on(context, server)):
        return _host_port(context, loss, server, port, goal)
    elsewhere = None if server.is_container else _on_other_family(context, server, port, goal)
    if elsewhere is not None:
        return elsewhere
    if alone and len(alone) == len(same_port):
        return (
            f"{server.name} answers, but nothing listens on {goal} (only {alone[0]} is listened on)",
            f"let the program in {server.name} bind 0.0.0.0 instead of {format_ip(alone[0].address)}",
        )
    address = context.outcome.address
    if context.source is server and address is not None and is_loopback(address) and server.is_container:
        return _localhost(context, server, port)
    if same_port:
        heard = ", ".join(str(item) for item in same_port)
        return f"{server.name} answers, but nothing listens on {goal} (only {heard} is)", (
            f"ask {_askable(server, same_port[0])}"
        )
    if not server.is_container:
        return _host_port(context, loss, server, port, goal)
    other = "udp" if protocol == "tcp" else "tcp"
    if any(not item.is_loopback_only for item in server.listening_on(other, port)):
        return (
            f"{server.name} answers, but nothing listens on {goal} by {protocol}; it listens on {port}/{other}",
            f"use {other}/{port}",
        )
    others = [item for item in server.services if not item.is_loopback_only]
    head = f"{server.name} answers, but nothing listens on {goal}"
    if others:
        heard = ", ".join(dict.fromkeys(f"{item.port}/{item.protocol}" for item in others))
        return f"{head}; it listens on {heard}", _other_port(context, server, others[0].port)
    return f"{head}, nor on any other port", f"start the program that is to listen in {server.name}"


def _on_other_family(context: DiagnosisContext, server: Location, port: int, goal: str) -> tuple[str, str] | None:
    """Explain a port that is published for the other address family only."""
    is_ipv6 = context.outcome.address is not None and len(context.outcome.address) == 16
    for item in _containers_on(context, server):
        bindings = [each for each in item.published if each.host_port == port and each.host_ip]
        if bindings and all((":" in each.host_ip) is not is_ipv6 for each in bindings):
            where = " and ".join(dict.fromkeys(each.host_ip for each in bindings))
            return (
                f"nothing listens on {goal}: {item.name} publishes port {port} of {server.name} on {where} only, which is no "  # noqa: ISC004
                f"IPv{6 if is_ipv6 else 4} address",
                f"publish it without the address: -p {port}:{bindings[0].port}",
            )
    return None


def _askable(server: Location, listener: Listener) -> str:
    """Write where a listener can be asked: an address of its family in place of the wildcard."""
    if any(listener.address):
        return str(listener)
    own = next((item for item in server.addresses if len(item) == len(listener.address)), listener.address)
    return str(evolve(listener, address=own))


def _other_port(context: DiagnosisContext, server: Location, port: int) -> str:
    if context.destination is not None and context.destination is not server:
        return f"publish port {port} of {server.name} instead: -p {context.target.port}:{port}"
    return f"use port {port}"


def _localhost(context: DiagnosisContext, server: Location, port: int) -> tuple[str, str]:
    others = [
        item
        for item in context.directory.locations
        if item is not server and item.listening_on(context.target.protocol, port) and item.is_container
    ]
    near = [item for item in others if shared_networks(server, item)]
    cause = f"{context.target.host} inside {server.name} is {server.name} itself, and nothing listens on port {port} there"
    if near:
        return cause, f"use the name of who does: {near[0].service or near[0].name}:{port}"
    if others:
        return cause, f"attach {server.name} to a network of {others[0].name} and use its name"
    return cause, "use the name of the container that listens"


def _containers_on(context: DiagnosisContext, host: Location) -> list[Location]:
    return [item for item in context.directory.locations if item.host == host.name and item.is_container]


def _is_kept_to_itself(location: Location, port: int) -> bool:
    """Whether the host's port is published for this container, and on the host's loopback address only."""
    bindings = [item for item in location.published if item.host_port == port]
    return bool(bindings) and all(item.is_loopback_only for item in bindings)


def _host_port(context: DiagnosisContext, loss: Hop, server: Location, port: int, goal: str) -> tuple[str, str]:
    of_swarm = refused_port(context, loss, server)
    if of_swarm is not None:
        return of_swarm
    containers = _containers_on(context, server)
    for item in containers:
        for binding in item.published:
            if binding.host_port == port and binding.is_loopback_only:
                return (
                    f"nothing listens on {goal}: port {port} of {server.name} is published on {binding.host_ip} only",
                    f"publish it without the address: -p {port}:{binding.port}",
                )
    for item in containers:
        for binding in item.published:
            if binding.port == port and not binding.is_loopback_only:
                return (
                    f"{server.name} answers, but nothing listens on {goal}; "  # noqa: ISC004
                    f"{item.name}'s port {port} is published as {binding.host_port}",
                    f"use {server.name}:{binding.host_port}",
                )
    for rest in context.directory.stopped_containers:
        if rest.host == server.name and any(each.host_port == port for each in rest.published):
            return (
                f"{server.name} answers, but nothing listens on {goal}: {rest.name}, which publishes the port, is not running ({rest.status})",
                f"docker start {rest.name}",
            )
    for item in containers:
        if item.listening_on(context.target.protocol, port):
            return (
                f"{server.name} answers, but nothing listens on {goal}; {item.name} does, and does not publish it",
                f"publish it: -p {port}:{port}",
            )
    return _among_published(context, server, goal, containers)


def _among_published(
    context: DiagnosisContext, server: Location, goal: str, containers: list[Location]
) -> tuple[str, str]:
    """Explain a port of a host that nobody has, with those that its containers have."""
    cause = f"{server.name} answers, but nothing listens on {goal}"
    known = {
        each.host_port: item.name
        for item in containers
        for each in item.published
        if each.protocol == context.target.protocol and not each.is_loopback_only
    }
    if not known:
        return cause, f"start a program that listens there on {server.name}"
    listed = ", ".join(f"{port} ({name})" for port, name in sorted(known.items())[:_MANY])
    more = ", …" if len(known) > _MANY else ""
    ask = f"use {server.name}:{next(iter(known))}" if len(known) == 1 else "use one of those"
    return (
        f"{cause}; published there: {listed}{more}",
        f"{ask}, or start a program that listens there on {server.name}",
    )
