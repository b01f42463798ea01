"""Services, and the specs from which their tasks are created."""

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

#: A part of a spec that SwarmKit does not interpret, as the Engine API's JSON.
Json: TypeAlias = Mapping[str, Any]


@frozen
class FileTarget:
    """The file in a container through which a secret or config is read. `mode` is a file mode as in `os.stat`."""

    name: str = ""
    uid: str = "0"
    gid: str = "0"
    mode: int = 0o444


@frozen
class SecretReference:
    """A reference to a secret that a task uses. `file` is `None` if the client sent no target."""

    secret_id: str
    secret_name: str
    file: FileTarget | None = None


@frozen
class ConfigReference:
    """A reference to a config that a task uses, as a file in the container.

    With `runtime` only the engine reads it.
    """

    config_id: str
    config_name: str
    file: FileTarget | None = None
    runtime: bool = False


@frozen
class ContainerSpec:
    """The container of a task. Fields that SwarmKit does not interpret are in the form of the Engine API's JSON."""

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
    """The spec of a task without a service, which attaches an unmanaged container to a network."""

    container_id: str


@frozen
class Resources:
    """An amount of resources: CPUs in billionths, memory in bytes, and generic resources.

    A generic resource is counted, such as `("apple", 3)`, or named, such as `("gpu", "uuid-1")`.
    """

    nano_cpus: int = 0
    memory_bytes: int = 0
    generic: tuple[tuple[str, int | str], ...] = ()


@frozen
class ResourceRequirements:
    """Limits of a task, and the resources reserved for it."""

    limits: Resources | None = None
    reservations: Resources | None = None
    swap_bytes: int | None = None
    memory_swappiness: int | None = None


@frozen
class RestartPolicy:
    """When to replace an ended task. `delay_ns` and `window_ns` are `None` for the default."""

    condition: RestartCondition = RestartCondition.ANY
    delay_ns: int | None = None
    max_attempts: int = 0
    window_ns: int | None = None


@frozen
class Platform:
    """An operating system and CPU architecture. An empty field matches any."""

    architecture: str = ""
    os: str = ""


@frozen
class Placement:
    """The nodes on which tasks may run, and how to spread tasks over these nodes.

    `constraints` are conditions such as `node.role==manager`. `preferences` are labels such as `node.labels.zone`:
    nodes with each value of the label get equal numbers of tasks. `max_replicas` is the greatest number of tasks on
    one node, 0 for no limit. `platforms` are the platforms on which the tasks can run; if empty, all.
    """

    constraints: tuple[str, ...] = ()
    preferences: tuple[str, ...] = ()
    max_replicas: int = 0
    platforms: tuple[Platform, ...] = ()


@frozen
class TaskSpec:
    """The spec of a task. Either `container` or `attachment` is set.

    `force_update` is a number; a change of it makes an update replace the tasks, even if nothing else has changed.
    """

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
        """The name of the task's runtime: `container` or `attachment`, as in filters of task lists."""
        return "container" if self.container is not None else "attachment"


@frozen
class Replicated:
    """Mode of a service with a fixed number of tasks."""

    replicas: int = 1


@frozen
class Global:
    """Mode of a service with one task on each eligible node."""


@frozen
class ReplicatedJob:
    """Mode of a job that ends when `total_completions` tasks have completed; `max_concurrent` tasks run at a time."""

    max_concurrent: int = 1
    total_completions: int = 1


@frozen
class GlobalJob:
    """Mode of a job with one task on each eligible node."""


ServiceMode: TypeAlias = Replicated | Global | ReplicatedJob | GlobalJob


@frozen
class UpdateConfig:
    """How an update replaces tasks.

    `parallelism` is the number of tasks that are replaced at a time (0: all), `delay_ns` the time between them. A new
    task is watched for failures for `monitor_ns` (`None`: the default). If more than the fraction `max_failure_ratio`
    of the tasks to replace fails, the update takes the action `failure_action`.
    """

    parallelism: int = 0
    delay_ns: int = 0
    failure_action: FailureAction = FailureAction.PAUSE
    monitor_ns: int | None = None
    max_failure_ratio: float = 0.0
    order: UpdateOrder = UpdateOrder.STOP_FIRST


@frozen
class PortConfig:
    """A published port of a service. If `published_port` is 0, the allocator chooses the number."""

    name: str = ""
    protocol: str = "tcp"
    target_port: int = 0
    published_port: int = 0
    publish_mode: PublishMode = PublishMode.INGRESS


@frozen
class EndpointSpec:
    """The requested endpoint of a service: resolution mode and ports."""

    mode: ResolutionMode = ResolutionMode.VIP
    ports: tuple[PortConfig, ...] = ()


@frozen
class VirtualIp:
    """A service's virtual IP on one network, in prefix form such as `10.0.1.2/24`; "" before it is allocated."""

    network_id: str
    addr: str = ""


@frozen
class Endpoint:
    """The allocated endpoint of a service: ports and virtual IPs."""

    spec: EndpointSpec | None = None
    ports: tuple[PortConfig, ...] = ()
    virtual_ips: tuple[VirtualIp, ...] = ()


@frozen
class ServiceSpec:
    """The spec of a service.

    `networks` are the networks of the service's tasks in requests of old clients; newer clients send them in
    `task.networks`.
    """

    annotations: Annotations = field(factory=Annotations)
    task: TaskSpec = field(factory=TaskSpec)
    mode: ServiceMode = field(factory=Replicated)
    update: UpdateConfig | None = None
    rollback: UpdateConfig | None = None
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    endpoint: EndpointSpec | None = None


@frozen
class UpdateStatus:
    """Progress of the last update. The time of a stage is `None` until the update has reached that stage."""

    state: UpdateState
    started_ns: int | None = None
    completed_ns: int | None = None
    message: str = ""


@frozen
class JobStatus:
    """The current iteration of a job, and when it started."""

    job_iteration: int = 0
    last_execution_ns: int = 0


@frozen(eq=False)
class Service:
    """A service.

    `spec_version` is the store's index when `spec` was set; tasks created from that spec have the same number.
    `previous_spec` is the spec before the last update, for a rollback.
    """

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
        """The networks requested for the service's tasks: those of the task spec, or else `spec.networks`."""
        return self.spec.task.networks or self.spec.networks
