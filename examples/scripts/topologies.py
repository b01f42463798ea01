"""A leaf-spine fabric from networkx, with addresses and routes filled in. A spine fails, and packets show it."""

import networkx as nx
from scapy.layers.inet import ICMP, IP

from cnmsim import Lab
from cnmsim.lab.topologies import leaf_spine

graph = leaf_spine(leaves=3, spines=2, hosts=1)
for edge in graph.edges:
    graph.edges[edge]["latency_s"] = 0.001
graph.nodes["h3-1"].update(kind="docker")
lab = Lab.from_networkx(graph)
print(f"{len(lab.hosts)} hosts and routers, {len(lab.links)} links, loops: {len(lab.underlay.loops)}")

# A container in the fabric, reached through it.
lab.host("h3-1").docker.containers.run("nginx", name="web", ports={"80/tcp": 80}, detach=True)
lab.settle()
print(lab["h1-1"].curl(f"http://{lab.host('h3-1').address}/").output.strip())


def path() -> list[str]:
    """The places that an echo request from h1-1 to h2-1 passes."""
    walk = lab["h1-1"].send(IP(dst=lab.host("h2-1").address) / ICMP())
    return list(dict.fromkeys(hop.place for hop in walk.own_hops))


print("packets:", " > ".join(path()))
print("cables: ", " > ".join(lab.underlay.path("h1-1", "h2-1")))

# Without that spine there is another path of cables, but static routes still lead there: a new lab routes around it.
spine = path()[2]
lab.cut(spine)
print("without:", " > ".join(lab.underlay.path("h1-1", "h2-1")))
print("ping:", lab["h1-1"].ping(lab.host("h2-1").address).succeeded)
graph.remove_node(spine)
lab = Lab.from_networkx(graph)
print("around:  ", " > ".join(path()))

# The graph of a lab is its inverse.
exported = lab.to_networkx(docker=False)
assert nx.utils.graphs_equal(exported, Lab.from_networkx(exported).to_networkx(docker=False))
