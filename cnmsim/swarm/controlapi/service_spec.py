"""Validation of service specs (moby/swarmkit `manager/controlapi/service.go`)."""

from __future__ import annotations

import re

from cnmsim.errors import SystemFault
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.constraint import Constraint
from cnmsim.swarm.controlapi.common import check_annotations
from cnmsim.swarm.errors import RpcInvalidArgument, RpcUnimplemented
from cnmsim.swarm.objects import (
    Annotations,
    ConfigReference,
    ContainerSpec,
    Endpoint,
    EndpointSpec,
    GlobalJob,
    NodeDescription,
    Platform,
    PublishMode,
    Replicated,
    ReplicatedJob,
    ResolutionMode,
    ResourceRequirements,
    Resources,
    RestartPolicy,
    SecretReference,
    ServiceMode,
    ServiceSpec,
    Task,
    TaskSpec,
    UpdateConfig,
)
from cnmsim.swarm.template import expand_container

_MIN_CPUS = 10**6
_MIN_MEMORY = 4 * 1024 * 1024
_MIN_HEALTH_NS = 1_000_000
# The form of an image reference (distribution/reference `ParseNormalizedNamed`): lower-case path components, a tag, a
# digest.
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"\w[\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*(?::{_TAG})?(?:@{_DIGEST})?", re.ASCII)
_BARE_ID = re.compile(r"[a-f0-9]{64}")


def is_job(spec: ServiceSpec) -> bool:
    """Whether a service spec has one of the two job modes."""
    return isinstance(spec.mode, ReplicatedJob | GlobalJob)


def check_service_spec(spec: ServiceSpec, profile: Profile) -> None:
    """Raise a `SwarmError` if a service spec is invalid in the release `profile`."""
    check_annotations(spec.annotations)
    _check_task(spec.task, profile)
    _check_mode(spec.mode)
    if not is_job(spec):
        _check_update(spec.update)
    elif spec.update is not None:
        raise RpcInvalidArgument("Jobs may not have an update config")
    _check_endpoint(spec.endpoint)


def _check_task(spec: TaskSpec, profile: Profile) -> None:
    _check_requirements(spec.resources)
    _check_restart(spec.restart)
    if spec.placement is not None:
        Constraint.parse_all(spec.placement.constraints)
    if spec.container is not None:
        _check_secret_references(spec.container.secrets)
        _check_config_references(spec.container)
        _check_container(spec, profile)
    elif spec.attachment is not None:
        raise RpcUnimplemented("RuntimeSpec: unimplemented runtime in service spec")
    else:
        raise RpcInvalidArgument("TaskSpec: missing runtime")


def _check_requirements(requirements: ResourceRequirements | None) -> None:
    if requirements is not None:
        for resources in (requirements.limits, requirements.reservations):
            if resources is not None:
                _check_resources(resources)


def _check_resources(resources: Resources) -> None:
    if resources.nano_cpus and resources.nano_cpus < _MIN_CPUS:
        raise RpcInvalidArgument(f"invalid cpu value {resources.nano_cpus / 1e9:g}: Must be at least 0.001")
    if resources.memory_bytes and resources.memory_bytes < _MIN_MEMORY:
        raise RpcInvalidArgument(f"invalid memory value {resources.memory_bytes}: Must be at least 4MiB")


def _check_restart(policy: RestartPolicy | None) -> None:
    if policy is not None and (policy.delay_ns or 0) < 0:
        raise RpcInvalidArgument("TaskSpec: restart-delay cannot be negative")
    if policy is not None and (policy.window_ns or 0) < 0:
        raise RpcInvalidArgument("TaskSpec: restart-window cannot be negative")


def _check_container(spec: TaskSpec, profile: Profile) -> None:
    """Raise a `SwarmError` if the container spec of `spec` is invalid.

    Its templates are expanded for a made-up task, because an error in a template would occur in every task.
    """
    task = Task(
        id="",
        spec=spec,
        service_id="serviceid",
        slot=1,
        node_id="nodeid",
        annotations=Annotations("taskname"),
        service_annotations=Annotations("servicename"),
        endpoint=Endpoint(),
    )
    node = NodeDescription("nodeHostname", Platform("architecture", "os"))
    try:
        container = expand_container(task, node, profile)
    except SystemFault as error:
        raise RpcInvalidArgument(error.message) from None
    _check_image(container.image)
    targets: set[str] = set()
    for mount in container.mounts:
        target = str(mount.get("Target", ""))
        if target in targets:
            raise RpcInvalidArgument(f"ContainerSpec: duplicate mount point: {target}")
        targets.add(target)
    if container.healthcheck is not None:
        for name in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
            value = container.healthcheck.get(name) or 0
            if value and value < _MIN_HEALTH_NS:
                raise RpcInvalidArgument(f"ContainerSpec: {name} in HealthConfig cannot be less than 1ms")
        if (container.healthcheck.get("Retries") or 0) < 0:
            raise RpcInvalidArgument("ContainerSpec: Retries in HealthConfig cannot be negative")


