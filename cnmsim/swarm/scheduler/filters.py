"""Filters that decide whether a task can run on a node, and why not (moby/swarmkit `scheduler/filter.go`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from cnmsim.swarm.constraint import Constraint, node_matches
from cnmsim.swarm.errors import RpcUnknown
from cnmsim.swarm.objects import Availability, NodeState, Platform, Task
from cnmsim.swarm.scheduler.nodeinfo import NodeInfo, host_ports, reservations

Check: TypeAlias = Callable[[NodeInfo], bool]
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def _ready(_: Task) -> Check | None:
    return lambda info: (
        info.node.status.state is NodeState.READY and info.node.spec.availability is Availability.ACTIVE
    )


def _resources(task: Task) -> Check | None:
    reserved = reservations(task)
    if not (reserved.nano_cpus or reserved.memory_bytes or reserved.generic):
        return None
    return lambda info: (
        reserved.nano_cpus <= info.cpus
        and reserved.memory_bytes <= info.memory
        and info.generic.has(reserved.generic)
    )


def _plugins(task: Task) -> Check | None:
    required: list[tuple[str, str]] = []
    for mount in task.spec.container.mounts if task.spec.container is not None else ():
        driver = ((mount.get("VolumeOptions") or {}).get("DriverConfig") or {}).get("Name", "")
        if mount.get("Type") == "volume" and driver not in {"", "local"}:
            required.append(("Volume", driver))
    for attachment in task.networks:
        state = attachment.network.driver_state
        if state is not None and state.name:
            required.append(("Network", state.name))
    log = task.spec.log_driver
    log_name = log.name if log is not None and log.name != "none" else ""
    if not required and not log_name:
        return None

    def has_plugins(info: NodeInfo) -> bool:
        if info.node.description is None:
            return True
        plugins = info.node.description.engine.plugins
        if not all((kind, name) in plugins or (kind, f"{name}:latest") in plugins for kind, name in required):
            return False
        # An engine that lists no log drivers is too old to do so. It may nevertheless have the driver.
        has_log = not log_name or ("Log", log_name) in plugins or ("Log", f"{log_name}:latest") in plugins
        return has_log or all(kind != "Log" for kind, _ in plugins)

    return has_plugins


def _constraints(task: Task) -> Check | None:
    if task.spec.placement is None or not task.spec.placement.constraints:
        return None
    try:
        constraints = Constraint.parse_all(task.spec.placement.constraints)
    except RpcUnknown:
        return None
    return lambda info: node_matches(constraints, info.node)


def _platform(task: Task) -> Check | None:
    platforms = task.spec.placement.platforms if task.spec.placement is not None else ()
    if not platforms:
        return None
    return lambda info: (
        info.node.description is not None
        and any(_fits(platform, info.node.description.platform) for platform in platforms)
    )


def _fits(image: Platform, node: Platform) -> bool:
    required = _ARCHITECTURES.get(image.architecture, image.architecture)
    present = _ARCHITECTURES.get(node.architecture, node.architecture)
    return required in {"", present} and image.os in {"", node.os}


def _host_ports(task: Task) -> Check | None:
    ports = host_ports(task)
    return (lambda info: info.ports.isdisjoint(ports)) if ports else None


def _max_replicas(task: Task) -> Check | None:
    limit = task.spec.placement.max_replicas if task.spec.placement is not None else 0
    if not limit:
        return None
    return lambda info: info.active_by_service.get(task.service_id, 0) < limit


def _volumes(task: Task) -> Check | None:
    mounts = task.spec.container.mounts if task.spec.container is not None else ()
    # No CSI plugins are simulated, so a cluster volume is never available.
    return (lambda _: False) if any(mount.get("Type") == "cluster" for mount in mounts) else None


def _plural(text: str) -> Callable[[int], str]:
    return lambda count: text.format(f"{count} node" if count == 1 else f"{count} nodes")


#: All filters in order of evaluation, each with a function that formats the reason for a given number of failed
#: nodes.
_FILTERS: tuple[tuple[Callable[[Task], Check | None], Callable[[int], str]], ...] = (
    (_ready, _plural("{} not available for new tasks")),
    (_resources, _plural("insufficient resources on {}")),
    (_plugins, _plural("missing plugin on {}")),
    (_constraints, _plural("scheduling constraints not satisfied on {}")),
    (_platform, _plural("unsupported platform on {}")),
    (_host_ports, _plural("host-mode port already in use on {}")),
    (_max_replicas, lambda _: "max replicas per node limit exceed"),
    (_volumes, _plural("cannot fulfill requested CSI volume mounts on {}")),
)


class Pipeline:
    """The filters that apply to one task."""

    def __init__(self, task: Task) -> None:
        self._checks = [
            (index, check) for index, (make, _) in enumerate(_FILTERS) if (check := make(task)) is not None
        ]
        self._failures = [0] * len(_FILTERS)

    def fits(self, info: NodeInfo) -> bool:
        """Return True if a node passes all filters, else count the filter that rejected it, for `explain`.

        If the node passes, all counts are reset to 0.
        """
        for index, check in self._checks:
            if not check(info):
                self._failures[index] += 1
                return False
        self._failures = [0] * len(_FILTERS)
        return True

    def explain(self) -> str:
        """Return the reasons why no node has passed, separated by semicolons, the most frequent reason first."""
        reasons = sorted(
            (index for index, count in enumerate(self._failures) if count), key=lambda index: -self._failures[index]
        )
        return "; ".join(_FILTERS[index][1](self._failures[index]) for index in reasons)
