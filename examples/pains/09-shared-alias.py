"""Two projects use the same alias on a shared network.

Half of the requests to `api` reach the wrong project.
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
    """Use a different name for each project on the shared network."""
    lab.container("green-api-1").remove(force=True)
    run(lab, "green-api-1", network="shared", aliases=["green-api"])
    clashes = lab.doctor().of("name-clash")
    return f"{ask(lab).decided_by}\n{len(clashes)} clashes of names"


SAYS = ("yes, answered", "2 containers answer to the name api")
THEN = ("blue-api-1 answers", "0 clashes of names")
