"""Labs of two nodes in one swarm, with an overlay network, for tests to put containers and services on."""

from cnmsim import Lab


def on_one_wire():
    """Return a lab, its two nodes on one wire, and overlay network `net`."""
    lab = Lab()
    one = lab.add_host("node1", "192.168.7.1/24", docker=True)
    two = lab.add_host("node2", "192.168.7.2/24", docker=True)
    two.docker.swarm.join(one.docker.swarm.init(advertise_addr="192.168.7.1").tokens.worker, "192.168.7.1:2377")
    return lab, one, two, one.docker.networks.create("net", driver="overlay", attachable=True)


def over_a_router():
    """Return a lab, its two nodes with a router between, and overlay network `uber-net`."""
    lab = Lab()
    one = lab.add_host("node1", "172.31.1.5/24", gateway="172.31.1.1", docker=True)
    two = lab.add_host("node2", "192.168.1.25/24", gateway="192.168.1.1", docker=True)
    lab.add_router("router", "172.31.1.1/24", "192.168.1.1/24")
    two.docker.swarm.join(one.docker.swarm.init(advertise_addr="172.31.1.5").tokens.worker, "172.31.1.5:2377")
    return lab, one, two, one.docker.networks.create("uber-net", driver="overlay", attachable=True)
