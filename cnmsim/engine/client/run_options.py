"""Convert docker-py's keyword arguments of `containers.run` and `containers.create` to a create body.

Source: docker-py `docker/models/containers.py`, `docker/types/containers.py`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cnmsim.digits import is_number
from cnmsim.errors import InvalidParameter
from cnmsim.gounits import ram_in_bytes
from cnmsim.suggestion import suggestion

_CONFIG = {
    "domainname": "Domainname", "hostname": "Hostname", "mac_address": "MacAddress", "stdin_open": "OpenStdin",
    "stop_signal": "StopSignal", "stop_timeout": "StopTimeout", "tty": "Tty", "user": "User",
    "working_dir": "WorkingDir", "network_disabled": "NetworkDisabled",
}  # fmt: skip
_HOST_CONFIG = {
    "auto_remove": "AutoRemove", "cap_add": "CapAdd", "cap_drop": "CapDrop", "dns": "Dns", "dns_opt": "DnsOptions",
    "dns_search": "DnsSearch", "ipc_mode": "IpcMode", "network_mode": "NetworkMode",
    "pid_mode": "PidMode", "privileged": "Privileged", "publish_all_ports": "PublishAllPorts",
    "read_only": "ReadonlyRootfs", "tmpfs": "Tmpfs", "uts_mode": "UTSMode",
    "volumes_from": "VolumesFrom", "init": "Init", "security_opt": "SecurityOpt", "group_add": "GroupAdd",
    "mounts": "Mounts", "log_config": "LogConfig", "pids_limit": "PidsLimit", "nano_cpus": "NanoCpus",
    "cpu_period": "CpuPeriod", "cpu_quota": "CpuQuota", "cpu_shares": "CpuShares", "cpuset_cpus": "CpusetCpus",
    "cpuset_mems": "CpusetMems", "mem_swappiness": "MemorySwappiness", "oom_kill_disable": "OomKillDisable",
    "oom_score_adj": "OomScoreAdj", "ulimits": "Ulimits", "blkio_weight": "BlkioWeight",
}  # fmt: skip
#: Options that are numbers of bytes, or texts such as `64m`.
_SIZES = {
    "mem_limit": "Memory", "mem_reservation": "MemoryReservation", "memswap_limit": "MemorySwap",
    "shm_size": "ShmSize",
}  # fmt: skip
_PLAIN = frozenset({"network", "networking_config", "ip", "ip6", "name", "detach"})
_ENDPOINT = {"aliases": "Aliases", "gw_priority": "GwPriority"}


def create_body(image: str, command: str | list[str] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of `POST /containers/create` for an image, a command and docker-py's keyword arguments.

    Besides docker-py's, `options` may contain `ip`, `ip6`, `aliases` and `gw_priority`, which configure the endpoint
    on the network given as `network`, and `expose`, a list of ports to expose. Raises `TypeError` for an unknown
    option.
    """
    body: dict[str, Any] = {"Image": image, "HostConfig": {}, "Labels": {}}
    host: dict[str, Any] = body["HostConfig"]
    if command is not None:
        body["Cmd"] = words(command)
    for key, value in options.items():
        if value is None:
            continue
        if key in _CONFIG:
            body[_CONFIG[key]] = value
        elif key in _HOST_CONFIG:
            host[_HOST_CONFIG[key]] = value
        elif key in _SIZES:
            host[_SIZES[key]] = _size(key, value)
        elif key in _SPECIAL:
            _SPECIAL[key](body, host, value)
        elif key not in _PLAIN and key not in _ENDPOINT:
            raise TypeError(f"run() got an unexpected keyword argument {key!r}{suggestion(key, _OPTIONS)}")
    _networks(body, host, options)
    return body


