"""The routing mesh answers nowhere: the service has no task.

A node was drained for maintenance and nothing runs any more: the service may only run there.
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
