"""Reading of a stack's files into a `StackDescription`, and location of engine errors in the files."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from attrs import define

from cnmsim.engine.client.stacks import StackDescription, StackFiles
from cnmsim.engine.images.catalogue import ImageCatalogue
from cnmsim.engine.images.images import Reference
from cnmsim.errors import FileError
from cnmsim.lab.compose.document import project_files
from cnmsim.lab.compose.error_location import holding
from cnmsim.lab.compose.model import Service
from cnmsim.lab.compose.placeholder import can_run, placeholder_command
from cnmsim.lab.compose.ports import PortMapping, parse_exposed
from cnmsim.lab.stack.document import StackDocument, StackVariables, read_document
from cnmsim.lab.stack.objects import StackObjects
from cnmsim.lab.stack.service import ServiceReader, networks_of
from cnmsim.lab.yamlfile import Key

#: Phrases in the engine's error messages, and the path within a service of the value at fault.
_KEYS_BY_PHRASE: dict[str, tuple[Key, ...]] = {
    "constraint": ("deploy", "placement", "constraints"),
    "resolution mode": ("deploy", "endpoint_mode"),
    "RestartCondition": ("deploy", "restart_policy"),
    "failure action": ("deploy", "update_config"),
    "replicas": ("deploy", "replicas"),
}
#: The newest version of the file format (docker/cli `schema.go`).
LATEST = "3.13"


def read_stack(
    name: str,
    files: StackFiles,
    env: Mapping[str, str] | None = None,
    *,
    latest: str = LATEST,
    programs: Container[str] | None = None,
    images: ImageCatalogue | None = None,
    folder: Path | None = None,
) -> StackDescription:
    """Read the files of the stack `name`. Later files override earlier ones.

    An item of `files` that is a mapping or a string of several lines is the content of a file instead of its path;
    relative paths in it start at `folder`. `env` contains the variables for `${…}`, `latest` is the newest known
    version of the file format. `programs` are the names of the simulated programs: if given, a service that would run
    any other program gets the command of a placeholder server. `images` contains the commands that images run.

    Raises `FileError` with file, line and key.
    """
    paths = project_files(files)
    first = paths[0]
    folder_path = (first.parent if isinstance(first, Path) else folder or Path()).absolute()
    variables = StackVariables(env or {})
    document = read_document(paths, variables, latest)
    objects = StackObjects(name, document, folder_path)
    objects.check()
    services = document.section("services")
    specs = {
        objects.scoped_name(key): ServiceReader(key, objects, variables.values).spec()
        for key in services
    }  # fmt: skip
    placeholders = {}
    if programs is not None:
        for key in services:
            replacement = _placeholder(
                key, services[key], specs[objects.scoped_name(key)], programs, images or ImageCatalogue()
            )
            if replacement is not None:
                placeholders[key] = replacement
    networks, external = objects.networks([use for service in services.values() for use in networks_of(service)])
    secrets, configs = objects.secrets(), objects.configs()
    return StackDescription(
        specs,
        networks,
        external,
        secrets,
        configs,
        ErrorLocator(document, objects),
        (*document.notices, *objects.notices),
        placeholders,
    )


def _placeholder(
    name: str, declaration: Mapping[str, Any], spec: dict[str, Any], programs: Container[str], images: ImageCatalogue
) -> tuple[str, ...] | None:
    """Return the placeholder command for a service whose program is not simulated, or `None` if it is simulated.

    Also replaces the command in `spec`, and removes a health check that cannot run.
    """
    container = spec["TaskTemplate"]["ContainerSpec"]
    reference = Reference.parse(container["Image"])
    meaning = images.meaning(reference.repository, reference.tag)
    is_known = bool({reference.repository, str(reference)} & set(images.meanings))
    command = container.get("Command")
    arguments = container.get("Args")
    if command is None and arguments is None and not is_known:
        full_command = None
    else:
        entrypoint = meaning.entrypoint if command is None else tuple(command)
        rest = meaning.command if command is None and arguments is None else tuple(arguments or ())
        full_command = (*entrypoint, *rest)
    targets = [PortMapping(config["TargetPort"], "", "", config.get("Protocol") or "tcp") for config in _ports(spec)]
    exposed = tuple(port for item in declaration.get("expose", ()) for port in parse_exposed(item))
    service = Service(name, container["Image"], ports=tuple(targets), expose=exposed)
    replacement = placeholder_command(service, command=full_command, exposed=meaning.exposed, programs=programs)
    if replacement is not None:
        container.pop("Args", None)
        container["Command"] = list(replacement)
    check = container.get("Healthcheck", {}).get("Test") or ["NONE"]
    health_command = ("sh", "-c", *check[1:]) if check[0] == "CMD-SHELL" else tuple(check[1:])
    if replacement is not None or (check[0] != "NONE" and not can_run(health_command, programs)):
        container.pop("Healthcheck", None)
    return replacement


def _ports(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    ports: list[dict[str, Any]] = spec["EndpointSpec"].get("Ports", [])
    return ports


@define
class ErrorLocator:
    """Finds the line in a stack file that caused an error of the engine."""

    document: StackDocument
    objects: StackObjects

    def __call__(self, kind: str, name: str, message: str, refusal: str) -> FileError:
        """Return an error with `message`, located at the line that caused the engine's error `refusal`.

        `kind` and `name` identify the object, such as `service` and `shop_web`.
        """
        section = f"{kind}s"
        keys = self.document.section(section)
        key = next((candidate for candidate in keys if self._name(section, candidate) == name), None)
        if key is None:  # the default network is not declared in the file
            users = [
                user for user, service in self.document.section("services").items() if not service.get("networks")
            ]
            return self.document.error(message, "services", *users[:1])
        return self.document.error(message, *self._keys_for(section, key, keys[key] or {}, refusal))

    def _name(self, section: str, key: str) -> str:
        return self.objects.scoped_name(key) if section == "services" else self.objects.name_of(section, key)

    def _keys_for(self, section: str, key: str, declaration: Mapping[str, Any], refusal: str) -> tuple[Key, ...]:
        at: tuple[Key, ...] = (section, key)
        if section == "networks":
            lowered = refusal.lower()
            pools = (declaration.get("ipam") or {}).get("config", ())
            if pools and "subnet" in pools[0] and any(noun in lowered for noun in ("pool", "subnet", "overlap")):
                return (*at, "ipam", "config", 0, "subnet")
        location = holding({field: value for field, value in declaration.items() if field != "image"}, refusal, at)
        if location is not None:
            return location
        for number, port in enumerate(declaration.get("ports", ())):
            published = str(port.get("published", "")) if isinstance(port, Mapping) else str(port).split(":")[-2:][0]
            if published and f"'{published}'" in refusal:
                return (*at, "ports", number)
        for phrase, keys in _KEYS_BY_PHRASE.items():
            if phrase in refusal and keys[0] in declaration:
                return (*at, *keys)
        for noun in ("secret", "config", "network", "image", "port"):
            for candidate in (f"{noun}s", noun):
                if noun in refusal and candidate in declaration:
                    return (*at, candidate)
        return at
