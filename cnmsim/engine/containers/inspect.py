"""Containers as `GET /containers/{id}/json` describes them (`docker inspect`).

Source: moby `daemon/{inspect,inspect_linux,list}.go`, `daemon/container/{view,state}.go`,
`daemon/server/router/container/inspect.go`, `api/types/container` (v26.1.5, v28.5.2, docker-v29.7.2).
"""

from __future__ import annotations

from typing import Any

from cnmsim.engine.containers.archive import size_of_changes
from cnmsim.engine.containers.container import Container, EndpointSettings
from cnmsim.engine.containers.state import ContainerState
from cnmsim.engine.context import EngineContext
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.gojson.fields import rfc3339

_ROOT = "/var/lib/docker"
#: The top-level address fields of old API versions, which describe the endpoint on the default bridge.
_TOP_LEVEL = (
    "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway",
    "MacAddress",
)  # fmt: skip


def inspect_container(
    context: EngineContext, container: Container, api: ApiVersion, *, size: bool = False
) -> dict[str, Any]:
    """Return the description of a container in the format of `GET /containers/{id}/json`.

    `api` is the client's API version. `size` adds the sizes of the container's files.
    """
    profile = context.profile
    folder = f"{_ROOT}/containers/{container.id}"
    has_started = container.has_been_started or bool(container.error)
    is_json_file = container.host_config["LogConfig"]["Type"] == "json-file"
    view: dict[str, Any] = {
        "Id": container.id,
        "Created": rfc3339(container.created_ns),
        "Path": container.command[0],
        "Args": container.command[1:],
        "State": _state(container),
        "Image": container.image.id,
        "ResolvConfPath": f"{folder}/resolv.conf" if has_started else "",
        "HostnamePath": f"{folder}/hostname" if has_started else "",
        "HostsPath": f"{folder}/hosts" if has_started else "",
        "LogPath": f"{folder}/{container.id}-json.log" if has_started and is_json_file else "",
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "docker-default" if has_started else "",
        "ExecIDs": [execution.id for execution in container.execs.values() if execution.is_running] or None,
        "HostConfig": _host_config(context, container),
        "GraphDriver": _graph_driver(container),
    }
    if size:
        view |= {"SizeRw": size_of_changes(container), "SizeRootFs": container.image.meaning.size}
    view |= {
        "Mounts": [mount.view() for mount in container.mounts if mount.type != "tmpfs"],
        "Config": _config(context, container, api),
        "NetworkSettings": _network_settings(context, container, api),
    }
    if profile.inspect_is_slim and not api.at_least("1.52") and _has_extra_fields(container):
        sorted_view: dict[str, Any] = _sorted(view)
        return sorted_view  # the engine merges fields for old clients by name, which sorts every object
    return view


def _state(container: Container) -> dict[str, Any]:
    state = container.state
    view: dict[str, Any] = {
        "Status": state.value,
        "Running": container.is_running,
        "Paused": state is ContainerState.PAUSED,
        "Restarting": state is ContainerState.RESTARTING,
        "OOMKilled": container.cgroup.oom_kills > 0,
        "Dead": state is ContainerState.DEAD,
        "Pid": container.process.pid if container.process is not None else 0,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": rfc3339(container.started_ns),
        "FinishedAt": rfc3339(container.finished_ns),
    }
    if container.health is not None:
        view["Health"] = container.health.view()
    return view


def _host_config(context: EngineContext, container: Container) -> dict[str, Any]:
    children = context.containers.children(container)
    links = [f"/{child.name}:/{container.name}/{alias}" for alias, child in children.items()]
    return {**container.host_config, "Links": links or None}


def _graph_driver(container: Container) -> dict[str, Any]:
    folder = f"{_ROOT}/overlay2/{container.id}"
    data = {
        "ID": container.id,
        "LowerDir": f"{folder}-init/diff",
        "MergedDir": f"{folder}/merged",
        "UpperDir": f"{folder}/diff",
        "WorkDir": f"{folder}/work",
    }
    return {"Data": data, "Name": "overlay2"}


def _config(context: EngineContext, container: Container, api: ApiVersion) -> dict[str, Any]:
    config = dict(container.config)
    main = container.networks.get(container.network_mode)
    is_shown = not context.profile.inspect_is_slim or not api.at_least("1.52")
    if main is not None and main.wanted_mac and is_shown:
        return _with_mac(config, main.wanted_mac)
    config.pop("MacAddress", None)
    return config


def _with_mac(config: dict[str, Any], address: str) -> dict[str, Any]:
    config.pop("MacAddress", None)
    items = list(config.items())
    place = next(number for number, (key, _) in enumerate(items) if key in {"OnBuild", "Labels"})
    return dict([*items[:place], ("MacAddress", address), *items[place:]])


def _has_extra_fields(container: Container) -> bool:
    main = container.networks.get(container.network_mode)
    return "bridge" in container.networks or bool(main and main.wanted_mac)


def _network_settings(context: EngineContext, container: Container, api: ApiVersion) -> dict[str, Any]:
    profile = context.profile
    networks = {
        name: endpoint_view(context, settings, _shown_aliases(container, name, settings, api))
        for name, settings in sorted(container.networks.items())
    }
    ports = container.ports
    bridge = container.networks.get("bridge")
    top_level = {}
    if bridge is not None or not profile.inspect_is_slim:
        whole = endpoint_view(context, bridge or EndpointSettings(), None)
        top_level = {key: whole[key] for key in _TOP_LEVEL}
    if not profile.inspect_is_slim:
        return {
            "Bridge": "",
            "SandboxID": container.sandbox_id,
            "SandboxKey": container.sandbox_key,
            "Ports": ports,
            "HairpinMode": False,
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "SecondaryIPAddresses": None,
            "SecondaryIPv6Addresses": None,
            **top_level,
            "Networks": networks,
        }
    view = {
        "SandboxID": container.sandbox_id,
        "SandboxKey": container.sandbox_key,
        "Ports": ports,
        "Networks": networks,
    }
    return view if api.at_least("1.52") else {**view, **top_level}


def _shown_aliases(container: Container, name: str, settings: EndpointSettings, api: ApiVersion) -> list[str] | None:
    """Return the aliases that inspect shows for the network `name`; `None` if there are none.

    Clients before API 1.45 are also shown the container's short id and host name, except on a predefined network.
    """
    if api.at_least("1.45") or name in {"bridge", "host", "none", "default"}:
        return settings.aliases
    return list(dict.fromkeys([*(settings.aliases or ()), container.id[:12], container.hostname]))


def endpoint_view(context: EngineContext, settings: EndpointSettings, aliases: list[str] | None) -> dict[str, Any]:
    """Return one entry of NetworkSettings.Networks, with exactly the fields that the engine's release prints.

    `aliases` are the container's aliases to print; `None` prints `null`.
    """
    fields: dict[str, Any] = {
        "IPAMConfig": settings.ipam_config,
        "Links": settings.links,
        "Aliases": aliases,
        "MacAddress": settings.mac_address,
        "DriverOpts": settings.driver_opts,
        "GwPriority": settings.gw_priority,
        "NetworkID": settings.network_id,
        "EndpointID": settings.endpoint_id,
        "Gateway": settings.gateway,
        "IPAddress": settings.ip_address,
        "IPPrefixLen": settings.ip_prefix_len,
        "IPv6Gateway": settings.ipv6_gateway,
        "GlobalIPv6Address": settings.global_ipv6_address,
        "GlobalIPv6PrefixLen": settings.global_ipv6_prefix_len,
        "DNSNames": settings.dns_names,
    }
    return {key: fields[key] for key in context.profile.endpoint_fields}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value
