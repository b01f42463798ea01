"""A container connects to its own published port.

An application connects to itself by its public address, and sees the gateway as the client.
"""

from house import lan, run


def build(**daemon):
    lab = lan(**daemon)
    run(lab, "web", ports={"80/tcp": 8080})
    return lab


def ask(lab):
    return lab.explain("web", "node1", "tcp/8080")


def fix(lab):
    """Without docker-proxy (`userland-proxy: false`) the kernel translates the packets and sends them back out of the
    same bridge port.
    """
    return ask(build(**{"userland-proxy": False}))


SAYS = ("yes, answered", "docker-proxy on node1 carries it", "sees the client as 172.17.0.1")
THEN = ("yes, answered", "rule 1 of nat DOCKER (DNAT to 172.17.0.2:80)")
