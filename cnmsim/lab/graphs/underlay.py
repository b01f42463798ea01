"""The cabling of a lab as a graph, with paths, cut vertices and loops computed by networkx."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.errors import NotFound, Unavailable

if TYPE_CHECKING:
    import networkx as nx


@frozen(repr=False)
class Underlay:
    """The hosts, routers, segments and cables of a lab, as they were when this object was created.

    `graph` is the graph that `Lab.to_networkx(docker=False)` returned then.
    """

    graph: nx.Graph[str]

    def __repr__(self) -> str:
        return f"<Underlay of {self.graph.number_of_nodes()} nodes and {self.graph.number_of_edges()} cables>"

    def path(self, source: str, destination: str, weight: str | None = None) -> list[str]:
        """Return the names of the nodes on a shortest path over cables, from `source` to `destination` inclusive.

        `weight` is the edge attribute to add up, such as `latency_s`; without it every cable counts 1. Routes and
        rules are not considered: packets may take another path. Raises `NotFound` for an unknown node, `Unavailable`
        if no cables connect the two.
        """
        import networkx as nx

        for name in (source, destination):
            if name not in self.graph:
                close = difflib.get_close_matches(name, list(self.graph), 1)
                raise NotFound(
                    f"no host or segment is called {name}" + (f", did you mean {close[0]}?" if close else "")
                )
        try:
            return list(nx.shortest_path(self.graph, source, destination, weight=weight))
        except nx.NetworkXNoPath:
            raise Unavailable(f"no cables connect {source} and {destination}") from None

    @property
    def is_connected(self) -> bool:
        """Whether cables connect all nodes; True for a lab without nodes."""
        import networkx as nx

        return not self.graph or nx.is_connected(self.graph)

    @property
    def cut_vertices(self) -> list[str]:
        """The nodes whose failure would separate other nodes from each other, sorted by name."""
        import networkx as nx

        return sorted(nx.articulation_points(self.graph))

    @property
    def cut_cables(self) -> list[tuple[str, str]]:
        """The cables whose failure would separate nodes from each other, each as a pair of nodes."""
        import networkx as nx

        return sorted((min(pair), max(pair)) for pair in nx.bridges(self.graph))

    @property
    def loops(self) -> list[list[str]]:
        """The independent loops (a cycle basis) of the graph, each as a list of nodes.

        Between nodes of a loop, packets may have alternative routes.
        """
        import networkx as nx

        return [list(cycle) for cycle in nx.cycle_basis(self.graph)]
