"""The routing mesh does not answer on any node: the service has no task.

A node was drained for maintenance, and the service has no running task since: its placement allows no other node.
"""

from house import shop


def build():
    lab = shop()
    lab.host("node1").docker.nodes.get("node2").update(Availability="drain")
    lab.run(40)
    return lab


def ask(lab):
    return lab.explain("client", "node3", "tcp/8080")


SAYS = ("no, refused", "service web has no running task")
THEN = ("yes, answered",)
