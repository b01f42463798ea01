"""Find swarm services with tasks that the scheduler can place on no node.

The scheduler's own words (moby/swarmkit `manager/scheduler/filter.go`) are reported with their cause in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
from cnmsim.observe.fixes.changes import ActivateNode, Change, ScaleService, SetNodeLabel, Steps, UpdateService
from cnmsim.observe.swarm_view import SwarmView, ports_of
from cnmsim.swarm.constraint import Constraint, node_matches
from cnmsim.swarm.objects import Availability, Node, NodeState, PublishMode, Service, TaskState

_NO_NODE = "no suitable node"
_NODE_LABEL = "node.labels."
_PLACEMENT = ("deploy", "placement")


def unplaced(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find services with pending tasks for which no node is suitable.

    Without a lab file the nodes are an assumption, so that the fault is only a note.
    """
    for swarm in snapshot.directory.swarms:
        for service in swarm.store.services:
            tasks = [
                task for task in swarm.store.tasks.by_service(service.id) if task.desired_state <= TaskState.RUNNING
            ]
            pending = [task for task in tasks if task.state is TaskState.PENDING and _NO_NODE in task.status.err]
            if not pending:
                continue
            has_assumed_nodes = snapshot.has_default_topology
            reason, advice, paths, changes = _cause(swarm, service, len(tasks))
            if has_assumed_nodes:
                severity = Severity.NOTE
                reason += f" (cnmsim assumes {len(swarm.members)} nodes without labels)"
                advice = "state the nodes with --managers and --workers, or with their labels in a lab file"
                changes = ()
            else:
                severity = Severity.ERROR if not swarm.running(service) else Severity.WARNING
            count = f"{len(pending)} of {len(tasks)} tasks" if len(tasks) > 1 else "its task is"
            yield Fault(
                severity, "no-suitable-node", f"service {service.name}",
                f"{count} pending: {pending[0].status.err}{reason}", advice,
                snapshot.service_source(swarm, service.name, *paths), changes,
            )  # fmt: skip


_Cause = tuple[str, str, Sequence[Sequence[str]], tuple[Change, ...]]


def _cause(swarm: SwarmView, service: Service, count: int) -> _Cause:
    """Return what in `service` leaves tasks without a node: its text, advice, paths of keys to it, and changes.

    `count` is the number of the service's tasks.
    """
    placement, name = service.spec.task.placement, service.name
    nodes = [
        node
        for node in swarm.store.nodes
        if node.status.state is NodeState.READY and node.spec.availability is Availability.ACTIVE
    ]
    constraints = placement.constraints if placement is not None else ()
    if constraints and not any(node_matches(Constraint.parse_all(constraints), node) for node in nodes):
        unmet = [text for text in constraints if not any(Constraint.parse(text).matches(node) for node in nodes)]
        reason = (
            f": no node satisfies {', '.join(unmet)}"
            if unmet
            else f": no node satisfies all of {', '.join(constraints)}"
        )
        path = (*_PLACEMENT, "constraints")
        removals = [UpdateService(swarm.manager, name, "--constraint-rm", text) for text in unmet]
        return (
            reason, "let a node satisfy the constraints, or change them",
            [(*path, text) for text in unmet] + [path],
            (*_labels(swarm, unmet, nodes), *([Steps(tuple(removals))] if len(removals) > 1 else removals)),
        )  # fmt: skip
    if nodes and any(port.publish_mode is PublishMode.HOST for port in ports_of(service)):
        return (
            ": each node can publish a port in host mode once",
            "scale the service to the number of nodes, deploy it in global mode, or publish the port in ingress mode",
            [("deploy", "replicas"), ("ports",)], (_scaled(swarm, service),),
        )  # fmt: skip
    if nodes and placement is not None and placement.max_replicas:
        limit = -(-count // len(nodes))
        return (
            f": max_replicas_per_node is {placement.max_replicas}, and {len(nodes)} nodes are available",
            f"set max_replicas_per_node to {limit}, or scale the service to {len(nodes) * placement.max_replicas}",
            [(*_PLACEMENT, "max_replicas_per_node")],
            (UpdateService(swarm.manager, name, "--replicas-max-per-node", str(limit)), _scaled(swarm, service)),
        )  # fmt: skip
    idle = [node for node in swarm.store.nodes if node.spec.availability is not Availability.ACTIVE]
    return (
        "", f"look at docker service ps --no-trunc {name}", [("deploy",)],
        tuple(ActivateNode(swarm.manager, node.hostname) for node in idle),
    )  # fmt: skip


def _scaled(swarm: SwarmView, service: Service) -> ScaleService:
    return ScaleService(swarm.manager, service.name, len(swarm.running(service)))


def _labels(swarm: SwarmView, unmet: Sequence[str], nodes: Sequence[Node]) -> Iterator[Change]:
    """Yield the change that gives the last of `nodes` the labels for which the constraints `unmet` call."""
    labels = [item for item in Constraint.parse_all(unmet) if item.is_equal and item.key.startswith(_NODE_LABEL)]
    if nodes and labels and len(labels) == len(unmet):
        steps = tuple(
            SetNodeLabel(swarm.manager, nodes[-1].hostname, item.key.removeprefix(_NODE_LABEL), item.expected)
            for item in labels
        )
        yield steps[0] if len(steps) == 1 else Steps(steps)
