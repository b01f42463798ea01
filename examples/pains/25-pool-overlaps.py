"""Pool overlaps with other one on this address space.

A network with an explicit subnet is refused, and Docker does not name the network that it overlaps.
"""

from house import lan

from cnmsim.errors import EngineError


def build():
    lab = lan()
    lab.host("node1").docker.networks.create("old-project", subnet="10.20.0.0/16")
    return lab


def ask(lab, subnet="10.20.30.0/24"):
    try:
        lab.host("node1").docker.networks.create("new-project", subnet=subnet)
    except EngineError as error:
        return lab.explain_error(error, asked=subnet)
    return "created"


def fix(lab):
    """Choose a free subnet."""
    return ask(lab, "10.21.30.0/24")


SAYS = ("Pool overlaps with other one on this address space", "network old-project (10.20.0.0/16)")
THEN = ("created",)
