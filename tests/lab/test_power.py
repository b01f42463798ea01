"""Hosts that lose power and get it back: what stands still, what comes again, and what a swarm makes of it."""

from __future__ import annotations

import pytest
from support.swarm_lab import Swarm

from cnmsim import Lab
from cnmsim.errors import Conflict, InvalidParameter, NotFound, Unauthorized, Unavailable


def test_containers_die_and_come_back_as_their_policies_say() -> None:
    lab = Lab()
    host = lab.add_host("node1", "10.0.0.1/24", docker=True)
    client = lab.add_host("client", "10.0.0.2/24")
    engine = host.docker
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
    assert not host.has_docker
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


LOCKED = "Swarm is encrypted and needs to be unlocked before it can be used"


def autolocked() -> tuple[Swarm, str]:
    swarm = Swarm(3, managers=3)
    one = swarm.engine(1)
    assert one.swarm.get_unlock_key() == {"UnlockKey": ""}
    one.swarm.update(EncryptionConfig={"AutoLockManagers": True})
    key = one.swarm.get_unlock_key()["UnlockKey"]
    assert key.startswith("SWMKEY-1-")
    assert len(key) == 52
    with pytest.raises(Conflict, match="swarm is not locked"):
        one.swarm.unlock(key)
    return swarm, key


def restart(swarm: Swarm, number: int) -> None:
    host = swarm.lab.hosts[f"node{number}"]
    host.power_off()
    swarm.lab.run(30)
    host.power_on()
    swarm.lab.run(30)


def test_a_manager_that_locks_itself_waits_for_its_key() -> None:
    swarm, key = autolocked()
    restart(swarm, 2)
    two = swarm.engine(2)
    state = two.info()["Swarm"]
    assert (state["LocalNodeState"], state["ControlAvailable"], state["NodeID"]) == ("locked", False, "")
    assert state["Error"].startswith(LOCKED)
    assert swarm.status("node2") == "down"
    assert swarm.running() == ["node1", "node1", "node3"] or swarm.running() == ["node1", "node3", "node3"]
    said = swarm.lab.explain("client", "node2:8080")
    assert "node2 takes no part in the swarm: Swarm is encrypted" in " ".join(str(said).split())
    assert "advice (not tried): docker swarm unlock on node2" in str(said)
    assert [fault.place for fault in swarm.lab.doctor().of("swarm-halted")] == ["node2"]
    with pytest.raises(Unavailable, match=LOCKED):
        two.nodes.list()
    with pytest.raises(Unavailable, match="Please unlock it first or use `--force`"):
        two.swarm.leave()
    with pytest.raises(Unavailable, match="Worker nodes can't be used"):
        two.swarm.init(force_new_cluster=True)
    with pytest.raises(InvalidParameter, match="invalid key string"):
        two.swarm.unlock("key")
    with pytest.raises(Unauthorized, match="invalid key provided"):
        two.swarm.unlock(key[:-4] + "AAAA")
    two.swarm.unlock({"UnlockKey": key})
    assert two.info()["Swarm"]["LocalNodeState"] == "active"
    assert [node.status for node in two.nodes.list()] == ["ready"] * 3


def test_a_key_rotated_meanwhile_does_not_unlock_and_workers_do_not_lock() -> None:
    swarm, key = autolocked()
    host, one = swarm.lab.hosts["node2"], swarm.engine(1)
    host.power_off()
    swarm.lab.run(30)
    one.swarm.update(rotate_manager_unlock_key=True)
    other = one.swarm.get_unlock_key()["UnlockKey"]
    assert other != key
    host.power_on()
    with pytest.raises(Unauthorized):
        swarm.engine(2).swarm.unlock(other)
    swarm.engine(2).swarm.unlock(key)
    restart(swarm, 2)
    swarm.engine(2).swarm.unlock(other)
    swarm.lab.settle()
    one.nodes.get("node3").update(Role="worker")
    swarm.lab.settle()
    restart(swarm, 3)
    assert swarm.engine(3).info()["Swarm"]["LocalNodeState"] == "active"


def test_a_locked_manager_leaves_by_force_only() -> None:
    swarm, _ = autolocked()
    restart(swarm, 2)
    assert swarm.engine(2).swarm.leave(force=True)
    assert swarm.engine(2).info()["Swarm"]["LocalNodeState"] == "inactive"


def test_a_node_that_was_off_for_the_life_of_its_certificate_is_out() -> None:
    swarm = Swarm(2)
    swarm.engine(1).swarm.update(CAConfig={"NodeCertExpiry": 3600 * 10**9})
    engine = swarm.engine(2)
    assert engine.cluster.node is not None
    engine.complete(engine.cluster.node.renew_certificate())
    host = swarm.lab.hosts["node2"]
    host.power_off()
    swarm.lab.run(3700)
    host.power_on()
    state = swarm.engine(2).info()["Swarm"]
    assert (state["LocalNodeState"], state["Error"]) == (
        "error", "Swarm certificates have expired. To replace them, leave the swarm and join again.",
    )  # fmt: skip
    swarm.engine(2).swarm.leave()
    assert swarm.engine(2).info()["Swarm"]["LocalNodeState"] == "inactive"


def test_the_first_of_several_locked_managers_finds_no_leader_before_another_is_unlocked() -> None:
    swarm, key = autolocked()
    for number in (1, 2, 3):
        swarm.lab.hosts[f"node{number}"].power_off()
    swarm.lab.run(5)
    for number in (1, 2, 3):
        swarm.lab.hosts[f"node{number}"].power_on()
    swarm.lab.run(5)
    begun = swarm.lab.now
    with pytest.raises(TimeoutError):
        swarm.engine(1).swarm.unlock(key, timeout_s=30)
    assert swarm.lab.now == pytest.approx(begun + 30)
    swarm.engine(2).swarm.unlock(key)
    swarm.lab.run(10)
    assert [swarm.engine(number).info()["Swarm"]["LocalNodeState"] for number in (1, 2, 3)] == [
        "active",
        "active",
        "locked",
    ]
    assert {service.name for service in swarm.engine(1).services.list()} == {"web"}


def test_docker_of_a_host_without_an_engine_says_how_to_get_one():
    lab = Lab()
    client = lab.add_host("client", "10.0.0.50/24")
    assert not client.has_docker
    with pytest.raises(NotFound, match=r"client has no Docker engine: add_host\('client', …, docker=True\)"):
        _ = client.docker


def test_docker_of_a_host_without_power_says_so():
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    node.power_off()
    with pytest.raises(NotFound, match=r"node1 has no power: power_on\(\)"):
        _ = node.docker
    node.power_on()
    assert node.docker.version()["Version"]
