"""Tasks: one container or network attachment, assigned to one node and run once."""

from __future__ import annotations

from attrs import field, frozen

from cnmsim.swarm.objects.base import Annotations, Driver, Meta, TaskState
from cnmsim.swarm.objects.network import NetworkAttachment
from cnmsim.swarm.objects.service import Endpoint, PortConfig, TaskSpec


@frozen
class ContainerStatus:
    """Status of a task's container, sent by the agent."""

    container_id: str = ""
    pid: int = 0
    exit_code: int = 0


@frozen
class TaskStatus:
    """The last reported status of a task.

    `err` is the error with which the task failed, "" if none. `port_status` holds the task's published host-mode
    ports. `applied_by` is the manager that recorded the status, `applied_ns` the time at which it did so.
    """

    state: TaskState = TaskState.NEW
    timestamp_ns: int = 0
    message: str = ""
    err: str = ""
    container: ContainerStatus | None = None
    port_status: tuple[PortConfig, ...] | None = None
    #: The node id of the leader that recorded this status, and the time at which it did.
    applied_by: str = ""
    applied_ns: int = 0


@frozen(eq=False)
class Task:
    """A task. `slot` counts from 1 in replicated services and is 0 in global ones.

    `spec_version` is the version of the service's spec from which the task was created. `node_id` is the node to
    which the task is assigned, "" before the assignment. `networks` are its attachments. `job_iteration` is `None`
    except for tasks of jobs.
    """

    id: str
    spec: TaskSpec = field(factory=TaskSpec)
    meta: Meta = field(factory=Meta)
    spec_version: int | None = None
    service_id: str = ""
    slot: int = 0
    node_id: str = ""
    annotations: Annotations = field(factory=Annotations)
    service_annotations: Annotations = field(factory=Annotations)
    status: TaskStatus = field(factory=TaskStatus)
    desired_state: TaskState = TaskState.NEW
    networks: tuple[NetworkAttachment, ...] = ()
    endpoint: Endpoint | None = None
    log_driver: Driver | None = None
    assigned_generic_resources: tuple[tuple[str, int | str], ...] = ()
    job_iteration: int | None = None

    @property
    def state(self) -> TaskState:
        """The actual state, as last reported."""
        return self.status.state

    @property
    def name(self) -> str:
        """The container's name: `<service>.<slot>.<id>`, or `<service>.<node>.<id>` for a global service."""
        if self.annotations.name:
            return self.annotations.name
        instance = str(self.slot) if self.slot else self.node_id
        return f"{self.service_annotations.name}.{instance}.{self.id}"
