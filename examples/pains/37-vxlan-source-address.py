"""A node has two networks, and its containers get no replies from other nodes.

The tunnels were meant to use the second, faster one: `docker swarm join --data-path-addr`. Since then packets are
sent and no replies arrive.
"""

from house import Lab


def build(data_path_addr="10.3.0.12"):
    lab = Lab()
    lab.add_router("router", "10.1.0.1/24", "10.2.0.1/24", "10.3.0.1/24")
    node1 = lab.add_host("node1", "10.1.0.11/24", gateway="10.1.0.1", docker=True).docker
    node2 = lab.add_host("node2", "10.2.0.12/24", "10.3.0.12/24", gateway="10.2.0.1", docker=True).docker
    node1.swarm.init(advertise_addr="10.1.0.11")
    node2.swarm.join(
        node1.swarm.tokens.worker, "10.1.0.11:2377", advertise_addr="10.2.0.12", data_path_addr=data_path_addr
    )
    lab.settle()
    node1.networks.create("uber-net", driver="overlay", attachable=True)
    node1.containers.run("alpine", "sleep 1d", name="c1", network="uber-net", detach=True)
    node2.containers.run("alpine", "sleep 1d", name="c2", network="uber-net", detach=True)
    lab.settle()
    return lab


def ask(lab):
    return lab.explain("c1", "c2")


SAYS = (
    "no, timeout",
    "it comes from 10.2.0.12, and node1 accepts frames of that MAC from 10.3.0.12 only",
    "src 10.3.0.12",
)
THEN = ("yes, answered",)
