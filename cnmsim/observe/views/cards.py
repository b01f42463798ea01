"""Hosts, engines, networks, containers and services as cards for notebooks.

Engines stand below what draws them, so they ask whoever has been put in charge (`Model.renderer`); `lab` puts `render` there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnmsim.engine.client.containers import Container
from cnmsim.engine.client.networks import Network
from cnmsim.engine.client.services import Service
from cnmsim.engine.client.swarm import NodeCollection
from cnmsim.engine.engine import Engine
from cnmsim.observe.views.markup import LOST, WELL, card, facts, heading, note, table


def render(what: object) -> str | None:
    """Give the card of an engine's object, `None` for one that has none."""
    for kind, draw in _CARDS.items():
        if isinstance(what, kind):
            return draw(what)
    return None


def host_card(host: Any) -> str:
    """Give the card of a host: its interfaces and routes, and what its engine runs."""
    devices = [
        (device.name, device.kind, ", ".join(str(item) for item in device.addresses), str(device.mtu), "up" if device.is_up else "down")
        for device in host.namespace.devices.values()
        if device.kind != "veth"
    ]  # fmt: skip
    parts = [
        table(("device", "kind", "addresses", "mtu", ""), devices, numbers=(3,), rigid=(0, 1)),
        heading("routes"),
        table(("",), [(str(each),) for family in (4, 6) for each in host.namespace.routes(family).routes]),
    ]
    if host.docker is not None:
        parts += [heading(f"Docker {host.docker.profile.version}"), _containers(host.docker)]
    return card(host.name, "host", *parts)


def _engine(engine: Engine) -> str:
    networks = [
        (
            each["Name"],
            each["Driver"],
            each["Scope"],
            ", ".join(_subnets(each)),
            "internal" if each["Internal"] else "",
        )
        for each in (network.attrs for network in engine.networks.list())
    ]
    return card(
        engine.machine.name,
        f"Docker Engine {engine.profile.version}",
        facts([("swarm", _swarm(engine))]),
        heading("networks"),
        table(("name", "driver", "scope", "subnets", ""), networks),
        heading("containers"),
        _containers(engine),
    )


def _swarm(engine: Engine) -> str:
    """Say what the engine is in its swarm, "" outside of one."""
    swarm = engine.info()["Swarm"]
    if swarm["LocalNodeState"] in {"", "inactive"}:
        return ""
    role = "manager" if swarm.get("ControlAvailable") else "worker"
    size = f" of {swarm['Nodes']} nodes" if swarm.get("Nodes") else ""
    return f"{role}{size}, {swarm['LocalNodeState']}"


def _subnets(attrs: dict[str, Any]) -> list[str]:
    return [item["Subnet"] for item in (attrs.get("IPAM") or {}).get("Config") or () if item.get("Subnet")]


def _containers(engine: Engine) -> str:
    rows = []
    for each in reversed(engine.containers.list(all=True)):
        attrs = each.attrs
        places = [f"{name} {view.get('IPAddress') or ''}".strip() for name, view in _networks(attrs).items()]
        rows.append((each.name, attrs["Config"]["Image"], each.status, "\n".join(places), "\n".join(_ports(attrs))))
    return table(("name", "image", "status", "networks", "ports"), rows, rigid=(0, 3, 4)) if rows else note("none")


def _networks(attrs: dict[str, Any]) -> dict[str, Any]:
    return attrs["NetworkSettings"]["Networks"] or {}


def _ports(attrs: dict[str, Any]) -> list[str]:
    found = []
    for port, bindings in (attrs["NetworkSettings"].get("Ports") or {}).items():
        found += [f"{each['HostIp'] or '*'}:{each['HostPort']} → {port}" for each in bindings or ()] or [port]
    return found


def _network(network: Network) -> str:
    attrs = network.attrs
    members = [
        (each.get("Name", ""), each.get("IPv4Address", ""), each.get("IPv6Address", ""), each.get("MacAddress", ""))
        for each in (attrs.get("Containers") or {}).values()
    ]
    gateways = [item["Gateway"] for item in (attrs.get("IPAM") or {}).get("Config") or () if item.get("Gateway")]
    pairs = [
        ("driver", f"{attrs['Driver']} ({attrs['Scope']})"), ("subnets", ", ".join(_subnets(attrs))), ("gateway", ", ".join(gateways)),
        ("internal", "yes: no way out, no default route" if attrs["Internal"] else ""),
        *((key, str(value)) for key, value in (attrs.get("Options") or {}).items()),
    ]  # fmt: skip
    return card(
        attrs["Name"], f"network {network.short_id}", facts(pairs),
        table(("container", "IPv4", "IPv6", "MAC"), members) if members else note("nothing is attached"),
    )  # fmt: skip


def _container(container: Container) -> str:
    attrs = container.attrs
    rows = [
        (name, view.get("IPAddress") or "", view.get("Gateway") or "", view.get("MacAddress") or "", ", ".join(view.get("DNSNames") or ()))
        for name, view in _networks(attrs).items()
    ]  # fmt: skip
    pairs = [
        ("image", attrs["Config"]["Image"]), ("status", container.status), ("ports", ", ".join(_ports(attrs))),
        ("network mode", attrs["HostConfig"].get("NetworkMode", "")),
    ]  # fmt: skip
    grid = table(("network", "address", "gateway", "MAC", "names"), rows) if rows else ""
    return card(container.name, f"container {container.short_id}", facts(pairs), grid)


def _service(service: Service) -> str:
    attrs = service.attrs
    spec, endpoint = attrs["Spec"], attrs.get("Endpoint") or {}
    mode = next(iter(spec.get("Mode") or {"": {}}))
    wanted = (spec.get("Mode") or {}).get("Replicated", {}).get("Replicas")
    ports = [
        f"{each.get('PublishedPort', '')} → {each.get('TargetPort', '')}/{each.get('Protocol', 'tcp')} ({each.get('PublishMode', 'ingress')})"
        for each in endpoint.get("Ports") or ()
    ]
    pairs = [
        ("image", spec["TaskTemplate"].get("ContainerSpec", {}).get("Image", "")),
        ("mode", f"{mode.lower()}{f', {wanted} wanted' if wanted is not None else ''}"),
        ("virtual IPs", ", ".join(each.get("Addr", "") for each in endpoint.get("VirtualIPs") or ())),
        ("ports", ", ".join(ports)),
    ]
    tasks = sorted(service.tasks(), key=lambda each: (each.get("Slot", 0), each["DesiredState"] != "running"))
    hosts = {
        each.id: each.attrs.get("Description", {}).get("Hostname", "")
        for each in NodeCollection(service.engine).list()
    }
    rows = [
        (str(each.get("Slot", "")), hosts.get(each.get("NodeID", "")) or each.get("NodeID", "")[:12], each["Status"]["State"], each["DesiredState"], each["Status"].get("Err", ""))
        for each in tasks
    ]  # fmt: skip
    colours = [
        WELL if each["Status"]["State"] == "running" else LOST if each["Status"].get("Err") else "" for each in tasks
    ]
    return card(
        spec["Name"],
        f"service {service.short_id}",
        facts(pairs),
        table(("slot", "node", "state", "wanted", "error"), rows, colours),
    )


_CARDS: dict[type, Callable[[Any], str]] = {
    Engine: _engine, Network: _network, Container: _container, Service: _service,
}  # fmt: skip
