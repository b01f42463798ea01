"""From the files of a stack to its description, and from an engine's refusal back to the line it is about."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from attrs import define

from cnmsim.engine.client.stacks import StackDescription, StackFiles
from cnmsim.engine.images.catalogue import ImageCatalogue
from cnmsim.engine.images.images import Reference
from cnmsim.errors import FileError
from cnmsim.lab.compose.blame import holding
from cnmsim.lab.compose.document import project_files
from cnmsim.lab.compose.model import Service
from cnmsim.lab.compose.ports import PortMapping, parse_exposed
from cnmsim.lab.compose.standin import can_run, stand_in
from cnmsim.lab.stack.document import StackDocument, StackVariables, read_document
from cnmsim.lab.stack.objects import StackObjects
from cnmsim.lab.stack.service import ServiceReader, networks_of
from cnmsim.lab.yamlfile import Key

#: Where what a refusal speaks of stands in a service.
_ABOUT: dict[str, tuple[Key, ...]] = {
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
    """Read the files of the stack `name`; later ones are laid on earlier ones.

    A text of several lines or a mapping stands for a file with that content; the paths it names are then seen from `folder`.
    `env` says what `${…}` stands for, `latest` is the newest version of the format that is understood. With `programs`, the names
    of what is simulated, and `images`, a server stands in for whatever else a service would run.

    Raises `FileError` with file, line and key for whatever is wrong.
    """
    paths = project_files(files)
    first = paths[0]
    home = (first.parent if isinstance(first, Path) else folder or Path()).absolute()
    variables = StackVariables(env or {})
    document = read_document(paths, variables, latest)
    objects = StackObjects(name, document, home)
    objects.check()
    services = document.section("services")
    specs = {
        objects.scoped(key): ServiceReader(key, objects, variables.values).spec()
        for key in services
    }  # fmt: skip
    stand_ins = {}
    if programs is not None:
        for key in services:
            replacement = _stand_in(
                key, services[key], specs[objects.scoped(key)], programs, images or ImageCatalogue()
            )
            if replacement is not None:
                stand_ins[key] = replacement
    networks, external = objects.networks([use for service in services.values() for use in networks_of(service)])
    secrets, configs = objects.secrets(), objects.configs()
    return StackDescription(
        specs,
        networks,
        external,
        secrets,
        configs,
        _Blame(document, objects),
        (*document.notices, *objects.notices),
        stand_ins,
    )


def _stand_in(
    name: str, given: Mapping[str, Any], spec: dict[str, Any], programs: Container[str], images: ImageCatalogue
) -> tuple[str, ...] | None:
    """Put a server in the place of a service's program where that is not simulated, and give its command."""
    container = spec["TaskTemplate"]["ContainerSpec"]
    reference = Reference.parse(container["Image"])
    meaning = images.meaning(reference.repository, reference.tag)
    is_known = bool({reference.repository, str(reference)} & set(images.meanings))
    command = container.get("Command")
    arguments = container.get("Args")
    if command is None and arguments is None and not is_known:
        whole = None
    else:
        entrypoint = meaning.entrypoint if command is None else tuple(command)
        rest = meaning.command if command is None and arguments is None else tuple(arguments or ())
        whole = (*entrypoint, *rest)
    targets = [PortMapping(each["TargetPort"], "", "", each.get("Protocol") or "tcp") for each in _ports(spec)]
    exposed = tuple(port for item in given.get("expose", ()) for port in parse_exposed(item))
    service = Service(name, container["Image"], ports=tuple(targets), expose=exposed)
    replacement = stand_in(service, command=whole, exposed=meaning.exposed, programs=programs)
    if replacement is not None:
        container.pop("Args", None)
        container["Command"] = list(replacement)
    check = container.get("Healthcheck", {}).get("Test") or ["NONE"]
    tested = ("sh", "-c", *check[1:]) if check[0] == "CMD-SHELL" else tuple(check[1:])
    if replacement is not None or (check[0] != "NONE" and not can_run(tested, programs)):
        container.pop("Healthcheck", None)
    return replacement


def _ports(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = spec["EndpointSpec"].get("Ports", [])
    return found


@define
class _Blame:
    """Finds the line of a stack file that an engine's refusal is about."""

    document: StackDocument
    objects: StackObjects

    def __call__(self, kind: str, name: str, message: str, refusal: str) -> FileError:
        section = f"{kind}s"
        keys = self.document.section(section)
        key = next((each for each in keys if self._name(section, each) == name), None)
        if key is None:  # the default network, which nothing declares
            users = [each for each, given in self.document.section("services").items() if not given.get("networks")]
            return self.document.error(message, "services", *users[:1])
        return self.document.error(message, *self._way(section, key, keys[key] or {}, refusal))

    def _name(self, section: str, key: str) -> str:
        return self.objects.scoped(key) if section == "services" else self.objects.name_of(section, key)

    def _way(self, section: str, key: str, given: Mapping[str, Any], refusal: str) -> tuple[Key, ...]:
        at: tuple[Key, ...] = (section, key)
        if section == "networks":
            wrong = refusal.lower()
            pools = (given.get("ipam") or {}).get("config", ())
            if pools and "subnet" in pools[0] and any(word in wrong for word in ("pool", "subnet", "overlap")):
                return (*at, "ipam", "config", 0, "subnet")
        found = holding({each: value for each, value in given.items() if each != "image"}, refusal, at)
        if found is not None:
            return found
        for number, port in enumerate(given.get("ports", ())):
            published = str(port.get("published", "")) if isinstance(port, Mapping) else str(port).split(":")[-2:][0]
            if published and f"'{published}'" in refusal:
                return (*at, "ports", number)
        for phrase, way in _ABOUT.items():
            if phrase in refusal and way[0] in given:
                return (*at, *way)
        for word in ("secret", "config", "network", "image", "port"):
            for own in (f"{word}s", word):
                if word in refusal and own in given:
                    return (*at, own)
        return at
