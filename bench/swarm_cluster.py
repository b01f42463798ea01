"""A whole swarm over simulated wires: hosts and engines, joins, services on overlay networks, until all nodes agree.

Nodes stand in racks of 25 behind one router. Each service has 200 tasks in one rack and a network of its own. Run with pairs
NODES:TASKS as arguments, else 100:2000.
"""

import sys
import time
from resource import RUSAGE_SELF, getrusage

from cnmsim import Lab
from cnmsim.swarm.objects import TaskState

RACK, PER_SERVICE = 25, 200


def build(count):
    """Give a lab with `count` Docker hosts."""
    lab = Lab()
    racks = -(-count // RACK)
    lab.add_router("core", *(f"172.30.{rack}.1/24" for rack in range(racks)))
    for number in range(count):
        rack, place = divmod(number, RACK)
        lab.add_host(
            f"node{number}",
            f"172.30.{rack}.{place + 10}/24",
            gateway=f"172.30.{rack}.1",
            docker={"userland-proxy": False},
        )
    return lab


def measure(nodes, tasks):
    """Print how long each part took, in seconds of real and of virtual time."""
    begun_s = time.perf_counter()
    lab = build(nodes)
    engines = [host.docker for host in lab.hosts.values() if host.docker is not None]
    built_s = time.perf_counter()
    manager, workers = engines[0], engines[1:]
    manager.swarm.init(advertise_addr="172.30.0.10")
    token = manager.swarm.tokens.worker
    for worker in workers:
        worker.swarm.join(token, "172.30.0.10:2377")
    for number, node in enumerate(manager.nodes.list()):
        node.update(Labels={"rack": str(number // RACK)})
    quiet_s = lab.settle()
    joined_s = time.perf_counter()
    for number in range(-(-tasks // PER_SERVICE)):
        name = f"service{number}"
        manager.networks.create(name, driver="overlay", attachable=True)
        replicas = min(PER_SERVICE, tasks - number * PER_SERVICE)
        rack = f"node.labels.rack=={number % -(-nodes // RACK)}"
        manager.services.create(
            "busybox", "sleep 1d", name=name, networks=[name], replicas=replicas, constraints=[rack]
        )
    store = manager.cluster.store()
    asked_s = lab.now
    while sum(task.state is TaskState.RUNNING for task in store.tasks) < tasks:
        lab.run(0.5)
    started_s, virtual_s = time.perf_counter(), lab.now - asked_s
    settled_s = lab.settle(limit_s=1800)
    running_s = time.perf_counter()
    lab.run(60)
    done_s = time.perf_counter()
    print(
        f"{nodes} nodes: hosts {built_s - begun_s:.1f} s, joined {joined_s - built_s:.1f} s (agreed {quiet_s:.1f} s of virtual "
        f"time later), {tasks} tasks running {started_s - joined_s:.1f} s ({virtual_s:.1f} s of virtual time), known everywhere "
        f"{running_s - started_s:.1f} s ({settled_s:.1f} s of virtual time), a quiet minute {done_s - running_s:.1f} s, {getrusage(RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
    )


def main():
    for pair in sys.argv[1:] or ["100:2000"]:
        nodes, tasks = pair.split(":")
        measure(int(nodes), int(tasks))


if __name__ == "__main__":
    main()
