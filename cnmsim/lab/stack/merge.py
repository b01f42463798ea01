"""Laying one stack file on another, which follows other rules than Compose.

What a service says in several files is put together: numbers and texts of the later file count unless they are empty, lists
are joined, commands replaced, ports told apart by the published port, mounts by their target, secrets and configs by their source.
Networks, volumes, secrets and configs of one name are those of the later file. Source: docker/cli `cli/compose/loader/merge.go`
(v29.7.2), dario.cat/mergo (`WithAppendSlice`, `WithOverride`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cnmsim.lab.stack.mounts import Volume
from cnmsim.lab.stack.values import optional_pairs, ports
from cnmsim.lab.yamlfile import Map, Place, Seq

_SECTIONS = ("networks", "volumes", "secrets", "configs")
_EMPTY: tuple[Any, ...] = (None, "", 0, False)


def merge_files(base: Map, over: Map) -> Map:
    """Give a document with another laid on it; both are checked already."""
    merged = base.copy()
    for key, value in over.items():
        if key in _SECTIONS and key in base:
            merged.put(key, _updated(base[key], value), base.places[key])
        elif key == "services" and key in base:
            merged.put(key, _services(base[key], value), base.places[key])
        else:
            merged.put(key, value, over.places[key])
    return merged


def _updated(base: Map, over: Map) -> Map:
    merged = base.copy()
    for key, value in over.items():
        merged.put(key, value, over.places[key])
    return merged


def _services(base: Map, over: Map) -> Map:
    together = base.copy()
    for name, service in over.items():
        whole = _struct(base[name], service, _SERVICE) if name in base else service
        together.put(name, whole, over.places[name] if name not in base else base.places[name])
    merged = Map(base.place)
    for name in sorted(together):
        merged.put(name, together[name], together.places[name])
    return merged


# ---- kinds of values

_Rule = Callable[[Any, Any], Any]


def _plain(base: Any, over: Any) -> Any:
    """Take the later value unless it is empty; join lists, put mappings together."""
    if isinstance(base, Map) and isinstance(over, Map):
        return _struct(base, over, {})
    if isinstance(base, Seq) and isinstance(over, Seq):
        return _joined(base, over)
    return base if over in _EMPTY and not isinstance(over, float) else over


def _struct(base: Map, over: Map, rules: Mapping[str, _Rule]) -> Map:
    merged = base.copy()
    for key, value in over.items():
        rule = rules.get(key, _plain)
        if key in base and base[key] is not None:
            merged.put(key, rule(base[key], value), over.places[key])
        else:
            merged.put(key, value, over.places[key])
    return merged


def _replaced(base: Any, over: Any) -> Any:
    return over or base


def _given(base: Any, over: Any) -> Any:
    return base if over is None else over


def _joined(base: Any, over: Any) -> Seq:
    merged = _listed(base).copy()
    more = _listed(over)
    for item, place in zip(more, more.places, strict=True):
        merged.put(item, place)
    return merged


def _listed(value: Any) -> Seq:
    if isinstance(value, Seq):
        return value
    single = Seq(Place("", 1))
    single.put(value, single.place)
    return single


def _pairs(base: Any, over: Any) -> Map:
    """Put lists or mappings of `key=value` together; a value that is empty changes nothing."""
    merged = _paired(base)
    later = _paired(over)
    for key, value in later.items():
        if value not in {None, ""} or key not in merged:
            merged.put(key, value, later.places[key])
    return merged


def _paired(value: Any) -> Map:
    if isinstance(value, Map):
        return value.copy()
    paired = Map(value.place)
    for item, place in zip(value, value.places, strict=True):
        for key, text in optional_pairs([item]).items():
            paired.put(key, text, place)
    return paired


def _hosts(base: Any, over: Any) -> Seq:
    """Join the lines of `extra_hosts`; those of a mapping are in the order of names."""
    found = Seq(getattr(base, "place", Place("", 1)))
    for each in (base, over):
        if isinstance(each, Map):
            for name in sorted(each):
                found.put(f"{name}:{each[name]}", each.places[name])
        else:
            found.extend(each)
            found.places.extend(each.places)
    return found


# ---- lists whose items have names


def _by(identities: Callable[[Any], list[tuple[Any, Any]]]) -> _Rule:
    def merge(base: Any, over: Any) -> Seq:
        found: dict[Any, tuple[Any, Place]] = {}
        for each in (base, over):
            for item, place in zip(each, each.places, strict=True):
                for identity, single in identities(item):
                    found[identity] = (single, place)
        merged = Seq(base.place)
        for identity in sorted(found):
            merged.put(*found[identity])
        return merged

    return merge


def _published(item: Any) -> list[tuple[int, Any]]:
    """Give the ports an item stands for, by the published one, in the long syntax if they are several."""
    try:
        configs, _ = ports(item)
    except ValueError:
        return [(-1, item)]  # reading it will tell
    if len(configs) == 1:
        return [(configs[0]["PublishedPort"], item)]
    return [
        (
            each["PublishedPort"],
            {
                "target": each["TargetPort"],
                "published": each["PublishedPort"],
                "protocol": each["Protocol"],
                "mode": each["PublishMode"],
            },
        )
        for each in configs
    ]


def _target(item: Any) -> list[tuple[str, Any]]:
    try:
        return [(Volume.parse(item).target, item)]
    except ValueError:
        return [("", item)]


def _source(item: Any) -> list[tuple[str, Any]]:
    return [(item.get("source", "") if isinstance(item, Map) else item, item)]


def _networks(base: Any, over: Any) -> Map:
    merged = _named(base)
    later = _named(over)
    for name, use in later.items():
        present = merged.get(name)
        if present is None or name not in merged:
            merged.put(name, use, later.places[name])
        elif use is not None:
            whole = present.copy()
            whole.pop("aliases", None)
            for key in ("aliases", "ipv4_address", "ipv6_address"):
                if use.get(key):
                    whole.put(key, use[key], use.places[key])
            merged.put(name, whole, later.places[name])
    return merged


def _named(value: Any) -> Map:
    if isinstance(value, Map):
        return value.copy()
    named = Map(value.place)
    for name, place in zip(value, value.places, strict=True):
        named.put(name, None, place)
    return named


def _logging(base: Map, over: Map) -> Map:
    drivers = {base.get("driver", ""), over.get("driver", "")}
    if len(drivers - {""}) > 1:
        return over
    merged = base.copy()
    if over.get("driver"):
        merged.put("driver", over["driver"], over.places["driver"])
    if base.get("options") and over.get("options"):
        merged.put("options", _updated(base["options"], over["options"]), over.places["options"])
    return merged


def _deploy(base: Map, over: Map) -> Map:
    return _struct(base, over or Map(base.place), _DEPLOY)


_UPDATE: _Rule = lambda base, over: _struct(base, over, {"parallelism": _given})  # noqa: E731 - a row of the table
_DEPLOY: dict[str, _Rule] = {
    "labels": _pairs,
    "replicas": _given,
    "restart_policy": lambda base, over: _struct(base, over, {"max_attempts": _given}),
    "rollback_config": _UPDATE,
    "update_config": _UPDATE,
}


def _health(base: Map, over: Map) -> Map:
    merged = _struct(base, over, {"retries": _given})
    if base.get("test") and over.get("test"):
        first, second = (_tested(each["test"], each.places["test"]) for each in (base, over))
        merged.put("test", _joined(first, second), over.places["test"])
    return merged


def _tested(test: Any, place: Place) -> Seq:
    if isinstance(test, Seq):
        return test
    words = Seq(place)
    words.put("CMD-SHELL", place)
    words.put(test, place)
    return words


_SERVICE: dict[str, _Rule] = {
    "command": _replaced,
    "configs": _by(_source),
    "deploy": _deploy,
    "dns": _joined,
    "dns_search": _joined,
    "entrypoint": _replaced,
    "environment": _pairs,
    "env_file": _joined,
    "extra_hosts": _hosts,
    "healthcheck": _health,
    "labels": _pairs,
    "logging": _logging,
    "networks": _networks,
    "ports": _by(_published),
    "secrets": _by(_source),
    "sysctls": _pairs,
    "ulimits": _updated,
    "volumes": _by(_target),
}