def _check_image(image: str) -> None:
    if not image:
        raise RpcInvalidArgument("ContainerSpec: image reference must be provided")
    if _BARE_ID.fullmatch(image) or not _REFERENCE.fullmatch(image):
        quoted = image.replace("\\", "\\\\").replace('"', '\\"')
        raise RpcInvalidArgument(f'ContainerSpec: "{quoted}" is not a valid repository/tag')


def _check_secret_references(references: tuple[SecretReference, ...]) -> None:
    targets: dict[str, str] = {}
    for reference in references:
        if not reference.secret_id or not reference.secret_name:
            raise RpcInvalidArgument("malformed secret reference")
        if reference.file is None:
            raise RpcInvalidArgument("malformed secret reference, no target provided")
        name = reference.file.name
        if not name:
            raise RpcInvalidArgument("malformed file secret reference, invalid target file name provided")
        if name in targets:
            raise RpcInvalidArgument(
                f"secret references '{targets[name]}' and '{reference.secret_name}' have a conflicting target:"
                f" '{name}'"
            )
        targets[name] = reference.secret_name


def _check_config_references(container: ContainerSpec) -> None:
    targets: dict[str, str] = {}
    for reference in container.configs:
        if not reference.config_id or not reference.config_name:
            raise RpcInvalidArgument("malformed config reference")
        if reference.file is None and not reference.runtime:
            raise RpcInvalidArgument("malformed config reference, no target provided")
        if reference.file is not None:
            _check_config_file(reference, reference.file.name, targets)
    credential = ((container.privileges or {}).get("CredentialSpec") or {}).get("Config") or ""
    if credential and not any(config.runtime and config.config_id == credential for config in container.configs):
        raise RpcInvalidArgument(
            f"CredentialSpec references config '{credential}', but that config isn't in config references with"
            " RuntimeTarget"
        )


def _check_config_file(reference: ConfigReference, name: str, targets: dict[str, str]) -> None:
    if not name:
        raise RpcInvalidArgument("malformed file config reference, invalid target file name provided")
    if name in targets:
        raise RpcInvalidArgument(
            f"config references '{targets[name]}' and '{reference.config_name}' have a conflicting target: '{name}'"
        )
    targets[name] = reference.config_name


def _check_mode(mode: ServiceMode) -> None:
    # These numbers are unsigned in the API but signed in the Go structs: the engine refuses values that overflow.
    limit = 1 << 63
    if isinstance(mode, Replicated) and not 0 <= mode.replicas < limit:
        raise RpcInvalidArgument("Number of replicas must be non-negative")
    if isinstance(mode, ReplicatedJob):
        if not 0 <= mode.max_concurrent < limit:
            raise RpcInvalidArgument("Maximum concurrent jobs must not be negative")
        if not 0 <= mode.total_completions < limit:
            raise RpcInvalidArgument("Total completed jobs must not be negative")


def _check_update(config: UpdateConfig | None) -> None:
    if config is None:
        return
    if config.delay_ns < 0:
        raise RpcInvalidArgument("TaskSpec: update-delay cannot be negative")
    if (config.monitor_ns or 0) < 0:
        raise RpcInvalidArgument("TaskSpec: update-monitor cannot be negative")
    if not 0 <= config.max_failure_ratio <= 1:
        raise RpcInvalidArgument("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")


def _check_endpoint(spec: EndpointSpec | None) -> None:
    if spec is None:
        return
    published: set[tuple[int, str]] = set()
    for port in spec.ports:
        if spec.mode is ResolutionMode.DNSRR and port.publish_mode is PublishMode.INGRESS:
            raise RpcInvalidArgument("EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
        if not port.published_port:
            continue
        if (port.published_port, port.protocol) in published:
            raise RpcInvalidArgument("EndpointSpec: duplicate published ports provided")
        published.add((port.published_port, port.protocol))
