"""Drawings as text: what they name, and that the tools they are for read them."""

import re
import shutil
import subprocess

import pytest
from support import drawn_swarms


@pytest.fixture(scope="module")
def swarm():
    lab, one, _, _ = drawn_swarms.on_one_wire()
    one.docker.containers.run("alpine", "sleep 1d", name="end", network="net", detach=True)
    one.docker.services.create("nginx", name="web", replicas=2, networks=["net"])
    one.docker.networks.create("back.end-1_x", internal=True)
    one.docker.containers.run("alpine", "sleep 1d", name="graph", network="back.end-1_x", detach=True)
    lab.settle()
    return lab


def test_every_edge_joins_nodes_that_are_declared(swarm):
    text = swarm.to_mermaid()
    declared = set(re.findall(r"^\s+([ns]\d+)[\[({]", text, re.MULTILINE))
    edges = re.findall(r"^\s+(\w+) (?:---|-\.-)(?:\|\"[^\"]*\"\|)? (\w+)$", text, re.MULTILINE)
    assert edges
    assert {end for edge in edges for end in edge} <= declared
    assert len(edges) == text.count("---") + text.count("-.-")
    assert text.count("subgraph") == text.count("    end\n") == 2


def test_the_halves_of_an_overlay_network_are_joined_by_its_tunnel(swarm):
    networks = re.findall(r'(n\d+)\{\{"net ', swarm.to_mermaid())
    assert len(networks) == 2
    assert f'{networks[0]} -.-|"VXLAN 4097"| {networks[1]}' in swarm.to_mermaid()
    assert f'{networks[0]} -- {networks[1]} [label="VXLAN 4097", style=dashed, constraint=false];' in swarm.to_dot()


def test_tasks_are_called_by_their_number(swarm):
    for text in (swarm.to_mermaid(), swarm.to_dot()):
        assert '"web.1"' in text
        assert not re.search(r"web\.\d\.[a-z0-9]{25}", text)


def test_an_internal_network_says_so_and_leads_nowhere(swarm):
    (name,) = re.findall(r'(n\d+)\{\{"back\.end-1_x [^"]*\(internal\)"', swarm.to_mermaid())
    assert not re.search(rf"^\s+{name} ---", swarm.to_mermaid(), re.MULTILINE)


@pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz on this machine")
def test_graphviz_reads_it(swarm):
    done = subprocess.run(["dot", "-Tsvg"], input=swarm.to_dot(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "back.end&#45;1_x" in done.stdout


def test_the_graph_of_a_lab_leads_from_container_to_container(swarm):
    import networkx as nx

    graph = swarm.to_networkx()
    names = {name for name in graph if name.endswith("end")}
    assert len(names) == 1, sorted(graph)
    other = next(name for name in graph if "web.2" in name)
    assert nx.has_path(graph, names.pop(), other)
