"""Lab files: a lab written down in YAML.

engine: 29.7.2
nameserver: 203.0.113.10
segments:
  10.0.0.0/24: {latency: 2ms, loss: 0.01}
hosts:
  node1:
    addresses: [10.0.0.15/24]
    gateway: 10.0.0.1
    docker: {userland-proxy: false}
    compose: shop.yml
  router:
    addresses: [10.0.0.1/24, 203.0.113.1/24]
    router: true
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cnmsim.errors import CnmsimError, EngineError, FileError
from cnmsim.kernel.address import Prefix
from cnmsim.lab.compose.error_location import keys_in_network
from cnmsim.lab.lab import Lab
from cnmsim.lab.labfile_swarm import SWARM_KEYS, SwarmBuilder
from cnmsim.lab.recorded_images import HUB, RECORDED, add_recorded_images
from cnmsim.lab.releases import DEFAULT_RELEASE
from cnmsim.lab.schema import Schema, check
from cnmsim.lab.source import LabSource
from cnmsim.lab.yamlfile import Key, Map, load_yaml, parse_yaml, wrong

_TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_DURATION: Schema = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]+)?(us|ms|s)$",
            "description": "is no duration such as 5ms or 0.2s",
        },
    ]
}
_RATE: Schema = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]+)?([kmgKMG])?bit$",
            "description": "is no rate such as 10mbit",
        },
    ]
}
_CABLE: dict[str, Schema] = {
    "latency": _DURATION,
    "bandwidth": _RATE,
    "loss": {"type": "number", "minimum": 0, "maximum": 1},
}
_VLAN: Schema = {"type": "integer", "minimum": 1, "maximum": 4094}
_MTU: Schema = {"type": "integer", "minimum": 68, "maximum": 65535}

_HOST: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["addresses"],
    "properties": {
        "addresses": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "gateway": _TEXTS,
        "docker": {"type": ["boolean", "object"]},
        "engine": {"type": "string"},
        "nameserver": {"type": "string"},
        "router": {"type": "boolean"},
        "web": {"type": "boolean"},
        "names": {"type": "object", "additionalProperties": _TEXTS},
        "routes": {"type": "array", "items": {"type": "string"}},
        "mtu": _MTU,
        "dhcp": {"type": "string"},
        "compose": {"anyOf": [*_TEXTS["anyOf"], {"type": "object"}]},
        "project": {"type": "string"},
        "run": _TEXTS,
        "plugin-dirs": {"type": "array", "items": {"type": "string"}},
    },
}

LAB_SCHEMA: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["hosts"],
    "patternProperties": {"^x-": {}},
    "properties": {
        "engine": {"type": "string"},
        "seed": {"type": "integer"},
        "nameserver": {"type": "string"},
        "images": {"enum": [HUB, RECORDED]},
        "plugin-dirs": {"type": "array", "items": {"type": "string"}},
        "hosts": {"type": "object", "minProperties": 1, "additionalProperties": _HOST},
        **SWARM_KEYS,
        "segments": {
            "type": "object",
            "additionalProperties": {
                "type": ["object", "null"],
                "additionalProperties": False,
                "properties": {
                    **_CABLE,
                    "subnets": {"type": "array", "items": {"type": "string"}},
                    "mtu": _MTU,
                    "hub": {"type": "boolean"},
                    "refuse-unknown-macs": {"type": "boolean"},
                    "vlans": {
                        "type": "object",
                        "patternProperties": {r"^[0-9]+$": _TEXTS},
                        "additionalProperties": False,
                        "minProperties": 1,
                    },
                },
            },
        },
        "links": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["between"],
                "properties": {
                    **_CABLE,
                    "between": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
                    "mtu": _MTU,
                    "access": _VLAN,
                    "trunk": {"anyOf": [{"enum": ["all"]}, {"type": "array", "items": _VLAN, "minItems": 1}]},
                    "native": {"anyOf": [_VLAN, {"type": "null"}]},
                    "refuse-unknown-macs": {"type": "boolean"},
                    "hairpin": {"type": "boolean"},
                },
            },
        },
    },
}

_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_UNITS_BPS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_OPTION_NAMES = {
    "hub": "is_hub",
    "refuse-unknown-macs": "refuse_unknown_macs",
    "mtu": "mtu",
    "loss": "loss",
    "access": "access",
    "trunk": "trunk",
    "native": "native",
    "hairpin": "hairpin",
}


def load_lab(
    path: Path,
    *,
    engine: str | None = None,
    seed: int = 0,
    epoch_s: int | None = None,
    texts: Mapping[str, str] | None = None,
    images: str = HUB,
) -> Lab:
    """Build the lab that a file describes. `engine` overrides the release that the file names.

    `images` is the value of the key `images` (`hub` or `recorded`) if the file has none.

    `seed` and `epoch_s` are those of `Lab`. `texts` maps the path of a file to text that replaces the content of the
    file. Raises `FileError` for any fault in the file, with its line and key.
    """
    texts = texts or {}
    if path.is_dir():
        raise FileError("this is a folder: Lab.from_compose reads the Compose file in one", path=str(path))
    document = parse_yaml(texts[str(path)], str(path)) if str(path) in texts else load_yaml(path)
    if isinstance(document, dict) and "hosts" not in document and document.keys() & {"services", "include"}:
        raise FileError("this is a Compose file, not a lab file: Lab.from_compose reads it", path=str(path))
    check(document, LAB_SCHEMA, str(path))
    again = partial(load_lab, path, engine=engine, seed=seed, epoch_s=epoch_s, images=images)
    source = LabSource(again, path, document)
    with source.fixing():
        lab = _Reader(path, document, texts).lab(engine, seed, epoch_s, images)
    lab.source = source
    return lab


class _Reader:
    """Builds a lab from a validated document. Every error names the line and the key in the file that caused it."""

    def __init__(self, path: Path, document: Map, texts: Mapping[str, str]) -> None:
        self.path = path
        self.document = document
        self.texts = texts

    def _error(self, keys: tuple[Key, ...], error: Exception) -> FileError:
        if isinstance(error, FileError):
            return error
        text = error.message if isinstance(error, CnmsimError) else str(error)
        if isinstance(error, EngineError) and keys[:1] == ("networks",):
            keys = keys_in_network(self.document["networks"][keys[1]], keys, error)
        return wrong(self.document, keys, text, str(self.path))

    def lab(self, engine: str | None, seed: int, epoch_s: int | None, images: str) -> Lab:
        document = self.document
        nameserver = document.get("nameserver")
        try:
            release = engine or document.get("engine")
            lab = Lab(
                release or DEFAULT_RELEASE,
                document.get("seed", seed),
                nameserver=nameserver,
                epoch_s=epoch_s,
                plugin_dirs=self._beside(document.get("plugin-dirs", ())),
            )
        except CnmsimError as error:
            raise self._error(("engine",), error) from None
        if document.get("images", images) == RECORDED:
            add_recorded_images(lab.images)
        for name, options in document.get("segments", {}).items():
            self._add_segment(lab, name, options or {})
        for name, options in document["hosts"].items():
            self._add_host(lab, name, options)
        for number, options in enumerate(document.get("links", ())):
            self._add_link(lab, number, options)
        lab.settle()
        SwarmBuilder(lab, document, self.path.parent, self._error, self.texts).build()
        for name, options in document["hosts"].items():
            self._furnish(lab, name, options)
        return lab

    def _beside(self, folders: Iterable[str]) -> list[Path]:
        """Return folders as paths, relative to the folder of the lab file."""
        return [self.path.parent / folder for folder in folders]

    def _add_segment(self, lab: Lab, name: str, options: dict[str, Any]) -> None:
        subnets = options.get("subnets", [name] if "/" in name else [])
        try:
            own = _segment_name(name)
            vlans = {int(vlan): texts for vlan, texts in options.get("vlans", {}).items()}
            lab.add_segment(own, *subnets, vlans=vlans, **_cable_options(options))
        except (CnmsimError, ValueError) as error:
            raise self._error(("segments", name), error) from None

    def _add_host(self, lab: Lab, name: str, options: dict[str, Any]) -> None:
        arguments = {key: options[key] for key in _HOST_OPTIONS if key in options}
        if "plugin-dirs" in options:
            arguments["plugin_dirs"] = self._beside(options["plugin-dirs"])
        try:
            lab.add_host(name, *options["addresses"], **arguments)
        except CnmsimError as error:
            raise self._error(self._error_keys(name, options, error), error) from None

    def _error_keys(self, name: str, options: dict[str, Any], error: CnmsimError) -> tuple[Key, ...]:
        """Return the path of keys to the value in the lab file that caused an error about the host `name`.

        It is the value that the error's message quotes or whose key it contains; otherwise the host itself. `options`
        is the host's entry in the file.
        """
        text = error.message.removeprefix(f"host {name}: ")
        for number, address in enumerate(options["addresses"]):
            if address.partition("/")[0] in text and "gateway" not in text:
                return ("hosts", name, "addresses", number)
        for number, route in enumerate(options.get("routes", ())):
            if route in text:
                return ("hosts", name, "routes", number)
        if isinstance(options.get("docker"), dict):
            for key in options["docker"]:
                if key in text:
                    return ("hosts", name, "docker", key)
        for key in ("gateway", "nameserver", "engine", "names", "docker", "dhcp"):
            if key in options and (key in text or str(options[key]) in text):
                return ("hosts", name, key)
        return ("hosts", name)

    def _add_link(self, lab: Lab, number: int, options: dict[str, Any]) -> None:
        left, right = (_segment_name(end) for end in options["between"])
        try:
            lab.link(left, right, **_cable_options(options))
        except CnmsimError as error:
            raise self._error(("links", number, "between"), error) from None

    def _furnish(self, lab: Lab, name: str, options: dict[str, Any]) -> None:
        """Start the Compose project of the host `name` and run its commands.

        `options` is the host's entry in the lab file. Raises `FileError` if a command or the project fails.
        """
        if "compose" in options:
            self._compose(lab, name, options)
        commands = options.get("run", [])
        for number, command in enumerate([commands] if isinstance(commands, str) else commands):
            done = lab.host(name).exec(command)
            if not done.succeeded:
                keys: tuple[Key, ...] = (
                    ("hosts", name, "run") if isinstance(commands, str) else ("hosts", name, "run", number)
                )
                text = done.output.strip() or "it printed nothing"
                raise self._error(keys, ValueError(f"exit status {done.status}: {text}"))

    def _compose(self, lab: Lab, name: str, options: dict[str, Any]) -> None:
        project_source = options["compose"]
        if not options.get("docker", False):
            raise self._error(("hosts", name, "compose"), ValueError("the host runs no engine: set docker: true"))
        project = options.get("project", name)
        try:
            if isinstance(project_source, Map):
                lab.up(project_source, host=name, project=project, folder=self.path.parent)
                return
            files = [project_source] if isinstance(project_source, str) else list(project_source)
            paths = [self.path.parent / file for file in files]
            lab.up(paths, host=name, project=options.get("project"), texts=self.texts)
        except CnmsimError as error:
            raise self._error(("hosts", name, "compose"), error) from None


_HOST_OPTIONS = ("gateway", "docker", "engine", "nameserver", "router", "web", "names", "routes", "mtu", "dhcp")


def _segment_name(name: str) -> str:
    """Return the name of a segment; if it is a subnet, in canonical form (`10.0.0.0/24` for `10.0.0.7/24`)."""
    if "/" not in name:
        return name
    try:
        return str(Prefix.parse(name, strict=False))
    except ValueError:
        return name


def _cable_options(options: dict[str, Any]) -> dict[str, Any]:
    read = {_OPTION_NAMES[key]: options[key] for key in _OPTION_NAMES if key in options}
    if "latency" in options:
        read["latency_s"] = _duration_s(options["latency"])
    if "bandwidth" in options:
        read["bandwidth_bps"] = _rate_bps(options["bandwidth"])
    return read


def _duration_s(value: float | str) -> float:
    if not isinstance(value, str):
        return float(value)
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s)", value).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS_S[unit]


def _rate_bps(value: float | str) -> float:
    if not isinstance(value, str):
        return float(value)
    number, unit = re.fullmatch(r"([0-9.]+)(\w?)bit", value).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS_BPS[unit.lower()]
