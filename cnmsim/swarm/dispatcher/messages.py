"""Messages of the dispatcher to agents (moby/swarmkit `api/dispatcher.proto`)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import field, frozen

from cnmsim.swarm.objects import Config, EncryptionKey, Node, RootCa, Secret, Task

#: A change of a node's assignments as (action, object): the action `update` adds or replaces the object, `remove`
#: removes it.
AssignmentChange: TypeAlias = tuple[Literal["update", "remove"], Task | Secret | Config]


@frozen
class ManagerPeer:
    """A manager that an agent can connect to."""

    node_id: str
    addr: str
    weight: int = 1


@frozen(eq=False)
class SessionMessage:
    """The state of the cluster, sent to an agent when its session begins and after every change."""

    session_id: str
    node: Node | None
    managers: tuple[ManagerPeer, ...]
    keys: tuple[EncryptionKey, ...]
    root_ca: RootCa = field(factory=RootCa)


@frozen(eq=False)
class AssignmentsMessage:
    """A node's assignments: all of them if `kind` is `complete`; if `incremental`, changes since an earlier message.

    `results_in` identifies this message, and `applies_to` the earlier message to which the changes apply. Secrets and
    configs come before the tasks that use them.
    """

    kind: Literal["complete", "incremental"]
    applies_to: str
    results_in: str
    changes: tuple[AssignmentChange, ...]
