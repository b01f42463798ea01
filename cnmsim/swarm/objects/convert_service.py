"""Services and task specs, from and to the Engine API's JSON (moby `daemon/cluster/convert/{service,network}.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.errors import InvalidParameter, NotSimulated
from cnmsim.swarm.objects.base import (
    Annotations,
    Driver,
    FailureAction,
    PublishMode,
    ResolutionMode,
    RestartCondition,
    UpdateOrder,
)
from cnmsim.swarm.objects.convert_container import container_from_api, container_to_api
from cnmsim.swarm.objects.json import mapping, moment, number, omit_empty, pointer, texts
from cnmsim.swarm.objects.network import NetworkAttachmentConfig
from cnmsim.swarm.objects.service import (
    Endpoint,
    EndpointSpec,
    Global,
    GlobalJob,
    Placement,
    Platform,
    PortConfig,
    Replicated,
    ReplicatedJob,
    ResourceRequirements,
    Resources,
    RestartPolicy,
    Service,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
    UpdateStatus,
)

# ---- from the API


def service_spec_from_api(spec: Mapping[str, Any], default_name: str = "") -> ServiceSpec:
    """Read a service's spec; one without a name gets `default_name`.

    Raises `InvalidParameter` in the daemon's words.
    """
    endpoint = spec.get("EndpointSpec")
    template = spec.get("TaskTemplate") or {}
    return ServiceSpec(
        annotations=Annotations(spec.get("Name") or default_name, dict(spec.get("Labels") or {})),
        task=task_spec_from_api(template),
        mode=_mode_from_api(spec.get("Mode") or {}),
        update=_update_from_api(spec.get("UpdateConfig")),
        rollback=_update_from_api(spec.get("RollbackConfig")),
        networks=_networks_from_api(spec.get("Networks")),
        endpoint=None if endpoint is None else _endpoint_from_api(endpoint),
    )


def task_spec_from_api(template: Mapping[str, Any]) -> TaskSpec:
    """Read a task template. Raises `InvalidParameter` for one without a container, `NotSimulated` for a plugin's."""
    runtime = template.get("Runtime") or "container"
    if runtime not in {"container", "plugin"}:
        raise InvalidParameter("unsupported runtime")
    container = template.get("ContainerSpec")
    if runtime == "plugin" and template.get("PluginSpec") is not None:
        raise NotSimulated("services that install plugins are not simulated")
    if runtime == "plugin" or container is None:
        raise InvalidParameter("mismatched Runtime and *Spec fields")
    resources = template.get("Resources")
    limits = (resources or {}).get("Limits") or {}
    return TaskSpec(
        container=container_from_api(container, limits.get("Pids") or 0),
        resources=_requirements_from_api(resources),
        restart=_restart_from_api(template.get("RestartPolicy")),
        placement=_placement_from_api(template.get("Placement")),
        networks=_networks_from_api(template.get("Networks")),
        log_driver=driver_from_api(template.get("LogDriver")),
        force_update=template.get("ForceUpdate") or 0,
    )


def driver_from_api(driver: Mapping[str, Any] | None) -> Driver | None:
    """Read a driver."""
    return None if driver is None else Driver(driver.get("Name") or "", driver.get("Options"))


def _networks_from_api(networks: Any) -> tuple[NetworkAttachmentConfig, ...]:
    return tuple(
        NetworkAttachmentConfig(
            each.get("Target") or "", texts(each.get("Aliases")), driver_opts=each.get("DriverOpts")
        )
        for each in networks or ()
    )


def _requirements_from_api(resources: Mapping[str, Any] | None) -> ResourceRequirements | None:
    if resources is None:
        return None
    limits, reservations = resources.get("Limits"), resources.get("Reservations")
    swap = resources.get("SwapBytes")
    if swap is not None and not (limits or {}).get("MemoryBytes"):
        raise InvalidParameter("memory swap provided, but no memory-limit was set")
    return ResourceRequirements(
        None if limits is None else Resources(limits.get("NanoCPUs") or 0, limits.get("MemoryBytes") or 0),
        None if reservations is None else resources_from_api(reservations),
        swap,
        resources.get("MemorySwappiness"),
    )


