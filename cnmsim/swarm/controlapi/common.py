"""Common parts of the control API's operations: name checks, filters, and the interface to Raft."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import wraps
from random import Random
from typing import ParamSpec, Protocol, TypeVar

from attrs import define, field, frozen

from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.errors import NotLeader, RpcInvalidArgument, RpcNotFound, RpcUnknown, StoreError
from cnmsim.swarm.identity import new_id
from cnmsim.swarm.objects import Annotations, Labels, Membership, NodeRole, TaskState
from cnmsim.swarm.raft import Member
from cnmsim.swarm.store import Store
from cnmsim.swarm.store.tables import StoreObject, Table

_DNS_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*")
_SECRET_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?")
INVALID_ARGUMENT = "invalid argument"

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=StoreObject)


class RaftView(Protocol):
    """The interface of Raft for the control API: members, leader, reachability."""

    def members(self) -> Iterable[Member]:
        """Return the members of the Raft group."""
        ...

    def is_leader(self, member: Member) -> bool:
        """Return True if `member` is the leader."""
        ...

    def is_reachable(self, member: Member) -> bool:
        """Return True if the leader has recently received a reply from `member`."""
        ...

    def check_removal(self, node_id: str) -> None:
        """Raise `RpcFailedPrecondition` if removing a node would leave no manager or no quorum."""
        ...


@frozen
class Filters:
    """The filters of a list operation. An object is listed if it passes every field; an empty field passes all.

    A tuple holds the accepted values or prefixes of a property, which must match one of them. For
    secrets and configs, names, name prefixes and id prefixes are alternatives (`passes_any`).

    The object must have all `labels`, a node also all `node_labels`; "" stands for any value. `labels` applies to the
    engine's labels of a node and to the service's labels of a task. With `up_to_date`, only tasks that need no update
    to their service's present spec are listed.
    """

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
        """Return True if an object with this id, name and labels passes the filters on names, prefixes and labels."""
        return (
            (not self.names or name in self.names)
            and has_prefix(name, self.name_prefixes)
            and has_prefix(object_id, self.id_prefixes)
            and has_labels(labels, self.labels)
        )

    def passes_any(self, object_id: str, name: str, labels: Labels) -> bool:
        """Return True if an object has all labels and matches at least one name, name prefix or id prefix.

        If the filters contain no names and prefixes, the labels alone decide. Names are compared without regard to
        case. `passes` differs: it compares case, and requires a match in each of the three fields that is not empty.
        """
        is_open = not (self.names or self.name_prefixes or self.id_prefixes)
        return has_labels(labels, self.labels) and (
            is_open
            or name.lower() in {name_filter.lower() for name_filter in self.names}
            or any(name.startswith(prefix) for prefix in self.name_prefixes)
            or any(object_id.startswith(prefix) for prefix in self.id_prefixes)
        )


def has_prefix(text: str, prefixes: tuple[str, ...]) -> bool:
    """Return True if `text` begins with one of `prefixes`, or if `prefixes` is empty."""
    return not prefixes or text.startswith(prefixes)


def has_labels(labels: Labels, required: Labels) -> bool:
    """Return True if `labels` contains all `required` labels.

    A required label with the value "" may have any value.
    """
    return all(key in labels and value in {"", labels[key]} for key, value in required.items())


def check_annotations(annotations: Annotations) -> None:
    """Raise `RpcInvalidArgument` if the name is not valid for a service or network.

    It must be a DNS label of up to 63 characters.
    """
    if not annotations.name:
        raise RpcInvalidArgument("meta: name must be provided")
    if not _DNS_NAME.fullmatch(annotations.name):
        raise RpcInvalidArgument("name must be valid as a DNS name component")
    if len(annotations.name) > 63:
        raise RpcInvalidArgument("name must be 63 characters or fewer")


def check_secret_annotations(annotations: Annotations) -> None:
    """Raise `RpcInvalidArgument` if the name is not valid for a secret or config."""
    if not annotations.name:
        raise RpcInvalidArgument("name must be provided")
    if len(annotations.name) > 64 or not _SECRET_NAME.fullmatch(annotations.name):
        raise RpcInvalidArgument(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be"
            " [a-zA-Z0-9]"
        )


def require_arguments(*arguments: object) -> None:
    """Raise `RpcInvalidArgument` if one of the arguments of a call is empty."""
    if not all(arguments):
        raise RpcInvalidArgument(INVALID_ARGUMENT)


def require_stored(kind: str, object_id: str, table: Table[S]) -> S:
    """Return the object of a table that has the id `object_id`. `kind` names the kind of object in error messages.

    Raises `RpcInvalidArgument` for an empty id, `RpcNotFound` for an unknown one.
    """
    require_arguments(object_id)
    stored = table.get(object_id)
    if stored is None:
        raise RpcNotFound(f"{kind} {object_id} not found")
    return stored


def grpc_errors(call: Callable[P, T]) -> Callable[P, T]:
    """Decorate an operation: a store error that has no gRPC code is raised as `RpcUnknown`, as in grpc-go."""

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
    """Return the object that `reference` identifies by its id, its name, or an unambiguous prefix of its id.

    `stored` is the object whose id is `reference`, or `None` if there is none. In the latter case `list_objects` is
    called with a filter for the name, then with one for the prefix. `kind` names the kind of object in error
    messages. Raises `NotFound` if no object matches, `InvalidParameter` if several do. Source: moby
    `daemon/cluster/helpers.go`.
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
    """Base class of the groups of operations: holds the store and the other state that all groups use."""

    store: Store
    random: Random
    profile: Profile
    #: Set by the manager node. If it is `None`, the managers are those recorded in the store's nodes.
    raft: RaftView | None = None
    #: Set by the node: whether its engine finds a plugin by name that implements a kind of driver.
    has_plugin: Callable[[str, str], bool] | None = None

    def new_id(self) -> str:
        """Return a random id for a new object."""
        return new_id(self.random)
