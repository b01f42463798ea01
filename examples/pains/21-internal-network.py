"""A container on an internal network reaches nothing outside.

The container reports "network is unreachable", although the host has a default route.
"""

from house import idler, lan


def build():
    lab = lan()
    lab.host("node1").docker.networks.create("vault", internal=True)
    idler(lab, network="vault")
    return lab


def ask(lab):
    return lab.explain("app", "203.0.113.10", "tcp/80")


SAYS = ("no, unreachable", "vault is internal and leads nowhere else")
THEN = ("yes, answered",)
