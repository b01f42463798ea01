"""Where the objects of a lab are declared in the files that it was read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.lab.compose.port_syntax import parse_port
from cnmsim.lab.edits.project import EditableProject, editable_projects
from cnmsim.lab.yamlfile import Key, Map, Seq, locate

if TYPE_CHECKING:
    from cnmsim.lab.lab import Lab

#: The number of keys that lead to a network of a service: `networks` and its name.
_NETWORK_OF_SERVICE = 2


@define(eq=False)
class FilePlaces:
    """Finds the line at which an object of a lab is declared in a Compose file, stack file or lab file.

    The methods return `FILE:LINE`, or "" if no file declares the object. A path leads from the object's declaration
    to one of its settings. An item of a list is selected in a path by its whole text (`8080:80`), by its name (`NAME`
    for `NAME=VALUE`) or, in `ports`, by the published port. The place of the first path that exists is returned, or
    else that of the object.
    """

    _lab: Lab
    _projects: list[EditableProject] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._projects = list(editable_projects(self._lab))

    @property
    def _lab_file(self) -> Any:
        return self._lab.source.document if self._lab.source is not None else None

    def service(self, host: str, name: str, *paths: Sequence[str]) -> str:
        """Return the place of a service of the project or stack on `host`, or of one of its settings.

        `name` is the engine's name of its container or swarm service. A network in a path is named as in the engine.
        """
        for project in self._projects:
            if host in project.hosts and name in project.keys:
                own = ("services", project.keys[name])
                return _place(project.document, own, [_with_key(project, path) for path in paths])
        return ""

    def network(self, host: str, name: str, *paths: Sequence[str]) -> str:
        """Return the place of the network that an engine on `host` knows as `name`, or of one of its settings.

        If the files do not declare the network, return the place of the first service that uses it.
        """
        for project in self._projects:
            if host not in project.hosts:
                continue
            key = next((item.key for item in project.networks.values() if item.name == name), None)
            if key is None:
                continue
            if project.networks[key].is_external and (place := self.lab_entry("networks", name, paths=paths)):
                return place
            if key in (project.document.get("networks") or {}):
                return _place(project.document, ("networks", key), paths)
            users = (item for item in project.services.values() if any(use.network == key for use in item.networks))
            return next((_place(project.document, ("services", user.name), ()) for user in users), "")
        return self.lab_entry("networks", name, paths=paths)

    def host(self, name: str, *texts: str, path: Sequence[str] = ()) -> str:
        """Return the place in the lab file of the first command of a host that contains one of `texts`.

        If there is none, return the place of the host's setting at `path`, or of the host.
        """
        entry = ((self._lab_file or {}).get("hosts") or {}).get(name) or {}
        commands = entry.get("run") or ()
        for command in [commands] if isinstance(commands, str) else commands:
            if any(text in command for text in texts):
                return self.lab_entry("hosts", name, paths=[("run", command), ("run",)])
        return self.lab_entry("hosts", name, paths=[path])

    def lab_entry(self, *keys: str, paths: Sequence[Sequence[str]] = ()) -> str:
        """Return the place of the entry at the path `keys` in the lab file.

        If one of its settings at `paths` exists, return the place of the first such setting instead.
        """
        return _place(self._lab_file, keys, paths) if _path_at(self._lab_file, keys) is not None else ""


def _with_key(project: EditableProject, path: Sequence[str]) -> Sequence[str]:
    """Return the path of a service's setting with the key of a network in place of its name in the engine."""
    if len(path) < _NETWORK_OF_SERVICE or path[0] != "networks":
        return path
    key = next((item.key for item in project.networks.values() if item.name == path[1]), path[1])
    return (path[0], key, *path[2:])


def _place(document: Any, own: Sequence[str], paths: Sequence[Sequence[str]]) -> str:
    found = (_path_at(document, (*own, *path)) for path in paths)
    keys = next((keys for keys in found if keys is not None), own)
    place = locate(document, keys)
    return f"{place.path}:{place.line}" if place is not None and place.path else ""


def _path_at(document: Any, path: Sequence[str]) -> list[Key] | None:
    """Return `path` with the selectors of list items replaced by their indices.

    `None` if `document` has no such value.
    """
    here, keys = document, list[Key]()
    for key in path:
        if isinstance(here, Map) and key in here:
            keys.append(key)
            here = here[key]
        elif isinstance(here, Seq) and (number := next(_numbers(here, key), None)) is not None:
            keys.append(number)
            here = here[number]
        else:
            return None
    return keys


def _numbers(items: Seq, key: str) -> Iterator[int]:
    for number, item in enumerate(items):
        if str(item) == key or str(item).startswith(f"{key}=") or _publishes(item, key):
            yield number


def _publishes(item: Any, port: str) -> bool:
    try:
        return port.isdigit() and any(mapping.published == port for mapping in parse_port(item))
    except ValueError:
        return False
