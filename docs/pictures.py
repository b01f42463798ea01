"""Draws the pictures of the documentation anew: `python docs/pictures.py`."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from cnmsim import Lab

HERE = Path(__file__).parent


def main() -> None:
    """Write docs/images/trace.svg: a connection from the LAN to a published port."""
    lab = Lab()
    node1 = lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
    lab.add_host("client", "10.0.0.50/24", gateway="10.0.0.1")
    node1.docker.networks.create("shop", options={"com.docker.network.bridge.name": "br-shop"})
    node1.docker.containers.run("nginx", name="web", network="shop", ports={"80/tcp": 8080}, detach=True)
    console = Console(record=True, width=132, file=StringIO())
    console.print(lab.trace("client", "node1:8080").rich())
    console.save_svg(
        str(HERE / "images" / "trace.svg"), title="cnmsim trace lab.yml client node1:8080", unique_id="trace"
    )


if __name__ == "__main__":
    main()
