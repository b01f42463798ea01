"""A node joined, but gossip does not reach it.

`docker node ls` shows all nodes ready. Names of services on other nodes are not found.
"""

from house import shop


def build():
    lab = shop()
    for protocol in ("udp", "tcp"):
        lab.host("router").iptables(f"-I FORWARD -p {protocol} --dport 7946 -j DROP")
    lab.run(60)
    return lab


def ask(lab):
    return lab.explain("c1", "web", "tcp/80")


def fix(lab):
    """Open TCP and UDP port 7946 between the nodes."""
    for protocol in ("udp", "tcp"):
        lab.host("router").iptables(f"-D FORWARD -p {protocol} --dport 7946 -j DROP")
    lab.run(90)
    lab.settle()


SAYS = ("no, name not found", "node1 has not heard of service web", "router closes UDP port 7946")
THEN = ("yes, answered",)
