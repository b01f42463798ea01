"""The labs of the gallery: one Docker host on a LAN, or three nodes of a swarm."""

from typing import Any

from cnmsim import Lab


def lan(engine: str = "29.7.2", **daemon: Any) -> Lab:
    """Return a lab with a Docker host and a client on one LAN; beyond the router is a web and name server."""
    lab = Lab(engine, nameserver="203.0.113.10")
    lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=daemon or True)
    lab.add_host("client", "10.0.0.50/24", gateway="10.0.0.1", routes=["172.16.0.0/12 via 10.0.0.15"])
    lab.add_router("router", "10.0.0.1/24", "203.0.113.1/24")
    lab.add_host(
        "server", "203.0.113.10/24", gateway="203.0.113.1", names={"www.example.com": "203.0.113.10"}, web=True
    )
    return lab


def run(lab: Lab, name: str, image: str = "nginx", command: str | None = None, **options: Any) -> Any:
    """`docker run -d --name NAME` on node1."""
    container = lab.host("node1").docker.containers.run(image, command, name=name, detach=True, **options)
    lab.settle()
    return container


def idler(lab: Lab, name: str = "app", **options: Any) -> Any:
    """Run a container that only sleeps, as the client of a probe."""
    return run(lab, name, "alpine", "sleep 1d", **options)


def swarm(**init: Any) -> Lab:
    """Return a lab with a manager and two workers on two subnets with a router between them, and a client outside the
    swarm.
    """
    lab = Lab()
    lab.add_router("router", "10.1.0.1/24", "10.2.0.1/24")
    node1 = lab.add_host("node1", "10.1.0.11/24", gateway="10.1.0.1", docker=True).docker
    node2 = lab.add_host("node2", "10.2.0.12/24", gateway="10.2.0.1", docker=True).docker
    node3 = lab.add_host("node3", "10.2.0.13/24", gateway="10.2.0.1", docker=True).docker
    lab.add_host("client", "10.1.0.100/24", gateway="10.1.0.1")
    node1.swarm.init(advertise_addr="10.1.0.11", **init)
    for node in (node2, node3):
        node.swarm.join(node1.swarm.tokens.worker, "10.1.0.11:2377")
    lab.settle()
    return lab


def shop(**options: Any) -> Lab:
    """Return a swarm with an attachable network, service `web` on node2 (published as 8080), and containers c1 and
    c2.
    """
    lab = swarm()
    node1, node2 = lab.host("node1").docker, lab.host("node2").docker
    node1.networks.create("uber-net", driver="overlay", attachable=True, **options)
    node1.services.create(
        "nginx", name="web", networks=["uber-net"], constraints=["node.hostname==node2"], ports={8080: 80}
    )
    lab.settle()
    node1.containers.run("alpine", "sleep 1d", name="c1", network="uber-net", detach=True)
    node2.containers.run("alpine", "sleep 1d", name="c2", network="uber-net", detach=True)
    lab.settle()
    return lab