def resources_from_api(resources: Mapping[str, Any]) -> Resources:
    """Read resources with the user-defined ones."""
    generic: list[tuple[str, int | str]] = []
    for each in resources.get("GenericResources") or ():
        spec = each.get("DiscreteResourceSpec") or each.get("NamedResourceSpec") or {}
        generic.append((spec.get("Kind") or "", spec.get("Value") or 0))
    return Resources(resources.get("NanoCPUs") or 0, resources.get("MemoryBytes") or 0, tuple(generic))


def _restart_from_api(policy: Mapping[str, Any] | None) -> RestartPolicy | None:
    if policy is None:
        return None
    condition = policy.get("Condition") or "any"
    try:
        chosen = RestartCondition(condition)
    except ValueError:
        raise InvalidParameter(f'invalid RestartCondition: "{condition}"') from None
    return RestartPolicy(chosen, policy.get("Delay"), policy.get("MaxAttempts") or 0, policy.get("Window"))


def _placement_from_api(placement: Mapping[str, Any] | None) -> Placement | None:
    if placement is None:
        return None
    spreads = (each.get("Spread") for each in placement.get("Preferences") or ())
    return Placement(
        texts(placement.get("Constraints")),
        tuple(spread.get("SpreadDescriptor") or "" for spread in spreads if spread is not None),
        placement.get("MaxReplicas") or 0,
        tuple(
            Platform(each.get("Architecture") or "", each.get("OS") or "")
            for each in placement.get("Platforms") or ()
        ),
    )


def _update_from_api(config: Mapping[str, Any] | None) -> UpdateConfig | None:
    if config is None:
        return None
    action, order = config.get("FailureAction") or "pause", config.get("Order") or "stop-first"
    try:
        failure_action = FailureAction(action)
    except ValueError:
        raise InvalidParameter(f"unrecognized update failure action {action}") from None
    try:
        update_order = UpdateOrder(order)
    except ValueError:
        raise InvalidParameter(f"unrecognized update order {order}") from None
    return UpdateConfig(
        config.get("Parallelism") or 0,
        config.get("Delay") or 0,
        failure_action,
        config.get("Monitor") or None,
        config.get("MaxFailureRatio") or 0.0,
        update_order,
    )


def _endpoint_from_api(spec: Mapping[str, Any]) -> EndpointSpec:
    mode = spec.get("Mode") or "vip"
    if mode not in {"vip", "dnsrr"}:
        raise InvalidParameter(f'invalid resolution mode: "{mode}"')
    return EndpointSpec(ResolutionMode(mode), tuple(port_from_api(each) for each in spec.get("Ports") or ()))


def port_from_api(port: Mapping[str, Any]) -> PortConfig:
    """Read a port; an unknown protocol or mode is the first there is, as with protobuf."""
    protocol = (port.get("Protocol") or "").lower()
    mode = (port.get("PublishMode") or "").lower()
    return PortConfig(
        port.get("Name") or "",
        protocol if protocol in {"tcp", "udp", "sctp"} else "tcp",
        port.get("TargetPort") or 0,
        port.get("PublishedPort") or 0,
        PublishMode.HOST if mode == "host" else PublishMode.INGRESS,
    )


def _mode_from_api(mode: Mapping[str, Any]) -> ServiceMode:
    given = [name for name in ("Global", "Replicated", "ReplicatedJob", "GlobalJob") if mode.get(name) is not None]
    if len(given) > 1:
        raise InvalidParameter("must specify only one service mode")
    if given == ["Global"]:
        return Global()
    if given == ["GlobalJob"]:
        return GlobalJob()
    if given == ["ReplicatedJob"]:
        job = mode["ReplicatedJob"]
        concurrent = 1 if job.get("MaxConcurrent") is None else job["MaxConcurrent"]
        total = job.get("TotalCompletions")
        return ReplicatedJob(concurrent, concurrent if total is None else total)
    replicas = (mode.get("Replicated") or {}).get("Replicas")
    return Replicated(1 if replicas is None else replicas)


# ---- to the API


