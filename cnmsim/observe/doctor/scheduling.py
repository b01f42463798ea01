"""Find swarm services with tasks that the scheduler can place on no node, or that fail on every attempt.

The words of the scheduler (moby/swarmkit `manager/scheduler/filter.go`) and of the node that rejected a task are
reported with their cause in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
from cnmsim.observe.fixes.changes import ActivateNode, Change, ScaleService, SetNodeLabel, Steps, UpdateService
from cnmsim.observe.swarm_view import SwarmView, ports_of
from cnmsim.swarm.constraint import Constraint, node_matches
from cnmsim.swarm.objects import Availability, Node, NodeState, PublishMode, Service, Task, TaskState

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
                number = len(swarm.members)
                reason += f" (cnmsim assumes {number} node{'s' if number != 1 else ''} without labels)"
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


def failing(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find services of which a task was rejected by its node, or exited with an error, and does not run now."""
    for swarm in snapshot.directory.swarms:
        for service in swarm.store.services:
            failed = last_failures(swarm, service)
            if not failed:
                continue
            task = failed[0]
            reason = task.status.err or task.status.message
            nodes = ", ".join(dict.fromkeys(swarm.host_of(each) for each in failed))
            state = "was rejected" if task.state is TaskState.REJECTED else "failed"
            which = (
                f"task {task.slot}" if len(failed) == 1 else f"tasks {', '.join(str(each.slot) for each in failed)}"
            )
            yield Fault(
                Severity.ERROR, "failing-task", f"service {service.name}",
                f"{which if task.slot else 'its task'} on {nodes} {state}: {reason}",
                *_failure(swarm, service, task, nodes, snapshot),
            )  # fmt: skip


def last_failures(swarm: SwarmView, service: Service) -> list[Task]:
    """Return the last failed task of each slot (or node, in global mode) of a service in which no task runs."""
    slots: dict[object, list[Task]] = {}
    for task in swarm.store.tasks.by_service(service.id):
        slots.setdefault(task.slot or task.node_id, []).append(task)
    found = []
    for slot, tasks in sorted(slots.items(), key=lambda item: str(item[0])):
        is_wanted = any(task.desired_state <= TaskState.RUNNING for task in tasks)
        failed = [task for task in tasks if task.state in {TaskState.FAILED, TaskState.REJECTED}]
        if slot and is_wanted and failed and not any(task.state is TaskState.RUNNING for task in tasks):
            found.append(max(failed, key=lambda task: task.status.timestamp_ns))
    return found


def _failure(swarm: SwarmView, service: Service, task: Task, nodes: str, snapshot: LabSnapshot) -> tuple[str, str]:
    """Return advice for a task that failed, and the line of the file that causes it."""
    container = service.spec.task.container
    for mount in container.mounts if container is not None else ():
        source = mount.get("Source") or ""
        if source and source in task.status.err:
            texts = [f"{source}:{mount.get('Target')}{suffix}" for suffix in ("", ":ro", ":rw")]
            paths = [*(("volumes", text) for text in texts), ("volumes",)]
            advice = f"create {source} on {nodes}, or use a named volume"
            return advice, snapshot.service_source(swarm, service.name, *paths)
    advice = f"look at docker service logs {service.name}"
    if task.state is TaskState.REJECTED:
        advice = f"look at docker service ps --no-trunc {service.name}"
    return advice, snapshot.service_source(swarm, service.name, ("command",), ("entrypoint",), ("image",))


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
    """Yield the change that sets on the last of `nodes` the labels that the constraints `unmet` require.

    Yield nothing if a constraint is not of the form `node.labels.NAME==VALUE`.
    """
    labels = [item for item in Constraint.parse_all(unmet) if item.is_equal and item.key.startswith(_NODE_LABEL)]
    if nodes and labels and len(labels) == len(unmet):
        steps = tuple(
            SetNodeLabel(swarm.manager, nodes[-1].hostname, item.key.removeprefix(_NODE_LABEL), item.expected)
            for item in labels
        )
        yield steps[0] if len(steps) == 1 else Steps(steps)
