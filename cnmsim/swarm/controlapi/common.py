"""Parts that the operations of the control API share: name checks, filters, and the view of Raft."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import wraps
from random import Random
from typing import ParamSpec, Protocol, TypeVar

from attrs import define, field, frozen

from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.errors import NotLeader, RpcInvalidArgument, RpcUnknown, StoreError
from cnmsim.swarm.identity import new_id
from cnmsim.swarm.objects import Annotations, Labels, Membership, NodeRole, TaskState
from cnmsim.swarm.raft import Member
from cnmsim.swarm.store import Store

_DNS_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*")
_SECRET_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?")
INVALID_ARGUMENT = "invalid argument"

P = ParamSpec("P")
T = TypeVar("T")


class RaftView(Protocol):
    """The part of Raft that the control API uses."""

    def members(self) -> Iterable[Member]:
        """Return the members."""
        ...

    def is_leader(self, member: Member) -> bool:
        """Return True if a member is the leader."""
        ...

    def is_reachable(self, member: Member) -> bool:
        """Return True if the leader has recently heard from a member."""
        ...

    def check_removal(self, node_id: str) -> None:
        """Raise `RpcFailedPrecondition` if removing a node would leave no manager or no quorum."""
        ...


@frozen
class Filters:
    """Filters of a list operation. Values of one field are alternatives; an empty field matches everything."""

    names: tuple[str, ...] = ()
    name_prefixes: tuple[str, ...] = ()
    id_prefixes: tuple[str, ...] = ()
    labels: Labels = field(factory=dict)
    node_labels: Labels = field(factory=dict)
    service_ids: tuple[str, ...] = ()
    node_ids: tuple[str, ...] = ()
    desired_states: tuple[TaskState, ...] = ()
    roles: tuple[NodeRole, ...] = ()
    memberships: tuple[Membership, ...] = ()
    up_to_date: bool = False
    #: The runtime of a service's tasks: `container`, `plugin` or `attachment`.
    runtimes: tuple[str, ...] = ()

    def passes(self, object_id: str, name: str, labels: Labels) -> bool:
        """Return True if an object with this id, name and labels matches."""
        return (
            (not self.names or name in self.names)
            and has_prefix(name, self.name_prefixes)
            and has_prefix(object_id, self.id_prefixes)
            and has_labels(labels, self.labels)
        )

    def passes_any(self, object_id: str, name: str, labels: Labels) -> bool:
        """As `passes`, but an object matches if any of names, name prefixes and id prefixes does."""
        is_open = not (self.names or self.name_prefixes or self.id_prefixes)
        return has_labels(labels, self.labels) and (
            is_open
            or name.lower() in {name_filter.lower() for name_filter in self.names}
            or any(name.startswith(prefix) for prefix in self.name_prefixes)
            or any(object_id.startswith(prefix) for prefix in self.id_prefixes)
        )


def has_prefix(text: str, prefixes: tuple[str, ...]) -> bool:
    """Return True if a text begins with one of the prefixes, or if there are no prefixes."""
    return not prefixes or text.startswith(prefixes)


def has_labels(labels: Labels, required: Labels) -> bool:
    """Return True if all required labels are present. A label required with an empty value may have any value."""
    return all(key in labels and value in {"", labels[key]} for key, value in required.items())


def check_annotations(annotations: Annotations) -> None:
    """Raise `RpcInvalidArgument` for a name that services and networks cannot have."""
    if not annotations.name:
        raise RpcInvalidArgument("meta: name must be provided")
    if not _DNS_NAME.fullmatch(annotations.name):
        raise RpcInvalidArgument("name must be valid as a DNS name component")
    if len(annotations.name) > 63:
        raise RpcInvalidArgument("name must be 63 characters or fewer")


def check_secret_annotations(annotations: Annotations) -> None:
    """Raise `RpcInvalidArgument` for a name that secrets and configs cannot have."""
    if not annotations.name:
        raise RpcInvalidArgument("name must be provided")
    if len(annotations.name) > 64 or not _SECRET_NAME.fullmatch(annotations.name):
        raise RpcInvalidArgument(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be"
            " [a-zA-Z0-9]"
        )


def require_arguments(*arguments: object) -> None:
    """Raise `RpcInvalidArgument` if an argument is empty."""
    if not all(arguments):
        raise RpcInvalidArgument(INVALID_ARGUMENT)


def grpc_errors(call: Callable[P, T]) -> Callable[P, T]:
    """Convert a store error that has no gRPC code to `Unknown`, as grpc-go does."""

    @wraps(call)
    def answer(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except NotLeader:
            raise
        except StoreError as error:
            raise RpcUnknown(error.message) from None

    return answer


def find_one(kind: str, reference: str, stored: T | None, list_objects: Callable[[Filters], list[T]]) -> T:
    """Return the object with the given id (`stored`), name or unambiguous id prefix, looked up in that order.

    Raises `NotFound` or `InvalidParameter` with the daemon's messages. Source: moby `daemon/cluster/helpers.go`.
    """
    matches = [stored] if stored is not None else list_objects(Filters(names=(reference,)))
    matches = matches or list_objects(Filters(id_prefixes=(reference,)))
    if not matches:
        raise NotFound(f"{kind} {reference} not found")
    if len(matches) > 1:
        raise InvalidParameter(f"{kind} {reference} is ambiguous ({len(matches)} matches found)")
    return matches[0]


@define(eq=False)
class Operations:
    """State shared by all groups of operations."""

    store: Store
    random: Random
    profile: Profile
    #: Set by the manager node. Without it, managers are taken from the nodes in the store.
    raft: RaftView | None = None

    def new_id(self) -> str:
        """Draw the id of a new object."""
        return new_id(self.random)
