"""A container has no IPv6.

The host has an IPv6 address and reaches the Internet by IPv6. The container reports: network is unreachable.
"""

from house import idler

from cnmsim import Lab


def build():
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", "fd00:a::15/64", docker=True)
    lab.add_host("nas", "10.0.0.20/24", "fd00:a::20/64", web=True)
    lab.host("node1").docker.networks.create("app")
    idler(lab, network="app")
    return lab


def ask(lab):
    return lab.explain("app", "fd00:a::20", "tcp/80")


SAYS = ("no, unreachable", "its networks have no IPv6")
THEN = ("yes, answered",)
