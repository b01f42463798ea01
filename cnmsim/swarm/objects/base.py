"""What all objects of a cluster share: their version, their annotations, and the closed sets of words they use.

Objects are values: once in the store they are never changed, only replaced. Durations are in nanoseconds and moments
in nanoseconds since 1970, as in moby/swarmkit `api/objects.proto`, `api/specs.proto` and `api/types.proto`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import TypeAlias

from attrs import field, frozen

Labels: TypeAlias = Mapping[str, str]


@frozen
class Meta:
    """When an object was made and last changed, and the store's index at that change."""

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
    """A driver by name, with its options; `None` is what a client that gives none sends."""

    name: str = ""
    options: Labels | None = None


class TaskState(IntEnum):
    """How far a task has come, or is wanted to come. It only ever grows."""

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
    """What a node is, or is wanted to be."""

    WORKER = "worker"
    MANAGER = "manager"


class Availability(Enum):
    """Whether a node takes new tasks, and whether it keeps those it has."""

    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


class Membership(Enum):
    """Whether an administrator let the node in."""

    PENDING = "pending"
    ACCEPTED = "accepted"


class NodeState(Enum):
    """What the dispatcher thinks of a node."""

    UNKNOWN = "unknown"
    DOWN = "down"
    READY = "ready"
    DISCONNECTED = "disconnected"


class Reachability(Enum):
    """What the raft members think of a manager."""

    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"
    REACHABLE = "reachable"


class RestartCondition(Enum):
    """After which ends a task is replaced."""

    NONE = "none"
    ON_FAILURE = "on-failure"
    ANY = "any"


class FailureAction(Enum):
    """What an update does when too many of its tasks fail."""

    PAUSE = "pause"
    CONTINUE = "continue"
    ROLLBACK = "rollback"


class UpdateOrder(Enum):
    """Which of the old and the new task goes first."""

    STOP_FIRST = "stop-first"
    START_FIRST = "start-first"


class UpdateState(Enum):
    """How far an update has come."""

    UPDATING = "updating"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_PAUSED = "rollback_paused"
    ROLLBACK_COMPLETED = "rollback_completed"


class ResolutionMode(Enum):
    """What a service's name resolves to."""

    VIP = "vip"
    DNSRR = "dnsrr"


class PublishMode(Enum):
    """Where a published port is open: on every node, or where a task runs."""

    INGRESS = "ingress"
    HOST = "host"
