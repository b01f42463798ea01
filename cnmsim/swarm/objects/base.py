"""Common parts of a cluster's objects: version, annotations, and enumerations.

Objects are immutable: the store replaces them. Durations are in nanoseconds, timestamps in nanoseconds since 1970, as
in moby/swarmkit `api/objects.proto`, `api/specs.proto` and `api/types.proto`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import TypeAlias

from attrs import field, frozen

Labels: TypeAlias = Mapping[str, str]


@frozen
class Meta:
    """An object's times of creation and last update, and its version: the store's index at the last update."""

    version: int = 0
    created_ns: int = 0
    updated_ns: int = 0


@frozen
class Annotations:
    """An object's name and labels."""

    name: str = ""
    labels: Labels = field(factory=dict)


@frozen
class Driver:
    """The name of a driver and its options. The options are `None` if the client sent none."""

    name: str = ""
    options: Labels | None = None


class TaskState(IntEnum):
    """State of a task. A task has an actual and a desired state; neither of them ever decreases.

    The orchestrator creates a task as NEW, the allocator sets it to PENDING, the scheduler to ASSIGNED; all later
    states are reported by the agent. The *desired* state is set by the orchestrator: the agent prepares a task up to
    READY, runs it at RUNNING, and stops it at SHUTDOWN. A task in state COMPLETE or later has ended: it is never
    started again, but may be replaced by a new task.
    """

    NEW = 0
    PENDING = 64
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    ORPHANED = 832


class NodeRole(Enum):
    """Role of a node, actual or desired."""

    WORKER = "worker"
    MANAGER = "manager"


class Availability(Enum):
    """Whether a node gets new tasks (only ACTIVE), and whether its present tasks stay (all but DRAIN)."""

    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


class Membership(Enum):
    """Whether an administrator has accepted the node."""

    PENDING = "pending"
    ACCEPTED = "accepted"


class NodeState(Enum):
    """State of a node as recorded by the dispatcher."""

    UNKNOWN = "unknown"
    DOWN = "down"
    READY = "ready"
    DISCONNECTED = "disconnected"


class Reachability(Enum):
    """Whether a manager is reachable from the Raft leader."""

    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"
    REACHABLE = "reachable"


class RestartCondition(Enum):
    """Which of a service's ended tasks are replaced: none, failed ones, or all."""

    NONE = "none"
    ON_FAILURE = "on-failure"
    ANY = "any"


class FailureAction(Enum):
    """What an update does when too many tasks fail."""

    PAUSE = "pause"
    CONTINUE = "continue"
    ROLLBACK = "rollback"


class UpdateOrder(Enum):
    """Whether an update first stops the old task or first starts the new one."""

    STOP_FIRST = "stop-first"
    START_FIRST = "start-first"


class UpdateState(Enum):
    """Progress of an update or rollback."""

    UPDATING = "updating"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_PAUSED = "rollback_paused"
    ROLLBACK_COMPLETED = "rollback_completed"


class ResolutionMode(Enum):
    """Whether a service's name resolves to its virtual IP or to the addresses of its tasks."""

    VIP = "vip"
    DNSRR = "dnsrr"


class PublishMode(Enum):
    """Whether a published port is open on every node (routing mesh), or only where a task of the service runs."""

    INGRESS = "ingress"
    HOST = "host"
