"""Routes for the hosts of a plan: shortest paths over its cables, computed by networkx."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from cnmsim.lab.graphs.addressing import Domain, Network
from cnmsim.lab.graphs.plan import HostPlan, Plan, Port

if TYPE_CHECKING:
    import networkx as nx

#: A node of the search graph: ("host", name), or ("domain N", name of a switch in it).
_Node = tuple[str, str]


def assign_routes(plan: Plan, domains: list[Domain]) -> None:
    """Set the routes of every host whose node specifies neither a gateway nor routes.

    A host gets a route to each subnet on which it has no address. The next hop is the first router on the shortest
    path. A host that does not forward, and whose next hop is the same router for all subnets of an IP version, gets a
    default route by this router instead.
    """
    import networkx as nx

    graph, members = _search_graph(plan, domains)
    routes: dict[str, list[tuple[Network, str]]] = {name: [] for name in plan.hosts}
    for domain in domains:
        sources = {("host", port.host.name) for port in domain.ports if port.host.forwards}
        if not sources:
            continue
        paths = nx.multi_source_dijkstra_path(graph, sources)
        for name in plan.hosts:
            path = paths.get(("host", name))
            if path is None or domain in members[name]:
                continue
            before = next(node for node in reversed(path[:-1]) if node[0] == "host")
            for subnet in domain.subnets:
                hop = _hop(plan.hosts[name], plan.hosts[before[1]], members, subnet.version)
                if hop is not None:
                    routes[name].append((subnet, hop))
    for name, host in plan.hosts.items():
        if not host.has_routes:
            _set_routes(host, routes[name])


def _search_graph(plan: Plan, domains: list[Domain]) -> tuple[nx.DiGraph[_Node], dict[str, set[Domain]]]:
    """Return the directed graph in which routes are searched, and the broadcast domains of each host by name.

    A path in it leads from a destination to the sender, against the direction of the packets. A host that does not
    forward has no outgoing edges, so that no path leads through it.
    """
    import networkx as nx

    graph: nx.DiGraph[_Node] = nx.DiGraph()
    members: dict[str, set[Domain]] = {name: set() for name in plan.hosts}
    graph.add_nodes_from(("host", name) for name in plan.hosts)
    for number, domain in enumerate(domains):
        for switch, _ in domain.places:
            graph.add_node((f"domain {number}", switch.name))
        for port in domain.ports:
            members[port.host.name].add(domain)
            cable = port.cable
            assert cable is not None, "a port in a domain has a cable"
            here: _Node = ("host", port.host.name)
            other = cable.ends[cable.ends[0] is port]
            there: _Node = ("host", other.host.name) if isinstance(other, Port) else (f"domain {number}", other.name)
            _add_edge(graph, there, here, cable.weight)
            if port.host.forwards:
                _add_edge(graph, here, there, cable.weight)
    for cable in plan.cables:
        left, right = cable.ends
        if isinstance(left, Port) or isinstance(right, Port):
            continue
        for number in range(len(domains)):
            one, other_end = (f"domain {number}", left.name), (f"domain {number}", right.name)
            if one in graph and other_end in graph:
                _add_edge(graph, one, other_end, cable.weight)
                _add_edge(graph, other_end, one, cable.weight)
    for name, host in plan.hosts.items():
        if not host.forwards:
            graph.remove_edges_from(list(graph.out_edges(("host", name))))
    return graph, members


def _add_edge(graph: nx.DiGraph[_Node], left: _Node, right: _Node, weight: float) -> None:
    known = graph.get_edge_data(left, right)
    if known is None or known["weight"] > weight:
        graph.add_edge(left, right, weight=weight)


def _hop(host: HostPlan, router: HostPlan, members: dict[str, set[Domain]], version: int) -> str | None:
    """Return an address of `router` in a broadcast domain that it shares with `host`; `None` if there is none.

    `members` are the domains of each host, `version` is the IP version of the address.
    """
    shared = members[host.name] & members[router.name]
    for port in router.ports:
        if any(port in domain.ports for domain in shared):
            for address in port.addresses:
                if address.family == version:
                    return str(ip_address(address.address))
    return None


def _set_routes(host: HostPlan, routes: list[tuple[Network, str]]) -> None:
    gateways = {version: {hop for subnet, hop in routes if subnet.version == version} for version in (4, 6)}
    if not host.forwards or len(host.ports) == 1:
        single = [next(iter(hops)) for hops in gateways.values() if len(hops) == 1]
        if single:
            host.options["gateway"] = single
        routes = [(subnet, hop) for subnet, hop in routes if hop not in single]
    host.options["routes"] = [f"{subnet} via {hop}" for subnet, hop in routes]
