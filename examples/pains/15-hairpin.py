"""A container asks its own published port.

An application calls itself by its public address, and sees a stranger: the gateway.
"""

from house import lan, run


def build(**daemon):
    lab = lan(**daemon)
    run(lab, "web", ports={"80/tcp": 8080})
    return lab


def ask(lab):
    return lab.explain("web", "node1", "tcp/8080")


def fix(lab):
    """Without the proxy (`userland-proxy: false`) the kernel translates it there and back on the bridge."""
    return ask(build(**{"userland-proxy": False}))


SAYS = ("yes, answered", "docker-proxy on node1 carries it", "sees the client as 172.17.0.1")
THEN = ("yes, answered", "-j DNAT --to-destination 172.17.0.2:80")
