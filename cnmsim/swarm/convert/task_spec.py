"""Conversion of task specs from and to the Engine API's JSON (moby `daemon/cluster/convert/{service,network}.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gojson.fields import omit_empty, omit_nil, parse_enum, sorted_map, string_tuple
from cnmsim.swarm.convert.container import container_from_api, container_to_api
from cnmsim.swarm.objects.base import Driver, RestartCondition
from cnmsim.swarm.objects.network import NetworkAttachmentConfig
from cnmsim.swarm.objects.service import Placement, Platform, ResourceRequirements, Resources, RestartPolicy, TaskSpec

# ---- from the API


def task_spec_from_api(template: Mapping[str, Any]) -> TaskSpec:
    """Convert a JSON `TaskTemplate`.

    Raises `InvalidParameter` if it has no container spec or an invalid value, `SystemFault` if it describes a plugin.
    """
    runtime = template["Runtime"] or "container"
    if runtime not in {"container", "plugin"}:
        raise InvalidParameter("unsupported runtime")
    container = template["ContainerSpec"]
    if runtime == "plugin" and template["PluginSpec"] is not None:
        # Services that run plugins need an engine with experimental features.
        raise SystemFault('runtime type "plugin" only supported in experimental')
    if runtime == "plugin" or container is None:
        raise InvalidParameter("mismatched Runtime and *Spec fields")
    resources = template["Resources"]
    limits = None if resources is None else resources["Limits"]
    return TaskSpec(
        container=container_from_api(container, 0 if limits is None else limits["Pids"]),
        resources=_requirements_from_api(resources),
        restart=_restart_from_api(template["RestartPolicy"]),
        placement=_placement_from_api(template["Placement"]),
        networks=networks_from_api(template["Networks"]),
        log_driver=driver_from_api(template["LogDriver"]),
        force_update=template["ForceUpdate"],
    )


def driver_from_api(driver: Mapping[str, Any] | None) -> Driver | None:
    """Convert a JSON driver (its name and options); `None` is returned unchanged."""
    return None if driver is None else Driver(driver["Name"], driver["Options"])


def networks_from_api(networks: Any) -> tuple[NetworkAttachmentConfig, ...]:
    """Convert a JSON list of network attachments."""
    return tuple(
        NetworkAttachmentConfig(
            attachment["Target"], string_tuple(attachment["Aliases"]), driver_opts=attachment["DriverOpts"]
        )
        for attachment in networks or ()
    )


def _requirements_from_api(resources: Mapping[str, Any] | None) -> ResourceRequirements | None:
    if resources is None:
        return None
    limits, reservations, swap = resources["Limits"], resources["Reservations"], resources["SwapBytes"]
    if swap is not None and (limits is None or not limits["MemoryBytes"]):
        raise InvalidParameter("memory swap provided, but no memory-limit was set")
    return ResourceRequirements(
        None if limits is None else Resources(limits["NanoCPUs"], limits["MemoryBytes"]),
        None if reservations is None else _resources_from_api(reservations),
        swap,
        resources["MemorySwappiness"],
    )


def _resources_from_api(resources: Mapping[str, Any]) -> Resources:
    """Convert JSON resources: CPUs, memory and user-defined resources."""
    specs = (
        resource["DiscreteResourceSpec"] or resource["NamedResourceSpec"]
        for resource in resources["GenericResources"] or ()
    )
    generic = tuple((spec["Kind"], spec["Value"]) for spec in specs if spec is not None)
    return Resources(resources["NanoCPUs"], resources["MemoryBytes"], generic)


def _restart_from_api(policy: Mapping[str, Any] | None) -> RestartPolicy | None:
    if policy is None:
        return None
    condition = policy["Condition"] or "any"
    chosen = parse_enum(RestartCondition, condition, f'invalid RestartCondition: "{condition}"')
    return RestartPolicy(chosen, policy["Delay"], policy["MaxAttempts"] or 0, policy["Window"])


def _placement_from_api(placement: Mapping[str, Any] | None) -> Placement | None:
    if placement is None:
        return None
    spreads = (preference["Spread"] for preference in placement["Preferences"] or ())
    return Placement(
        string_tuple(placement["Constraints"]),
        tuple(spread["SpreadDescriptor"] for spread in spreads if spread is not None),
        placement["MaxReplicas"],
        tuple(Platform(platform["Architecture"], platform["OS"]) for platform in placement["Platforms"] or ()),
    )


# ---- to the API


def task_spec_to_api(spec: TaskSpec) -> dict[str, Any]:
    """Return a task spec as JSON."""
    attachment = spec.attachment
    return {
        **omit_nil("ContainerSpec", spec.container, container_to_api),
        **omit_nil("NetworkAttachmentSpec", None if attachment is None else {"ContainerID": attachment.container_id}),
        **omit_nil("Resources", _requirements_to_api(spec)),
        **omit_nil("RestartPolicy", spec.restart, _restart_to_api),
        **omit_nil("Placement", spec.placement, _placement_to_api),
        **omit_empty(("Networks", [attachment_to_api(attachment) for attachment in spec.networks])),
        **omit_nil("LogDriver", spec.log_driver, driver_to_api),
        "ForceUpdate": spec.force_update,
        **({"Runtime": "attachment"} if attachment is not None else {}),
    }


def driver_to_api(driver: Driver) -> dict[str, Any]:
    """Return a driver as JSON."""
    return omit_empty(("Name", driver.name), ("Options", sorted_map(driver.options)))


def attachment_to_api(config: NetworkAttachmentConfig) -> dict[str, Any]:
    """Return a network attachment as JSON."""
    return omit_empty(
        ("Target", config.target), ("Aliases", list(config.aliases)), ("DriverOpts", sorted_map(config.driver_opts))
    )


def _requirements_to_api(spec: TaskSpec) -> dict[str, Any] | None:
    resources = spec.resources
    pids = spec.container.pids_limit if spec.container is not None else 0
    if resources is None:
        return {"Limits": {"Pids": pids}} if pids else None
    limits = resources.limits
    limit_fields = None
    if limits is not None or pids:
        limited = limits or Resources()
        limit_fields = omit_empty(
            ("NanoCPUs", limited.nano_cpus), ("MemoryBytes", limited.memory_bytes), ("Pids", pids)
        )
    return {
        **omit_nil("Limits", limit_fields),
        **omit_nil("Reservations", resources.reservations, resources_to_api),
        **omit_nil("SwapBytes", resources.swap_bytes),
        **omit_nil("MemorySwappiness", resources.memory_swappiness),
    }


def resources_to_api(resources: Resources) -> dict[str, Any]:
    """Return resources as JSON, including user-defined ones."""
    return omit_empty(
        ("NanoCPUs", resources.nano_cpus),
        ("MemoryBytes", resources.memory_bytes),
        ("GenericResources", [generic_to_api(resource) for resource in resources.generic]),
    )


def generic_to_api(resource: tuple[str, int | str]) -> dict[str, Any]:
    """Return a user-defined resource as JSON."""
    kind, value = resource
    field = "NamedResourceSpec" if isinstance(value, str) else "DiscreteResourceSpec"
    return {field: omit_empty(("Kind", kind), ("Value", value))}


def _restart_to_api(policy: RestartPolicy) -> dict[str, Any]:
    return {
        "Condition": policy.condition.value,
        **omit_nil("Delay", policy.delay_ns),
        "MaxAttempts": policy.max_attempts,
        **omit_nil("Window", policy.window_ns),
    }


def _placement_to_api(placement: Placement) -> dict[str, Any]:
    return omit_empty(
        ("Constraints", list(placement.constraints)),
        ("Preferences", [{"Spread": {"SpreadDescriptor": descriptor}} for descriptor in placement.preferences]),
        ("MaxReplicas", placement.max_replicas),
        ("Platforms", [platform_to_api(platform) for platform in placement.platforms]),
    )


def platform_to_api(platform: Platform) -> dict[str, Any]:
    """Return a platform as JSON."""
    return omit_empty(("Architecture", platform.architecture), ("OS", platform.os))