def service_to_api(service: Service, *, prints_old_networks: bool = False) -> dict[str, Any]:
    """Print a service. Engines before 29 print networks in the old place too (`prints_old_networks`)."""
    previous = service.previous_spec
    status = service.update_status
    job = service.job_status
    return {
        "ID": service.id,
        **meta_to_api(service.meta.version, service.meta.created_ns, service.meta.updated_ns),
        "Spec": service_spec_to_api(service.spec, prints_old_networks=prints_old_networks),
        **pointer(
            "PreviousSpec",
            None if previous is None else service_spec_to_api(previous, prints_old_networks=prints_old_networks),
        ),
        "Endpoint": endpoint_to_api(service.endpoint),
        **pointer("UpdateStatus", None if status is None else _update_status_to_api(status)),
        **pointer(
            "JobStatus",
            None
            if job is None
            else {
                "JobIteration": omit_empty(("Index", job.job_iteration)),
                "LastExecution": moment(job.last_execution_ns),
            },
        ),
    }


def meta_to_api(version: int, created_ns: int, updated_ns: int) -> dict[str, Any]:
    """Print an object's version and moments."""
    return {
        "Version": omit_empty(("Index", version)),
        "CreatedAt": moment(created_ns),
        "UpdatedAt": moment(updated_ns),
    }


def annotations_to_api(annotations: Annotations) -> dict[str, Any]:
    """Print a name and labels."""
    return {**omit_empty(("Name", annotations.name)), "Labels": dict(sorted(annotations.labels.items()))}


def service_spec_to_api(spec: ServiceSpec, *, prints_old_networks: bool = False) -> dict[str, Any]:
    """Print a service's spec."""
    template = task_spec_to_api(spec.task)
    old = [_attachment_to_api(each) for each in spec.networks]
    if old and not spec.task.networks and not prints_old_networks:
        template["Networks"] = old
    return {
        **annotations_to_api(spec.annotations),
        "TaskTemplate": {**template, **({"Runtime": "container"} if spec.task.container is not None else {})},
        "Mode": _mode_to_api(spec.mode),
        **pointer("UpdateConfig", None if spec.update is None else _update_to_api(spec.update)),
        **pointer("RollbackConfig", None if spec.rollback is None else _update_to_api(spec.rollback)),
        **({"Networks": old} if old and prints_old_networks else {}),
        **pointer("EndpointSpec", None if spec.endpoint is None else endpoint_spec_to_api(spec.endpoint)),
    }


def task_spec_to_api(spec: TaskSpec) -> dict[str, Any]:
    """Print a task's spec."""
    attachment = spec.attachment
    return {
        **pointer("ContainerSpec", None if spec.container is None else container_to_api(spec.container)),
        **pointer("NetworkAttachmentSpec", None if attachment is None else {"ContainerID": attachment.container_id}),
        **pointer("Resources", _requirements_to_api(spec)),
        **pointer("RestartPolicy", None if spec.restart is None else _restart_to_api(spec.restart)),
        **pointer("Placement", None if spec.placement is None else _placement_to_api(spec.placement)),
        **omit_empty(("Networks", [_attachment_to_api(each) for each in spec.networks])),
        **pointer("LogDriver", None if spec.log_driver is None else driver_to_api(spec.log_driver)),
        "ForceUpdate": spec.force_update,
        **({"Runtime": "attachment"} if attachment is not None else {}),
    }


def driver_to_api(driver: Driver) -> dict[str, Any]:
    """Print a driver."""
    return omit_empty(("Name", driver.name), ("Options", mapping(driver.options)))


def _attachment_to_api(config: NetworkAttachmentConfig) -> dict[str, Any]:
    return omit_empty(
        ("Target", config.target), ("Aliases", list(config.aliases)), ("DriverOpts", mapping(config.driver_opts))
    )


def _requirements_to_api(spec: TaskSpec) -> dict[str, Any] | None:
    resources = spec.resources
    pids = spec.container.pids_limit if spec.container is not None else 0
    if resources is None:
        return {"Limits": {"Pids": pids}} if pids else None
    limits = resources.limits
    limit_fields = None
    if limits is not None or pids:
        given = limits or Resources()
        limit_fields = omit_empty(("NanoCPUs", given.nano_cpus), ("MemoryBytes", given.memory_bytes), ("Pids", pids))
    return {
        **pointer("Limits", limit_fields),
        **pointer(
            "Reservations", None if resources.reservations is None else resources_to_api(resources.reservations)
        ),
        **pointer("SwapBytes", resources.swap_bytes),
        **pointer("MemorySwappiness", resources.memory_swappiness),
    }


