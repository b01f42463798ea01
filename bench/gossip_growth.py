"""NetworkDB on growing clusters: how long nodes and endpoints take to be known everywhere, and what they take of
memory.

Nodes stand in racks of 25 behind one router. A network has 250 endpoints on 25 nodes, as a /24 has room for; each
endpoint is an entry in two tables. Run with pairs NODES:ENDPOINTS as arguments (0 endpoints: members alone), else
100:1000 and 300:3000.
"""

import gc
import sys
import time
from pathlib import Path
from resource import getpagesize

from cnmsim import Lab
from cnmsim.kernel.address import parse_ip
from cnmsim.libnetwork.networkdb.context import NetworkDBConfig
from cnmsim.libnetwork.networkdb.convergence import converge
from cnmsim.libnetwork.networkdb.networkdb import NetworkDB
from cnmsim.libnetwork.networkdb.store import EntryPool, EntryView
from cnmsim.libnetwork.profile import PROFILES

RACK, PER_NETWORK, SPREAD = 25, 250, 25
TABLES = ("endpoint_table", "overlay_peer_table")
VALUE = b"v" * 80


async def dockerd(process):
    await process.exited
    return 0


def build(count):
    """Return a lab with a database on each of `count` nodes, which know nothing of each other yet."""
    lab = Lab()
    racks = -(-count // RACK)
    lab.add_router("core", *(f"10.0.{rack}.1/24" for rack in range(racks)))
    databases = []
    for number in range(count):
        rack, place = divmod(number, RACK)
        address = f"10.0.{rack}.{place + 10}"
        host = lab.add_host(f"node{number}", f"{address}/24", gateway=f"10.0.{rack}.1")
        config = NetworkDBConfig(f"{number:012x}", bytes(4), parse_ip(address), PROFILES["29.7.2"], keys=[b"k" * 16])
        process = host.machine.spawn(dockerd, ["/usr/bin/dockerd"])
        databases.append(NetworkDB(process, lab.clock.stream(f"gossip/{number}"), config))
    return lab, databases


def attach(databases, endpoints):
    """Attach the nodes to as many networks as `endpoints` need; gives each network's nodes."""
    networks = []
    for number in range(endpoints // PER_NETWORK):
        members = [databases[(number * SPREAD + place) % len(databases)] for place in range(SPREAD)]
        for database in members:
            database.join_network(f"network{number:018}")
        networks.append(members)
    return networks


def create(networks):
    """Make the entries of all endpoints."""
    for number, members in enumerate(networks):
        for endpoint in range(PER_NETWORK):
            owner, key = members[endpoint % len(members)], f"{number:032x}{endpoint:032x}"
            for table in TABLES:
                owner.create_entry(table, f"network{number:018}", key, VALUE)


def timed(lab, what, limit_s=1800):
    begin = time.process_time()
    virtual = converge(lab.clock, limit_s)
    print(f"  {what}: {virtual:.1f} s of virtual time, {time.process_time() - begin:.1f} s to simulate", flush=True)


def memory():
    """Return the bytes this program holds now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def measure(count, endpoints):
    print(f"{count} nodes, {endpoints:,} endpoints", flush=True)
    before = memory()
    lab, databases = build(count)
    built = memory()
    print(f"  hosts: {(built - before) / count:,.0f} bytes each")
    first = parse_ip("10.0.0.10")
    for database in databases[1:]:
        database.join([first])
    timed(lab, "members known everywhere")
    joined = memory()
    print(f"  membership: {(joined - built) / count:,.0f} bytes a node")
    if endpoints < PER_NETWORK:
        return
    networks = attach(databases, endpoints)
    timed(lab, "attachments known everywhere")
    before = memory()
    create(networks)
    timed(lab, "endpoints known everywhere")
    taken = memory() - before
    print(f"  endpoints: {taken / endpoints:,.0f} bytes each, known to {SPREAD} nodes")
    begin = time.process_time()
    lab.run(60)
    print(f"  a quiet minute: {time.process_time() - begin:.1f} s to simulate", flush=True)


def views(endpoints=100_000, nodes=20):
    """Let some nodes know all endpoints of one network, without the gossip that would bring them there."""
    space = EntryPool()
    before = memory()
    versions = [
        space.version((table, f"{number:064x}"), number, "owner", VALUE)
        for number in range(endpoints)
        for table in TABLES
    ]
    known = [EntryView(space) for _ in range(nodes + 1)]
    for version in versions:
        known[0].set(version)
    shared = memory()
    for view in known[1:]:
        for version in versions:
            view.set(version)
    each = (memory() - shared) / nodes / endpoints
    print(
        f"one network of {endpoints:,} endpoints: {(shared - before) / endpoints:,.0f} bytes "
        "an endpoint for all nodes,"
    )
    print(f"  and {each:.1f} for each node that knows it: {each * endpoints * 1000 / 2**20:,.0f} MiB for 1,000 nodes")


def main():
    for pair in sys.argv[1:] or ("100:1000", "300:3000"):
        count, endpoints = map(int, pair.split(":"))
        measure(count, endpoints)
    views()


if __name__ == "__main__":
    main()
