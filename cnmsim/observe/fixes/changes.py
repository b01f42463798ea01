"""Changes that people make to a lab to put something right: the commands they type, and what each does to a lab.

A change names hosts, containers and networks and holds none of them, so it fits a lab and every copy of it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

from attrs import frozen

from cnmsim.errors import InvalidParameter, NotFound

#: What a change does to a lab: an object with `clock` and `hosts`.
Deed = Callable[[Any], None]
Body = dict[str, Any]


@frozen
class Change:
    """One thing done to a lab: `command` is what people type, `place` where ("" for anywhere), `do` is what it does.

    `do` raises what the engine or the program that refuses it raises.
    """

    command: str
    place: str
    do: Deed

    def __str__(self) -> str:
        return f"{self.place}$ {self.command}" if self.place else self.command


def typed(host: str, command: str) -> Change:
    """Run a command of Linux on a host. Its `do` raises `NotFound` without the host, `InvalidParameter` with what it printed if it fails."""

    def do(lab: Any) -> None:
        if host not in lab.hosts:
            raise NotFound(f"no host is called {host}")
        done = lab.hosts[host].exec(command)
        if not done.succeeded:
            raise InvalidParameter(f"{host}: {command}: {done.output.strip()}")

    return Change(command, host, do)


def docker(host: str, command: str) -> Change | None:
    """Give a change for a command of `docker` that is one of those known here, else `None`."""
    words = shlex.split(command)[1:]
    for length in (2, 1):
        deed = _VERBS.get(" ".join(words[:length]))
        if deed is not None:
            return Change(command, host, partial(_do, deed, host, words[length:]))
    return None


def _do(deed: Callable[[Any, str, list[str]], None], host: str, arguments: list[str], lab: Any) -> None:
    deed(lab, host, arguments)


def _engine(lab: Any, host: str) -> Any:
    found = lab.hosts[host].docker if host in lab.hosts else None
    if found is None:
        raise NotFound(f"{host} runs no engine")
    return found


def _engine_of(lab: Any, container: str, host: str) -> Any:
    """Give the engine that has a container: that of `host`, or else any."""
    hosts = sorted(lab.hosts.values(), key=lambda each: each.name != host)
    for each in hosts:
        if each.docker is not None and each.docker.store.find(container) is not None:
            return each.docker
    raise NotFound(f"No such container: {container}")


def _manager(lab: Any, host: str) -> Any:
    hosts = sorted(lab.hosts.values(), key=lambda each: each.name != host)
    for each in hosts:
        if each.docker is not None and getattr(each.docker.cluster, "manager_node", None) is not None:
            return each.docker
    raise NotFound("no host of the lab is a swarm manager")


def _network_create(lab: Any, host: str, arguments: list[str]) -> None:
    _engine(lab, host).networks.create(arguments[-1])


def _network_connect(lab: Any, host: str, arguments: list[str]) -> None:
    network, container = arguments[-2:]
    _engine_of(lab, container, host).networks.get(network).connect(container)


def _start(lab: Any, host: str, arguments: list[str]) -> None:
    _engine_of(lab, arguments[-1], host).containers.get(arguments[-1]).start()


def _restart(lab: Any, host: str, arguments: list[str]) -> None:
    _engine_of(lab, arguments[-1], host).containers.get(arguments[-1]).restart()


def _unpause(lab: Any, host: str, arguments: list[str]) -> None:
    _engine_of(lab, arguments[-1], host).containers.get(arguments[-1]).unpause()


def _service_scale(lab: Any, host: str, arguments: list[str]) -> None:
    name, _, count = arguments[-1].partition("=")
    _manager(lab, host).services.get(name).scale(int(count))


def _service_update(lab: Any, host: str, arguments: list[str]) -> None:
    option, value, name = arguments[-3:]
    service = _manager(lab, host).services.get(name)
    if option == "--network-add":
        networks = service.attrs["Spec"]["TaskTemplate"].get("Networks") or []
        service.update(networks=[*networks, {"Target": _manager(lab, host).networks.get(value).id}])
    elif option == "--endpoint-mode":
        service.update(endpoint_mode=value)
    else:
        raise InvalidParameter(f"docker service update {option} is none of the changes known here")


def _node_update(lab: Any, host: str, arguments: list[str]) -> None:
    option, value, name = arguments[-3:]
    if option != "--availability":
        raise InvalidParameter(f"docker node update {option} is none of the changes known here")
    node = _manager(lab, host).nodes.get(name)
    node.update({**node.attrs["Spec"], "Availability": value})


_VERBS: dict[str, Callable[[Any, str, list[str]], None]] = {
    "network create": _network_create,
    "network connect": _network_connect,
    "restart": _restart,
    "start": _start,
    "unpause": _unpause,
    "service scale": _service_scale,
    "service update": _service_update,
    "node update": _node_update,
}


# ---- making anew


def run_again(host: str, container: str, command: str, change: Callable[[Body], None]) -> Change:
    """Make a container anew under its name, with its create body changed by `change`.

    `command` is what differs on the command line (`-p 8080:80`).
    """

    def do(lab: Any) -> None:
        engine = _engine(lab, host)
        old = engine.containers.get(container)
        body = create_body_of(old)
        change(body)
        old.remove(force=True)
        made = engine.rest.containers.create(body, {"name": container})
        engine.containers.get(made["Id"]).start()

    return Change(f"docker rm -f {container}; docker run … --name {container} {command} …", host, do)


def create_body_of(container: Any) -> Body:
    """Give the body of the create call that would make a container like this one."""
    record = container.record
    body: Body = deepcopy(record.config)
    if body.get("Hostname") == record.id[:12]:
        body["Hostname"] = ""
    body["HostConfig"] = deepcopy(record.host_config)
    endpoints = {}
    for name, own in record.networks.items():
        settings = {
            "Aliases": [alias for alias in own.aliases or () if alias != record.id[:12]] or None,
            "Links": own.links, "DriverOpts": own.driver_opts, "GwPriority": own.gw_priority,
            "MacAddress": own.wanted_mac, "IPAMConfig": None if own.ipam_is_operational else own.ipam_config,
        }  # fmt: skip
        endpoints[name] = {key: value for key, value in settings.items() if value}
    body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return body


def make_network_again(host: str, network: str, command: str, change: Callable[[Body], None]) -> Change:
    """Make a network anew, with the create options `change` alters, and connect its containers again."""

    def do(lab: Any) -> None:
        engine = _engine(lab, host)
        old = engine.networks.get(network)
        attrs = old.attrs
        options: Body = {
            "driver": attrs["Driver"], "options": dict(attrs["Options"] or {}), "ipam": attrs["IPAM"],
            "internal": attrs["Internal"], "labels": attrs["Labels"], "enable_ipv6": attrs["EnableIPv6"],
            "attachable": attrs["Attachable"],
        }  # fmt: skip
        change(options)
        members = old.containers
        known = {each.name: each.record.networks.get(network) for each in members}
        for each in members:
            old.disconnect(each)
        old.remove()
        made = engine.networks.create(network, **options)
        for each in members:
            settings = known[each.name]
            made.connect(each, aliases=(settings.aliases or None) if settings is not None else None)

    return Change(f"docker network rm {network}; docker network create … {command} {network}", host, do)


def publish(host: str, container: str, port: int, host_port: int, protocol: str = "tcp", host_ip: str = "") -> Change:
    """Make a container anew that publishes `port`, in place of what it published under `host_port`."""

    def change(body: Body) -> None:
        bindings = dict(body["HostConfig"].get("PortBindings") or {})
        wanted = str(host_port)
        kept = {key: [each for each in many or () if each["HostPort"] != wanted] for key, many in bindings.items()}
        key = f"{port}/{protocol}"
        kept[key] = [*kept.get(key, ()), {"HostIp": host_ip, "HostPort": wanted}]
        body["HostConfig"]["PortBindings"] = {name: many for name, many in kept.items() if many}
        body["ExposedPorts"] = {**(body.get("ExposedPorts") or {}), key: {}}

    suffix = "" if protocol == "tcp" else f"/{protocol}"
    at = f"{host_ip}:" if host_ip else ""
    return run_again(host, container, f"-p {at}{host_port}:{port}{suffix}", change)


def bind_everywhere(host: str, container: str, address: str = "127.0.0.1") -> Change:
    """Make a container anew whose program listens on every address in place of `address`."""

    def change(body: Body) -> None:
        for key in ("Cmd", "Entrypoint"):
            if body.get(key):
                body[key] = [word.replace(address, "0.0.0.0") for word in body[key]]  # noqa: S104 - what people are told

    return run_again(host, container, "(its program told to listen on 0.0.0.0)", change)


def with_option(name: str, value: str) -> Callable[[Body], None]:
    """Give what sets a driver option in the options of a network to be made."""

    def change(options: Body) -> None:
        options["options"][name] = value

    return change
