"""Conversion of services from and to the Engine API's JSON (moby `daemon/cluster/convert/service.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from cnmsim.errors import InvalidParameter
from cnmsim.gojson.fields import go_float, omit_empty, omit_nil, parse_enum, rfc3339
from cnmsim.swarm.convert.common import annotations_to_api, head_to_api
from cnmsim.swarm.convert.task_spec import attachment_to_api, networks_from_api, task_spec_from_api, task_spec_to_api
from cnmsim.swarm.objects.base import Annotations, FailureAction, PublishMode, ResolutionMode, UpdateOrder
from cnmsim.swarm.objects.service import (
    Endpoint,
    EndpointSpec,
    Global,
    GlobalJob,
    JobStatus,
    PortConfig,
    Replicated,
    ReplicatedJob,
    Service,
    ServiceMode,
    ServiceSpec,
    UpdateConfig,
    UpdateStatus,
)

# ---- from the API


def service_spec_from_api(spec: Mapping[str, Any], default_name: str = "") -> ServiceSpec:
    """Convert a JSON service spec. A spec without a name gets `default_name`.

    Raises `InvalidParameter` for an invalid value, with the daemon's text.
    """
    endpoint = spec["EndpointSpec"]
    return ServiceSpec(
        annotations=Annotations(spec["Name"] or default_name, dict(spec["Labels"] or {})),
        task=task_spec_from_api(spec["TaskTemplate"]),
        mode=_mode_from_api(spec["Mode"]),
        update=_update_from_api(spec["UpdateConfig"]),
        rollback=_update_from_api(spec["RollbackConfig"]),
        networks=networks_from_api(spec["Networks"]),
        endpoint=None if endpoint is None else _endpoint_from_api(endpoint),
    )


def _update_from_api(config: Mapping[str, Any] | None) -> UpdateConfig | None:
    if config is None:
        return None
    action, order = config["FailureAction"] or "pause", config["Order"] or "stop-first"
    failure_action = parse_enum(FailureAction, action, f"unrecognized update failure action {action}")
    update_order = parse_enum(UpdateOrder, order, f"unrecognized update order {order}")
    return UpdateConfig(
        config["Parallelism"],
        config["Delay"],
        failure_action,
        config["Monitor"] or None,
        config["MaxFailureRatio"],
        update_order,
    )


def _endpoint_from_api(spec: Mapping[str, Any]) -> EndpointSpec:
    mode = spec["Mode"] or "vip"
    resolution = parse_enum(ResolutionMode, mode, f'invalid resolution mode: "{mode}"')
    return EndpointSpec(resolution, tuple(port_from_api(port) for port in spec["Ports"] or ()))


def port_from_api(port: Mapping[str, Any]) -> PortConfig:
    """Convert a JSON port.

    An unknown protocol becomes tcp, and an unknown publish mode becomes ingress, because these are the zero values in
    protobuf.
    """
    protocol, mode = port["Protocol"].lower(), port["PublishMode"].lower()
    return PortConfig(
        port["Name"],
        protocol if protocol in {"tcp", "udp", "sctp"} else "tcp",
        port["TargetPort"],
        port["PublishedPort"],
        PublishMode.HOST if mode == "host" else PublishMode.INGRESS,
    )


def _mode_from_api(mode: Mapping[str, Any]) -> ServiceMode:
    modes = [name for name in ("Global", "Replicated", "ReplicatedJob", "GlobalJob") if mode[name] is not None]
    if len(modes) > 1:
        raise InvalidParameter("must specify only one service mode")
    if modes == ["Global"]:
        return Global()
    if modes == ["GlobalJob"]:
        return GlobalJob()
    if modes == ["ReplicatedJob"]:
        job = mode["ReplicatedJob"]
        concurrent = 1 if job["MaxConcurrent"] is None else job["MaxConcurrent"]
        total = job["TotalCompletions"]
        return ReplicatedJob(concurrent, concurrent if total is None else total)
    replicas = None if mode["Replicated"] is None else mode["Replicated"]["Replicas"]
    return Replicated(1 if replicas is None else replicas)


# ---- to the API


def service_to_api(service: Service, *, prints_old_networks: bool = False) -> dict[str, Any]:
    """Return a service in the form of `service inspect`.

    With `prints_old_networks` the result includes `Spec.Networks`, as with engines before 29.
    """
    to_api = partial(service_spec_to_api, prints_old_networks=prints_old_networks)
    return {
        **head_to_api(service),
        "Spec": to_api(service.spec),
        **omit_nil("PreviousSpec", service.previous_spec, to_api),
        "Endpoint": endpoint_to_api(service.endpoint),
        **omit_nil("UpdateStatus", service.update_status, _update_status_to_api),
        **omit_nil("JobStatus", service.job_status, _job_status_to_api),
    }


def _job_status_to_api(job: JobStatus) -> dict[str, Any]:
    return {
        "JobIteration": omit_empty(("Index", job.job_iteration)),
        "LastExecution": rfc3339(job.last_execution_ns),
    }


def service_spec_to_api(spec: ServiceSpec, *, prints_old_networks: bool = False) -> dict[str, Any]:
    """Return a service spec as JSON.

    Networks in the field of old clients (`spec.networks`) are returned as `Networks` with `prints_old_networks`, as
    in engines before 29; otherwise in `TaskTemplate`, unless that has networks of its own.
    """
    template = task_spec_to_api(spec.task)
    old = [attachment_to_api(attachment) for attachment in spec.networks]
    if old and not spec.task.networks and not prints_old_networks:
        template["Networks"] = old
    return {
        **annotations_to_api(spec.annotations),
        "TaskTemplate": {**template, **({"Runtime": "container"} if spec.task.container is not None else {})},
        "Mode": _mode_to_api(spec.mode),
        **omit_nil("UpdateConfig", spec.update, _update_to_api),
        **omit_nil("RollbackConfig", spec.rollback, _update_to_api),
        **({"Networks": old} if old and prints_old_networks else {}),
        **omit_nil("EndpointSpec", spec.endpoint, endpoint_spec_to_api),
    }


def _update_to_api(config: UpdateConfig) -> dict[str, Any]:
    return {
        "Parallelism": config.parallelism,
        **omit_empty(("Delay", config.delay_ns)),
        "FailureAction": config.failure_action.value,
        **omit_empty(("Monitor", config.monitor_ns)),
        "MaxFailureRatio": go_float(config.max_failure_ratio),
        "Order": config.order.value,
    }


def _update_status_to_api(status: UpdateStatus) -> dict[str, Any]:
    return {
        "State": status.state.value,
        **omit_nil("StartedAt", status.started_ns or None, rfc3339),
        **omit_nil("CompletedAt", status.completed_ns or None, rfc3339),
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
    """Return an endpoint spec as JSON."""
    return {"Mode": spec.mode.value, **omit_empty(("Ports", [port_to_api(port) for port in spec.ports]))}


def port_to_api(port: PortConfig) -> dict[str, Any]:
    """Return a port as JSON."""
    return omit_empty(
        ("Name", port.name),
        ("Protocol", port.protocol),
        ("TargetPort", port.target_port),
        ("PublishedPort", port.published_port),
        ("PublishMode", port.publish_mode.value),
    )


def endpoint_to_api(endpoint: Endpoint | None) -> dict[str, Any]:
    """Return a service's allocated endpoint as JSON; for `None`, an object with an empty `Spec`."""
    if endpoint is None:
        return {"Spec": {}}
    return {
        "Spec": {} if endpoint.spec is None else endpoint_spec_to_api(endpoint.spec),
        **omit_empty(
            ("Ports", [port_to_api(port) for port in endpoint.ports]),
            (
                "VirtualIPs",
                [omit_empty(("NetworkID", vip.network_id), ("Addr", vip.addr)) for vip in endpoint.virtual_ips],
            ),
        ),
    }
