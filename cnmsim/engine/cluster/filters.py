"""The filters of the swarm's listings (moby `daemon/cluster/filters.go`)."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from cnmsim.engine.wire.filters import Filters
from cnmsim.errors import SystemFault
from cnmsim.swarm.controlapi.common import Filters as ObjectFilters
from cnmsim.swarm.objects import Membership, NodeRole, TaskState


def _labels(values: Iterable[str]) -> dict[str, str]:
    return dict(value.partition("=")[::2] for value in values)


def _common(filters: Filters) -> ObjectFilters:
    return ObjectFilters(
        name_prefixes=tuple(filters.get("name")),
        id_prefixes=tuple(filters.get("id")),
        labels=_labels(filters.get("label")),
    )


def node_filters(filters: Filters) -> ObjectFilters:
    """Convert the filters of `docker node ls` to those of the store.

    Raises `InvalidParameter` for an unknown filter, and `SystemFault` for an invalid role or membership.
    """
    filters.validate(("name", "id", "label", "role", "membership", "node.label"))
    roles, memberships = [], []
    for role in filter(None, filters.get("role")):
        try:
            roles.append(NodeRole(role.lower()))
        except ValueError:
            raise SystemFault(f"Invalid role filter: '{role}'") from None
    for membership in filter(None, filters.get("membership")):
        try:
            memberships.append(Membership(membership.lower()))
        except ValueError:
            raise SystemFault(f"Invalid membership filter: '{membership}'") from None
    return evolve(
        _common(filters),
        node_labels=_labels(filters.get("node.label")),
        roles=tuple(roles),
        memberships=tuple(memberships),
    )


def service_filters(filters: Filters) -> ObjectFilters:
    """Convert the filters of `docker service ls`, except `mode`, to those of the store.

    Raises `InvalidParameter` for an unknown filter.
    """
    filters.validate(("name", "id", "label", "mode", "runtime"))
    return evolve(_common(filters), runtimes=tuple(filters.get("runtime")) or ("container",))


def task_filters(filters: Filters, service_ids: Iterable[str], node_ids: Iterable[str]) -> ObjectFilters:
    """Convert the filters of `docker service ps` and similar commands to those of the store.

    `service_ids` and `node_ids` are the ids of the services and nodes that the filters name. Raises `SystemFault` for
    an unknown desired state.
    """
    states = []
    for state in filters.get("desired-state"):
        if state.upper() in TaskState.__members__:
            states.append(TaskState[state.upper()])
        elif state:
            raise SystemFault(f"Invalid desired-state filter: '{state}'")
    return evolve(
        _common(filters),
        service_ids=tuple(service_ids),
        node_ids=tuple(node_ids),
        desired_states=tuple(states),
        up_to_date=bool(filters.get("_up-to-date")),
        runtimes=tuple(filters.get("runtime")) or ("container",),
    )


TASK_FILTERS = ("name", "id", "label", "service", "node", "desired-state", "_up-to-date", "runtime")


def secret_filters(filters: Filters) -> ObjectFilters:
    """Convert the filters of `docker secret ls` to those of the store.

    Raises `InvalidParameter` for an unknown filter.
    """
    filters.validate(("names", "name", "id", "label"))
    return evolve(_common(filters), names=tuple(filters.get("names")))


def config_filters(filters: Filters) -> ObjectFilters:
    """Convert the filters of `docker config ls` to those of the store.

    Raises `InvalidParameter` for an unknown filter.
    """
    filters.validate(("name", "id", "label"))
    return _common(filters)
