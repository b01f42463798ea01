"""The small world a stack file is brought up in when the user brings no lab of his own: a swarm of a few nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cnmsim.errors import InvalidParameter
from cnmsim.lab.lab import DEFAULT_RELEASE, Lab

#: Addresses for documentation (RFC 5737): no network of a stack overlaps them, and no engine's default pool.
_NODE, CLIENT, ROUTER_INSIDE = "198.51.100.{}", "198.51.100.200", "198.51.100.1"
INTERNET, ROUTER_OUTSIDE = "203.0.113.10", "203.0.113.1"


def stack_lab(
    files: Sequence[Path],
    name: str = "",
    *,
    managers: int = 3,
    workers: int = 0,
    env: Mapping[str, str] | None = None,
    engine: str = DEFAULT_RELEASE,
    epoch_s: int | None = None,
) -> Lab:
    """Build a swarm of nodes `node1`, `node2`, … and a client beside it, deploy the stack, and wait until its tasks run.

    `name` is the stack's, else the first file's. Raises `FileError` for a wrong file, `TimeoutError` for tasks that do not
    come up, and `InvalidParameter` for an impossible number of nodes.
    """
    if managers < 1 or workers < 0 or managers + workers > 150:
        raise InvalidParameter(
            f"a swarm of {managers} managers and {workers} workers cannot be built: 1 to 150 nodes"
        )
    lab = Lab(engine, nameserver=INTERNET, epoch_s=epoch_s)
    lab.add_router("router", f"{ROUTER_INSIDE}/24", f"{ROUTER_OUTSIDE}/24")
    names = {"www.example.com": INTERNET, "example.com": INTERNET}
    lab.add_host("internet", f"{INTERNET}/24", gateway=ROUTER_OUTSIDE, web=True, names=names)
    lab.add_host("client", f"{CLIENT}/24", gateway=ROUTER_INSIDE)
    addresses = [_NODE.format(10 + number) for number in range(1, managers + workers + 1)]
    nodes = []
    for number, address in enumerate(addresses, 1):
        host = lab.add_host(f"node{number}", f"{address}/24", gateway=ROUTER_INSIDE, docker=True)
        assert host.docker is not None, "the host was asked for with an engine"
        nodes.append(host.docker)
    first = nodes[0]
    first.swarm.init(advertise_addr=addresses[0])
    for number, node in enumerate(nodes[1:], 2):
        token = first.swarm.tokens.manager if number <= managers else first.swarm.tokens.worker
        node.swarm.join(token, f"{addresses[0]}:2377")
    first.stacks.deploy(name or files[0].stem, list(files), env=env)
    lab.settle()
    return lab
