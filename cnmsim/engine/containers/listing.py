"""Listing (`docker ps`) and pruning (`docker container prune`) of containers, with their filters.

Source: moby `daemon/{list,prune}.go`.
"""

from __future__ import annotations

from typing import Any

from cnmsim.digits import is_number
from cnmsim.engine.containers.archive import size_of_changes
from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.lifecycle import Lifecycle
from cnmsim.engine.containers.state import ContainerState
from cnmsim.engine.containers.summary import summary_ports
from cnmsim.engine.context import EngineContext
from cnmsim.engine.wire.filters import Filters
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gostrconv import NumError, atoi
from cnmsim.libnetwork.profile import Profile

_ACCEPTED = (
    "ancestor", "before", "exited", "id", "isolation", "label", "name", "status", "health", "since", "volume",
    "network", "is-task", "publish", "expose",
)  # fmt: skip
_HEALTH = ("none", "starting", "healthy", "unhealthy")


def list_containers(context: EngineContext, filters: Filters, *, everything: bool, limit: int) -> list[Container]:
    """Return the running containers that pass the filters, newest first.

    With `everything`, a filter `status` or a positive `limit`, include containers that do not run. A positive `limit`
    is the largest number to return. Raises `InvalidParameter` for an unknown filter or value, `SystemFault` for a
    malformed port, and `NotFound` if the filter `before` or `since` names a missing container.
    """
    filters.validate(_ACCEPTED)
    _check_values(context, filters)
    containers = _between(context, filters)
    shows_stopped = everything or "status" in filters or limit > 0
    matches = [
        container
        for container in containers
        if (shows_stopped or container.is_running) and _matches(context, container, filters)
    ]
    return matches[:limit] if limit > 0 else matches


def _check_values(context: EngineContext, filters: Filters) -> None:
    states = [state.value for state in ContainerState]
    for value in filters.get("status"):
        if value not in states:
            cause = f": invalid value for state ({value}): must be one of {', '.join(states)}"
            raise InvalidParameter(
                f"invalid filter 'status={value}'{cause if context.profile.status_filter_lists_states else ''}"
            )
    for value in filters.get("health"):
        if value not in _HEALTH:
            raise InvalidParameter(context.profile.health_filter_text.format(value=value))
    for value in filters.get("exited"):
        try:
            atoi(value)
        except NumError as error:
            raise InvalidParameter(f"invalid filter 'exited={value}': {error}") from None


def _between(context: EngineContext, filters: Filters) -> list[Container]:
    containers = context.containers.newest_first()
    for term in filters.get("before"):
        reference = context.containers.get(term)
        containers = containers[containers.index(reference) + 1 :] if reference in containers else containers
    for term in filters.get("since"):
        reference = context.containers.get(term)
        containers = containers[: containers.index(reference)] if reference in containers else containers
    return containers


def _matches(context: EngineContext, container: Container, filters: Filters) -> bool:
    exited = [atoi(value) for value in filters.get("exited")]
    has_exited = not container.is_running and container.started_ns is not None
    health = container.health.status if container.health is not None else "none"
    return (
        (filters.match("name", f"/{container.name}") or filters.match("name", container.name))
        and filters.match("id", container.id)
        and ("is-task" not in filters or filters.boolean("is-task", default=False) == container.is_managed)
        and filters.match_labels(container.config["Labels"])
        and (not exited or (has_exited and container.exit_code in exited))
        and filters.match("status", container.state.value)
        and filters.exact_match("health", health)
        and _matches_volume(container, filters)
        and _matches_ancestor(context, container, filters)
        and _matches_network(container, filters)
        and _matches_ports(context.profile, container, filters)
    )


def _matches_volume(container: Container, filters: Filters) -> bool:
    if "volume" not in filters:
        return True
    known = {part for mount in container.mounts for part in (mount.name or mount.source, mount.destination)}
    return any(value in known for value in filters.get("volume"))


def _matches_ancestor(context: EngineContext, container: Container, filters: Filters) -> bool:
    if "ancestor" not in filters:
        return True
    images = [context.images.find(value) for value in filters.get("ancestor")]
    return any(image is container.image for image in images)


def _matches_network(container: Container, filters: Filters) -> bool:
    if "network" not in filters:
        return True
    networks, _ = container.listed
    return any(
        value in networks or any(settings.network_id.startswith(value) for settings in networks.values())
        for value in filters.get("network")
    )


def _matches_ports(profile: Profile, container: Container, filters: Filters) -> bool:
    publish = {port for value in filters.get("publish") for port in _port_filter(profile, "publish", value)}
    expose = {port for value in filters.get("expose") for port in _port_filter(profile, "expose", value)}
    if not publish and not expose:
        return True
    return any(
        f"{port.get('PublicPort', 0)}/{port['Type']}" in publish or f"{port['PrivatePort']}/{port['Type']}" in expose
        for port in summary_ports(container, shows_unbound=True)
    )


def _port_filter(profile: Profile, key: str, value: str) -> set[str]:
    if ":" in value:
        raise SystemFault(f"filter for '{key}' should not contain ':': {value}")
    numbers, _, protocol = value.partition("/")
    first, dash, last = numbers.partition("-")
    if not (is_number(first) and (not dash or is_number(last))):
        cause = profile.port_filter_text.format(value=first if not is_number(first) else last)
        raise SystemFault(f"error while looking up for {key} {value}: {cause}")
    return {f"{port}/{protocol or 'tcp'}" for port in range(int(first), int(last or first) + 1)}


def prune_containers(context: EngineContext, lifecycle: Lifecycle, filters: Filters) -> dict[str, Any]:
    """Remove all containers that do not run and pass the filters.

    Return a dict with their ids under `ContainersDeleted` and the number of freed bytes under `SpaceReclaimed`.
    Raises `InvalidParameter` for an unknown filter or value.
    """
    filters.validate(("label", "label!", "until"))
    until = filters.until(context.clock.unix_ns, context.profile.invalid_until_text)
    deleted, reclaimed = [], 0
    for container in context.containers.newest_first():
        is_recent = until is not None and container.created_ns > until
        if container.is_running or is_recent or not filters.prunes(container.config["Labels"]):
            continue
        reclaimed += size_of_changes(container)
        lifecycle.remove(container)
        deleted.append(container.id)
    context.events.log("container", "prune", "", {"reclaimed": str(reclaimed)})
    return {"ContainersDeleted": deleted or None, "SpaceReclaimed": reclaimed}