def _size(key: str, value: int | str) -> int:
    """Convert a size such as `64m`, or a number, to bytes.

    Raises `InvalidParameter` for any other text; `key`, the option's name, appears in its message.
    """
    if not isinstance(value, str) or value == "-1":
        return int(value)
    try:
        return ram_in_bytes(value)
    except ValueError:
        raise InvalidParameter(
            f"{key}={value!r} is no size: write a number of bytes, or a text such as '64m'"
        ) from None


def words(command: str | list[str] | tuple[str, ...]) -> list[str]:
    """Return the words of a command: a text is split as by a shell, the items of a list are kept."""
    if not isinstance(command, (str, list, tuple)):
        raise InvalidParameter(f"{command!r} is no command: write a text, or a list of words")
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


def _networks(body: dict[str, Any], host: dict[str, Any], options: Mapping[str, Any]) -> None:
    network = options.get("network")
    endpoints: dict[str, Any] = {
        name: dict(settings or {}) for name, settings in (options.get("networking_config") or {}).items()
    }
    if network and options.get("network_mode"):
        raise TypeError('the options "network" and "network_mode" can not be used together')
    if network:
        host["NetworkMode"] = network
    name = network or host.get("NetworkMode")
    endpoint_settings = {_ENDPOINT[key]: options[key] for key in _ENDPOINT if options.get(key)}
    addresses = {"IPv4Address": options.get("ip"), "IPv6Address": options.get("ip6")}
    fixed = {key: value for key, value in addresses.items() if value}
    if fixed:
        endpoint_settings["IPAMConfig"] = fixed
    if name and (endpoint_settings or network):
        endpoints[name] = {**endpoints.get(name, {}), **endpoint_settings}
    if body.get("MacAddress") and name:
        endpoints.setdefault(name, {})["MacAddress"] = body.pop("MacAddress")
    elif body.get("MacAddress"):
        endpoints["bridge"] = {"MacAddress": body.pop("MacAddress")}
    if endpoints:
        body["NetworkingConfig"] = {"EndpointsConfig": endpoints}


def _entrypoint(body: dict[str, Any], _host: dict[str, Any], value: str | list[str]) -> None:
    body["Entrypoint"] = words(value)


def _environment(body: dict[str, Any], _host: dict[str, Any], value: Mapping[str, Any] | Iterable[str]) -> None:
    if isinstance(value, str):
        name, _, content = value.partition("=")
        raise InvalidParameter(f"environment={value!r} is invalid: write environment={{{name!r}: {content!r}}}")
    if isinstance(value, Mapping):
        body["Env"] = [key if content is None else f"{key}={content}" for key, content in value.items()]
    else:
        body["Env"] = list(value)


def _labels(body: dict[str, Any], _host: dict[str, Any], value: Mapping[str, str] | Iterable[str]) -> None:
    body["Labels"] = dict(value) if isinstance(value, Mapping) else dict.fromkeys(value, "")


def _ports(body: dict[str, Any], host: dict[str, Any], value: Mapping[Any, Any] | Iterable[Any]) -> None:
    if isinstance(value, str) or (not isinstance(value, Mapping) and any(_is_publication(port) for port in value)):
        raise InvalidParameter(f"ports={value!r} is invalid: write ports={_as_mapping(value)}")
    published = value if isinstance(value, Mapping) else dict.fromkeys(value)
    bindings: dict[str, list[dict[str, str]]] = {}
    exposed = body.setdefault("ExposedPorts", {})
    for port, targets in published.items():
        key = str(port) if "/" in str(port) else f"{port}/tcp"
        exposed[key] = {}
        entries = targets if isinstance(targets, list) else [targets]
        bindings[key] = [_binding(entry) for entry in entries]
    host["PortBindings"] = bindings


def _is_publication(port: Any) -> bool:
    return isinstance(port, str) and ":" in port


