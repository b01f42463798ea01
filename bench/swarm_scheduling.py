"""A manager alone: nodes that acknowledge at once, services spread over them, a rolling update, and a lost node."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from attrs import evolve
from support.swarm_fakes import FakeCluster

from cnmsim.swarm.objects import UpdateConfig, UpdateState


def measured(what, call, *args):
    begin = time.perf_counter()
    result = call(*args)
    print(f"  {what}: {time.perf_counter() - begin:.2f} s")
    return result


def come_up(nodes, services, replicas):
    cluster = FakeCluster()
    cluster.add_nodes(nodes)
    cluster.run(2)
    network = cluster.network("shop", subnet="10.64.0.0/12")
    made = [cluster.service(f"service{number}", replicas, networks=(network,)) for number in range(services)]
    cluster.run(10)
    running = sum(len(cluster.tasks(service.id)) for service in made)
    assert running == services * replicas, f"{running} of {services * replicas} run"
    return cluster, made


def roll(cluster, service):
    task = evolve(cluster.store.services.get(service.id).spec.task, force_update=1)
    cluster.update(service.id, task=task, update=UpdateConfig(parallelism=20))
    for _ in range(120):
        cluster.run(5)
        status = cluster.store.services.get(service.id).update_status
        if status is not None and status.state is UpdateState.COMPLETED:
            return
    raise AssertionError("the update has not ended")


def lose(cluster):
    cluster.agents["node2"].down()
    cluster.run(40)


def main():
    for nodes, services, replicas in ((100, 20, 100), (1000, 20, 100), (1000, 200, 10)):
        print(f"{nodes} nodes, {services} services of {replicas} tasks")
        cluster, made = measured("all tasks running", come_up, nodes, services, replicas)
        measured(f"rolling update of {replicas} tasks", roll, cluster, made[0])
        measured("a node lost and replaced", lose, cluster)
        measured("ten minutes of nothing", cluster.run, 600)


if __name__ == "__main__":
    main()
