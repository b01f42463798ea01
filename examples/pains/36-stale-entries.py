"""A node is lost, and the others still send packets to it.

For some seconds after a machine failed, every second request to the service times out.
"""

from house import swarm


def build():
    lab = swarm()
    node1 = lab.host("node1").docker
    node1.networks.create("uber-net", driver="overlay", attachable=True)
    node1.services.create(
        "nginx", name="web", networks=["uber-net"], constraints=["node.role==worker"], ports={8080: 80}
    )
    lab.settle()
    node1.containers.run("alpine", "sleep 1d", name="c1", network="uber-net", detach=True)
    lab.settle()
    lab.cut(node1.nodes.get(node1.services.get("web").tasks()[0]["NodeID"]).hostname)
    lab.run(1)
    return lab


def ask(lab):
    return lab.explain("c1", "web", "tcp/80")


def fix(lab):
    """Wait: gossip declares the node dead, and the managers start its tasks on other nodes. A second replica reduces
    the impact.
    """
    lab.run(40)


SAYS = ("no, timeout", "node2 is cut off or has no power", "the tables of node1 still lead there")
THEN = ("yes, answered",)
