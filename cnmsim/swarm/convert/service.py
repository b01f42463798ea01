"""Conversion of services from and to the Engine API's JSON (moby `daemon/cluster/convert/service.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.errors import InvalidParameter
from cnmsim.swarm.convert.common import annotations_to_api, meta_to_api
from cnmsim.swarm.convert.gojson import go_float, omit_empty, omit_nil, rfc3339_nano
from cnmsim.swarm.convert.task_spec import (
    attachment_to_api,
    networks_from_api,
    task_spec_from_api,
    task_spec_to_api,
)
from cnmsim.swarm.objects.base import Annotations, FailureAction, PublishMode, ResolutionMode, UpdateOrder
from cnmsim.swarm.objects.service import (
    Endpoint,
    EndpointSpec,
    Global,
    GlobalJob,
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

    Raises `InvalidParameter` with the daemon's message.
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
    try:
        failure_action = FailureAction(action)
    except ValueError:
        raise InvalidParameter(f"unrecognized update failure action {action}") from None
    try:
        update_order = UpdateOrder(order)
    except ValueError:
        raise InvalidParameter(f"unrecognized update order {order}") from None
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
    if mode not in {"vip", "dnsrr"}:
        raise InvalidParameter(f'invalid resolution mode: "{mode}"')
    return EndpointSpec(ResolutionMode(mode), tuple(port_from_api(port) for port in spec["Ports"] or ()))


def port_from_api(port: Mapping[str, Any]) -> PortConfig:
    """Convert a JSON port.

    An unknown protocol becomes tcp, an unknown publish mode ingress: the zero values in protobuf.
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

    `prints_old_networks`: include `Spec.Networks`, as engines before 29 do.
    """
    previous = service.previous_spec
    status = service.update_status
    job = service.job_status
    return {
        "ID": service.id,
        **meta_to_api(service.meta.version, service.meta.created_ns, service.meta.updated_ns),
        "Spec": service_spec_to_api(service.spec, prints_old_networks=prints_old_networks),
        **omit_nil(
            "PreviousSpec",
            None if previous is None else service_spec_to_api(previous, prints_old_networks=prints_old_networks),
        ),
        "Endpoint": endpoint_to_api(service.endpoint),
        **omit_nil("UpdateStatus", None if status is None else _update_status_to_api(status)),
        **omit_nil(
            "JobStatus",
            None
            if job is None
            else {
                "JobIteration": omit_empty(("Index", job.job_iteration)),
                "LastExecution": rfc3339_nano(job.last_execution_ns),
            },
        ),
    }


def service_spec_to_api(spec: ServiceSpec, *, prints_old_networks: bool = False) -> dict[str, Any]:
    """Return a service spec as JSON."""
    template = task_spec_to_api(spec.task)
    old = [attachment_to_api(attachment) for attachment in spec.networks]
    if old and not spec.task.networks and not prints_old_networks:
        template["Networks"] = old
    return {
        **annotations_to_api(spec.annotations),
        "TaskTemplate": {**template, **({"Runtime": "container"} if spec.task.container is not None else {})},
        "Mode": _mode_to_api(spec.mode),
        **omit_nil("UpdateConfig", None if spec.update is None else _update_to_api(spec.update)),
        **omit_nil("RollbackConfig", None if spec.rollback is None else _update_to_api(spec.rollback)),
        **({"Networks": old} if old and prints_old_networks else {}),
        **omit_nil("EndpointSpec", None if spec.endpoint is None else endpoint_spec_to_api(spec.endpoint)),
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
        **({"StartedAt": rfc3339_nano(status.started_ns)} if status.started_ns else {}),
        **({"CompletedAt": rfc3339_nano(status.completed_ns)} if status.completed_ns else {}),
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
    """Return a service's allocated endpoint as JSON."""
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
