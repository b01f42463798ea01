"""What the dispatcher tells agents (moby/swarmkit `api/dispatcher.proto`)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import field, frozen

from cnmsim.swarm.objects import Config, EncryptionKey, Node, RootCa, Secret, Task

#: A change of what a node is to do: `update` brings a new or changed object, `remove` takes one away.
AssignmentChange: TypeAlias = tuple[Literal["update", "remove"], Task | Secret | Config]


@frozen
class ManagerPeer:
    """A manager an agent may turn to."""

    node_id: str
    addr: str
    weight: int = 1


@frozen(eq=False)
class SessionMessage:
    """How the cluster stands, to an agent in a session: at its beginning, and whenever something of it changes."""

    session_id: str
    node: Node | None
    managers: tuple[ManagerPeer, ...]
    keys: tuple[EncryptionKey, ...]
    root_ca: RootCa = field(factory=RootCa)


@frozen(eq=False)
class AssignmentsMessage:
    """What a node is to do: all of it (`complete`), or what changed since the message `applies_to`.

    Secrets and configs come before the tasks that use them.
    """

    kind: Literal["complete", "incremental"]
    applies_to: str
    results_in: str
    changes: tuple[AssignmentChange, ...]
