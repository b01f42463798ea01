"""The container sees its gateway's address instead of that of IPv6 clients.

IPv4 clients are logged with their own address, all IPv6 clients as 172.18.0.1.
"""

from house import run

from cnmsim import Lab


def build(ipv6=False):
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", "fd00:a::15/64", docker=True)
    lab.add_host("client", "10.0.0.50/24", "fd00:a::50/64")
    lab.host("node1").docker.networks.create("app", enable_ipv6=ipv6)
    run(lab, "web", network="app", ports={"80/tcp": 8080})
    return lab


def ask(lab):
    return lab.explain("client", "fd00:a::15", "tcp/8080")


def fix(lab):
    """Enable IPv6 on the network: connections are then translated by the kernel and bypass docker-proxy."""
    return f"{ask(build(ipv6=True))}\n(no proxy)"


SAYS = ("yes, answered", "docker-proxy on node1 carries it", "sees the client as 172.18.0.1")
THEN = ("rewrote the destination", "(no proxy)")
