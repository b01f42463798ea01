"""An overlay network has the subnet of the hosts.

After a stack is deployed, its containers no longer reach the other nodes.
"""

from house import swarm


def build(subnet="10.1.0.0/24"):
    lab = swarm()
    lab.host("node1").docker.networks.create("app", driver="overlay", subnet=subnet)
    return lab


def ask(lab):
    return "\n".join(map(str, lab.doctor().of("overlay-on-host-subnet"))) or "no overlap"


def fix(lab):
    """Choose another subnet, or another default-addr-pool."""
    return ask(build("10.77.0.0/24"))


SAYS = ("overlaps 10.1.0.0/24 of node1 eth0",)
THEN = ("no overlap",)
