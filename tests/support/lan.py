"""A lab of one Docker host beside a client, as many tests of traces have it."""

from __future__ import annotations

from cnmsim import Lab


def web_and_client() -> Lab:
    """Return a lab: a web server `web` and a container `c1` on the network `shop`, and a client beside the host."""
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24")
    node.docker.networks.create("shop")
    node.docker.containers.run("nginx", name="web", network="shop", ports={"80/tcp": 8080}, detach=True)
    node.docker.containers.run("alpine", "sleep 1d", name="c1", network="shop", detach=True)
    return lab
