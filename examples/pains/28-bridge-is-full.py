"""A bridge has at most 1,023 ports.

On a large build machine the next container does not start: exchange full. Neither addresses nor memory have run out.
"""

from house import lan, run

from cnmsim.errors import EngineError


def build():
    lab = lan()
    node1 = lab.host("node1")
    node1.docker.networks.create(
        "build", subnet="10.50.0.0/16", options={"com.docker.network.bridge.name": "br-build"}
    )
    # Ports of virtual machines are faster to create than containers.
    for number in range(1022):
        node1.exec(["ip", "link", "add", f"tap{number}", "type", "dummy"])
        node1.exec(["ip", "link", "set", f"tap{number}", "master", "br-build"])
    run(lab, "job1", network="build")
    return lab


def ask(lab, name="job2", network="build"):
    try:
        run(lab, name, network=network)
    except EngineError as error:
        return lab.explain_error(error)
    return "started"


def fix(lab):
    """Distribute the containers over more networks."""
    lab.host("node1").docker.networks.create("build2")
    return ask(lab, "job3", "build2")


SAYS = ("exchange full", "br-build of node1 has 1,023 ports")
THEN = ("started",)
