"""Labs from networkx graphs, and back."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP

from cnmsim import InvalidParameter, Lab, NotFound, Unavailable
from cnmsim.lab import topologies as generators
from cnmsim.testing import topologies
from cnmsim.testing.graphs import Topology


def hosts_of(graph: nx.Graph) -> list[str]:
    return [name for name, kind in graph.nodes(data="kind") if kind == "host"]


@settings(max_examples=20, deadline=None)
@given(topologies())
def test_whatever_networkx_says_is_connected_ping_says_is_reachable(graph: Topology) -> None:
    lab = Lab.from_networkx(graph)
    names = sorted(lab.hosts)
    for left in names:
        for right in names[: names.index(left)]:
            address = lab.host(right).address
            answer = lab[left].ask(IP(dst=address) / ICMP(), timeout_s=2)
            is_reply = answer is not None and answer[ICMP].type == 0  # not an error of a router
            assert is_reply == nx.has_path(graph, left, right), (left, right)


@settings(max_examples=25, deadline=None)
@given(topologies())
def test_export_and_import_are_inverses(graph: Topology) -> None:
    exported = Lab.from_networkx(graph).to_networkx(docker=False)
    again = Lab.from_networkx(exported).to_networkx(docker=False)
    assert nx.utils.graphs_equal(exported, again)
    assert set(exported) == set(graph)
    assert {frozenset(edge) for edge in exported.edges} == {frozenset(edge) for edge in graph.edges}
    for left, right, latency_s in graph.edges(data="latency_s"):
        assert exported.edges[left, right]["latency_s"] == latency_s


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999), data=st.data())
def test_routes_follow_networkxs_shortest_paths_by_weight(seed: int, data: st.DataObject) -> None:
    graph = generators.random(routers=6, seed=seed)
    for edge in graph.edges:
        graph.edges[edge]["weight"] = data.draw(st.integers(1, 20))
    lab = Lab.from_networkx(graph)
    left, right = data.draw(st.permutations(hosts_of(graph)))[:2]
    walk = lab[left].send(IP(dst=lab.host(right).address) / ICMP())
    path = list(dict.fromkeys(hop.place for hop in walk.own_hops))
    assert (path[0], path[-1]) == (left, right)
    assert nx.path_weight(graph, path, "weight") == nx.dijkstra_path_length(graph, left, right)


@pytest.mark.parametrize(
    "graph",
    [
        generators.leaf_spine(3, 2, 1), generators.fat_tree(2), generators.ring(5), generators.campus(2, 2, 1),
        generators.random(6, 2.0), nx.path_graph(4), nx.grid_2d_graph(2, 3), nx.star_graph(3),
    ],
    ids=["leaf_spine", "fat_tree", "ring", "campus", "random", "path", "grid", "star"],
)  # fmt: skip
def test_every_host_of_a_generated_topology_reaches_every_other(graph: nx.Graph) -> None:
    lab = Lab.from_networkx(graph)
    first, *others = lab.hosts.values()
    for other in others:
        assert first.ping(other.address).succeeded, other.name


def test_generators_have_the_sizes_that_their_papers_name() -> None:
    tree = generators.fat_tree(4)
    kinds = [kind for _, kind in tree.nodes(data="kind")]
    assert (kinds.count("host"), kinds.count("router")) == (16, 20)
    assert generators.leaf_spine(4, 2, 3).degree("spine1") == 4
    assert nx.is_connected(generators.random(20, degree=0.5, seed=3))
    for wrong in (lambda: generators.fat_tree(3), lambda: generators.ring(2), lambda: generators.leaf_spine(0)):
        with pytest.raises(InvalidParameter):
            wrong()


def test_attributes_of_nodes_and_edges_configure_hosts_and_cables() -> None:
    graph = nx.Graph()
    graph.add_node("lan", kind="switch", subnets=["10.0.0.0/24"], latency_s=0.003)
    graph.add_node("node1", docker=True, engine="28.5.2", addresses=["10.0.0.15/24"])
    graph.add_node("dns", kind="host", names={"web.test": "10.0.0.80"}, addresses=["10.0.0.53/24"])
    graph.add_node("web", kind="host", web=True, mtu=1400)
    graph.add_edge("lan", "node1", bandwidth_bps=1e6)
    graph.add_edge("lan", "dns")
    graph.add_edge("lan", "web", address="10.0.0.80/24", loss=0.0)
    lab = Lab.from_networkx(graph, seed=4)
    assert lab.host("node1").docker.profile.version == "28.5.2"
    assert lab.host("web").interfaces[0].mtu == 1400
    lab.settle()
    assert lab["node1"].curl("http://10.0.0.80/").succeeded
    lab.host("node1").docker.containers.run("nginx", name="web1", detach=True)
    exported = lab.to_networkx(docker=False)
    assert exported.nodes["dns"]["names"] == {"web.test": "10.0.0.80"}
    assert exported.edges["lan", "node1"]["bandwidth_bps"] == 1e6
    assert nx.utils.graphs_equal(exported, Lab.from_networkx(exported).to_networkx(docker=False))
    assert "node1/web1" in lab.to_networkx()
    with pytest.raises(InvalidParameter, match=r"to_networkx\(docker=False\)"):
        Lab.from_networkx(lab.to_networkx())
    later = lab.add_host("later", "10.0.0.99/24")
    assert later.interfaces[0].link is lab.segment("lan")


def test_vlans_of_edges_separate_hosts_until_a_router_joins_them() -> None:
    graph = nx.Graph()
    graph.add_nodes_from(["s1", "s2"], kind="switch")
    graph.add_edge("s1", "s2", trunk=[10, 20])
    graph.add_edge("a", "s1", access=10)
    graph.add_edge("b", "s2", access=10)
    graph.add_edge("c", "s2", access=20)
    lab = Lab.from_networkx(graph)
    assert lab["a"].ping(lab.host("b").address).succeeded
    assert not lab["a"].ping(lab.host("c").address).succeeded
    graph.add_edge("router", "s1", access=10)
    graph.add_node("s3", kind="switch")
    graph.add_edge("router", "s3")
    graph.add_edge("d", "s3")
    lab = Lab.from_networkx(graph)
    assert lab["b"].ping(lab.host("d").address).succeeded
    exported = lab.to_networkx(docker=False)
    assert exported.edges["a", "s1"]["access"] == 10
    assert exported.edges["s1", "s2"]["trunk"] == [10, 20]
    assert nx.utils.graphs_equal(exported, Lab.from_networkx(exported).to_networkx(docker=False))


def test_pools_may_be_named_by_graph_call_and_switch_and_have_both_ip_versions() -> None:
    graph = nx.path_graph(["a", "r", "s", "b"])
    graph.nodes["s"].update(kind="switch", pool="192.0.2.0/25")
    lab = Lab.from_networkx(graph, pool=["198.51.100.0/24", "fd00::/48"])
    assert lab.host("a").address.startswith("198.51.100.")
    assert lab.host("b").address.startswith("192.0.2.")
    assert any(str(address).startswith("fd00:") for address in lab.host("a").interfaces[0].addresses)
    graph.graph["pool"] = "203.0.113.0/24"
    assert Lab.from_networkx(graph).host("a").address.startswith("203.0.113.")


def test_a_lab_that_was_built_by_hand_is_exported_with_links_routes_and_options() -> None:
    lab = Lab()
    lab.add_segment("lan", "10.0.0.0/24", loss=0.1)
    lab.add_host("a", "10.0.0.5/24", gateway="10.0.0.1", web=True)
    lab.add_router("r", "10.0.0.1/24", "10.9.0.1/30", routes=["10.2.0.0/24 via 10.9.0.2"])
    lab.add_router("q", "10.9.0.2/30", "10.2.0.1/24", routes=["10.0.0.0/24 via 10.9.0.1"])
    lab.link("r:eth1", "q:eth0", latency_s=0.02)
    exported = lab.to_networkx(docker=False)
    assert exported.edges["r", "q"]["devices"] == {"r": "eth1", "q": "eth0"}
    assert exported.nodes["r"]["routes"] == ["10.2.0.0/24 via 10.9.0.2"]
    copy = Lab.from_networkx(exported)
    assert copy["a"].ping("10.2.0.1", count=5).succeeded
    assert nx.utils.graphs_equal(exported, copy.to_networkx(docker=False))


def test_the_underlay_answers_by_networkx() -> None:
    lab = Lab.from_networkx(generators.ring(4))
    underlay = lab.underlay
    assert underlay.path("h1-1", "h2-1") == ["h1-1", "r1", "r2", "h2-1"]
    assert underlay.cut_vertices == ["r1", "r2", "r3", "r4"]
    assert [set(loop) for loop in underlay.loops] == [{"r1", "r2", "r3", "r4"}]
    assert ("h1-1", "r1") in underlay.cut_cables
    assert underlay.is_connected
    with pytest.raises(NotFound, match=r"did you mean h[1-4]-1"):
        underlay.path("h1", "h2-1")
    apart = Lab.from_networkx(nx.Graph([("a", "b"), ("c", "d")])).underlay
    assert not apart.is_connected
    with pytest.raises(Unavailable, match="no cables connect a and d"):
        apart.path("a", "d")


def _switches(*edges: tuple[str, str]) -> nx.Graph:
    graph = nx.Graph(edges)
    nx.set_node_attributes(graph, "switch", "kind")
    return graph


def _with(graph: nx.Graph, **data: object) -> nx.Graph:
    graph.edges["a", "b"].update(data)
    return graph


@pytest.mark.parametrize(
    ("graph", "text"),
    [
        (_switches(("s1", "s2"), ("s2", "s3"), ("s3", "s1")), "the switches s1 - s2 - s3 - s1 form a loop"),
        (nx.DiGraph([("a", "b")]), r"not a DiGraph: convert it by nx\.Graph"),
        (nx.MultiGraph([("a", "b")]), "not a MultiGraph"),
        ("a -- b", "a networkx graph, not str"),
        (nx.Graph([("a", "a")]), "a cable to itself"),
        (nx.Graph([("a b", "c")]), "invalid name 'a b'"),
        (nx.Graph([(1, "n1")]), "two nodes are named n1"),
        (_with(nx.Graph([("a", "b")]), latency=1), "no attribute 'latency', did you mean latency_s"),
        (_with(nx.Graph([("a", "b")]), latency_s=-1), "latency_s must be between"),
        (_with(nx.Graph([("a", "b")]), access=7), "access is no option of a cable between two hosts"),
        (_with(nx.Graph([("a", "b")]), weight="far"), "weight is a number"),
        (_with(nx.Graph([("a", "b")]), subnet="10.0.0.0/33"), "not a subnet"),
        (_with(nx.Graph([("a", "b")]), devices={"a": "en0"}), "named eth0, eth1"),
        (_with(nx.Graph([("a", "b")]), devices={"a": "eth4"}), "eth0 is missing"),
        (_with(nx.Graph([("a", "b")]), addresses={"a": "10.0.0.1"}), "the prefix length is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_graph_that_is_no_lab_is_refused_with_a_sentence(graph: nx.Graph, text: str) -> None:
    with pytest.raises(InvalidParameter, match=text):
        Lab.from_networkx(graph)


def test_more_wrong_nodes_and_pools_are_refused() -> None:
    for data, text in (
        ({"kind": "swich"}, "no kind 'swich', did you mean switch"),
        ({"gatway": "10.0.0.1"}, "no attribute 'gatway', did you mean gateway"),
        ({"addresses": ["10.0.0.0/24"]}, "the address of the subnet itself"),
        ({"interfaces": ["eth0"]}, "maps devices to addresses"),
    ):
        graph = nx.Graph([("a", "b")])
        graph.nodes["a"].update(data)
        with pytest.raises(InvalidParameter, match=text):
            Lab.from_networkx(graph)
    alone = nx.Graph()
    alone.add_node("z")
    with pytest.raises(InvalidParameter, match="node z has no cable and no address"):
        Lab.from_networkx(alone)
    with pytest.raises(InvalidParameter, match=r"the pool 10\.0\.0\.0/30 has no room"):
        Lab.from_networkx(nx.path_graph(3), pool="10.0.0.0/30")
    with pytest.raises(InvalidParameter, match="too small for 12 interfaces"):
        Lab.from_networkx(_star("switch", 12), pool="10.0.0.0/29")


def _star(kind: str, leaves: int) -> nx.Graph:
    graph = nx.star_graph(leaves)
    graph.nodes[0]["kind"] = kind
    return graph


def test_a_trunk_that_closes_a_loop_is_refused_with_the_loop() -> None:
    lab = Lab.from_networkx(_switches(("s1", "s2"), ("s2", "s3")))
    with pytest.raises(InvalidParameter, match=r"close a loop \(s1 - s2 - s3 - s1\)"):
        lab.link("s1", "s3")
