"""A lab as a networkx graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cnmsim.underlay.topology import add_segments

if TYPE_CHECKING:
    import networkx as nx

    from cnmsim.engine.engine import Engine
    from cnmsim.lab.lab import Lab
    from cnmsim.libnetwork.controller import Controller

_ON_PARENT = frozenset({"ipvlan", "macvlan"})


def topology(lab: Lab) -> nx.Graph[str]:
    """Return the graph of a lab as it is now.

    Nodes are hosts (`kind="host"`, `"router"` or `"docker"`), segments, networks (`"HOST/NETWORK"`, with `driver`,
    `subnets`, `internal`) and containers (`"HOST/CONTAINER"`, with `image`, `status`). The attribute `device` of an
    edge is the interface. The edge from a network to its host is the bridge or, for macvlan and ipvlan
    (`kind="parent"`), the parent interface.
    """
    import networkx as nx

    graph: nx.Graph[str] = nx.Graph()
    for host in lab.hosts.values():
        kind = "docker" if host.has_docker else "router" if host.plain.spec.forwards else "host"
        addresses = [
            str(address) for device in host.interfaces for address in device.addresses if address.scope == "global"
        ]
        graph.add_node(host.name, kind=kind, addresses=addresses)
    add_segments(graph, lab.segments.values())
    for host in lab.hosts.values():
        if host.has_docker:
            _add_engine(graph, host.name, host.docker)
        elif host.own_controller is not None:
            _add_controller(graph, host.name, host.own_controller)
    return graph


def _add_controller(graph: nx.Graph[str], host: str, controller: Controller) -> None:
    """Add the networks and sandboxes of a controller that runs without an engine (`kind="sandbox"`)."""
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
    """Return the name of the device on the host that a network uses, "" if there is none."""
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
