"""Loading of a stack's files into one validated document, by the rules of `docker stack deploy`.

Source: docker/cli `cli/compose/{loader,interpolation,template,schema}`, `cli/command/stack/loader.go` (v29.7.2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from attrs import frozen

from cnmsim.errors import FileError
from cnmsim.gostrconv import NumError, atoi, parse_float
from cnmsim.lab.compose.document import File
from cnmsim.lab.compose.interpolate import Variables, interpolate
from cnmsim.lab.schema import check
from cnmsim.lab.stack.merge import merge_files
from cnmsim.lab.stack.schema import SINCE, STACK_SCHEMA, VERSIONS
from cnmsim.lab.stack.schema_errors import SENTENCES
from cnmsim.lab.yamlfile import Key, Map, Place, Seq, load_yaml, parse_yaml, wrong

_UNSUPPORTED = (
    "build", "cgroup_parent", "cgroupns_mode", "devices", "domainname", "external_links", "ipc", "links",
    "mac_address", "network_mode", "pid", "privileged", "restart", "security_opt", "shm_size", "userns_mode",
)  # fmt: skip
_DEPRECATED = {
    "container_name": "Setting the container name is not supported.",
    "expose": "Exposing ports is unnecessary - services on the same network can access each other's"
    " containers on any port.",
}
_RESOURCES = "Set resource limits using deploy.resources"
_FORBIDDEN = {
    "extends": "Support for `extends` is not implemented yet.",
    "volume_driver": "Instead of setting the volume driver on the service, define a volume using the top-level"
    " `volumes` option and specify the driver there.",
    "volumes_from": "To share a volume between services, define it using the top-level `volumes` option and"
    " reference it from each service that shares it using the service-level `volumes` option.",
    **dict.fromkeys(("cpu_quota", "cpu_shares", "cpuset", "mem_limit", "memswap_limit"), _RESOURCES),
}
_INTEGER, _FLOAT, _BOOLEAN = "int", "float", "bool"
#: The types to which interpolated strings are cast, by the path of the value in the document.
_CASTS = {
    "services.*.configs.*.mode": _INTEGER,
    "services.*.secrets.*.mode": _INTEGER,
    "services.*.healthcheck.retries": _INTEGER,
    "services.*.healthcheck.disable": _BOOLEAN,
    "services.*.deploy.replicas": _INTEGER,
    "services.*.deploy.update_config.parallelism": _INTEGER,
    "services.*.deploy.update_config.max_failure_ratio": _FLOAT,
    "services.*.deploy.rollback_config.parallelism": _INTEGER,
    "services.*.deploy.rollback_config.max_failure_ratio": _FLOAT,
    "services.*.deploy.restart_policy.max_attempts": _INTEGER,
    "services.*.deploy.placement.max_replicas_per_node": _INTEGER,
    "services.*.ports.*.target": _INTEGER,
    "services.*.ports.*.published": _INTEGER,
    "services.*.ulimits.*": _INTEGER,
    "services.*.ulimits.*.hard": _INTEGER,
    "services.*.ulimits.*.soft": _INTEGER,
    "services.*.oom_score_adj": _INTEGER,
    "services.*.volumes.*.volume.nocopy": _BOOLEAN,
    "services.*.volumes.*.read_only": _BOOLEAN,
    **dict.fromkeys((f"services.*.{key}" for key in ("privileged", "read_only", "stdin_open", "tty")), _BOOLEAN),
    **dict.fromkeys((f"networks.*.{key}" for key in ("external", "internal", "attachable")), _BOOLEAN),
    **dict.fromkeys((f"{kind}.*.external" for kind in ("volumes", "secrets", "configs")), _BOOLEAN),
}
_BOOLEANS = {**dict.fromkeys(("y", "yes", "true", "on"), True), **dict.fromkeys(("n", "no", "false", "off"), False)}
_SUBSTITUTION = r"[_a-z][_a-z0-9]*(?::?[-?][^}]*)?"
_VARIABLE = re.compile(
    rf"\$(?:(?P<escaped>\$)|(?P<named>{_SUBSTITUTION})|{{(?P<braced>{_SUBSTITUTION})}}|)", re.IGNORECASE
)
_SEPARATORS = (":-", "-", ":?", "?")


class StackVariables(Variables):
    """Variables of a stack file. `${…}` has fewer forms than in Compose files (docker/cli `template.go`)."""

    def substitute(self, template: str) -> str:
        """Return the text `template` with all its variables replaced by their values.

        Raises `ValueError` for an invalid template or a missing required variable, with the text that the docker
        command prints.
        """
        return _VARIABLE.sub(lambda match: self._value(match, template), template)

    def _value(self, match: re.Match[str], template: str) -> str:
        if match["escaped"]:
            return "$"
        expression = match["named"] or match["braced"]
        if not expression:
            raise ValueError(_invalid(template))
        separator = next((candidate for candidate in _SEPARATORS if candidate in expression), "")
        if not separator:
            return self.values.get(expression, "")
        name, _, argument = expression.partition(separator)
        value = self.values.get(name)
        if value is not None and (value or not separator.startswith(":")):
            return value
        if separator.endswith("-"):
            return argument
        raise ValueError(_invalid(f"required variable {name} is missing a value: {argument}"))


def _invalid(template: str) -> str:
    quoted = json.dumps(template, ensure_ascii=False)
    return f"invalid interpolation format: {quoted}; you may need to escape any $ with another $"


@frozen
class StackDocument:
    """The merged, validated files of a stack. `notices` are the docker command's warnings."""

    root: Map
    path: str
    notices: tuple[str, ...] = ()

    def error(self, message: str, *keys: Key) -> FileError:
        """Return an error with `message`, located at the value with the path `keys`."""
        return wrong(self.root, keys, message, self.path)

    def section(self, name: str) -> Map:
        """Return the mapping under the top-level key `name`, or an empty one if there is none."""
        value = self.root.get(name)
        return value if isinstance(value, Map) else Map(Place(self.path, 1))


