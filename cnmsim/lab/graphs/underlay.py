"""Questions about the underlay, answered by networkx: paths, cut vertices, loops."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.errors import NotFound, Unavailable

if TYPE_CHECKING:
    import networkx as nx


@frozen(repr=False)
class Underlay:
    """The hosts, routers, segments and cables of a lab as they were when it was made.

    `graph` is the graph that `Lab.to_networkx(docker=False)` returns.
    """

    graph: nx.Graph[str]

    def __repr__(self) -> str:
        return f"<Underlay of {self.graph.number_of_nodes()} nodes and {self.graph.number_of_edges()} cables>"

    def path(self, source: str, destination: str, weight: str | None = None) -> list[str]:
        """Return the nodes on a shortest path over cables, both ends included.

        `weight` is the edge attribute to add up, such as `latency_s`; without it every cable counts 1. The path is
        that of the cables, which routes and rules may not follow. Raises `NotFound` for an unknown node,
        `Unavailable` if no cables connect the two.
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
        """The nodes whose failure separates others from each other, sorted by name."""
        import networkx as nx

        return sorted(nx.articulation_points(self.graph))

    @property
    def cut_cables(self) -> list[tuple[str, str]]:
        """The cables whose failure separates nodes from each other, each as a pair of nodes."""
        import networkx as nx

        return sorted((min(pair), max(pair)) for pair in nx.bridges(self.graph))

    @property
    def loops(self) -> list[list[str]]:
        """A cycle basis of the graph, by which routes can have alternatives: the nodes of each loop in order."""
        import networkx as nx

        return [list(cycle) for cycle in nx.cycle_basis(self.graph)]
