"""Names resolve between nodes, but no packet arrives.

Gossip and DNS work, but every connection to a container on another node times out.
"""

from house import shop


def build():
    lab = shop()
    lab.host("router").iptables("-A FORWARD -p udp --dport 4789 -j DROP")
    return lab


def ask(lab):
    return lab.explain("c1", "web", "tcp/80")


SAYS = (
    "no, timeout",
    "VXLAN packet (UDP port 4789) from node1 to node2 that carries network uber-net is dropped on router",
)
THEN = ("yes, answered",)
