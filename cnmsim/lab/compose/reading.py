"""Conversion of a validated document to the objects of `model`.

The conversion fills in defaults, brings values to a canonical form, and checks the references between services.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cnmsim.errors import FileError
from cnmsim.kernel.address import Prefix, parse_ip, parse_mac
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.lab.compose.dotenv import read_env_file
from cnmsim.lab.compose.model import ComposeProject, Dependency, HealthCheck, Network, NetworkUse, Pool, Service
from cnmsim.lab.compose.port_syntax import PortMapping, parse_exposed, parse_port
from cnmsim.lab.compose.scalars import nullable_map, string_map
from cnmsim.lab.yamlfile import Key, Map, wrong

T = TypeVar("T")
_MOST_PORTS = 70_000
_MOST_REPLICAS = 1_000
_SERVICE_PREFIX = "service:"

#: Keys that have no effect beside `external`, as Compose does not create such a network (compose-go
#: `validation/external.go`).
_NOT_WITH_EXTERNAL = (
    "driver",
    "driver_opts",
    "ipam",
    "internal",
    "attachable",
    "enable_ipv4",
    "enable_ipv6",
    "labels",
)


def read_project(
    document: Map,
    name: str,
    path: str,
    profiles: Sequence[str],
    variables: Mapping[str, str],
    warnings: Sequence[str],
) -> ComposeProject:
    """Convert a validated document to the project `name`. Raises `FileError` for an invalid value.

    Errors name the line in the document or, if that is unknown, the file `path`. Services that have profiles, but
    none of `profiles`, are left out. `variables` are the variables of the project: an environment variable that a
    service lists without a value takes its value from there. `warnings` are the warnings about the files so far.
    """
    return _ProjectReader(document, path, variables).project(name, profiles, warnings)


class _ProjectReader:
    def __init__(self, document: Map, path: str, variables: Mapping[str, str]) -> None:
        self.document = document
        self.path = path
        self.variables = variables

    def _error(self, message: str, *keys: Key) -> FileError:
        return wrong(self.document, keys, message, self.path)

    def _try(self, read: Callable[[Any], T], value: Any, *keys: Key) -> T:
        try:
            return read(value)
        except ValueError as error:
            raise self._error(str(error), *keys) from None

    def project(self, name: str, profiles: Sequence[str], warnings: Sequence[str]) -> ComposeProject:
        services = {
            key: self._service(key, value or Map(self.document.place))
            for key, value in (self.document.get("services") or {}).items()
            if _is_enabled(value, profiles)
        }
        networks = self._networks(name, services)
        project = ComposeProject(name, services, networks, self.path, self.document, tuple(warnings))
        _check(project)
        return project

    # ---- networks

    def _networks(self, project: str, services: Mapping[str, Service]) -> dict[str, Network]:
        declared = self.document.get("networks") or {}
        networks = {key: self._network(key, value or {}, project) for key, value in declared.items()}
        used = {use.network for service in services.values() for use in service.networks}
        if "default" in used and "default" not in networks:
            networks["default"] = self._network("default", {}, project)
        for service in services.values():
            for use in service.networks:
                if use.network not in networks:
                    text = f"service {service.name!r} refers to undefined network {use.network}"
                    raise self._error(text.replace("'", '"'), "services", service.name, "networks", use.network)
        return {key: network for key, network in networks.items() if key in used}

    def _network(self, key: str, given: Mapping[str, Any], project: str) -> Network:
        at: tuple[Key, ...] = ("networks", key)
        external = given.get("external", False)
        name = given.get("name") or ""
        if isinstance(external, Map):
            name, external = external.get("name") or name, True
        is_external = self._flag(external, *at, "external")
        if is_external:
            for other in _NOT_WITH_EXTERNAL:
                if other in given:
                    text = f'conflicting parameters "external" and "{other}" specified'
                    raise self._error(text, *at, other)
        ipam = given.get("ipam", {})
        pools = tuple(self._pool(pool, *at, "ipam", "config", n) for n, pool in enumerate(ipam.get("config", ())))
        return Network(
            key,
            name or (key if is_external else f"{project}_{key}"),
            given.get("driver", ""),
            string_map(given.get("driver_opts", {})),
            ipam.get("driver", ""),
            string_map(ipam.get("options", {})),
            pools,
            self._flag(given.get("internal", False), *at, "internal"),
            self._flag(given.get("attachable", False), *at, "attachable"),
            is_external,
            self._flag(given["enable_ipv4"], *at, "enable_ipv4") if "enable_ipv4" in given else None,
            self._flag(given["enable_ipv6"], *at, "enable_ipv6") if "enable_ipv6" in given else None,
            string_map(given.get("labels", {})),
        )

    def _pool(self, given: Mapping[str, Any], *at: Key) -> Pool:
        for name in ("subnet", "ip_range"):
            if given.get(name):
                self._try(_cidr, given[name], *at, name)
        if given.get("gateway"):
            self._try(parse_ip, given["gateway"], *at, "gateway")
        for name, address in given.get("aux_addresses", {}).items():
            self._try(parse_ip, address, *at, "aux_addresses", name)
        return Pool(
            given.get("subnet", ""),
            given.get("ip_range", ""),
            given.get("gateway", ""),
            dict(given.get("aux_addresses", {})),
        )

    # ---- services

    def _service(self, name: str, given: Map) -> Service:
        at: tuple[Key, ...] = ("services", name)
        if "image" not in given and "build" not in given:
            raise self._error(f'service "{name}" has neither an image nor a build context specified', *at)
        mode = given.get("network_mode", "")
        if mode and given.get("networks"):
            raise self._error("declares mutually exclusive `network_mode` and `networks`", *at, "network_mode")
        return Service(
            name,
            given.get("image", ""),
            () if mode else self._uses(given, *at),
            self._ports(given.get("ports", ()), *at),
            self._dependencies(given),
            _command(given.get("command"), self, *at, "command"),
            _command(given.get("entrypoint"), self, *at, "entrypoint"),
            self._environment(given, *at),
            tuple(
                port
                for number, value in enumerate(given.get("expose", ()))
                for port in self._try(parse_exposed, value, *at, "expose", number)
            ),
            mode,
            given.get("hostname", ""),
            given.get("domainname", ""),
            given.get("container_name", ""),
            self._addresses(given.get("dns", ()), *at, "dns"),
            _list(given.get("dns_search", ())),
            _list(given.get("dns_opt", ())),
            self._extra_hosts(given.get("extra_hosts", ()), *at),
            _list(given.get("links", ())),
            _list(given.get("external_links", ())),
            self._replicas(given, *at),
            string_map(given.get("sysctls", {})),
            string_map(given.get("labels", {})),
            self._mac(given.get("mac_address", ""), *at, "mac_address"),
            given.get("restart", ""),
            self._healthcheck(given.get("healthcheck"), *at, "healthcheck"),
        )

    def _uses(self, given: Map, *at: Key) -> tuple[NetworkUse, ...]:
        networks = given.get("networks") or ["default"]
        if isinstance(networks, Mapping):
            return tuple(self._use(key, value or {}, *at, "networks", key) for key, value in networks.items())
        return tuple(NetworkUse(key) for key in dict.fromkeys(networks))

    def _use(self, key: str, given: Mapping[str, Any], *at: Key) -> NetworkUse:
        for name, family in (("ipv4_address", 4), ("ipv6_address", 16)):
            if given.get(name):
                address = self._try(parse_ip, given[name], *at, name)
                if len(address) != family:
                    raise self._error(f"{given[name]} is not an {name[:2].upper()}v{name[3]} address", *at, name)
        return NetworkUse(
            key,
            tuple(given.get("aliases", ())),
            given.get("ipv4_address", ""),
            given.get("ipv6_address", ""),
            self._addresses(given.get("link_local_ips", ()), *at, "link_local_ips"),
            self._mac(given.get("mac_address", ""), *at, "mac_address"),
            self._number(given.get("priority", 0), *at, "priority"),
            self._number(given.get("gw_priority", 0), *at, "gw_priority"),
            given.get("interface_name", ""),
            string_map(given.get("driver_opts", {})),
        )

    def _ports(self, given: Sequence[Any], *at: Key) -> tuple[PortMapping, ...]:
        found: list[PortMapping] = []
        for number, value in enumerate(given):
            found += self._try(parse_port, value, *at, "ports", number)
            if len(found) > _MOST_PORTS:
                raise self._error("more ports than there are", *at, "ports", number)
        return tuple(dict.fromkeys(found))

    def _dependencies(self, given: Map) -> tuple[Dependency, ...]:
        """Return a service's dependencies, from its `depends_on`, `links` and `network_mode: service:NAME`.

        `given` is the service in the document. Source: compose-go `Normalize`.
        """
        declared = given.get("depends_on", ())
        found: dict[str, Dependency] = {}
        if isinstance(declared, Mapping):
            for service, options in declared.items():
                required = str(options.get("required", True)).lower() != "false"
                restarts = str(options.get("restart", False)).lower() == "true"
                found[service] = Dependency(service, options["condition"], required, restarts)
        else:
            found = {service: Dependency(service) for service in declared}
        for link in given.get("links", ()):
            service = link.partition(":")[0]
            found.setdefault(service, Dependency(service, restarts=True))
        mode = given.get("network_mode", "")
        if mode.startswith(_SERVICE_PREFIX):
            service = mode.removeprefix(_SERVICE_PREFIX)
            found.setdefault(service, Dependency(service, restarts=True))
        return tuple(found.values())

    def _environment(self, given: Map, *at: Key) -> dict[str, str | None]:
        values: dict[str, str | None] = {}
        files = given.get("env_file", ())
        for number, item in enumerate([files] if isinstance(files, str) else files):
            path, required = (item, True) if isinstance(item, str) else (item["path"], item.get("required", True))
            if not Path(path).is_file() and str(required).lower() == "false":
                continue
            try:
                values.update(read_env_file(Path(path), self.variables))
            except FileError as error:
                if error.line is None:
                    way = ("env_file",) if isinstance(files, str) else ("env_file", number)
                    raise self._error(error.message, *at, *way) from None
                raise
        own = given.get("environment", {})
        for key, value in nullable_map(own).items():
            if value is None:
                if key in self.variables:
                    values[key] = self.variables[key]
                continue
            values[key] = value
        return values

    def _extra_hosts(self, given: Any, *at: Key) -> tuple[str, ...]:
        """Return `given`, a service's `extra_hosts` in either form, as `name:address` entries.

        `at` is the service's path of keys. Raises `FileError` for an invalid entry.
        """
        if isinstance(given, Mapping):
            return tuple(
                f"{name}:{_unbracketed(address)}"
                for name, addresses in given.items()
                for address in ([addresses] if isinstance(addresses, str) else addresses)
            )
        found: list[str] = []
        for number, item in enumerate(given):
            name, separator, address = item.partition("=")
            if not separator:
                name, separator, address = item.partition(":")
            if not separator or not name:
                raise self._error(f"bad host name {item!r}: it must be NAME=ADDRESS", *at, "extra_hosts", number)
            found.append(f"{name}:{_unbracketed(address)}")
        return tuple(found)

    def _replicas(self, given: Map, *at: Key) -> int:
        deploy = given.get("deploy") or {}
        scale, replicas = given.get("scale"), deploy.get("replicas")
        if scale is not None and replicas is not None and str(scale) != str(replicas):
            raise self._error("can't set distinct values on 'scale' and 'deploy.replicas'", *at, "scale")
        way: tuple[Key, ...] = (*at, "scale") if scale is not None else (*at, "deploy", "replicas")
        count = self._number(scale if scale is not None else replicas if replicas is not None else 1, *way)
        if count < 0:
            raise self._error("must be greater than or equal to 0", *way)
        if count > _MOST_REPLICAS:
            raise self._error(f"must not be greater than {_MOST_REPLICAS}", *way)
        if count > 1 and given.get("container_name"):
            raise self._error(
                "can't be set with several replicas, as a container's name must be unique", *at, "container_name"
            )
        return count

    def _healthcheck(self, given: Mapping[str, Any] | None, *at: Key) -> HealthCheck | None:
        if not given or "test" not in given or self._flag(given.get("disable", False), *at, "disable"):
            return None
        test = given["test"]
        words = ("CMD-SHELL", test) if isinstance(test, str) else tuple(test)
        if words and words[0] not in {"CMD", "CMD-SHELL", "NONE"}:
            raise self._error('must start either by "CMD", "CMD-SHELL" or "NONE"', *at, "test")
        if len(words) < 2 or words[0] == "NONE":
            return None
        times = {
            f"{key}_ns": self._try(_duration_ns, given[key], *at, key)
            for key in ("interval", "timeout", "start_period", "start_interval")
            if key in given
        }
        return HealthCheck(words, retries=self._number(given.get("retries", 0), *at, "retries"), **times)

    # ---- values

    def _flag(self, value: Any, *at: Key) -> bool:
        """Convert a boolean, which is a string if it comes from a variable.

        `at` is its path of keys, which the `FileError` for any other value names.
        """
        if isinstance(value, bool):
            return value
        known = {"true": True, "yes": True, "on": True, "1": True, "y": True}
        known |= {"false": False, "no": False, "off": False, "0": False, "n": False, "": False}
        found = known.get(str(value).lower())
        if found is None:
            raise self._error("must be true or false", *at)
        return found

    def _number(self, value: Any, *at: Key) -> int:
        try:
            return int(value)
        except (ValueError, OverflowError):
            raise self._error("must be a whole number", *at) from None

    def _mac(self, value: str, *at: Key) -> str:
        if value:
            self._try(parse_mac, value, *at)
        return value

    def _addresses(self, given: Any, *at: Key) -> tuple[str, ...]:
        if isinstance(given, str):
            self._try(parse_ip, given, *at)
            return (given,)
        for number, value in enumerate(given):
            self._try(parse_ip, value, *at, number)
        return tuple(given)


def _is_enabled(service: Any, profiles: Sequence[str]) -> bool:
    enabled_profiles = (service or {}).get("profiles", ())
    return not enabled_profiles or "*" in profiles or any(profile in profiles for profile in enabled_profiles)


_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:h|m|s|ms|us|ns))+")
_UNITS_NS = {"h": 3600 * NS_PER_S, "m": 60 * NS_PER_S, "s": NS_PER_S, "ms": 1_000_000, "us": 1_000, "ns": 1}


def _duration_ns(text: str) -> int:
    """Parse a duration in Go's format, such as `1m30s`, into nanoseconds. Raises `ValueError` if it is invalid."""
    if not _DURATION.fullmatch(text) or len(text) > 40:
        raise ValueError(f"invalid duration {text[:40]!r}, as 1m30s")
    parts = re.findall(r"([0-9.]+)(h|ms|us|ns|m|s)", text)
    return sum(round(float(number) * _UNITS_NS[unit]) for number, unit in parts)


