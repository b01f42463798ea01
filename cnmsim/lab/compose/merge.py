"""Merging of Compose files (compose-spec, 13-merge; compose-go `override`).

Mappings are merged key by key and lists are appended; the tables in this module list the exceptions. In a list whose
items have an identity, such as the target path of a volume, a later item replaces an earlier one of the same
identity. `!reset` removes a value, `!override` replaces it.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from cnmsim.lab.compose.scalars import scalar_text
from cnmsim.lab.yamlfile import Key, Map, Place, Seq, Tagged, key_text

_REPLACED = ("services.*.command", "services.*.entrypoint", "services.*.healthcheck.test")
_KEY_SETS = ("services.*.networks", "services.*.depends_on")
_TEXT_SETS = (
    "networks.*.labels",
    "services.*.annotations",
    "services.*.deploy.labels",
    "services.*.dns",
    "services.*.dns_opt",
    "services.*.dns_search",
    "services.*.env_file",
    "services.*.environment",
    "services.*.extra_hosts",
    "services.*.labels",
    "services.*.sysctls",
    "services.*.tmpfs",
    "volumes.*.labels",
)
_UNIQUE_BY_NAME = (
    *_TEXT_SETS,
    "networks.*.ipam.options",
    "services.*.cap_add",
    "services.*.cap_drop",
    "services.*.expose",
    "services.*.links",
    "services.*.networks.*.aliases",
    "services.*.networks.*.link_local_ips",
    "services.*.profiles",
)


class MergeError(ValueError):
    """Raised if two files cannot be merged.

    `place` (file and line) and `key` locate the value in the later file that does not fit.
    """

    def __init__(self, message: str, place: Place, key: str) -> None:
        super().__init__(message)
        self.place, self.key = place, key


def merge(base: Any, over: Any, keys: tuple[Key, ...] = (), place: Place | None = None) -> Any:
    """Return a copy of `base` with the values of `over` merged into it.

    `keys` is the path of both values in the document, `place` the position of `over` for error messages. Raises
    `MergeError` if one of the values is a list or a mapping and the other one has a different type.
    """
    if isinstance(over, Tagged):
        return strip_tags(over.value)
    if over is None:
        return base
    if base is None:
        return strip_tags(over)
    path = key_text(keys)
    place = getattr(over, "place", place)
    if _matches(path, _REPLACED):
        return strip_tags(over)
    if _matches(path, _KEY_SETS):
        base, over = _as_mapping(base, path), _as_mapping(over, path)
    elif path.count(".") == 3 and fnmatchcase(path, "networks.*.ipam.config"):
        return _merge_pools(base, over, keys)
    elif _matches(path, _TEXT_SETS):
        base, over = _as_sequence(base), _as_sequence(over)
    elif _matches(path, ("services.*.build",)):
        base, over = _as_build(base), _as_build(over)
    if isinstance(base, Map) and isinstance(over, Map):
        return _merge_maps(base, over, keys)
    if isinstance(base, Seq) and isinstance(over, Seq):
        joined = base.copy()
        for item, where in zip(over, over.places, strict=True):
            if not isinstance(item, Tagged):
                joined.put(strip_tags(item), where)
        return joined
    if isinstance(base, Map | Seq) or isinstance(over, Map | Seq):
        raise MergeError(f"cannot override {path}", place or Place("", 1), path)
    return over


def _merge_maps(base: Map, over: Map, keys: tuple[Key, ...]) -> Map:
    merged = base.copy()
    for key, value in over.items():
        where = over.places[key]
        if isinstance(value, Tagged) and value.tag == "!reset":
            merged.pop(key, None)
            merged.places.pop(key, None)
        elif key in merged:
            merged.put(key, merge(merged[key], value, (*keys, key), where), where)
        else:
            merged.put(key, strip_tags(value), where)
    return merged


def strip_tags(value: Any) -> Any:
    """Return a copy of a value without its tags.

    Items tagged `!reset` are left out of mappings and lists; values tagged `!override` are kept without the tag.
    """
    if isinstance(value, Tagged):
        return strip_tags(value.value) if value.tag == "!override" else value
    if isinstance(value, Map):
        mapping = Map(value.place)
        for key, each in value.items():
            if not _is_reset(each):
                mapping.put(key, strip_tags(each), value.places[key])
        return mapping
    if isinstance(value, Seq):
        sequence = Seq(value.place)
        for number, each in enumerate(value):
            if not _is_reset(each):
                sequence.put(strip_tags(each), value.places[number])
        return sequence
    return value


def _is_reset(value: Any) -> bool:
    return isinstance(value, Tagged) and value.tag == "!reset"


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    parts = path.split(".")
    return any(
        len(parts) == len(wanted := pattern.split("."))
        and all(each in {"*", part} for each, part in zip(wanted, parts, strict=True))
        for pattern in patterns
    )


def _as_mapping(value: Any, path: str) -> Any:
    if not isinstance(value, Seq):
        return value
    mapping = Map(value.place)
    for name, place in zip(value, value.places, strict=True):
        if not isinstance(name, str):
            return value
        mapping.put(name, _started(place) if path.endswith("depends_on") else None, place)
    return mapping


def _started(place: Place) -> Map:
    condition = Map(place)
    condition.put("condition", "service_started", place)
    condition.put("required", True, place)
    return condition


def _as_sequence(value: Any) -> Any:
    if isinstance(value, str):
        return _single(value)
    if not isinstance(value, Map):
        return value
    sequence = Seq(value.place)
    for key in sorted(value):
        each, place = value[key], value.places[key]
        if isinstance(each, Seq):
            for item in each:
                sequence.put(f"{key}={item}", place)
        elif each is None or isinstance(each, str | int | float):
            sequence.put(key if each is None else f"{key}={scalar_text(each)}", place)
        else:
            return value
    return sequence


def _single(value: str) -> Seq:
    sequence = Seq(Place("", 1))
    sequence.put(value, sequence.place)
    return sequence


def _as_build(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    place = Place("", 1)
    build = Map(place)
    build.put("context", value, place)
    return build


def _merge_pools(base: Any, over: Any, keys: tuple[Key, ...]) -> Any:
    """Merge two lists of IPAM pools: pools with the same subnet are merged, others are appended.

    `keys` is the path of the lists. Raises `MergeError` if one of the values is not a list.
    """
    if not isinstance(base, Seq) or not isinstance(over, Seq):
        path = key_text(keys)
        raise MergeError(f"cannot override {path}", getattr(over, "place", None) or Place("", 1), path)
    merged = base.copy()
    for pool, place in zip(over, over.places, strict=True):
        subnet = pool.get("subnet") if isinstance(pool, Map) else None
        same = [n for n, each in enumerate(merged) if isinstance(each, Map) and each.get("subnet") == subnet]
        if same and isinstance(pool, Map):
            merged[same[0]] = _merge_maps(merged[same[0]], pool, keys)
        else:
            merged.put(strip_tags(pool), place)
    return merged


def unique(value: Any, keys: tuple[Key, ...] = ()) -> Any:
    """Return a merged document without duplicates in lists whose items have an identity, such as a target path.

    If several items have the same identity, only the last one remains.
    """
    if isinstance(value, Map):
        mapping = Map(value.place)
        for key, each in value.items():
            mapping.put(key, unique(each, (*keys, key)), value.places[key])
        return mapping
    if not isinstance(value, Seq):
        return value
    identity = _identity(key_text(keys))
    if identity is None:
        return value
    found: dict[str, int] = {}
    sequence = Seq(value.place)
    for item, place in zip(value, value.places, strict=True):
        mark = identity(item)
        if mark in found:
            sequence[found[mark]], sequence.places[found[mark]] = item, place
        else:
            found[mark] = len(sequence)
            sequence.put(item, place)
    return sequence


def _identity(path: str) -> Callable[[Any], str] | None:
    if _matches(path, ("services.*.ports",)):
        return _port_mark
    if _matches(path, ("services.*.volumes",)):
        return _volume_mark
    if _matches(path, ("services.*.secrets", "services.*.configs")):
        return _mount_mark
    return _name_mark if _matches(path, _UNIQUE_BY_NAME) else None


def _name_mark(item: Any) -> str:
    if isinstance(item, Map):
        return str(item.get("path", item))
    return str(item).partition("=")[0]


def _port_mark(item: Any) -> str:
    if not isinstance(item, Map):
        return str(item)
    host, protocol = item.get("host_ip", "0.0.0.0"), item.get("protocol", "tcp")  # noqa: S104
    return f"{host}:{item.get('published')}:{item.get('target')}/{protocol}"


def _volume_mark(item: Any) -> str:
    if isinstance(item, Map):
        return str(item.get("target"))
    parts = str(item).split(":")
    return parts[0] if len(parts) == 1 else parts[1]


def _mount_mark(item: Any) -> str:
    return str(item.get("target", item.get("source"))) if isinstance(item, Map) else str(item)
