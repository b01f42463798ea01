"""Services, and the specs their tasks are made by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

from cnmsim.swarm.objects.base import (
    Annotations,
    Driver,
    FailureAction,
    Labels,
    Meta,
    PublishMode,
    ResolutionMode,
    RestartCondition,
    UpdateOrder,
    UpdateState,
)
from cnmsim.swarm.objects.network import NetworkAttachmentConfig

#: A part of a spec that swarm passes on and never reads, in the form of the Engine API.
Json: TypeAlias = Mapping[str, Any]


@frozen
class FileTarget:
    """The file a secret or config becomes in a container; `mode` as `os.stat` has it."""

    name: str = ""
    uid: str = "0"
    gid: str = "0"
    mode: int = 0o444


@frozen
class SecretReference:
    """A secret that a task uses; `file` is `None` where a client left it out."""

    secret_id: str
    secret_name: str
    file: FileTarget | None = None


@frozen
class ConfigReference:
    """A config that a task uses: as a file, or (`runtime`) only to be read by the engine."""

    config_id: str
    config_name: str
    file: FileTarget | None = None
    runtime: bool = False


@frozen
class ContainerSpec:
    """The container of a task. What has no meaning for swarm stays as it came: dicts of the Engine API."""

    image: str = ""
    labels: Labels | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    hostname: str = ""
    env: tuple[str, ...] = ()
    dir: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    privileges: Json | None = None
    init: bool | None = None
    stop_signal: str = ""
    tty: bool = False
    open_stdin: bool = False
    read_only: bool = False
    mounts: tuple[Json, ...] = ()
    stop_grace_period_ns: int | None = None
    healthcheck: Json | None = None
    hosts: tuple[str, ...] = ()
    dns_config: Json | None = None
    secrets: tuple[SecretReference, ...] = ()
    configs: tuple[ConfigReference, ...] = ()
    isolation: str = ""
    sysctls: Labels | None = None
    capability_add: tuple[str, ...] = ()
    capability_drop: tuple[str, ...] = ()
    ulimits: tuple[Json, ...] = ()
    oom_score_adj: int = 0
    pids_limit: int = 0


@frozen
class AttachmentSpec:
    """The serviceless "task" of an unmanaged container on a network of the cluster."""

    container_id: str


@frozen
class Resources:
    """CPU in billionths, memory in bytes, and counted or named resources (`(kind, value)`, named ones as text)."""

    nano_cpus: int = 0
    memory_bytes: int = 0
    generic: tuple[tuple[str, int | str], ...] = ()


@frozen
class ResourceRequirements:
    """What a task may use at most, and what is kept for it."""

    limits: Resources | None = None
    reservations: Resources | None = None
    swap_bytes: int | None = None
    memory_swappiness: int | None = None


@frozen
class RestartPolicy:
    """When an ended task is replaced. `delay_ns` and `window_ns` are `None` where the default holds."""

    condition: RestartCondition = RestartCondition.ANY
    delay_ns: int | None = None
    max_attempts: int = 0
    window_ns: int | None = None


@frozen
class Platform:
    """An operating system and processor; an empty field fits any."""

    architecture: str = ""
    os: str = ""


@frozen
class Placement:
    """Where tasks may go. `preferences` are the descriptors to spread over, such as `node.labels.zone`."""

    constraints: tuple[str, ...] = ()
    preferences: tuple[str, ...] = ()
    max_replicas: int = 0
    platforms: tuple[Platform, ...] = ()


@frozen
class TaskSpec:
    """What a task is. One of `container` and `attachment` is set."""

    container: ContainerSpec | None = None
    attachment: AttachmentSpec | None = None
    resources: ResourceRequirements | None = None
    restart: RestartPolicy | None = None
    placement: Placement | None = None
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    log_driver: Driver | None = None
    force_update: int = 0

    @property
    def runtime(self) -> str:
        """How filters call what it is."""
        return "container" if self.container is not None else "attachment"


@frozen
class Replicated:
    """So many tasks, wherever they fit."""

    replicas: int = 1


@frozen
class Global:
    """One task on each node that fits."""


@frozen
class ReplicatedJob:
    """Tasks until so many have completed, `max_concurrent` at a time."""

    max_concurrent: int = 1
    total_completions: int = 1


@frozen
class GlobalJob:
    """One task on each node that fits, until it has completed."""


ServiceMode: TypeAlias = Replicated | Global | ReplicatedJob | GlobalJob


@frozen
class UpdateConfig:
    """How tasks are replaced; `monitor_ns` is `None` where the default holds."""

    parallelism: int = 0
    delay_ns: int = 0
    failure_action: FailureAction = FailureAction.PAUSE
    monitor_ns: int | None = None
    max_failure_ratio: float = 0.0
    order: UpdateOrder = UpdateOrder.STOP_FIRST


@frozen
class PortConfig:
    """A port of a service: `published_port` 0 asks for one to be chosen."""

    name: str = ""
    protocol: str = "tcp"
    target_port: int = 0
    published_port: int = 0
    publish_mode: PublishMode = PublishMode.INGRESS


@frozen
class EndpointSpec:
    """How a service is reached."""

    mode: ResolutionMode = ResolutionMode.VIP
    ports: tuple[PortConfig, ...] = ()


@frozen
class VirtualIp:
    """A service's address on one network, in prefix form; empty while it is not allocated."""

    network_id: str
    addr: str = ""


@frozen
class Endpoint:
    """How a service is reached, as allocated."""

    spec: EndpointSpec | None = None
    ports: tuple[PortConfig, ...] = ()
    virtual_ips: tuple[VirtualIp, ...] = ()


@frozen
class ServiceSpec:
    """What was asked for. `networks` is the old place for what `task.networks` holds."""

    annotations: Annotations = field(factory=Annotations)
    task: TaskSpec = field(factory=TaskSpec)
    mode: ServiceMode = field(factory=Replicated)
    update: UpdateConfig | None = None
    rollback: UpdateConfig | None = None
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    endpoint: EndpointSpec | None = None


@frozen
class UpdateStatus:
    """How far the last update has come; moments are `None` until they have passed."""

    state: UpdateState
    started_ns: int | None = None
    completed_ns: int | None = None
    message: str = ""


@frozen
class JobStatus:
    """Which run of a job it is, and since when."""

    job_iteration: int = 0
    last_execution_ns: int = 0


@frozen(eq=False)
class Service:
    """A service. `spec_version` is the index at which `spec` was set; tasks made by it carry it too."""

    id: str
    spec: ServiceSpec = field(factory=ServiceSpec)
    meta: Meta = field(factory=Meta)
    spec_version: int | None = None
    previous_spec: ServiceSpec | None = None
    previous_spec_version: int | None = None
    endpoint: Endpoint | None = None
    update_status: UpdateStatus | None = None
    job_status: JobStatus | None = None
    pending_delete: bool = False

    @property
    def name(self) -> str:
        """The service's name."""
        return self.spec.annotations.name

    @property
    def networks(self) -> tuple[NetworkAttachmentConfig, ...]:
        """The networks its tasks want: those of the task spec, or else those in the old place."""
        return self.spec.task.networks or self.spec.networks
