"""Network has active endpoints.

`docker network rm` is refused, and the containers on the network have to be found first.
"""

from house import idler, lan

from cnmsim.errors import EngineError


def build():
    lab = lan()
    lab.host("node1").docker.networks.create("app")
    idler(lab, "forgotten", network="app")
    return lab


def ask(lab):
    try:
        lab.host("node1").docker.networks.get("app").remove()
    except EngineError as error:
        return lab.explain_error(error)
    return "removed"


def fix(lab):
    """Disconnect the containers."""
    lab.host("node1").docker.networks.get("app").disconnect("forgotten")
    return ask(lab)


SAYS = ("has active endpoints", "container forgotten is on network app")
THEN = ("removed",)
