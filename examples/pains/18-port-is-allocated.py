"""Port is already allocated.

The second stack does not start, and Docker does not name the container that uses the port.
"""

from house import lan, run

from cnmsim.errors import EngineError


def build():
    lab = lan()
    run(lab, "blue-web", ports={"80/tcp": 8080})
    return lab


def ask(lab):
    try:
        run(lab, "green-web", ports={"80/tcp": 8080})
    except EngineError as error:
        return lab.explain_error(error)
    return "started"


def fix(lab):
    """Publish it under another port."""
    lab.container("green-web").remove(force=True)
    run(lab, "green-web", ports={"80/tcp": 8081})
    return lab.explain("client", "node1", "tcp/8081")


SAYS = ("port is already allocated", "container blue-web on node1 has port 8080/tcp")
THEN = ("yes, answered",)
