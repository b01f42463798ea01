"""The default topology, for a stack file without a lab: swarm nodes, a client, and a simulated internet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cnmsim.errors import InvalidParameter
from cnmsim.lab.lab import Lab
from cnmsim.lab.releases import DEFAULT_RELEASE

#: Documentation addresses (RFC 5737). They overlap neither with a stack's networks nor with default address pools.
_NODE, CLIENT, ROUTER_INSIDE = "198.51.100.{}", "198.51.100.200", "198.51.100.1"
INTERNET, ROUTER_OUTSIDE = "203.0.113.10", "203.0.113.1"


def stack_lab(
    files: Sequence[Path], *, managers: int, workers: int, env: Mapping[str, str], engine: str | None = None
) -> Lab:
    """Build a swarm of nodes `node1`, `node2`, … with a client, deploy the stack, and wait until its tasks run.

    The stack has the name of the first file. Raises `FileError` for an invalid file, `TimeoutError` if tasks do not
    start, and `InvalidParameter` for an impossible number of nodes.
    """
    if managers < 1 or workers < 0 or managers + workers > 150:
        raise InvalidParameter(
            f"a swarm of {managers} managers and {workers} workers cannot be built: 1 to 150 nodes"
        )
    lab = Lab(engine or DEFAULT_RELEASE, nameserver=INTERNET)
    lab.add_router("router", f"{ROUTER_INSIDE}/24", f"{ROUTER_OUTSIDE}/24")
    names = {"www.example.com": INTERNET, "example.com": INTERNET}
    lab.add_host("internet", f"{INTERNET}/24", gateway=ROUTER_OUTSIDE, web=True, names=names)
    lab.add_host("client", f"{CLIENT}/24", gateway=ROUTER_INSIDE)
    addresses = [_NODE.format(10 + number) for number in range(1, managers + workers + 1)]
    nodes = []
    for number, address in enumerate(addresses, 1):
        host = lab.add_host(f"node{number}", f"{address}/24", gateway=ROUTER_INSIDE, docker=True)
        nodes.append(host.docker)
    first = nodes[0]
    first.swarm.init(advertise_addr=addresses[0])
    for number, node in enumerate(nodes[1:], 2):
        token = first.swarm.tokens.manager if number <= managers else first.swarm.tokens.worker
        node.swarm.join(token, f"{addresses[0]}:2377")
    first.stacks.deploy(files[0].stem, list(files), env=env)
    lab.settle()
    return lab
