"""Conversion of the rows of a state database to the nested sections that `restore_lab` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cnmsim.lab.state.database import Key, Line
from cnmsim.lab.state.errors import reported_about, wrong_file
from cnmsim.lab.state.recorder import ASSIGNED

_SECTIONS = {"image": "images", "volume": "volumes", "network": "networks", "container": "containers"}
#: The types of data in rows that are not objects. The row of a store itself contains the store's index.
_TYPES: dict[str, type] = {"lab": object, "release": str, "store": object}
_ASSIGNED = {kind: attribute for kind, attribute, _ in ASSIGNED}


def content_of(rows: Iterable[tuple[Key, str]], lines: Iterable[Line], path: Path) -> dict[str, Any] | None:
    """Return the content of a state database, or `None` if no state of a lab has been written yet.

    `rows` are the objects in the database, each as (key, JSON text), `lines` are the lines of the containers' logs.
    `path` is the file, for error messages. Raises `FileError` if a row is malformed.
    """
    with reported_about(path, "malformed"):
        content: dict[str, Any] = {}
        hosts: dict[str, dict[str, Any]] = {}
        swarm: dict[str, Any] = {}
        logs: dict[tuple[str, str], list[list[Any]]] = {}
        members: dict[str, dict[str, Any]] = {}
        assigned: dict[str, dict[str, list[Any]]] = {}
        stores: dict[str, dict[str, Any]] = {}
        files: dict[str, dict[str, Any]] = {}
        for (host, kind, identity), text in rows:
            with reported_about(path, f"malformed: {kind} {identity}".rstrip()):
                data = json.loads(text)
                expected = _TYPES.get(kind, dict)
                if type(data) is not expected is not object:
                    raise TypeError(f"expected {expected.__name__}, not {type(data).__name__}")
            if kind == "lab":
                content[identity] = data
            elif kind == "store":
                number, _, rest = identity.partition("/")
                store = stores.setdefault(number, {})
                if rest:
                    store.setdefault(rest.partition("/")[0], []).append(data)
                else:
                    store["index"] = data
            elif kind == "files":
                files[host] = data
            elif kind == "member":
                members[host] = data
            elif kind in _ASSIGNED:
                assigned.setdefault(host, {}).setdefault(_ASSIGNED[kind], []).append(data)
            else:
                section = hosts.setdefault(host, {"release": "", **{name: [] for name in _SECTIONS.values()}})
                if kind == "release":
                    section["release"] = data
                elif kind in _SECTIONS:
                    if kind == "container":
                        data["log"] = logs.setdefault((host, identity), [])
                    section[_SECTIONS[kind]].append(data)
                else:
                    raise wrong_file(path, f"malformed: unknown kind of object {kind!r}")
        if not content:
            return None
        for host, container, time_ns, stream, line in lines:
            logs.setdefault((host, container), []).append([time_ns, stream, line.decode("latin-1")])
        for host, member in members.items():
            member["node"].update(assigned.get(host, {}))
        if stores:
            swarm["stores"] = [stores[number] for number in sorted(stores, key=int)]
        if members:
            swarm["members"] = members
        content["hosts"], content["swarm"], content["files"] = hosts, swarm, files
        return content
