"""What a stack file expects of the swarm and its nodes, and a lab that was built for the file alone lacks.

`docker stack deploy` creates neither external networks, secrets and configs, nor the folders that services bind.
Without a lab file cnmsim assumes that they exist, as it does for the external networks of a Compose project.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cnmsim.lab.stack.objects import StackObjects

if TYPE_CHECKING:
    from cnmsim.engine.client.stacks import StackDescription
    from cnmsim.lab.host import Host


def add_missing(nodes: Iterable[Host], objects: StackObjects, description: StackDescription) -> list[str]:
    """Create on the swarm and its nodes what the stack expects to exist there.

    `nodes` are all hosts of the swarm, a manager first. Return the assumptions as sentences.
    """
    nodes = list(nodes)
    manager = nodes[0].docker
    notes = []
    for name in _external(objects, "networks"):
        if name in description.external_networks and name not in {"ingress", "bridge", "host", "none"}:
            manager.networks.create(name, driver="overlay", attachable=True)
            notes.append(f"network {name} is external: it is assumed to be a plain overlay network")
    for section in ("secrets", "configs"):
        for name in _external(objects, section):
            collection = manager.secrets if section == "secrets" else manager.configs
            collection.create(name=name, data=b"assumed")
            notes.append(f"{section.removesuffix('s')} {name} is external: its content is not known")
    for source in sorted(_bound(description)):
        if all(node.machine.files.exists(source) for node in nodes):
            continue
        for node in nodes:
            _create_path(node, source)
        notes.append(f"{source} is assumed to exist on all nodes")
    return notes


def _external(objects: StackObjects, section: str) -> Iterator[str]:
    for key in objects.document.section(section):
        if objects.is_external(section, key):
            yield objects.name_of(section, key)


def _bound(description: StackDescription) -> set[str]:
    """Return the host paths that services bind."""
    return {
        mount["Source"]
        for spec in description.services.values()
        for mount in spec["TaskTemplate"]["ContainerSpec"].get("Mounts", ())
        if mount.get("Type") == "bind" and posixpath.isabs(mount.get("Source", ""))
    }


def _create_path(node: Host, path: str) -> None:
    """Create a folder or, if the name has an extension other than `.d`, an empty file. Does nothing if it exists."""
    files = node.machine.files
    if files.exists(path):
        return
    if posixpath.splitext(path)[1] in {"", ".d"}:
        files.makedirs(path)
    else:
        files.makedirs(posixpath.dirname(path))
        files.write(path, b"")
