"""With two networks, the default route uses the wrong one.

A container was connected to a second network, and no longer reaches the outside.
"""

from house import idler, lan


def build():
    lab = lan()
    docker = lab.host("node1").docker
    docker.networks.create("a-dark", options={"com.docker.network.bridge.enable_ip_masquerade": "false"})
    docker.networks.create("b-open")
    idler(lab, network="b-open")
    docker.networks.get("a-dark").connect("app")
    return lab


def ask(lab):
    return lab.explain("app", "203.0.113.10", "tcp/80")


def fix(lab):
    """Set the network that provides the default route: `gw_priority`."""
    network = lab.host("node1").docker.networks.get("b-open")
    network.disconnect("app")
    network.connect("app", gw_priority=10)


SAYS = ("no, timeout", "out untranslated")
THEN = ("yes, answered",)