def read_document(files: Sequence[File], variables: Variables, latest: str) -> StackDocument:
    """Load, interpolate, validate and merge the files of a stack. Later files override earlier ones.

    `latest` is the newest known version of the file format. Raises `FileError` if a file is unreadable or invalid.
    """
    raw = [_load(file) for file in files]
    version = _version(raw[0][0], latest)
    documents = [_validated(document, name, variables, version, latest) for document, name in raw]
    merged = reduce(merge_files, documents)
    return StackDocument(merged, raw[0][1], tuple(_notices([loaded for loaded, _ in raw])))


def replaced_texts(files: Sequence[File], texts: Mapping[str, str]) -> list[File]:
    """Return `files`, where each path that is a key of `texts` is replaced by the parsed YAML text under this key.

    Raises `FileError` if such a text is not valid YAML.
    """
    return [parse_yaml(texts[str(file)], str(file)) if str(file) in texts else file for file in files]


def _load(file: File) -> tuple[Map, str]:
    name = file.place.path if isinstance(file, Map) else str(file)
    document = load_yaml(file) if isinstance(file, Path) else file
    if not isinstance(document, Map):
        raise FileError("top-level object must be a mapping", path=name, line=1)
    return document, name


def _version(document: Map, latest: str) -> str:
    version = document.get("version", "")
    return latest if str(version) in {"", "3"} else str(version)


def _validated(document: Map, name: str, variables: Variables, version: str, latest: str) -> Map:
    own_version = _version(document, latest)
    if own_version != version:
        text = f"version mismatched between two composefiles : {version} and {own_version}"
        raise wrong(document, ("version",), text, name)
    _refuse_forbidden(document, name)
    try:
        interpolated = interpolate(document, variables, name)
    except FileError as error:
        dotted = re.sub(r"\[[0-9]+\]", ".[]", error.key)
        text = error.message.removeprefix(f"{error.path}:{error.line}: {error.key}: ")
        text = text.replace("interpolation format", f"interpolation format for {dotted}", 1)
        raise FileError(text, path=error.path, line=error.line, key=error.key) from None
    _cast_interpolated(document, interpolated, (), interpolated, name)
    if version not in VERSIONS or VERSIONS.index(version) > VERSIONS.index(latest):
        raise wrong(document, ("version",), f"unsupported Compose file version: {version}", name)
    check(interpolated, STACK_SCHEMA, name, sentences=SENTENCES)
    _refuse_newer(interpolated, version, name)
    assert isinstance(interpolated, Map)
    return interpolated


