"""The swarm of a lab file: `swarm`, and the `networks`, `secrets`, `configs` and `stacks` in it.

swarm:
  managers: [node1]
  workers: [node2, node3]
  default-addr-pool: 10.20.0.0/16
  nodes:
    node2: {labels: {zone: a}, availability: drain}
networks:
  uber-net: {attachable: true, driver_opts: {encrypted: ""}}
secrets:
  db_password: {file: password.txt}
stacks:
  shop: stack.yml
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.bounded_read import read_bytes
from cnmsim.errors import CnmsimError
from cnmsim.lab.compose.scalars import string_map
from cnmsim.lab.schema import Schema
from cnmsim.lab.stack.document import replaced_texts
from cnmsim.lab.stack.objects import network_body
from cnmsim.lab.stack.schema import NETWORK
from cnmsim.lab.yamlfile import Key, Map

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.lab.host import Host
    from cnmsim.lab.lab import Lab

_TEXT: Schema = {"type": "string"}
_NAMES: Schema = {"type": "array", "items": _TEXT, "uniqueItems": True}
_NODE: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "labels": NETWORK["properties"]["labels"],
        "availability": {"enum": ["active", "pause", "drain"]},
        "advertise-addr": _TEXT,
        "data-path-addr": _TEXT,
    },
}
_SWARM: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["managers"],
    "properties": {
        "managers": {**_NAMES, "minItems": 1},
        "workers": _NAMES,
        "default-addr-pool": {"anyOf": [_TEXT, _NAMES]},
        "subnet-size": {"type": "integer"},
        "data-path-port": {"type": "integer"},
        "nodes": {"type": "object", "additionalProperties": _NODE},
    },
}
_CONTENT: Schema = {
    "anyOf": [
        _TEXT,
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["file"],
            "properties": {"file": _TEXT, "labels": NETWORK["properties"]["labels"]},
        },
    ]
}
_OWN_NETWORK: Schema = {
    **NETWORK,
    "properties": {key: schema for key, schema in NETWORK["properties"].items() if key not in {"external", "name"}},
}
#: The keys of a lab file that describe its swarm.
SWARM_KEYS: dict[str, Schema] = {
    "swarm": _SWARM,
    "networks": {"type": "object", "additionalProperties": _OWN_NETWORK},
    "secrets": {"type": "object", "additionalProperties": _CONTENT},
    "configs": {"type": "object", "additionalProperties": _CONTENT},
    "stacks": {
        "type": "object",
        "additionalProperties": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}, {"type": "object"}]},
    },
}


@define
class SwarmBuilder:
    """Builds the swarm that `document`, a validated lab file in `folder`, describes.

    `wrong` is called with a path of keys and an error; it returns an error with the same message, located at this
    path in the file. `texts` maps the path of a stack file to text that replaces the content of the file.
    """

    lab: Lab
    document: Map
    folder: Path
    wrong: Callable[[tuple[Key, ...], Exception], CnmsimError]
    texts: Mapping[str, str]

    def build(self) -> None:
        """Create the swarm and its objects, and wait until the lab has settled.

        Raises `FileError` if the file describes no valid swarm, or if the lab does not settle.
        """
        if "swarm" not in self.document:
            for key in SWARM_KEYS:
                if key in self.document:
                    raise self.wrong((key,), ValueError("the file declares no swarm: add swarm: {managers: [HOST]}"))
            return
        engine = self._nodes()
        for name, declaration in self.document.get("networks", {}).items():
            body = network_body(name, declaration or {}, {})
            self._at(("networks", name), partial(_make_network, engine, body))
        for section in ("secrets", "configs"):
            for name, declaration in self.document.get(section, {}).items():
                self._content(engine, section, name, declaration)
        for name, declaration in self.document.get("stacks", {}).items():
            self._stack(engine, name, declaration)
        try:
            self.lab.settle()
        except TimeoutError as error:
            raise self.wrong(("swarm",), error) from None

    def _at(self, keys: tuple[Key, ...], act: Callable[[], Any]) -> Any:
        try:
            return act()
        except (CnmsimError, ValueError) as error:
            raise self.wrong(keys, error) from None

    # ---- nodes

    def _nodes(self) -> Engine:
        """Create the swarm and join its nodes. Return the engine of the first manager.

        Raises `FileError` if a node is listed twice or unknown, or if an engine refuses a call.
        """
        swarm = self.document["swarm"]
        places = list(self._node_keys())
        engines = {name: self._engine(name, keys) for name, keys in places}
        for name in swarm.get("nodes", {}):
            if name not in engines:
                raise self.wrong(("swarm", "nodes", name), ValueError(f"{name} is not a node of the swarm"))
        if len(places) != len(engines):
            names = [name for name, _ in places]
            repeated = next(place for place in reversed(places) if names.count(place[0]) > 1)
            raise self.wrong(repeated[1], ValueError(f"{repeated[0]} is listed twice"))
        (first, at), *others = places
        leader = engines[first]
        self._at(at, partial(leader.swarm.init, **self._options(), **self._addresses(first)))
        remote = f"{self._addresses(first)['advertise_addr']}:2377"
        for name, keys in others:
            tokens = leader.swarm.tokens
            token = tokens.manager if "managers" in keys else tokens.worker
            joining = partial(engines[name].swarm.join, token, remote, **self._addresses(name))
            self._at(keys, joining)
        self._at(("swarm",), self.lab.settle)
        for name, settings in swarm.get("nodes", {}).items():
            self._at(("swarm", "nodes", name), partial(_update_node, leader, engines[name], settings))
        return leader

    def _node_keys(self) -> Iterator[tuple[str, tuple[Key, ...]]]:
        for role in ("managers", "workers"):
            for number, name in enumerate(self.document["swarm"].get(role, ())):
                yield name, ("swarm", role, number)

    def _engine(self, name: str, keys: tuple[Key, ...]) -> Engine:
        host: Host = self._at(keys, lambda: self.lab.host(name))
        if not host.has_docker:
            raise self.wrong(keys, ValueError(f"{name} runs no engine: set docker: true"))
        return host.docker

    def _addresses(self, name: str) -> dict[str, Any]:
        settings = self.document["swarm"].get("nodes", {}).get(name, {})
        return {
            "advertise_addr": settings.get("advertise-addr", self.lab.host(name).address),
            "data_path_addr": settings.get("data-path-addr", ""),
        }

    def _options(self) -> dict[str, Any]:
        swarm = self.document["swarm"]
        pools = swarm.get("default-addr-pool", [])
        return {
            "default_addr_pool": [pools] if isinstance(pools, str) else list(pools),
            "subnet_size": swarm.get("subnet-size", 0),
            "data_path_port": swarm.get("data-path-port", 0),
        }

    # ---- objects

    def _content(self, engine: Engine, section: str, name: str, declaration: Any) -> None:
        keys: tuple[Key, ...] = (section, name)
        if isinstance(declaration, str):
            data, labels = declaration.encode(), {}
        else:
            try:
                data = read_bytes(self.folder / declaration["file"])
            except OSError as error:
                raise self.wrong((*keys, "file"), ValueError(error.strerror or str(error))) from None
            labels = string_map(declaration.get("labels"))
        collection = engine.secrets if section == "secrets" else engine.configs
        self._at(keys, lambda: collection.create(name, data, labels))

    def _stack(self, engine: Engine, name: str, source: Any) -> None:
        folder, files = self.folder, source
        if not isinstance(source, Map):
            paths = [self.folder / file for file in ([source] if isinstance(source, str) else source)]
            folder, files = paths[0].parent, replaced_texts(paths, self.texts)
        self._at(("stacks", name), lambda: engine.stacks.deploy(name, files, folder=folder))


def _make_network(engine: Engine, body: dict[str, Any]) -> None:
    engine.complete(engine.rest.networks.create(body))


def _update_node(leader: Engine, engine: Engine, settings: Map) -> None:
    """Set the labels and the availability in `settings` for the node of `engine`, by a request to `leader`."""
    changes: dict[str, Any] = {}
    if "labels" in settings:
        changes["Labels"] = string_map(settings["labels"])
    if "availability" in settings:
        changes["Availability"] = settings["availability"]
    if changes:
        leader.nodes.get(engine.swarm.node_id).update(**changes)
