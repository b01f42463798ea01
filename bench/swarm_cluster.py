"""A whole swarm, end to end: Docker hosts that join, overlay networks, services, every packet of it simulated.

Nodes stand in racks of 25 behind one router, or all on one segment. A service has 100 tasks at most, on a network of
its own, as a /24 has room for; a node runs 20 tasks. Run with layout:NODES:TASKS as arguments, else with 10, 30 and
100 nodes. Each size is measured in a program of its own; a line tells the seconds of work and of virtual time that a
step takes, the memory, and how much more this is than with the size before it of the same layout. Tasks run long
before each node has heard of each. An endpoint is a task's: its container is counted in, and its share of what each
node has for each network, a load balancer with an endpoint of its own among it. The last line says how many endpoints
the nodes know together, and what all of that is for each.
"""

import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from resource import getpagesize

from cnmsim import Lab
from cnmsim.libnetwork.drivers.overlay.peer_record import PEER_TABLE

RACK, PER_SERVICE = 25, 100
SIZES = ("racks:10:200", "racks:30:600", "racks:100:2000", "flat:10:200", "flat:30:600", "flat:100:2000")


def memory():
    """Return the bytes this program holds now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def build(layout, count):
    """Return a lab of `count` Docker hosts."""
    lab = Lab()
    if layout == "racks":
        lab.add_router("core", *(f"10.0.{rack}.1/24" for rack in range(-(-count // RACK))))
    for number in range(count):
        if layout == "racks":
            rack, place = divmod(number, RACK)
            lab.add_host(f"node{number}", f"10.0.{rack}.{place + 10}/24", gateway=f"10.0.{rack}.1", docker=True)
        else:
            high, low = divmod(number + 1, 256)
            lab.add_host(f"node{number}", f"172.20.{high}.{low}/16", docker=True)
    return lab


def join(lab, count):
    """Make one swarm of all hosts."""
    first = lab.host("node0")
    token = first.docker.swarm.init(advertise_addr=str(first.address)).tokens.worker
    for number in range(1, count):
        lab.host(f"node{number}").docker.swarm.join(token, f"{first.address}:2377")


def deploy(lab, tasks):
    """Run `tasks` containers of services on overlay networks."""
    docker = lab.host("node0").docker
    for number in range(-(-tasks // PER_SERVICE)):
        docker.networks.create(f"net{number}", driver="overlay")
        replicas = min(PER_SERVICE, tasks - number * PER_SERVICE)
        docker.services.create("nginx", name=f"web{number}", replicas=replicas, networks=[f"net{number}"])


def run_all(lab):
    """Let time pass until every task runs."""
    services = lab.host("node0").docker.services.list()
    while any(task["Status"]["State"] != "running" for service in services for task in service.tasks()):
        lab.run(0.1)


def measure(layout, count, tasks):
    """Measure one size: for each step its seconds of work and of virtual time and the bytes it took, with what they
    are for.
    """
    join(build(layout, 1), 1)  # what is imported is no node's
    lab = Lab()
    steps = {}

    def step(name, call, *args, units=0, unit=""):
        nonlocal lab
        before, virtual, begin = memory(), lab.clock.now, time.process_time()
        lab = call(*args) or lab
        seconds, taken = time.process_time() - begin, memory() - before
        steps[name] = seconds, lab.clock.now - virtual, taken / units if units else 0, unit
        return taken

    def joined():
        join(lab, count)
        lab.settle(limit_s=1800)

    def deployed():
        deploy(lab, tasks)
        run_all(lab)

    def told():
        lab.settle(limit_s=1800)

    step("hosts with engines", build, layout, count, units=count, unit="a node")
    step("joined and settled", joined, units=count, unit="a node")
    taken = step("all tasks run", deployed, units=tasks, unit="an endpoint")
    taken += step("known everywhere", told, units=tasks, unit="an endpoint more")
    step("a quiet minute", lab.run, 60)
    pairs = known(lab)
    steps[f"{pairs:,} endpoints known, of {count} nodes together"] = 0, 0, taken / pairs, "each"
    return steps


def known(lab):
    """Return how many endpoints the nodes know, each node's counted."""
    databases = [host.docker.controller.agent.db for host in lab.hosts.values() if host.has_docker]
    return sum(len(db.entries(PEER_TABLE, network)) for db in databases for network in db.networks)


def compared(figure, before):
    """Say how many times as much as before a figure is, if there is anything to compare it with."""
    return f" ({figure / before:.1f} times)" if before > 0 else ""


def report(steps, before):
    """Print the steps of one size beside those of the smaller one."""
    for name, (seconds, virtual, each, unit) in steps.items():
        seconds_before, _, each_before, _ = before.get(name, (0, 0, 0, ""))
        found = []
        if seconds:
            found += [f"{seconds:.1f} s{compared(seconds, seconds_before)}", f"{virtual:.1f} s of virtual time"]
        if unit:
            found.append(f"{each:,.0f} bytes {unit}{compared(each, each_before)}")
        print(f"  {name}: {', '.join(found)}", flush=True)


def main():
    if sys.argv[1:2] == ["--one"]:
        layout, count, tasks = sys.argv[2].split(":")
        print(json.dumps(measure(layout, int(count), int(tasks))))
        return
    before = {}
    for size in sys.argv[1:] or SIZES:
        print(size, flush=True)
        ran = subprocess.run([sys.executable, __file__, "--one", size], stdout=subprocess.PIPE, check=True)
        steps, layout = json.loads(ran.stdout), size.split(":")[0]
        report(steps, before.get(layout, {}))
        before[layout] = steps


if __name__ == "__main__":
    main()
