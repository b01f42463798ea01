"""Containers on ipvlan L3 get no replies.

In L3 mode no ARP request for the containers is answered. The router needs a route to their subnet.
"""

from house import lan, run


def build():
    lab = lan()
    lab.host("node1").docker.networks.create(
        "routed", driver="ipvlan", subnet="10.40.0.0/24", options={"parent": "eth0", "ipvlan_mode": "l3"}
    )
    run(lab, "app", "alpine", "sleep 1d", network="routed")
    return lab


def ask(lab):
    return lab.explain("app", "server", "tcp/80")


SAYS = ("no, timeout", "ipvlan network in mode l3 of node1")
THEN = ("yes, answered",)
