"""Draw the pictures of the README: `python docs/pictures.py`."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from cnmsim import Lab

IMAGES = Path(__file__).parent / "images"


def published_port() -> None:
    """Write trace.svg: a connection from the LAN to a published port."""
    lab = Lab()
    node1 = lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
    lab.add_host("client", "10.0.0.50/24", gateway="10.0.0.1")
    node1.docker.networks.create("shop", options={"com.docker.network.bridge.name": "br-shop"})
    node1.docker.containers.run("nginx", name="web", network="shop", ports={"80/tcp": 8080}, detach=True)
    console = Console(record=True, width=132, file=StringIO())
    console.print(lab.trace("client", "node1:8080").rich())
    console.save_svg(str(IMAGES / "trace.svg"), title="cnmsim trace lab.yml client node1:8080", unique_id="trace")


def overlay() -> None:
    """Write overlay.svg: two nodes, an overlay network over both, and the path of a connection through it."""
    lab = Lab()
    node1 = lab.add_host("node1", "172.31.1.5/24", gateway="172.31.1.1", docker=True)
    node2 = lab.add_host("node2", "192.168.1.25/24", gateway="192.168.1.1", docker=True)
    lab.add_router("router", "172.31.1.1/24", "192.168.1.1/24")
    node2.docker.swarm.join(node1.docker.swarm.init(advertise_addr="172.31.1.5").tokens.worker, "172.31.1.5:2377")
    node1.docker.networks.create("uber-net", driver="overlay", attachable=True)
    node1.docker.containers.run("alpine", "sleep 1d", name="c1", network="uber-net", detach=True)
    node2.docker.containers.run("nginx", name="c2", network="uber-net", detach=True)
    lab.settle()
    lab.draw(lab.trace("c1", "c2:80")).save(IMAGES / "overlay.svg")


if __name__ == "__main__":
    published_port()
    overlay()