def resources_to_api(resources: Resources) -> dict[str, Any]:
    """Print resources with the user-defined ones."""
    return omit_empty(
        ("NanoCPUs", resources.nano_cpus),
        ("MemoryBytes", resources.memory_bytes),
        ("GenericResources", [generic_to_api(each) for each in resources.generic]),
    )


def generic_to_api(resource: tuple[str, int | str]) -> dict[str, Any]:
    """Print a user-defined resource."""
    kind, value = resource
    field = "NamedResourceSpec" if isinstance(value, str) else "DiscreteResourceSpec"
    return {field: omit_empty(("Kind", kind), ("Value", value))}


def _restart_to_api(policy: RestartPolicy) -> dict[str, Any]:
    return {
        "Condition": policy.condition.value,
        **pointer("Delay", policy.delay_ns),
        "MaxAttempts": policy.max_attempts,
        **pointer("Window", policy.window_ns),
    }


def _placement_to_api(placement: Placement) -> dict[str, Any]:
    return omit_empty(
        ("Constraints", list(placement.constraints)),
        ("Preferences", [{"Spread": {"SpreadDescriptor": each}} for each in placement.preferences]),
        ("MaxReplicas", placement.max_replicas),
        ("Platforms", [platform_to_api(each) for each in placement.platforms]),
    )


def platform_to_api(platform: Platform) -> dict[str, Any]:
    """Print a platform."""
    return omit_empty(("Architecture", platform.architecture), ("OS", platform.os))


def _update_to_api(config: UpdateConfig) -> dict[str, Any]:
    return {
        "Parallelism": config.parallelism,
        **omit_empty(("Delay", config.delay_ns)),
        "FailureAction": config.failure_action.value,
        **omit_empty(("Monitor", config.monitor_ns)),
        "MaxFailureRatio": number(config.max_failure_ratio),
        "Order": config.order.value,
    }


def _update_status_to_api(status: UpdateStatus) -> dict[str, Any]:
    return {
        "State": status.state.value,
        **({"StartedAt": moment(status.started_ns)} if status.started_ns else {}),
        **({"CompletedAt": moment(status.completed_ns)} if status.completed_ns else {}),
        **omit_empty(("Message", status.message)),
    }


def _mode_to_api(mode: ServiceMode) -> dict[str, Any]:
    match mode:
        case Replicated(replicas):
            return {"Replicated": {"Replicas": replicas}}
        case ReplicatedJob(concurrent, total):
            return {"ReplicatedJob": {"MaxConcurrent": concurrent, "TotalCompletions": total}}
        case Global():
            return {"Global": {}}
        case _:
            return {"GlobalJob": {}}


def endpoint_spec_to_api(spec: EndpointSpec) -> dict[str, Any]:
    """Print how a service is to be reached."""
    return {"Mode": spec.mode.value, **omit_empty(("Ports", [port_to_api(each) for each in spec.ports]))}


def port_to_api(port: PortConfig) -> dict[str, Any]:
    """Print a port."""
    return omit_empty(
        ("Name", port.name),
        ("Protocol", port.protocol),
        ("TargetPort", port.target_port),
        ("PublishedPort", port.published_port),
        ("PublishMode", port.publish_mode.value),
    )


def endpoint_to_api(endpoint: Endpoint | None) -> dict[str, Any]:
    """Print how a service is reached, as allocated."""
    if endpoint is None:
        return {"Spec": {}}
    return {
        "Spec": {} if endpoint.spec is None else endpoint_spec_to_api(endpoint.spec),
        **omit_empty(
            ("Ports", [port_to_api(each) for each in endpoint.ports]),
            (
                "VirtualIPs",
                [omit_empty(("NetworkID", each.network_id), ("Addr", each.addr)) for each in endpoint.virtual_ips],
            ),
        ),
    }
