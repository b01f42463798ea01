"""A Hypothesis strategy for topologies: graphs from which `Lab.from_networkx` builds labs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import networkx as nx
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

#: Latencies of generated cables, in seconds.
_LATENCIES = (0.0001, 0.002, 0.05)


class Topology(nx.Graph):  # type: ignore[type-arg]
    """A networkx graph that prints as Python source: `Topology({node: attributes}, [(node, node, attributes)])`."""

    def __init__(self, nodes: Any = None, edges: Any = (), **attributes: Any) -> None:
        super().__init__(**attributes)
        if isinstance(nodes, dict):
            self.add_nodes_from(nodes.items())
            self.add_edges_from(edges)
        elif nodes is not None:
            nx.convert.to_networkx_graph(nodes, create_using=self)

    def __repr__(self) -> str:
        return f"Topology({dict(self.nodes(data=True))!r}, {list(self.edges(data=True))!r})"


def topologies(
    *,
    min_routers: int = 1,
    max_routers: int = 5,
    max_switches: int = 3,
    max_hosts: int = 5,
    is_connected: bool = False,
) -> SearchStrategy[Topology]:
    """Return a strategy for graphs of routers (`r1`), switches (`s1`) and hosts (`h1`, each with one cable).

    Links have weights and latencies. Links between switches form no loops; links between routers may. With
    `is_connected` every node reaches every other; otherwise the graph may have separate parts. Raises Hypothesis's
    `InvalidArgument` for impossible bounds.
    """
    for name, value, least in (
        ("min_routers", min_routers, 1), ("max_routers", max_routers, min_routers), ("max_switches", max_switches, 0),
        ("max_hosts", max_hosts, 0),
    ):  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidArgument(f"{name} must be a whole number of at least {least}, not {value!r}")

    @st.composite
    def draw_topology(draw: st.DrawFn) -> Topology:
        graph = Topology()
        routers = [f"r{number + 1}" for number in range(draw(st.integers(min_routers, max_routers)))]
        switches = [f"s{number + 1}" for number in range(draw(st.integers(0, max_switches)))]
        graph.add_nodes_from(routers, kind="router")
        graph.add_nodes_from(switches, kind="switch")
        inner = routers + switches
        pairs = [(left, right) for at, left in enumerate(inner) for right in inner[at + 1 :]]
        for left, right in draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else ():
            _connect(draw, graph, left, right)
        if is_connected:
            parts = [min(part) for part in nx.connected_components(graph)]
            for left, right in pairwise(parts):
                _connect(draw, graph, left, right)
        for number in range(draw(st.integers(0, max_hosts))):
            graph.add_node(f"h{number + 1}", kind="host")
            _connect(draw, graph, f"h{number + 1}", draw(st.sampled_from(inner)))
        for router in routers:
            if not graph[router]:  # a router has at least one interface
                graph.add_node(f"stub-{router}", kind="host")
                _connect(draw, graph, router, f"stub-{router}")
        return graph

    return draw_topology()


def _connect(draw: st.DrawFn, graph: Topology, left: str, right: str) -> None:
    """Add an edge between two nodes, unless it would close a loop of switches."""
    switches = graph.subgraph([node for node, data in graph.nodes(data=True) if data["kind"] == "switch"])
    if left in switches and right in switches and nx.has_path(switches, left, right):
        return
    graph.add_edge(left, right, weight=draw(st.integers(1, 9)), latency_s=draw(st.sampled_from(_LATENCIES)))
