"""A static address is refused.

`ipv4_address` in a Compose file works only for some networks.
"""

from house import lan

from cnmsim.errors import EngineError


def build():
    lab = lan("26.1.5")
    lab.host("node1").docker.networks.create("app")
    return lab


def ask(lab, network="app", address="172.18.0.50"):
    try:
        lab.host("node1").docker.containers.run("nginx", name="web", network=network, ip=address, detach=True)
    except EngineError as error:
        return lab.explain_error(error)
    return "started"


def fix(lab):
    """Create the network with an explicit subnet."""
    lab.host("node1").docker.networks.create("fixed", subnet="10.30.0.0/24")
    return ask(lab, "fixed", "10.30.0.50")


SAYS = ("user", "subnet")
THEN = ("started",)
