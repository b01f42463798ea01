"""Reading of a stack's files into a `StackDescription`, and location of engine errors in the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define

from cnmsim.engine.client.stacks import StackDescription, StackFiles
from cnmsim.engine.standins.environment import references
from cnmsim.engine.standins.hints import ServiceHints
from cnmsim.engine.standins.knownport import KnownPort, PortSource
from cnmsim.errors import EngineError, FileError
from cnmsim.lab.compose.document import project_files
from cnmsim.lab.compose.error_location import keys_in_network, mentioned_keys, refused_keys
from cnmsim.lab.compose.hints import EXTENSION, check_extension
from cnmsim.lab.stack.document import StackDocument, StackVariables, read_document
from cnmsim.lab.stack.objects import StackObjects
from cnmsim.lab.stack.service import ServiceReader, networks_of
from cnmsim.lab.yamlfile import Key

#: Phrases in the engine's error messages, each with the path of keys, in a service, to the wrong value.
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
    folder: Path | None = None,
    hints: ServiceHints | None = None,
    stacks: dict[str, StackObjects] | None = None,
) -> StackDescription:
    """Read the files of the stack `name`. Later files override earlier ones.

    An item of `files` is a path, or the content of a file as a mapping or a string of several lines; relative paths
    in such content start at `folder`. `env` contains the variables for `${…}`, `latest` is the newest known version
    of the file format. The ports on which services listen, if the files state or imply them, are added to `hints`.
    The stack's networks, volumes, secrets and configs are stored in `stacks` under `name`.

    Raises `FileError` for an invalid file, with file, line and key.
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
    if hints is not None:
        _record_ports(name, document, specs, hints)
    if stacks is not None:
        stacks[name] = objects
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
    )


def _record_ports(
    stack: str, document: StackDocument, specs: Mapping[str, dict[str, Any]], hints: ServiceHints
) -> None:
    services = document.section("services")
    names = {name: key for key in services for name in (key, f"{stack}_{key}")}
    referenced: dict[str, list[KnownPort]] = {}
    for key, declaration in services.items():
        given = (declaration or {}).get(EXTENSION)
        if given is not None:
            stated = check_extension(given, _error_at(document, key))
            # What the command line or a program stated takes precedence over the file, as for Compose projects.
            earlier = hints.stated.get(f"{stack}/{key}", ())
            if stated is not None and not any(port.evidence == "the user" for port in earlier):
                hints.state(f"{stack}/{key}", stated)
        container = specs[f"{stack}_{key}"]["TaskTemplate"]["ContainerSpec"]
        env = dict(item.split("=", 1) for item in container.get("Env", ()) if "=" in item)
        for name, port in references(env, names):
            if name != key:
                known = KnownPort(port.number, port.protocol, PortSource.REFERENCE, f"{key}: {port.evidence}")
                referenced.setdefault(name, []).append(known)
    for name, ports in referenced.items():
        hints.referenced[f"{stack}/{name}"] = tuple(dict.fromkeys(ports))


def _error_at(document: StackDocument, key: str) -> Callable[..., FileError]:
    return lambda message, *keys: document.error(message, "services", key, *keys)


@define
class ErrorLocator:
    """Finds the line in a stack file that caused an engine's error. A callable object."""

    document: StackDocument
    objects: StackObjects

    def __call__(self, kind: str, name: str, message: str, error: EngineError) -> FileError:
        """Return an error with the text `message`, located at the line that caused the engine's `error`.

        `kind` and `name` identify the object that the engine refused, such as `service` and `shop_web`.
        """
        section = f"{kind}s"
        keys = self.document.section(section)
        key = next((candidate for candidate in keys if self._name(section, candidate) == name), None)
        if key is None:  # the default network is not declared in the file
            users = [
                user for user, service in self.document.section("services").items() if not service.get("networks")
            ]
            return self.document.error(message, "services", *users[:1])
        return self.document.error(message, *self._keys_for(section, key, keys[key] or {}, error))

    def _name(self, section: str, key: str) -> str:
        return self.objects.scoped_name(key) if section == "services" else self.objects.name_of(section, key)

    def _keys_for(
        self, section: str, key: str, declaration: Mapping[str, Any], error: EngineError
    ) -> tuple[Key, ...]:
        at: tuple[Key, ...] = (section, key)
        if section == "networks":
            return keys_in_network(declaration, at, error)
        refusal = error.message
        given = {field: value for field, value in declaration.items() if field != "image"}
        location = refused_keys(given, at, error) or mentioned_keys(given, at, refusal)
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
