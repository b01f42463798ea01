"""List the hosts, networks and containers of a lab with their addresses, as text or as plain values."""

from __future__ import annotations

from typing import Any

from cnmsim.kernel.address import format_ip
from cnmsim.observe.diagnosis.file_names import json_in_file_names, names_of
from cnmsim.observe.location import Location
from cnmsim.observe.swarm_inventory import swarms, swarms_text
from cnmsim.observe.trace.table import plain_grid
from cnmsim.observe.trace.tracer import LabView, directory_of


def inventory(lab: LabView) -> dict[str, Any]:
    """Return the contents of a lab as plain values, with names as in its Compose or stack file.

    The keys are `hosts`, `networks`, `containers`, `stopped`, `inactive` and `swarms`.
    """
    directory = directory_of(lab)
    shown = {
        "hosts": [_host(lab, location) for location in directory.locations if not location.is_container],
        "networks": [network for host in lab.hosts.values() for network in _networks(host)],
        "containers": [_container(lab, location) for location in directory.locations if location.is_container],
        "stopped": dict(directory.stopped),
        "inactive": {name: list(profiles) for name, profiles in directory.inactive.items()},
        "swarms": swarms(lab),
    }
    return json_in_file_names(shown, names_of(directory))


def _host(lab: LabView, location: Location) -> dict[str, Any]:
    host = lab.hosts[location.name]
    return {
        "name": location.name,
        "addresses": [
            f"{device.name} {item}"
            for device in location.namespace.devices.values()
            if device.kind == "nic"
            for item in device.addresses
            if item.scope == "global"
        ],
        "engine": host.docker.profile.version if host.has_docker else None,
        "forwards": location.namespace.sysctl_get("net.ipv4.ip_forward") == "1",
    }


def _networks(host: Any) -> list[dict[str, Any]]:
    if not host.has_docker:
        return []
    found = []
    for network in host.docker.networks.list():
        attrs = network.attrs
        config = (attrs.get("IPAM") or {}).get("Config") or []
        found.append(
            {
                "host": host.name,
                "name": attrs["Name"],
                "driver": attrs["Driver"],
                "subnets": [item["Subnet"] for item in config if item.get("Subnet")],
                "gateways": [item["Gateway"] for item in config if item.get("Gateway")],
                "internal": bool(attrs.get("Internal")),
            }
        )
    return found


def _container(lab: LabView, location: Location) -> dict[str, Any]:
    networks = {item.network: [format_ip(address) for address in item.addresses] for item in location.attachments}
    uses_host = location.namespace is lab.hosts[location.host].namespace
    return {
        "name": location.name,
        "host": location.host,
        "image": location.image,
        "networks": networks or {"host" if uses_host else "none": []},
        "ports": [str(item) for item in location.published],
        "listens": [f"{item}/{item.protocol}" for item in location.services],
    }


def inventory_text(lab: LabView, *, width: int = 0) -> str:
    """Return the contents of a lab as small text tables of at most `width` columns (0: no limit).

    Containers, networks and services of a Compose project or stack are shown under their names in the file.
    """
    found = inventory(lab)
    directory = directory_of(lab)
    names = names_of(directory)

    def named(name: str) -> str:
        return names.get(name, name)

    hosts = [(host["name"], ", ".join(host["addresses"]), _role(host)) for host in found["hosts"]]
    networks = [
        (
            network["host"], named(network["name"]), network["driver"], ", ".join(network["subnets"]),
            ", ".join(network["gateways"]), "internal" if network["internal"] else "",
        )
        for network in found["networks"]
    ]  # fmt: skip
    containers = [
        (
            container["host"], named(container["name"]), container["image"],
            ", ".join(" ".join((named(name), *addresses)) for name, addresses in container["networks"].items()),
            ", ".join(container["ports"]), ", ".join(container["listens"]),
        )
        for container in found["containers"]
    ]  # fmt: skip
    parts = [plain_grid(("HOST", "ADDRESSES", "ROLE"), hosts, width)]
    if networks:
        parts.append(plain_grid(("HOST", "NETWORK", "DRIVER", "SUBNET", "GATEWAY", ""), networks, width))
    if containers:
        header = ("HOST", "CONTAINER", "IMAGE", "NETWORKS", "PUBLISHED", "LISTENS ON")
        parts.append(plain_grid(header, containers, width))
    parts += swarms_text(found["swarms"], names, width)
    # The table of tasks has the last state of each.
    services = tuple(f"{service.name}." for swarm in directory.swarms for service in swarm.store.services)
    own = [item for item in directory.stopped_containers if not item.name.startswith(services)]
    if stopped := [(named(item.name), item.status) for item in own]:
        parts.append(plain_grid(("NOT RUNNING", "STATE"), stopped, width))
    if directory.inactive:
        options = [
            (name, " or ".join(f"--profile {each}" for each in own)) for name, own in directory.inactive.items()
        ]
        parts.append(plain_grid(("NOT ACTIVE", "ACTIVATED BY"), options, width))
    return "\n\n".join(parts)


def _role(host: dict[str, Any]) -> str:
    if host["engine"]:
        return f"Docker {host['engine']}"
    return "router" if host["forwards"] else "host"
