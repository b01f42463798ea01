"""No address pool is left for another network.

`docker compose up` fails on a machine with many projects: all predefined address pools have been fully subnetted.
"""

from house import lan

from cnmsim.errors import EngineError


def build(**daemon):
    lab = lan(**daemon)
    for number in range(30):
        lab.host("node1").docker.networks.create(f"project{number}")
    return lab


def ask(lab):
    try:
        lab.host("node1").docker.networks.create("one-more")
    except EngineError as error:
        return lab.explain_error(error)
    return "created"


def fix(lab):
    """Configure more and smaller pools in daemon.json."""
    return ask(build(**{"default-address-pools": [{"base": "172.20.0.0/14", "size": 24}]}))


SAYS = ("all predefined address pools have been fully subnetted", "31 networks hold")
THEN = ("created",)
