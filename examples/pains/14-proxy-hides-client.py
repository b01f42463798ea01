"""The container sees its gateway in place of IPv6 clients.

Clients by IPv4 are logged with their address, clients by IPv6 all as 172.18.0.1.
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
    """Give the network IPv6: then the connection is translated, and no proxy stands between."""
    return f"{ask(build(ipv6=True))}\n(no proxy)"


SAYS = ("yes, answered", "docker-proxy on node1 carries it", "sees the client as 172.18.0.1")
THEN = ("rewrote the destination", "(no proxy)")
