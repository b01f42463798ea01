"""A service stays at New: its network has no address left.

Scaling up stops half way. `docker service ps` shows tasks in state New, and no error.
"""

from house import swarm


def build(subnet="10.77.0.0/29"):
    lab = swarm()
    node1 = lab.host("node1").docker
    node1.networks.create("small", driver="overlay", subnet=subnet)
    node1.services.create("nginx", name="first", networks=["small"], replicas=8)
    lab.run(20)
    node1.services.create("nginx", name="web", networks=["small"], replicas=1, ports={8080: 80})
    lab.run(20)
    return lab


def ask(lab):
    return lab.explain("client", "node1", "tcp/8080")


def fix(lab):
    """Make the network larger: VIPs, tasks and each node's load balancer use one address each."""
    return ask(build("10.77.0.0/24"))


SAYS = ("no, refused", "its task is new, and waits for an address on small")
THEN = ("yes, answered",)
