"""HTML cards of hosts, engines, networks, containers and services, which notebooks show.

Cards of libnetwork's own objects are in `cnm_cards.py`.

The engine is a lower layer than the views and cannot import them. It calls `Model.renderer` instead, which the
package `lab` sets to `render`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cnmsim.engine.client.containers import Container
from cnmsim.engine.client.networks import Network
from cnmsim.engine.client.services import Service
from cnmsim.engine.client.swarm import NodeCollection
from cnmsim.engine.engine import Engine
from cnmsim.engine.images.catalogue import ImageCatalogue
from cnmsim.observe.views.cnm_cards import CNM_CARDS, controller_card
from cnmsim.observe.views.markup import LOST, WELL, card, facts, heading, note, table


def render(what: object) -> str | None:
    """Return the HTML card of an object of an engine or a controller, or `None` if its type has no card."""
    for kind, draw in (*_CARDS.items(), *CNM_CARDS.items()):
        if isinstance(what, kind):
            return draw(what)
    return None


def host_card(host: Any) -> str:
    """Return the HTML card of a host: its interfaces, its routes, and the containers of its engine if it has one."""
    devices = [
        (device.name, device.kind, ", ".join(map(str, device.addresses)), str(device.mtu),
         "up" if device.is_up else "down")
        for device in host.namespace.devices.values()
        if device.kind != "veth"
    ]  # fmt: skip
    parts = [
        table(("device", "kind", "addresses", "mtu", ""), devices, numbers=(3,), rigid=(0, 1)),
        heading("routes"),
        table(("",), [(str(route),) for family in (4, 6) for route in host.namespace.routes(family).routes]),
    ]
    if host.own_controller is not None:
        parts += [heading("networks and sandboxes"), controller_card(host.own_controller)]
    if host.has_docker:
        parts += [heading(f"Docker {host.docker.profile.version}"), _containers(host.docker)]
    return card(host.name, "host", *parts)


def hosts_card(hosts: Iterable[Any]) -> str:
    """Return the HTML card of the hosts of a lab. If there are no hosts, the card shows how to add one."""
    rows = [
        (
            host.name,
            ", ".join(f"{interface.name} {' '.join(map(str, interface.addresses))}" for interface in host.interfaces),
            f"Docker {host.docker.profile.version}" if host.has_docker else "" if host.is_on else "without power",
        )
        for host in hosts
    ]  # fmt: skip
    if not rows:
        return card("no hosts", "lab", note('lab.add_host("node1", "10.0.0.15/24", docker=True) adds a Docker host'))
    return card("hosts", "lab", table(("name", "addresses", ""), rows))


def _catalogue(images: ImageCatalogue) -> str:
    rows = [(name, ", ".join(meaning.listens), "added") for name, meaning in images.meanings.items()]
    rows += [
        (name, ", ".join(images.meaning(name).listens), "")
        for name in images.present
        if name not in images.meanings
    ]  # fmt: skip
    return card("images", "lab", table(("image", "listens on", ""), rows), note(images.summary()))


def _engine(engine: Engine) -> str:
    networks = [
        (
            attributes["Name"],
            attributes["Driver"],
            attributes["Scope"],
            ", ".join(_subnets(attributes)),
            "internal" if attributes["Internal"] else "",
        )
        for attributes in (network.attrs for network in engine.networks.list())
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
    """Describe the engine's role in its swarm, e.g. `manager of 3 nodes, active`; return "" if it is in no swarm."""
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
    for container in reversed(engine.containers.list(all=True)):
        attrs = container.attrs
        places = [f"{name} {view.get('IPAddress') or ''}".strip() for name, view in _networks(attrs).items()]
        rows.append(
            (container.name, attrs["Config"]["Image"], container.status, "\n".join(places), "\n".join(_ports(attrs)))
        )
    return table(("name", "image", "status", "networks", "ports"), rows, rigid=(0, 3, 4)) if rows else note("none")


def _networks(attrs: dict[str, Any]) -> dict[str, Any]:
    return attrs["NetworkSettings"]["Networks"] or {}


def _ports(attrs: dict[str, Any]) -> list[str]:
    lines = []
    for port, bindings in (attrs["NetworkSettings"].get("Ports") or {}).items():
        lines += [f"{binding['HostIp'] or '*'}:{binding['HostPort']} → {port}" for binding in bindings or ()] or [
            port
        ]
    return lines


def _network(network: Network) -> str:
    attrs = network.attrs
    members = [
        (
            endpoint.get("Name", ""),
            endpoint.get("IPv4Address", ""),
            endpoint.get("IPv6Address", ""),
            endpoint.get("MacAddress", ""),
        )
        for endpoint in (attrs.get("Containers") or {}).values()
    ]
    gateways = [item["Gateway"] for item in (attrs.get("IPAM") or {}).get("Config") or () if item.get("Gateway")]
    pairs = [
        ("driver", f"{attrs['Driver']} ({attrs['Scope']})"), ("subnets", ", ".join(_subnets(attrs))),
        ("gateway", ", ".join(gateways)),
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
        (name, *(view.get(key) or "" for key in ("IPAddress", "Gateway", "MacAddress")),
         ", ".join(view.get("DNSNames") or ()))
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
    replicas = (spec.get("Mode") or {}).get("Replicated", {}).get("Replicas")
    ports = [
        f"{port.get('PublishedPort', '')} → {port.get('TargetPort', '')}/{port.get('Protocol', 'tcp')} "
        f"({port.get('PublishMode', 'ingress')})"
        for port in endpoint.get("Ports") or ()
    ]
    pairs = [
        ("image", spec["TaskTemplate"].get("ContainerSpec", {}).get("Image", "")),
        ("mode", f"{mode.lower()}{f', {replicas} wanted' if replicas is not None else ''}"),
        ("virtual IPs", ", ".join(vip.get("Addr", "") for vip in endpoint.get("VirtualIPs") or ())),
        ("ports", ", ".join(ports)),
    ]
    tasks = sorted(service.tasks(), key=lambda task: (task.get("Slot", 0), task["DesiredState"] != "running"))
    hosts = {
        node.id: node.attrs.get("Description", {}).get("Hostname", "")
        for node in NodeCollection(service.engine).list()
    }
    rows = [
        (str(task.get("Slot", "")), hosts.get(task.get("NodeID", "")) or task.get("NodeID", "")[:12],
         task["Status"]["State"], task["DesiredState"], task["Status"].get("Err", ""))
        for task in tasks
    ]  # fmt: skip
    colours = [
        WELL if task["Status"]["State"] == "running" else LOST if task["Status"].get("Err") else "" for task in tasks
    ]
    return card(
        spec["Name"],
        f"service {service.short_id}",
        facts(pairs),
        table(("slot", "node", "state", "wanted", "error"), rows, colours),
    )


_CARDS: dict[type, Callable[[Any], str]] = {
    Engine: _engine, ImageCatalogue: _catalogue, Network: _network, Container: _container, Service: _service,
}  # fmt: skip
