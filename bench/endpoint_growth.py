"""What nodes of a swarm keep of the endpoints of one network, and how long they take to take them in.

Nodes that are attached to one overlay network hear of endpoints on nodes that are not there: of each its two entries,
as gossip brings them. What is measured is what becomes of them on every node: names, peers, neighbours, FDB entries,
backends of services of 100 tasks and IPVS destinations; and the share all nodes have together. Run with numbers of
endpoints as arguments, else with 1,000, 10,000 and 100,000; `--nodes` tells how many nodes, else 4.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from resource import getpagesize

from cnmsim import Lab
from cnmsim.kernel.address import parse_ip
from cnmsim.libnetwork.drivers.overlay.peer_record import PEER_TABLE, Peer
from cnmsim.libnetwork.networkdb.messages import TableEvent, TableOperation
from cnmsim.libnetwork.networkdb.store import store_of
from cnmsim.libnetwork.servicerecords import ENDPOINT_TABLE, EndpointRecord

SIZES = (1_000, 10_000, 100_000)
PER_SERVICE, PER_NODE = 100, 100
OWNER = "somebody"
#: So many news come at one instant.
BATCH = 100


def memory():
    """Return the bytes this program holds now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def build(count):
    """Return a swarm of `count` nodes, all attached to one network that has room for 100,000 endpoints."""
    lab = Lab()
    for number in range(count):
        lab.add_host(f"node{number}", f"172.20.0.{number + 1}/16", docker=True)
    first = lab.host("node0")
    token = first.docker.swarm.init(advertise_addr=str(first.address)).tokens.worker
    for number in range(1, count):
        lab.host(f"node{number}").docker.swarm.join(token, f"{first.address}:2377")
    first.docker.networks.create("net", driver="overlay", subnet="10.64.0.0/12")
    first.docker.services.create("alpine", command="sleep 1d", name="here", mode="global", networks=["net"])
    lab.settle()
    return lab


def events(lab, endpoints):
    """Return what gossip would tell of so many endpoints."""
    network = next(each for each in lab.host("node0").docker.controller.networks if each.name == "net")
    space = store_of(lab.clock).network(network.id)
    base = int.from_bytes(parse_ip("10.65.0.0"))
    for number in range(endpoints):
        service, slot = divmod(number, PER_SERVICE)
        node = int.from_bytes(parse_ip("172.21.0.0")) + number // PER_NODE
        address = (base + number).to_bytes(4)
        key, task = f"{number:064x}", f"web{service}.{slot + 1}.{number:025d}"
        vip = (base + 300_000 + service).to_bytes(4)
        record = EndpointRecord(
            task, f"web{service}", f"{service:025d}", vip, address, task_aliases=(f"{number:012x}",)
        )
        peer = Peer(key, address, 12, b"\x02\x42" + address, node.to_bytes(4))
        for table, value in ((PEER_TABLE, peer), (ENDPOINT_TABLE, record)):
            version = space.version((table, key), number + 1, OWNER, value)
            yield TableEvent(TableOperation.CREATE, network.id, version)


def tell(lab, host, news):
    """Let a node take news in, and do what it does about them."""
    database = lab.host(host).docker.controller.agent.db
    for number, event in enumerate(news):
        database.networks[event.network].apply(event, is_bulk=True)
        if not number % BATCH:
            lab.clock.run_ready()
    lab.clock.run_ready()


def measure(endpoints, count):
    """Return the bytes and the seconds an endpoint takes: for all nodes together, and for each further node."""
    lab = build(count)
    for host in lab.hosts.values():
        for tables in host.docker.controller.agent.db.networks.values():
            tables.attach(OWNER)
    tell(lab, "node0", [])
    before = memory()
    begin = time.process_time()
    news = list(events(lab, endpoints))
    tell(lab, "node0", news)
    first_s, first = time.process_time() - begin, memory()
    begin = time.process_time()
    for number in range(1, count):
        tell(lab, f"node{number}", news)
    more_s, more = time.process_time() - begin, memory()
    each = (count - 1) * endpoints
    return {
        "first": (first - before) / endpoints, "first_us": first_s / endpoints * 1e6,
        "more": (more - first) / each, "more_us": more_s / each * 1e6,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--one", type=int)
    parser.add_argument("sizes", type=int, nargs="*", default=list(SIZES))
    asked = parser.parse_args()
    if asked.one is not None:
        print(json.dumps(measure(asked.one, asked.nodes)))
        return
    for size in asked.sizes:
        command = [sys.executable, __file__, "--one", str(size), "--nodes", str(asked.nodes)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        print(
            f"{size:,} endpoints: {found['first']:,.0f} bytes and "
            f"{found['first_us']:.0f} µs each with the first node,\n"
            f"  {found['more']:,.0f} bytes and {found['more_us']:.0f} µs for each further node that knows it",
            flush=True,
        )


if __name__ == "__main__":
    main()
