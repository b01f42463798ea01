"""The parts of a Compose project or stack that edits of its files use."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.lab.compose.bodies import LABEL_SERVICE
from cnmsim.lab.compose.model import Network, NetworkUse, Pool, Service
from cnmsim.lab.yamlfile import Key, Map

if TYPE_CHECKING:
    from cnmsim.lab.compose.project import Project
    from cnmsim.lab.lab import Lab
    from cnmsim.lab.stack.objects import StackObjects


@frozen
class EditableProject:
    """The services and networks of a project or stack, by their keys in its files.

    `document` is the content of the files, `main` the path of the first one. `prefix` is the path of keys to the
    project if a lab file contains it, otherwise empty. `keys` maps the engine's names of containers and swarm
    services to the keys of their services. A change at one of `hosts`, which are names of hosts or containers, is
    made in the files of this project.
    """

    document: Map
    services: Mapping[str, Service]
    networks: Mapping[str, Network]
    keys: Mapping[str, str]
    hosts: Collection[str]
    main: str
    prefix: tuple[Key, ...] = ()


def editable_projects(lab: Lab) -> Iterator[EditableProject]:
    """Yield the Compose projects of a lab, the newest first, then its stacks."""
    lab_file = str(lab.source.lab_file) if lab.source is not None else ""
    for project in reversed(lab.projects):
        yield _of_project(lab, project, lab_file)
    for stack in lab.stacks.values():
        yield _of_stack(lab, stack, lab_file)


def _of_project(lab: Lab, project: Project, lab_file: str) -> EditableProject:
    model = project.model
    keys = {container.name: container.labels[LABEL_SERVICE] for container in project.containers()}
    hosts = [host.name for host in lab.hosts.values() if host.has_docker and host.docker is project.engine]
    main = model.document.place.path
    prefix = ("hosts", hosts[0], "compose") if main == lab_file else ()
    return EditableProject(model.document, model.services, model.networks, keys, {*hosts, *keys}, main, prefix)


def _of_stack(lab: Lab, stack: StackObjects, lab_file: str) -> EditableProject:
    from cnmsim.lab.stack.service import networks_of

    document = stack.document
    declared = document.section("services")
    uses = {key: networks_of(service) for key, service in declared.items()}
    services = {key: Service(key, "", tuple(map(NetworkUse, uses[key]))) for key in declared}
    networks = {}
    for key in {*document.section("networks"), *(network for use in uses.values() for network in use)}:
        config = ((document.section("networks").get(key) or {}).get("ipam") or {}).get("config") or ()
        pools = tuple(Pool(pool.get("subnet", "")) for pool in config)
        is_external = stack.is_external("networks", key)
        networks[key] = Network(key, stack.name_of("networks", key), pools=pools, is_external=is_external)
    keys = {stack.scoped_name(key): key for key in declared}
    hosts = [host.name for host in lab.hosts.values() if host.has_docker]
    prefix = ("stacks", stack.stack) if document.path == lab_file else ()
    return EditableProject(document.root, services, networks, keys, hosts, document.path, prefix)
