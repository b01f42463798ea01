"""A cluster made anew of what one manager knows: without the others, or behind their backs."""

from __future__ import annotations

import pytest
from support.cluster import Cluster

from cnmsim.errors import EngineError, Unavailable


def managers(cluster: Cluster, number: int = 1) -> dict[str, str]:
    return {
        node.hostname: (node.attrs.get("ManagerStatus") or {}).get("Reachability", "")
        for node in cluster.docker(number).nodes.list()
    }


def test_the_last_manager_goes_on_with_all_that_there_was() -> None:
    cluster = Cluster(4, managers=3)
    one = cluster.docker(1)
    one.networks.create("net", driver="overlay", attachable=True)
    service = one.services.create("nginx", name="web", replicas=4, networks=["net"], ports={8080: 80})
    one.secrets.create("hush", b"x")
    cluster.lab.settle()
    tokens, node_id = one.swarm.tokens, one.swarm.node_id
    with pytest.raises(Unavailable, match="Worker nodes can't be used"):
        cluster.docker(4).swarm.init(force_new_cluster=True)
    cluster.hosts[1].power_off()
    cluster.hosts[2].power_off()
    cluster.lab.run(30)
    with pytest.raises(EngineError, match="The swarm does not have a leader"):
        one.nodes.list()
    one.swarm.init(advertise_addr="10.9.0.1", force_new_cluster=True)
    assert (one.swarm.tokens, one.swarm.node_id) == (tokens, node_id)
    cluster.lab.run(60)
    assert managers(cluster) == {"node1": "reachable", "node2": "", "node3": "", "node4": ""}
    assert [each.name for each in one.secrets.list()] == ["hush"]
    running = [task for task in service.tasks({"desired-state": "running"}) if task["Status"]["State"] == "running"]
    assert len(running) == 4
    client = cluster.lab.add_host("client", "10.9.0.100/24")
    for host in ("10.9.0.1", "10.9.0.4"):
        assert client.curl(f"http://{host}:8080").succeeded
    service.scale(1)
    cluster.lab.settle()


def test_managers_left_behind_come_back_as_members_of_the_new_cluster() -> None:
    cluster = Cluster(3, managers=3)
    cluster.lab.settle()
    one = cluster.docker(1)
    term = one.cluster.manager_node.raft.term
    one.swarm.init(advertise_addr="10.9.0.1", force_new_cluster=True)
    assert one.cluster.manager_node.raft.term > term
    cluster.lab.run(20)
    assert managers(cluster) == {"node1": "reachable", "node2": "", "node3": ""}
    cluster.lab.run(60)
    assert managers(cluster) == {"node1": "reachable", "node2": "reachable", "node3": "reachable"}
    assert cluster.leaders() == ["node1"]
    assert {node.status for node in cluster.docker(2).nodes.list()} == {"ready"}
    one.networks.create("late", driver="overlay")
    assert "late" in [each.name for each in cluster.docker(3).networks.list()]


def test_two_halves_keep_apart_while_they_cannot_hear_each_other() -> None:
    cluster = Cluster(3, managers=3)
    cluster.lab.settle()
    cluster.isolate(cluster.hosts[0])
    cluster.lab.run(40)
    cluster.docker(1).swarm.init(advertise_addr="10.9.0.1", force_new_cluster=True)
    cluster.docker(1).services.create("alpine", "sleep 1d", name="here")
    cluster.docker(2).services.create("alpine", "sleep 1d", name="there")
    cluster.lab.run(20)
    assert [each.name for each in cluster.docker(1).services.list()] == ["here"]
    assert [each.name for each in cluster.docker(2).services.list()] == ["there"]
    cluster.rejoin(cluster.hosts[0])
    cluster.lab.run(120)
    assert [each.name for each in cluster.docker(2).services.list()] == ["here"]
    assert set(managers(cluster, 2).values()) == {"reachable"}


def test_the_tasks_of_the_node_end_and_are_started_anew() -> None:
    cluster = Cluster(2)
    one = cluster.docker(1)
    service = one.services.create("alpine", "sleep infinity", name="web", replicas=2)
    cluster.lab.settle()
    one.swarm.init(advertise_addr="10.9.0.1", force_new_cluster=True)
    cluster.lab.run(40)
    states = {(node.hostname, task["Status"].get("Err", "")) for node in one.nodes.list() for task in service.tasks()
              if task["NodeID"] == node.id}  # fmt: skip
    assert states == {("node1", ""), ("node1", "task: non-zero exit (137)"), ("node2", "")}
    assert len(service.tasks({"desired-state": "running"})) == 2
