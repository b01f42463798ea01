"""Error creating vxlan interface: file exists.

On one node nothing that uses the network starts any more. Tasks are rejected with "error creating vxlan interface: file exists", and
`docker run` waits for a while and says "attaching to network failed".
"""

from house import swarm


def build():
    lab = swarm()
    node1 = lab.host("node1").docker
    node1.networks.create("uber-net", driver="overlay", attachable=True)
    # What an engine that died leaves behind, or somebody who tried out VXLAN by hand.
    lab.host("node2").exec("ip link add vx-001001-old type vxlan id 4097 dstport 4789 dev eth0")
    node1.services.create("nginx", name="web", networks=["uber-net"], constraints=["node.hostname==node2"])
    lab.run(10)
    node1.containers.run("alpine", "sleep 1d", name="c1", network="uber-net", detach=True)
    return lab


def ask(lab):
    return lab.explain("c1", "web", "tcp/80")


def fix(lab):
    """Remove the device from the node. The managers try again by themselves; `docker run` has to be typed again."""
    lab.host("node2").exec("ip link del vx-001001-old")


SAYS = (
    "error creating vxlan interface: file exists",
    "device vx-001001-old of node2 has VNI 4097",
    "ip link del vx-001001-old",
)
THEN = ("yes, answered",)
