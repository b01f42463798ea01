"""A lab as a networkx graph; see `Lab.to_networkx`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnmsim.kernel.address import format_ip
from cnmsim.underlay.topology import add_segments

if TYPE_CHECKING:
    import networkx as nx

    from cnmsim.engine.engine import Engine
    from cnmsim.lab.host import Host
    from cnmsim.lab.lab import Lab
    from cnmsim.libnetwork.controller import Controller

_ON_PARENT = frozenset({"ipvlan", "macvlan"})
_DEFAULT_MTU = 1500


def export(lab: Lab, *, docker: bool) -> nx.Graph[str]:
    """Return the present state of a lab as a graph.

    With `docker` it includes the engines' networks and containers.
    """
    import networkx as nx

    graph: nx.Graph[str] = nx.Graph()
    for host in lab.hosts.values():
        graph.add_node(host.name, **_host_attributes(lab, host))
    add_segments(graph, lab.segments.values())
    for segment in lab.segments.values():
        subnets = lab._cabling.subnets_of(segment)
        if segment.name in graph and subnets:
            graph.nodes[segment.name]["subnets"] = subnets if any(subnets) else subnets[0]
    for host in lab.hosts.values() if docker else ():
        if host.has_docker:
            _add_engine(graph, host.name, host.docker)
        elif host.own_controller is not None:
            _add_controller(graph, host.name, host.own_controller)
    return graph


def _host_attributes(lab: Lab, host: Host) -> dict[str, Any]:
    spec = host.plain.spec
    kind = "docker" if host.has_docker else "router" if spec.forwards else "host"
    interfaces = {
        device.name: [str(address) for address in device.addresses if address.scope == "global"]
        for device in host.interfaces
    }
    attributes: dict[str, Any] = {
        "kind": kind,
        "addresses": [text for texts in interfaces.values() for text in texts],
        "interfaces": interfaces,
        "routes": _routes(host),
    }
    optional = {
        "gateway": [format_ip(gateway) for gateway in spec.gateways],
        "nameserver": spec.nameserver if spec.nameserver != lab.nameserver else None,
        "names": host.built_with.get("names"),
        "web": spec.serves_web,
        "mtu": spec.mtu if spec.mtu != _DEFAULT_MTU else None,
        "dhcp": str(spec.dhcp) if spec.dhcp is not None else None,
        "router": spec.forwards and kind == "docker",
    }
    if host.has_docker:
        optional["docker"] = host.built_with.get("docker", True)
        if host.docker.profile.version != lab.engine:
            optional["engine"] = host.docker.profile.version
    return attributes | {name: value for name, value in optional.items() if value}


def _routes(host: Host) -> list[str]:
    """Return the routes of a host that have a gateway, as arguments of `ip route add`.

    The default route that comes from the host's option `gateway` is left out.
    """
    gateways = host.plain.spec.gateways
    routes = []
    for family in (4, 6):
        for route in host.namespace.routes(family).routes:
            is_default = not route.prefix.length and route.gateway in gateways
            if route.gateway is not None and not is_default and route.kind == "unicast":
                routes.append(f"{route.prefix} via {format_ip(route.gateway)}")
    return routes


def _add_controller(graph: nx.Graph[str], host: str, controller: Controller) -> None:
    """Add the networks of a controller that runs without an engine, and its sandboxes (with `kind="sandbox"`)."""
    for network in controller.networks:
        node = f"{host}/{network.name}"
        subnets = [str(subnet) for subnet in network.subnets]
        graph.add_node(node, kind="network", driver=network.driver_name, subnets=subnets, internal=network.internal)
        device = _device(network.driver_name, network.id, network.driver_opts)
        kind = "parent" if network.driver_name in _ON_PARENT else "bridge"
        graph.add_edge(host, node, device=device, kind=kind)
    for sandbox in controller.sandboxes:
        node = f"{host}/{sandbox.name}"
        graph.add_node(node, kind="sandbox")
        for endpoint in sandbox.endpoints:
            address = "" if endpoint.address is None else str(endpoint.address.ip)
            graph.add_edge(
                node,
                f"{host}/{endpoint.network.name}",
                device=endpoint.mac_address or "",
                address=address,
                kind="endpoint",
            )


def _device(driver: str, network_id: str, options: Mapping[str, str]) -> str:
    """Return the name of the device that a network uses on its host; "" for a driver without one.

    It is the one in the network's driver options or, by default, begins with `network_id`, such as `br-3f2a…`.
    """
    return {
        "bridge": options.get("com.docker.network.bridge.name", f"br-{network_id[:12]}"),
        "ipvlan": options.get("parent", f"di-{network_id[:12]}"),
        "macvlan": options.get("parent", f"dm-{network_id[:12]}"),
    }.get(driver, "")


def _add_engine(graph: nx.Graph[str], host: str, engine: Engine) -> None:
    for network in engine.networks.list():
        attrs = network.attrs
        subnets = [pool["Subnet"] for pool in attrs["IPAM"]["Config"] or ()]
        node = f"{host}/{network.name}"
        graph.add_node(node, kind="network", driver=attrs["Driver"], subnets=subnets, internal=attrs["Internal"])
        device = _device(attrs["Driver"], network.id, attrs["Options"] or {})
        graph.add_edge(host, node, device=device, kind="parent" if attrs["Driver"] in _ON_PARENT else "bridge")
    for container in engine.containers.list(all=True):
        node = f"{host}/{container.name}"
        graph.add_node(node, kind="container", image=container.attrs["Config"]["Image"], status=container.status)
        for name, endpoint in (container.attrs["NetworkSettings"]["Networks"] or {}).items():
            if endpoint["EndpointID"] or container.status != "running":
                graph.add_edge(
                    node,
                    f"{host}/{name}",
                    device=endpoint["MacAddress"],
                    address=endpoint["IPAddress"],
                    kind="endpoint",
                )
