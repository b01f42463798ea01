"""A host and its own macvlan containers cannot reach each other.

Every machine on the LAN reaches the container, except its own host.
"""

from house import lan, run


def build():
    lab = lan()
    lab.host("node1").docker.networks.create(
        "lan",
        driver="macvlan",
        subnet="10.0.0.0/24",
        gateway="10.0.0.1",
        ip_range="10.0.0.192/27",
        options={"parent": "eth0"},
    )
    run(lab, "camera", network="lan")
    return lab


def ask(lab):
    return lab.explain("node1", "10.0.0.192", "tcp/80")


SAYS = ("no, unreachable", "a parent and its children never receive each other")
THEN = ("yes, answered",)