def _cidr(text: str) -> Prefix:
    if "/" not in text:
        raise ValueError(f"invalid CIDR address: {text}")
    return Prefix.parse(text, strict=False)


def _command(value: Any, reader: _ProjectReader, *at: Key) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return tuple(reader._try(shlex.split, value, *at))
    return tuple(map(str, value))


def _list(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _unbracketed(address: str) -> str:
    return address[1:-1] if address.startswith("[") and address.endswith("]") else address


# ---- constraints between services


def _check(project: ComposeProject) -> None:
    """Check the references between services, and those to volumes, secrets and configs.

    Raises `FileError` for a missing object, a cycle of dependencies, or a container name that is used twice.
    """
    for service in project.services.values():
        for dependency in service.depends_on:
            if dependency.service not in project.services and dependency.is_required:
                text = f'service "{service.name}" depends on undefined service "{dependency.service}"'
                raise project.error(text, "services", service.name, _dependency_key(project, service, dependency))
    start_order(project)
    _check_volumes(project)
    _check_names(project)


def _dependency_key(project: ComposeProject, service: Service, dependency: Dependency) -> str:
    given = project.document["services"][service.name]
    if dependency.service in given.get("depends_on", ()):
        return "depends_on"
    return "links" if any(link.partition(":")[0] == dependency.service for link in service.links) else "network_mode"


def start_order(project: ComposeProject) -> list[Service]:
    """Return the services of a project in an order in which each follows the services on which it depends.

    Raises `FileError` for a cycle.
    """
    ordered: dict[str, Service] = {}
    for first in sorted(project.services):
        stack: list[tuple[str, list[str]]] = [(first, [])]
        while stack:
            name, way = stack.pop()
            if name in ordered or name not in project.services:
                continue
            if name in way:
                cycle = " -> ".join([*way[way.index(name) :], name])
                raise project.error(f"dependency cycle detected: {cycle}", "services", name, "depends_on")
            waiting = [
                each.service
                for each in project.services[name].depends_on
                if each.service in project.services and each.service not in ordered
            ]
            if not waiting:
                ordered[name] = project.services[name]
                continue
            stack.append((name, way))
            stack += [(other, [*way, name]) for other in sorted(waiting, reverse=True)]
    return list(ordered.values())


def _check_volumes(project: ComposeProject) -> None:
    for name in project.services:
        given = project.document["services"][name]
        for section in ("volumes", "secrets", "configs"):
            items = given.get(section, ())
            for number, item in enumerate(items if isinstance(items, Sequence) else ()):
                source = _source(section, item)
                if source is not None and source not in (project.document.get(section) or {}):
                    text = f'service "{name}" refers to undefined {section[:-1]} {source}'
                    raise project.error(text, "services", name, section, number)


def _source(section: str, item: Any) -> str | None:
    """Return the key of the top-level object that an item of a service's `section` (such as `volumes`) refers to.

    Return `None` for an item that refers to none, such as a path or an anonymous volume.
    """
    if isinstance(item, Mapping):
        source = item.get("source")
        is_named = section != "volumes" or item.get("type", "volume") == "volume"
        return source if is_named and isinstance(source, str) and source else None
    if not isinstance(item, str):
        return None
    if section != "volumes":
        return item
    source, colon, _ = item.partition(":")
    is_path = source.startswith((".", "/", "~")) or (len(source) == 1 and source.isalpha() and "\\" in item)
    return source if colon and source and not is_path else None


def _check_names(project: ComposeProject) -> None:
    used: dict[str, str] = {}
    for service in project.services.values():
        name = service.container_name
        if name and name in used:
            text = f'container name "{name}" is already in use by service {used[name]}'
            raise project.error(text, "services", service.name, "container_name")
        if name:
            used[name] = service.name