def _as_mapping(value: str | Iterable[Any]) -> dict[str, Any]:
    """Convert arguments of `docker run -p` to docker-py's mapping `{container port: host port}`.

    For example, `8080:80` becomes `{"80/tcp": 8080}`, and `127.0.0.1:8080:80/udp` becomes `{"80/udp": ("127.0.0.1",
    8080)}`.
    """
    shown: dict[str, Any] = {}
    for word in [value] if isinstance(value, str) else value:
        published, _, port = str(word).rpartition(":")
        address, _, number = published.rpartition(":")
        key = port if "/" in port else f"{port}/tcp"
        host_port: int | str | None = int(number) if is_number(number) else number or None
        shown[key] = (address, host_port) if address else host_port
    return shown


def _binding(target: Any) -> dict[str, str]:
    address, colon, number = str(target).rpartition(":")
    if isinstance(target, str) and colon:
        shown = int(number) if is_number(number) else number
        raise InvalidParameter(f"{target!r} is no host port: write ({address!r}, {shown!r})")
    if isinstance(target, tuple):
        address, port = (*target, "")[:2]
        return {"HostIp": str(address), "HostPort": str(port or "")}
    return {"HostIp": "", "HostPort": "" if target is None else str(target)}


def _expose(body: dict[str, Any], _host: dict[str, Any], value: Iterable[Any]) -> None:
    for port in value:
        body.setdefault("ExposedPorts", {})[str(port) if "/" in str(port) else f"{port}/tcp"] = {}


def _extra_hosts(_body: dict[str, Any], host: dict[str, Any], value: Mapping[str, str] | Iterable[str]) -> None:
    pairs = value.items() if isinstance(value, Mapping) else (entry.split(":", 1) for entry in value)
    host["ExtraHosts"] = [f"{name}:{address}" for name, address in pairs]


def _links(_body: dict[str, Any], host: dict[str, Any], value: Mapping[str, str] | Iterable[Any]) -> None:
    pairs = value.items() if isinstance(value, Mapping) else value
    host["Links"] = [pair if isinstance(pair, str) else f"{pair[0]}:{pair[1] or pair[0]}" for pair in pairs]


def _restart_policy(_body: dict[str, Any], host: dict[str, Any], value: Mapping[str, Any] | str) -> None:
    host["RestartPolicy"] = {"Name": value} if isinstance(value, str) else dict(value)


def _sysctls(_body: dict[str, Any], host: dict[str, Any], value: Mapping[str, Any]) -> None:
    host["Sysctls"] = {key: str(setting) for key, setting in value.items()}


def _volumes(_body: dict[str, Any], host: dict[str, Any], value: Mapping[str, Any] | Iterable[str]) -> None:
    if isinstance(value, Mapping):
        host["Binds"] = [
            f"{source}:{where['bind']}:{where.get('mode', 'rw')}"
            if isinstance(where, Mapping)
            else f"{source}:{where}"
            for source, where in value.items()
        ]
    else:
        host["Binds"] = list(value)


def _healthcheck(body: dict[str, Any], _host: dict[str, Any], value: Mapping[str, Any]) -> None:
    if not isinstance(value, Mapping):
        raise InvalidParameter(f"healthcheck={value!r} is invalid: write healthcheck={{'test': {value!r}}}")
    names = {"start_period": "StartPeriod"}
    check = {names.get(key.lower(), key[:1].upper() + key[1:]): setting for key, setting in value.items()}
    if isinstance(check.get("Test"), str):
        check["Test"] = ["CMD-SHELL", check["Test"]]
    body["Healthcheck"] = check


_SPECIAL: dict[str, Callable[[dict[str, Any], dict[str, Any], Any], None]] = {
    "entrypoint": _entrypoint,
    "environment": _environment,
    "expose": _expose,
    "extra_hosts": _extra_hosts,
    "healthcheck": _healthcheck,
    "labels": _labels,
    "links": _links,
    "ports": _ports,
    "restart_policy": _restart_policy,
    "sysctls": _sysctls,
    "volumes": _volumes,
}
_OPTIONS = frozenset({*_CONFIG, *_HOST_CONFIG, *_SIZES, *_SPECIAL, *_ENDPOINT, *_PLAIN})
