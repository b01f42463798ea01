"""Generators of topologies: networkx graphs from which `Lab.from_networkx` builds labs.

Each function takes a graph from a generator of networkx, and adds names and hosts to it. Before a lab is built from
the graph, attributes can be added to it, such as a latency for an edge or `docker=True` for a node. The functions
raise `InvalidParameter` for a number of routers, leaves, spines, buildings or floors that is too small.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

from cnmsim.errors import InvalidParameter

if TYPE_CHECKING:
    import networkx as nx


def leaf_spine(leaves: int = 4, spines: int = 2, hosts: int = 2) -> nx.Graph[str]:
    """Return a leaf-spine fabric: every leaf is linked to every spine, and each leaf has `hosts` hosts.

    Leaves (`leaf1`) and spines (`spine1`) are routers. Host 2 at `leaf1` is `h1-2`. The routers form networkx's
    complete bipartite graph.
    """
    import networkx as nx

    _require(leaves=leaves, spines=spines)
    names = [f"leaf{number + 1}" for number in range(leaves)] + [f"spine{number + 1}" for number in range(spines)]
    graph = _routers(nx.complete_bipartite_graph(leaves, spines), names)
    for leaf in range(1, leaves + 1):
        _add_hosts(graph, f"leaf{leaf}", [f"h{leaf}-{number}" for number in range(1, hosts + 1)])
    return graph


def fat_tree(k: int = 4) -> nx.Graph[str]:
    """Return a fat tree of routers with `k` ports each, where k is even (Al-Fares et al., SIGCOMM 2008, §3).

    There are (k/2)² core routers (`core1`), and k pods of k/2 aggregation routers (`agg1-1`), k/2 edge routers
    (`edge1-1`) and k²/4 hosts (`h1-1-1`), so k³/4 hosts in all. A pod's routers are networkx's complete bipartite
    graph. Raises `InvalidParameter` for any other `k`.
    """
    import networkx as nx

    if k < 2 or k % 2:
        raise InvalidParameter(f"a fat tree has routers with an even number of ports, 2 or more: {k}")
    half = k // 2
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from((f"core{number}" for number in range(1, half * half + 1)), kind="router")
    for pod in range(1, k + 1):
        names = [f"agg{pod}-{at + 1}" for at in range(half)] + [f"edge{pod}-{at + 1}" for at in range(half)]
        graph.update(_routers(nx.complete_bipartite_graph(half, half), names))
        graph.add_edges_from(
            (f"agg{pod}-{at + 1}", f"core{at * half + core + 1}") for at, core in product(range(half), repeat=2)
        )
    for pod, edge in product(range(1, k + 1), range(1, half + 1)):
        _add_hosts(graph, f"edge{pod}-{edge}", [f"h{pod}-{edge}-{number + 1}" for number in range(half)])
    return graph


def ring(routers: int = 4, hosts: int = 1) -> nx.Graph[str]:
    """Return a ring of three or more routers (`r1`), each with `hosts` hosts (`h1-1`): networkx's cycle graph.

    Raises `InvalidParameter` for fewer than three `routers`.
    """
    import networkx as nx

    if routers < 3:
        raise InvalidParameter(f"a ring has three or more routers: {routers}")
    return _with_hosts(nx.cycle_graph(routers), hosts)


def random(routers: int = 8, degree: float = 3.0, hosts: int = 1, seed: int = 0) -> nx.Graph[str]:
    """Return a connected random graph of routers (`r1`) with about `degree` links and `hosts` hosts (`h1-1`) each.

    It is networkx's binomial random graph; parts of it that are not connected are joined by one link each.
    """
    import networkx as nx

    _require(routers=routers)
    plain: nx.Graph[Any] = nx.gnp_random_graph(routers, min(1.0, degree / max(1, routers - 1)), seed=seed)
    parts = [min(part) for part in nx.connected_components(plain)]
    plain.add_edges_from(pairwise(parts))
    return _with_hosts(plain, hosts)


def campus(buildings: int = 3, floors: int = 2, hosts: int = 2) -> nx.Graph[str]:
    """Return a campus: a core router, a router for each building, a switch for each floor, and its hosts.

    Routers are `core` and `b1`, switches `b1-f1`, hosts `b1-f1-h1`. The routers are networkx's star graph.
    """
    import networkx as nx

    _require(buildings=buildings, floors=floors)
    graph = _routers(nx.star_graph(buildings), ["core", *(f"b{number}" for number in range(1, buildings + 1))])
    for building, floor in product(range(1, buildings + 1), range(1, floors + 1)):
        switch = f"b{building}-f{floor}"
        graph.add_node(switch, kind="switch")
        graph.add_edge(f"b{building}", switch)
        _add_hosts(graph, switch, [f"{switch}-h{number}" for number in range(1, hosts + 1)])
    return graph


def _routers(plain: nx.Graph[Any], names: list[str]) -> nx.Graph[str]:
    """Return a copy of `plain` in which all nodes are routers and node number i has the name `names[i]`.

    Attributes of nodes and edges are not copied.
    """
    import networkx as nx

    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from((names[node] for node in plain), kind="router")
    graph.add_edges_from((names[left], names[right]) for left, right in plain.edges)
    return graph


def _with_hosts(plain: nx.Graph[Any], hosts: int) -> nx.Graph[str]:
    graph = _routers(plain, [f"r{number + 1}" for number in plain])
    for number in range(1, len(plain) + 1):
        _add_hosts(graph, f"r{number}", [f"h{number}-{host}" for host in range(1, hosts + 1)])
    return graph


def _add_hosts(graph: nx.Graph[str], at: str, names: list[str]) -> None:
    graph.add_nodes_from(names, kind="host")
    graph.add_edges_from((at, name) for name in names)


def _require(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise InvalidParameter(f"{name} is 1 or more: {count}")
