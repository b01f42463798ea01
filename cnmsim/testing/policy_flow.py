"""The flows and names of a policy file: which connections an entry means, and which containers a name means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.lab.schema import Schema
from cnmsim.lab.yamlfile import Key, wrong
from cnmsim.observe.location import Location, StoppedContainer
from cnmsim.observe.trace.target import PROTOCOLS

_TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_FLOWS: Schema = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "required": ["from", "to"],
                "additionalProperties": False,
                "properties": {"from": _TEXTS, "to": _TEXTS},
            },
        ]
    },
}
_BY_NAME: Schema = {"type": "object", "additionalProperties": _TEXTS}
POLICY: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "groups": _BY_NAME,
        "allow": _FLOWS,
        "require": _FLOWS,
        "outside": {"type": "array", "items": {"type": "string"}},
        "names": _BY_NAME,
        "unknown_names": _BY_NAME,
    },
}


@frozen
class Flow:
    """An `allow`, `require` or `outside` entry: from the locations `source` to the locations `target`.

    `port` is `None` if the entry means any port of its targets, `protocol` is `None` if it means any protocol.
    """

    source: str
    target: str
    port: int | None
    protocol: str | None
    text: str

    def covers(
        self, source: Location, target: Location, protocol: str, port: int, groups: Mapping[str, list[str]]
    ) -> bool:
        """Return True if the entry means connections from `source` to this port of `target`."""
        is_port = (self.port in {None, port}) and (self.protocol in {None, protocol})
        return is_port and is_meant(self.source, source, groups) and is_meant(self.target, target, groups)


def is_meant(name: str, location: Location, groups: Mapping[str, list[str]]) -> bool:
    """Return True if `name`, as written in a policy, includes this location.

    `name` may be a group, `network:PATTERN` for all containers on a network, or a name or pattern of locations or
    services.
    """
    return any(has_name(location, member) for member in members_of(name, groups))


def has_name(location: Location | StoppedContainer, name: str) -> bool:
    """Return True if `name`, which is no group, includes this location or container that is not running."""
    own, networks = {location.name}, list[str]()
    if isinstance(location, StoppedContainer):
        networks += location.networks
        if location.service:
            own |= {location.service, f"{location.service}-{location.replica}"}
    else:
        networks += [item.network for item in location.attachments]
        if location.service:
            own |= {*location.service_names, *location.replica_names}
    if name.startswith("network:"):
        pattern, project = name.removeprefix("network:"), f"{location.project}_"
        return any(
            fnmatchcase(known, pattern) for network in networks for known in (network, network.removeprefix(project))
        )
    return any(fnmatchcase(own_name, name) for own_name in own)


def members_of(name: str, groups: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Return the members of the group `name`, with those of the groups in it; only `name` if it is no group."""
    if name not in groups:
        return (name,)
    others = {key: value for key, value in groups.items() if key != name}
    return tuple(dict.fromkeys(found for member in groups[name] for found in members_of(member, others)))


def read_flows(document: Any, item: Any, keys: tuple[Key, ...], path: str) -> Iterator[Flow]:
    """Yield the flows of an `allow` or `require` entry, found under `keys`. Raises `FileError` if it is invalid."""
    if isinstance(item, str):
        source, arrow, target = (part.strip() for part in item.partition("->"))
        if not arrow or not source or not target:
            raise wrong(document, keys, f'{item!r} is no permission: write "web -> db:5432"', path)
        yield read_flow(source, target, document, keys, path)
        return
    sides: list[Iterable[str]] = [[item[key]] if isinstance(item[key], str) else item[key] for key in ("from", "to")]
    for source in sides[0]:
        for target in sides[1]:
            yield read_flow(source, target, document, keys, path)


def read_flow(source: str, target: str, document: Any, keys: tuple[Key, ...], path: str) -> Flow:
    """Return the flow from `source` to `target`, which may end in a port.

    Raises `FileError`, which names the place `keys` of the document, if the port is invalid.
    """
    name, colon, service = target.rpartition(":")
    if not colon or (name == "network"):
        return Flow(source, target, None, None, f"{source} -> {target}")
    port, slash, protocol = service.partition("/")
    if not is_number(port) or not 0 < int(port) < 65536 or (slash and protocol not in PROTOCOLS):
        raise wrong(document, keys, f"{service!r} is no port: write db:5432 or dns:53/udp", path)
    return Flow(source, name, int(port), protocol or "tcp", f"{source} -> {target}")
