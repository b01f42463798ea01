"""Labs of one Docker host beside a client, as many tests of traces have them."""

from __future__ import annotations

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
    """Run a container on node1, and let the lab settle."""
    container = lab.host("node1").docker.containers.run(image, command, name=name, detach=True, **options)
    lab.settle()
    return container


def web_and_client() -> Lab:
    """Return a lab: a web server `web` and a container `c1` on the network `shop`, and a client beside the host."""
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24")
    node.docker.networks.create("shop")
    node.docker.containers.run("nginx", name="web", network="shop", ports={"80/tcp": 8080}, detach=True)
    node.docker.containers.run("alpine", "sleep 1d", name="c1", network="shop", detach=True)
    return lab
