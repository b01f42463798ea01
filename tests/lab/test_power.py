"""Hosts that lose power and get it back: what stands still, what comes again, and what a swarm makes of it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from swarmlab import Swarm

from cnmsim import Lab


def test_containers_die_and_come_back_as_their_policies_say() -> None:
    lab = Lab()
    host = lab.add_host("node1", "10.0.0.1/24", docker=True)
    client = lab.add_host("client", "10.0.0.2/24")
    engine = host.docker
    assert engine is not None
    for name, policy in (
        ("always", "always"),
        ("unless", "unless-stopped"),
        ("never", "no"),
        ("stopped", "unless-stopped"),
    ):
        port = {"always": 8080}.get(name)
        engine.containers.run(
            "nginx", name=name, detach=True, restart_policy={"Name": policy}, ports={"80/tcp": port} if port else None
        )
    engine.containers.run("nginx", name="removed", detach=True, auto_remove=True)
    engine.containers.get("stopped").stop()
    host.start("nc -lk -p 7000")
    lab.settle()
    assert client.curl("http://10.0.0.1:8080").succeeded
    host.power_off()
    assert not host.is_on
    assert host.docker is None
    host.power_off()
    assert not client.ping("10.0.0.1").succeeded
    lab.run(60)
    host.power_on()
    assert host.docker is engine
    host.power_on()
    lab.settle()
    assert {each.name: each.status for each in engine.containers.list(all=True)} == {
        "always": "running", "unless": "running", "never": "exited", "stopped": "exited",
    }  # fmt: skip
    assert engine.containers.get("never").attrs["State"]["ExitCode"] == 255
    assert client.curl("http://10.0.0.1:8080").succeeded
    assert not client.exec("nc -z -w 1 10.0.0.1 7000").succeeded, "what was started by hand is gone"


def test_a_web_server_is_there_again() -> None:
    lab = Lab()
    web = lab.add_host("web", "10.0.0.1/24", web=True)
    client = lab.add_host("client", "10.0.0.2/24")
    lab.run(1)
    web.power_off()
    assert not client.curl("http://10.0.0.1/").succeeded
    web.power_on()
    lab.run(1)
    assert client.curl("http://10.0.0.1/").succeeded


def test_a_worker_without_power_is_replaced_and_comes_back_empty() -> None:
    swarm = Swarm()
    node3 = swarm.lab.host("node3")
    node3.power_off()
    gossip_s = swarm.after(lambda: swarm.backends() == 2)
    down_s = gossip_s + swarm.after(lambda: swarm.status("node3") == "down")
    assert 3.5 <= gossip_s <= 8
    assert 8.5 <= down_s <= 16.5
    swarm.after(lambda: "node3" not in swarm.running() and len(swarm.running()) == 3)
    node3.power_on()
    assert swarm.after(lambda: swarm.status("node3") == "ready") < 15
    swarm.lab.run(20)
    swarm.lab.settle()
    assert len(swarm.running()) == 3
    assert "node3" not in swarm.running()
    assert swarm.lab.host("client").curl("http://10.9.0.3:8080").succeeded, "it takes part in the mesh again"
    assert swarm.backends() == 3


def test_a_short_outage_fails_the_tasks_and_they_are_replaced() -> None:
    swarm = Swarm()
    node3 = swarm.lab.host("node3")
    node3.power_off()
    swarm.lab.run(2)
    node3.power_on()
    swarm.lab.run(25)
    swarm.lab.settle()
    states = [task["Status"]["State"] for task in swarm.web.tasks()]
    assert states.count("failed") == 1
    assert states.count("running") == 3
    assert swarm.backends() == 3


def test_power_is_lost_while_a_task_is_prepared() -> None:
    swarm = Swarm()
    swarm.engine(1).services.create("nginx", name="everywhere", mode="global", ports={8081: 80})
    swarm.lab.run(0.1)
    swarm.lab.host("node3").power_off()
    swarm.lab.run(1)
    swarm.lab.host("node3").power_on()
    swarm.lab.run(30)
    swarm.lab.settle()
    states = [task["Status"]["State"] for task in swarm.engine(1).services.get("everywhere").tasks()]
    assert states.count("running") == 3
    assert swarm.lab.host("client").curl("http://10.9.0.3:8081").succeeded


def test_the_only_manager_goes_on_with_the_cluster_it_had() -> None:
    swarm = Swarm()
    node1 = swarm.lab.host("node1")
    before = {node.id for node in swarm.engine(1).nodes.list()}
    node1.power_off()
    swarm.lab.run(30)
    assert swarm.lab.host("client").curl("http://10.9.0.2:8080").succeeded, "what runs goes on without managers"
    node1.power_on()
    swarm.lab.run(60)
    swarm.lab.settle()
    nodes = swarm.engine(1).nodes.list()
    assert {node.id for node in nodes} == before
    assert {node.status for node in nodes} == {"ready"}
    assert len(swarm.running()) == 3
    swarm.web.scale(5)
    swarm.lab.run(10)
    swarm.lab.settle()
    assert len(swarm.running()) == 5
    for number in (1, 2, 3):
        assert swarm.lab.host("client").curl(f"http://10.9.0.{number}:8080").succeeded


def test_one_of_three_managers_catches_up() -> None:
    swarm = Swarm(3, managers=3)
    swarm.lab.host("node1").power_off()
    swarm.lab.run(40)
    swarm.engine(2).services.create("nginx", name="more")
    swarm.lab.run(5)
    swarm.lab.host("node1").power_on()
    swarm.lab.run(40)
    swarm.lab.settle()
    assert {service.name for service in swarm.engine(1).services.list()} == {"web", "more"}
    reachable = {node.attrs["ManagerStatus"]["Reachability"] for node in swarm.engine(2).nodes.list()}
    assert reachable == {"reachable"}
