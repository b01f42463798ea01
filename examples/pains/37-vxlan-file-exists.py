"""Error creating vxlan interface: file exists.

On one node no container on the network starts any more. Tasks are rejected with "error creating vxlan interface: file
exists", and `docker run` waits for a while and fails with "attaching to network failed".
"""

from house import swarm


def build():
    lab = swarm()
    node1 = lab.host("node1").docker
    node1.networks.create("uber-net", driver="overlay", attachable=True)
    # Left behind by an engine that crashed, or created by hand.
    lab.host("node2").exec("ip link add vx-001001-old type vxlan id 4097 dstport 4789 dev eth0")
    node1.services.create("nginx", name="web", networks=["uber-net"], constraints=["node.hostname==node2"])
    lab.run(10)
    node1.containers.run("alpine", "sleep 1d", name="c1", network="uber-net", detach=True)
    return lab


def ask(lab):
    return lab.explain("c1", "web", "tcp/80")


def fix(lab):
    """Delete the device on the node. The managers retry by themselves; `docker run` must be repeated."""
    lab.host("node2").exec("ip link del vx-001001-old")


SAYS = (
    "error creating vxlan interface: file exists",
    "device vx-001001-old of node2 has VNI 4097",
    "ip link del vx-001001-old",
)
THEN = ("yes, answered",)
