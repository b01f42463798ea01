"""Merging of the files of a stack. The rules differ from Compose's.

Services of the same name are merged: a scalar of the later file wins unless it is empty, lists are appended, commands
are replaced; ports are merged by published port, mounts by target, secrets and configs by source. Networks, volumes,
secrets and configs of the same name are replaced. Source: docker/cli `cli/compose/loader/merge.go` (v29.7.2),
dario.cat/mergo (`WithAppendSlice`, `WithOverride`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cnmsim.lab.compose.scalars import nullable_map
from cnmsim.lab.stack.mounts import Volume
from cnmsim.lab.stack.values import ports
from cnmsim.lab.yamlfile import Map, Place, Seq

_SECTIONS = ("networks", "volumes", "secrets", "configs")
_EMPTY: tuple[Any, ...] = (None, "", 0, False)


def merge_files(base: Map, over: Map) -> Map:
    """Merge two validated documents into a new one; values of `over` take precedence."""
    merged = base.copy()
    for key, value in over.items():
        if key in _SECTIONS and key in base:
            merged.put(key, _update(base[key], value), base.places[key])
        elif key == "services" and key in base:
            merged.put(key, _merge_services(base[key], value), base.places[key])
        else:
            merged.put(key, value, over.places[key])
    return merged


def _update(base: Map, over: Map) -> Map:
    merged = base.copy()
    for key, value in over.items():
        merged.put(key, value, over.places[key])
    return merged


def _merge_services(base: Map, over: Map) -> Map:
    services = base.copy()
    for name, service in over.items():
        combined = _merge_fields(base[name], service, _SERVICE) if name in base else service
        services.put(name, combined, over.places[name] if name not in base else base.places[name])
    merged = Map(base.place)
    for name in sorted(services):
        merged.put(name, services[name], services.places[name])
    return merged


# ---- rules

_Rule = Callable[[Any, Any], Any]


def _merge_default(base: Any, over: Any) -> Any:
    """Merge two values by the default rule: lists are appended, and mappings are merged key by key.

    Any other later value replaces the earlier one unless the later one is empty.
    """
    if isinstance(base, Map) and isinstance(over, Map):
        return _merge_fields(base, over, {})
    if isinstance(base, Seq) and isinstance(over, Seq):
        return _append(base, over)
    return base if over in _EMPTY and not isinstance(over, float) else over


def _merge_fields(base: Map, over: Map, rules: Mapping[str, _Rule]) -> Map:
    merged = base.copy()
    for key, value in over.items():
        rule = rules.get(key, _merge_default)
        if key in base and base[key] is not None:
            merged.put(key, rule(base[key], value), over.places[key])
        else:
            merged.put(key, value, over.places[key])
    return merged


def _replace(base: Any, over: Any) -> Any:
    return over or base


def _override_unless_null(base: Any, over: Any) -> Any:
    return base if over is None else over


def _append(base: Any, over: Any) -> Seq:
    merged = _as_list(base).copy()
    added = _as_list(over)
    for item, place in zip(added, added.places, strict=True):
        merged.put(item, place)
    return merged


def _as_list(value: Any) -> Seq:
    if isinstance(value, Seq):
        return value
    single = Seq(Place("", 1))
    single.put(value, single.place)
    return single


def _merge_pairs(base: Any, over: Any) -> Map:
    """Merge two lists of `key=value` items, or mappings. A later value replaces an earlier one unless it is empty."""
    merged = _as_map(base)
    later = _as_map(over)
    for key, value in later.items():
        if value not in {None, ""} or key not in merged:
            merged.put(key, value, later.places[key])
    return merged


def _as_map(value: Any) -> Map:
    if isinstance(value, Map):
        return value.copy()
    paired = Map(value.place)
    for item, place in zip(value, value.places, strict=True):
        for key, text in nullable_map([item]).items():
            paired.put(key, text, place)
    return paired


def _merge_hosts(base: Any, over: Any) -> Seq:
    """Return the `extra_hosts` entries of `base`, followed by those of the later file `over`, all as `name:address`.

    The entries of a mapping are sorted by name.
    """
    merged = Seq(getattr(base, "place", Place("", 1)))
    for hosts in (base, over):
        if isinstance(hosts, Map):
            for name in sorted(hosts):
                merged.put(f"{name}:{hosts[name]}", hosts.places[name])
        else:
            merged.extend(hosts)
            merged.places.extend(hosts.places)
    return merged


# ---- lists in which a later item replaces an earlier one with the same identity, such as the target


def _merge_by(identities: Callable[[Any], list[tuple[Any, Any]]]) -> _Rule:
    def merge(base: Any, over: Any) -> Seq:
        by_identity: dict[Any, tuple[Any, Place]] = {}
        for items in (base, over):
            for item, place in zip(items, items.places, strict=True):
                for identity, single in identities(item):
                    by_identity[identity] = (single, place)
        merged = Seq(base.place)
        for identity in sorted(by_identity):
            merged.put(*by_identity[identity])
        return merged

    return merge


def _ports_by_published(item: Any) -> list[tuple[int, Any]]:
    """Return pairs (published port, item) for an item of `ports`, to merge items by their published port.

    An item for a range of ports is split into one item in long syntax for each port. An invalid item gets the port
    -1.
    """
    try:
        configs, _ = ports(item)
    except ValueError:
        return [(-1, item)]  # the item is invalid; a later parser reports the error
    if len(configs) == 1:
        return [(configs[0]["PublishedPort"], item)]
    return [
        (
            config["PublishedPort"],
            {
                "target": config["TargetPort"],
                "published": config["PublishedPort"],
                "protocol": config["Protocol"],
                "mode": config["PublishMode"],
            },
        )
        for config in configs
    ]


def _by_target(item: Any) -> list[tuple[str, Any]]:
    try:
        return [(Volume.parse(item).target, item)]
    except ValueError:
        return [("", item)]


def _by_source(item: Any) -> list[tuple[str, Any]]:
    return [(item.get("source", "") if isinstance(item, Map) else item, item)]


def _merge_networks(base: Any, over: Any) -> Map:
    merged = _as_named_map(base)
    later = _as_named_map(over)
    for name, use in later.items():
        present = merged.get(name)
        if present is None or name not in merged:
            merged.put(name, use, later.places[name])
        elif use is not None:
            combined = present.copy()
            combined.pop("aliases", None)
            for key in ("aliases", "ipv4_address", "ipv6_address"):
                if use.get(key):
                    combined.put(key, use[key], use.places[key])
            merged.put(name, combined, later.places[name])
    return merged


def _as_named_map(value: Any) -> Map:
    if isinstance(value, Map):
        return value.copy()
    named = Map(value.place)
    for name, place in zip(value, value.places, strict=True):
        named.put(name, None, place)
    return named


def _merge_logging(base: Map, over: Map) -> Map:
    drivers = {base.get("driver", ""), over.get("driver", "")}
    if len(drivers - {""}) > 1:
        return over
    merged = base.copy()
    if over.get("driver"):
        merged.put("driver", over["driver"], over.places["driver"])
    if base.get("options") and over.get("options"):
        merged.put("options", _update(base["options"], over["options"]), over.places["options"])
    return merged


def _merge_deploy(base: Map, over: Map) -> Map:
    return _merge_fields(base, over or Map(base.place), _DEPLOY)


def _merge_update_config(base: Map, over: Map) -> Map:
    return _merge_fields(base, over, {"parallelism": _override_unless_null})


_DEPLOY: dict[str, _Rule] = {
    "labels": _merge_pairs,
    "replicas": _override_unless_null,
    "restart_policy": lambda base, over: _merge_fields(base, over, {"max_attempts": _override_unless_null}),
    "rollback_config": _merge_update_config,
    "update_config": _merge_update_config,
}


def _merge_healthcheck(base: Map, over: Map) -> Map:
    merged = _merge_fields(base, over, {"retries": _override_unless_null})
    if base.get("test") and over.get("test"):
        first, second = (_test_command(check["test"], check.places["test"]) for check in (base, over))
        merged.put("test", _append(first, second), over.places["test"])
    return merged


def _test_command(test: Any, place: Place) -> Seq:
    if isinstance(test, Seq):
        return test
    command = Seq(place)
    command.put("CMD-SHELL", place)
    command.put(test, place)
    return command


_SERVICE: dict[str, _Rule] = {
    "command": _replace,
    "configs": _merge_by(_by_source),
    "deploy": _merge_deploy,
    "dns": _append,
    "dns_search": _append,
    "entrypoint": _replace,
    "environment": _merge_pairs,
    "env_file": _append,
    "extra_hosts": _merge_hosts,
    "healthcheck": _merge_healthcheck,
    "labels": _merge_pairs,
    "logging": _merge_logging,
    "networks": _merge_networks,
    "ports": _merge_by(_ports_by_published),
    "secrets": _merge_by(_by_source),
    "sysctls": _merge_pairs,
    "ulimits": _update,
    "volumes": _merge_by(_by_target),
}
