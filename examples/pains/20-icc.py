"""Containers on one network cannot connect to each other.

The network was hardened with icc=false. Names resolve, but connections time out.
"""

from house import idler, lan, run


def build():
    lab = lan()
    lab.host("node1").docker.networks.create("quiet", options={"com.docker.network.bridge.enable_icc": "false"})
    run(lab, "web", network="quiet")
    idler(lab, network="quiet")
    return lab


def ask(lab):
    return lab.explain("app", "web", "tcp/80")


SAYS = ("no, timeout", "icc is false")
THEN = ("yes, answered",)