def _services(document: Map) -> Iterator[tuple[str, Map]]:
    services = document.get("services")
    for name, service in services.items() if isinstance(services, Map) else ():
        if isinstance(service, Map):
            yield name, service


def _refuse_forbidden(document: Map, path: str) -> None:
    services_by_key = {key: name for name, service in _services(document) for key in _FORBIDDEN if key in service}
    if services_by_key:
        listed = "\n\n".join(f"{key}: {_FORBIDDEN[key]}" for key in sorted(services_by_key))
        first = min(services_by_key)
        text = f"compose file contains unsupported options:\n\n{listed}\n"
        raise wrong(document, ("services", services_by_key[first], first), text, path)


def _notices(documents: Sequence[Map]) -> Iterator[str]:
    used = {key for document in documents for _, service in _services(document) for key in service}
    unsupported = [key for key in _UNSUPPORTED if key in used]
    if unsupported:
        yield f"Ignoring unsupported options: {', '.join(unsupported)}"
    deprecated = [f"{key}: {text}" for key, text in _DEPRECATED.items() if key in used]
    if deprecated:
        yield "Ignoring deprecated options:\n\n" + "\n\n".join(deprecated)


def _refuse_newer(document: Any, version: str, path: str) -> None:
    """Raise `FileError` if the document has a key that was introduced after the format version `version`."""
    if version == VERSIONS[-1]:
        return
    number = VERSIONS.index(version)
    for pattern, since in SINCE.items():
        if VERSIONS.index(since) <= number:
            continue
        for keys in _matching_paths(document, pattern.split("."), ()):
            text = f"Additional property {keys[-1]} is not allowed in version {version}: it came with {since}"
            raise wrong(document, keys, text, path)


def _matching_paths(value: Any, pattern: Sequence[str], keys: tuple[Key, ...]) -> Iterator[tuple[Key, ...]]:
    if not pattern:
        yield keys
        return
    inside: Mapping[Any, Any] = value if isinstance(value, Map) else {}
    if isinstance(value, Seq):
        inside = dict(enumerate(value))
    matching = list(inside) if pattern[0] == "*" else [key for key in inside if key == pattern[0]]
    for key in matching:
        yield from _matching_paths(inside[key], pattern[1:], (*keys, key))


def _cast_interpolated(before: Any, after: Any, keys: tuple[Key, ...], root: Any, path: str) -> None:
    """Convert strings that came from variables to numbers or booleans, in place, where the format requires these.

    `before` is a part of the document before interpolation, `after` the same part afterwards; `keys` is its path in
    the whole document `root`. `path` is the file that errors name.
    """
    if not isinstance(after, Map | Seq):
        return
    items: list[tuple[Any, Any]] = list(after.items()) if isinstance(after, Map) else list(enumerate(after))
    for key, value in items:
        path_keys = (*keys, key)
        if isinstance(value, str) and value != before[key]:
            kind = _kind_of(path_keys)
            if kind:
                after[key] = _cast_value(value, kind, root, path_keys, path)
        else:
            _cast_interpolated(before[key], value, path_keys, root, path)


def _kind_of(keys: tuple[Key, ...]) -> str:
    for pattern, kind in _CASTS.items():
        parts = pattern.split(".")
        if len(parts) == len(keys) and all(part in {"*", key} for part, key in zip(parts, keys, strict=True)):
            return kind
    return ""


def _cast_value(value: str, kind: str, root: Any, keys: tuple[Key, ...], path: str) -> Any:
    try:
        if kind == _BOOLEAN:
            return _BOOLEANS[value.lower()]
        return atoi(value) if kind == _INTEGER else parse_float(value)
    except (NumError, KeyError) as error:
        reason = f"invalid boolean: {value}" if kind == _BOOLEAN else str(error)
        dotted = ".".join("[]" if isinstance(key, int) else key for key in keys)
        text = f"error while interpolating {dotted}: failed to cast to expected type: {reason}"
        raise wrong(root, keys, text, path) from None
