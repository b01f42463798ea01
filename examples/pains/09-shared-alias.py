"""Two projects share a network, and a name.

Half of the requests for `api` end in the wrong project.
"""

from house import idler, lan, run


def build():
    lab = lan()
    lab.host("node1").docker.networks.create("shared")
    run(lab, "blue-api-1", network="shared", aliases=["api"])
    run(lab, "green-api-1", network="shared", aliases=["api"])
    idler(lab, network="shared")
    return lab


def ask(lab):
    return lab.explain("app", "api", "tcp/80")


def fix(lab):
    """Give each project a name of its own on the network they share."""
    lab.container("green-api-1").remove(force=True)
    run(lab, "green-api-1", network="shared", aliases=["green-api"])
    clashes = lab.doctor().of("name-clash")
    return f"{ask(lab).decided_by}\n{len(clashes)} clashes of names"


SAYS = ("yes, answered", "2 containers answer to the name api")
THEN = ("blue-api-1 answers", "0 clashes of names")
