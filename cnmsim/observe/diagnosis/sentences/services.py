"""Sentences of causes in swarm services and their tasks."""

from __future__ import annotations

from cnmsim.observe.diagnosis.causes import services as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, _networks, _silent, sentence


@sentence.register(causes.NoSharedServiceNetwork)
def _(cause: causes.NoSharedServiceNetwork) -> str:
    closed = f"; {cause.closed} is not attachable: only services may join it" if cause.closed else ""
    return (
        f"the two share no network ({cause.source} is on {_networks(cause.networks)}, service {cause.service} on "
        f"{_networks(cause.service_networks)}){closed}"
    )


@sentence.register(causes.NoRunningTask)
def _(cause: causes.NoRunningTask) -> str:
    name, detail = cause.service, cause.detail
    begin = f"service {name} has no running task"
    why = f": {sentence(cause.reason)}" if cause.reason is not None else ""
    match cause.status:
        case causes.TaskStatus.SCALED_TO_ZERO:
            return f"service {name} has no task: it is scaled to 0"
        case causes.TaskStatus.NONE:
            return begin
        case causes.TaskStatus.PENDING:
            return f"{begin}: its task is pending ({detail or 'it waits for a node'}){why}"
        case causes.TaskStatus.NEW:
            return (
                f"{begin}: its task is new, and waits for an address on {detail or 'its networks'} (the virtual "
                "address, every task, "
                "and the load balancer of every node use one)"
            )
        case causes.TaskStatus.NODE_DOWN:
            return f"{begin}: {detail}, where its task was, is down{why}"
        case causes.TaskStatus.STARTING:
            return f"{begin}: its task is starting, and gets no traffic as its health check has not passed yet"
    text = f"{begin}: its task is {cause.state}" + (f" ({detail})" if detail else "")
    return text + why


@sentence.register(causes.BalancerHasNoTask)
def _(cause: causes.BalancerHasNoTask) -> str:
    text = f"{cause.place} refuses: it has no task of service {cause.service} to send it to"
    return text + (f"; {sentence(cause.reason)}" if cause.reason is not None else "")


@sentence.register(causes.ConnectionForgotten)
def _(cause: causes.ConnectionForgotten) -> str:
    service = f"service {cause.service}" if cause.service else "the service"
    return (
        f"{cause.place} resets the connection to {service}: IPVS has no entry for it any more (it drops one that "
        "is idle for "
        f"{cause.idle_s} s, and within 120 s one that was closed), and accepts only a SYN for a new one"
    )


_PORT_SILENT = _silent("{0.host}", "port {0.port}")

TEMPLATES.update(
    {
        causes.ServiceHasNoNetwork: (
            "service {0.service} is on no network with names, and {0.source} on {0.networks!n}"
        ),
        causes.PortOfService: _PORT_SILENT + " there: it is published by service {0.service}; {0.reason!t}",
        causes.PublishedOnNodesOfTasks: _PORT_SILENT
        + (
            " there: service {0.service} publishes it in mode host, only on the nodes that run one of its tasks "
            "({0.nodes!j})"
        ),
        causes.NoRoutingMesh: _PORT_SILENT
        + (
            " there: with --firewall-backend=nftables {0.host} has no chain DOCKER-FORWARD, and publishes no port of "
            "the routing mesh"
        ),
        causes.HostKnowsNoServices: (
            "the resolver of a host resolves no services, and {0.service} is a service of the swarm"
        ),
        causes.NotInSwarm: "{0.host} is not in the swarm whose service {0.service} publishes port {0.port}",
    }
)
