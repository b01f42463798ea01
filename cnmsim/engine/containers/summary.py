"""Containers as entries of `GET /containers/json`, which `docker ps` prints.

Source: moby `daemon/list.go`, `daemon/container/view.go`, `daemon/container/state.go` (v26.1.5, v28.5.2,
docker-v29.7.2).
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from cnmsim.engine.containers.archive import size_of_changes
from cnmsim.engine.containers.container import Container, EndpointSettings
from cnmsim.engine.containers.inspect import endpoint_view
from cnmsim.engine.containers.state import ContainerState
from cnmsim.engine.context import EngineContext
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.engine.wire.ports import parse_port
from cnmsim.engine.wire.timestamps import human_duration
from cnmsim.kernel.clock import NS_PER_S


def container_summary(
    context: EngineContext, container: Container, api: ApiVersion, *, size: bool = False
) -> dict[str, Any]:
    """Return a container in the format of an entry of `GET /containers/json`.

    `api` is the client's API version. `size` adds the sizes of the container's files.
    """
    reference = container.config["Image"]
    referenced_image = context.images.find(reference)
    view: dict[str, Any] = {
        "Id": container.id,
        "Names": context.containers.names_of(container),
        "Image": reference if referenced_image is container.image else container.image.id,
        "ImageID": container.image.id,
        "Command": _command_line(container),
        "Created": container.created_ns // NS_PER_S,
        "Ports": summary_ports(container, shows_unbound=context.profile.ps_shows_unbound_ports),
    }
    if size:
        changed = size_of_changes(container)
        view |= {"SizeRw": changed} if changed else {}
        view["SizeRootFs"] = container.image.meaning.size
    annotations = container.host_config.get("Annotations") or {}
    shown = {"Annotations": annotations} if annotations and api.at_least("1.46") else {}
    view |= {
        "Labels": dict(container.config["Labels"] or {}),
        "State": container.state.value,
        "Status": status_line(container, context.clock.unix_ns),
        "HostConfig": {"NetworkMode": container.network_mode, **shown},
    }
    if context.profile.inspect_is_slim and api.at_least("1.52"):
        health = container.health
        view["Health"] = {
            "Status": health.status if health else "none",
            "FailingStreak": health.failing_streak if health else 0,
        }
    view["NetworkSettings"] = {
        "Networks": {
            name: endpoint_view(context, _summarised(settings), None)
            for name, settings in sorted(container.listed[0].items())
        }
    }
    view["Mounts"] = [mount.view() for mount in container.mounts if mount.type != "tmpfs"]
    return view


def _summarised(settings: EndpointSettings) -> EndpointSettings:
    ipam = settings.ipam_config
    shown = None if ipam is None else {key: ipam[key] for key in ipam if key != "LinkLocalIPs"}
    return evolve(settings, ipam_config=shown, links=None, aliases=None, driver_opts=None, dns_names=None)


def _command_line(container: Container) -> str:
    path, *arguments = container.command
    return " ".join([path, *(f"'{word}'" if " " in word else word for word in arguments)])


def summary_ports(container: Container, *, shows_unbound: bool) -> list[dict[str, Any]]:
    """Return a container's ports in the format of an entry of `GET /containers/json`.

    `shows_unbound` includes published ports without a host port, which exist in gateway mode `routed`.
    """
    ports: list[dict[str, Any]] = []
    for key, bindings in sorted(container.listed[1].items(), key=lambda item: (parse_port(item[0]).port, item[0])):
        port = parse_port(key)
        if not bindings:
            ports.append({"PrivatePort": port.port, "Type": port.protocol})
        for binding in bindings or ():
            if not binding["HostPort"] and not shows_unbound:
                continue
            public = {"PublicPort": int(binding["HostPort"])} if binding["HostPort"] else {}
            ports.append({"IP": binding["HostIp"], "PrivatePort": port.port, **public, "Type": port.protocol})
    return ports


def status_line(container: Container, now_ns: int) -> str:
    """Return the text of the column STATUS of `docker ps`, such as `Up 3 minutes`.

    `now_ns` is the present time in nanoseconds since 1970.
    """
    state = container.state
    since_start = human_duration((now_ns - (container.started_ns or now_ns)) / NS_PER_S)
    since_end = human_duration((now_ns - (container.finished_ns or now_ns)) / NS_PER_S)
    if state is ContainerState.RESTARTING:
        return f"Restarting ({container.exit_code}) {since_end} ago"
    if container.is_running:
        health = container.health
        note = "Paused" if state is ContainerState.PAUSED else ""
        if not note and health is not None:
            note = "health: starting" if health.status == "starting" else health.status
        return f"Up {since_start} ({note})" if note else f"Up {since_start}"
    if state is ContainerState.REMOVING:
        return "Removal In Progress"
    if state is ContainerState.DEAD:
        return "Dead"
    if container.started_ns is None:
        return "Created"
    return f"Exited ({container.exit_code}) {since_end} ago"
