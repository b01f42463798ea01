"""Translate the engine's names to those in the Compose file: `shop-web-1` to `web`, `shop_data` to `data`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import evolve, fields, has

from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Location, StoppedContainer

_T = TypeVar("_T")
#: The label of the services of a stack: the stack's name.
_STACK = "com.docker.stack.namespace"


def names_of(directory: Directory) -> dict[str, str]:
    """Return a mapping from the engine's names to the names in the file of a Compose project or stack.

    It contains the names of containers, networks, images that Compose builds and, for a stack, services and tasks. If
    a service has several containers, their numbers are kept (`web-2`, or `web.2` in a stack). Names that the file
    itself states (`container_name`) are mapped to themselves. Names are left out whose short form would be ambiguous
    because another project's object or a host has it too.
    """
    running = [item for item in directory.locations if item.project and item.service]
    own: list[Location | StoppedContainer] = [
        *running,
        *(item for item in directory.stopped_containers if item.project),
    ]
    replicas = Counter((item.project, item.service) for item in own)
    shorter: dict[str, str] = {}
    stated: dict[str, str] = {}
    for item in own:
        single = replicas[item.project, item.service] == 1
        if isinstance(item, Location) and item.task:
            shorter[item.name] = item.service_names[-1] if single else item.replica_names[-1]
        elif item.name == f"{item.project}-{item.service}-{item.replica}":
            shorter[item.name] = item.service if single else f"{item.service}-{item.replica}"
        else:
            stated[item.name] = item.name
    stacks = {
        service.name: project
        for swarm in directory.swarms
        for service in swarm.store.services
        if (project := (service.spec.annotations.labels or {}).get(_STACK))
    }
    services = {name: name.removeprefix(f"{project}_") for name, project in stacks.items()}
    taken = Counter(
        [
            *shorter.values(),
            *(short for short in services.values() if short not in shorter.values()),
            *(item.name for item in directory.locations if item.name not in shorter),
        ]
    )
    engine_networks = {attachment.network for item in running for attachment in item.attachments}
    engine_networks.update(network for item in directory.locations for network in item.bridges.values())
    overlays = {network.name for swarm in directory.swarms for network in swarm.store.networks}
    networks = {
        network: network.removeprefix(f"{project}_")
        for project in {*(item.project for item in own), *stacks.values()}
        for network in engine_networks | overlays
        if network.startswith(f"{project}_")
    }
    balancers = {f"lb-{name}": f"lb-{short}" for name, short in networks.items() if name in overlays}
    tasks = {
        f"{service.name}.{task.slot}": f"{services[service.name]}.{task.slot}"
        for swarm in directory.swarms
        for service in swarm.store.services
        if service.name in services and taken[services[service.name]] == 1
        for task in swarm.store.tasks.by_service(service.id)
    }
    images = {item.image: item.service for item in running if item.image == f"{item.project}-{item.service}"}
    used = Counter(networks.values())
    return (
        tasks
        | stated
        | {name: short for name, short in (services | shorter).items() if taken[short] == 1}
        | {name: short for name, short in (networks | balancers | images).items() if used[short] <= 1}
    )


def in_file_names(text: str, names: Mapping[str, str]) -> str:
    """Replace the engine's names in a text with the names in the Compose file, as given by `names` (`names_of`)."""
    if not names:
        return text
    longest_first = sorted(names, key=len, reverse=True)
    pattern = rf"(?<![\w./-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-]|[./]\w)"
    return re.sub(pattern, lambda found: names[found[0]], text)


def json_in_file_names(value: _T, names: Mapping[str, str]) -> _T:
    """Return a copy of a JSON value with the engine's names in texts and keys replaced by the Compose file's names.

    Values of the keys `commands` and `edits` are not changed: an operator types commands with the engine's names.
    """
    return _json_renamed(value, names) if names else value


def _json_renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return in_file_names(value, names)
    if isinstance(value, dict):
        return {
            in_file_names(key, names): item if key in {"commands", "edits"} else _json_renamed(item, names)
            for key, item in value.items()
        }
    return [_json_renamed(item, names) for item in value] if isinstance(value, list) else value


def renamed(value: _T, names: Mapping[str, str]) -> _T:
    """Return a copy of a cause, remark, change or hop in which the engine's names are replaced.

    `names` maps them to the names in the Compose file.
    """
    return _renamed(value, names) if names else value


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        # A place name may be followed by a device name: `web eth0`.
        head, space, rest = value.partition(" ")
        return names.get(head, head) + space + rest
    if isinstance(value, tuple):
        items = tuple(_renamed(item, names) for item in value)
        return value if items == value else items
    if not has(type(value)):
        return value
    changed: dict[str, Any] = {}
    for attribute in fields(type(value)):
        if attribute.metadata.get("is_verbatim"):
            continue
        before = getattr(value, attribute.name)
        after = _renamed(before, names)
        if after is not before and after != before:
            changed[attribute.alias] = after
    return evolve(value, **changed) if changed else value
