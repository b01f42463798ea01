"""Nodes of a swarm over real wires: joining, roles, leaders, quorum, and what each is refused."""

from __future__ import annotations

import pytest
from support.cluster import Cluster

from cnmsim import Lab
from cnmsim.errors import EngineError, InvalidParameter, SystemFault, Unavailable
from cnmsim.swarm.identity import parse_unlock_key


def test_a_worker_joins_with_the_workers_token_and_may_change_nothing() -> None:
    cluster = Cluster(2)
    assert {node.hostname: node.status for node in cluster.docker(1).nodes.list()} == {
        "node1": "ready",
        "node2": "ready",
    }
    with pytest.raises(Unavailable, match="Worker nodes can't be used to view or modify cluster state"):
        cluster.docker(2).nodes.list()
    with pytest.raises(Unavailable, match="already part of a swarm"):
        cluster.docker(2).swarm.init()


def test_what_a_join_is_refused_for() -> None:
    lab = Lab()
    node1 = lab.add_host("node1", "10.9.0.1/24", docker=True).docker
    node2 = lab.add_host("node2", "10.9.0.2/24", docker=True).docker
    assert node1 is not None
    assert node2 is not None
    token = node1.swarm.init().tokens.worker
    head, _, secret = token.rpartition("-")
    with pytest.raises(InvalidParameter, match=r"^invalid join token$"):
        node2.swarm.join("SWMTKN-1-nonsense", "10.9.0.1:2377")
    with pytest.raises(EngineError, match="A valid join token is necessary to join this cluster"):
        node2.swarm.join(f"{head}-{'0' * len(secret)}", "10.9.0.1:2377")
    with pytest.raises(SystemFault, match=r"remote CA does not match fingerprint. Expected: [0-9a-f]{64}"):
        node2.swarm.join(f"SWMTKN-1-{'1' * 50}-{secret}", "10.9.0.1:2377")
    assert node2.cluster.state == "inactive"
    with pytest.raises(EngineError, match="connection refused"):
        node2.swarm.join(token, "10.9.0.1:2378")
    node1.swarm.update(rotate_worker_token=True)
    with pytest.raises(EngineError, match="A valid join token is necessary"):
        node2.swarm.join(token, "10.9.0.1:2377")
    node2.swarm.join(node1.swarm.tokens.worker, "10.9.0.1:2377")
    assert node2.cluster.state == "active"


def test_a_join_through_a_closed_port_times_out_and_goes_on_in_the_background() -> None:
    lab = Lab()
    host = lab.add_host("node1", "10.9.0.1/24", docker=True)
    node2 = lab.add_host("node2", "10.9.0.2/24", docker=True).docker
    assert node2 is not None
    token = host.docker.swarm.init().tokens.worker
    host.exec("iptables -I INPUT -p tcp --dport 2377 -j DROP")
    began = lab.now
    with pytest.raises(Unavailable, match="Timeout was reached"):
        node2.swarm.join(token, "10.9.0.1:2377")
    assert lab.now - began == pytest.approx(20, abs=0.1)
    assert node2.cluster.state == "pending"
    host.exec("iptables -D INPUT -p tcp --dport 2377 -j DROP")
    lab.run(30)
    assert node2.cluster.state == "active"


def test_promotion_and_demotion_change_who_manages() -> None:
    cluster = Cluster(3)
    one, two = cluster.docker(1), cluster.docker(2)
    one.nodes.get("node2").update(Role="manager")
    cluster.lab.run(5)
    assert {node.hostname for node in two.nodes.list()} == {"node1", "node2", "node3"}
    assert two.info()["Swarm"]["ControlAvailable"] is True
    assert two.info()["Swarm"]["Warnings"][0].startswith("WARNING: Running Swarm in a two-manager configuration")
    two.networks.create("made-by-two", driver="overlay")
    assert "made-by-two" in {network.name for network in one.networks.list()}
    one.nodes.get("node2").update(Role="worker")
    cluster.lab.run(5)
    with pytest.raises(Unavailable, match="Worker nodes"):
        two.nodes.list()
    with pytest.raises(EngineError, match="attempting to demote the last manager of the swarm"):
        one.nodes.get("node1").update(Role="worker")


def test_a_demoted_manager_is_promoted_again_at_once() -> None:
    cluster = Cluster(2)
    one, two = cluster.docker(1), cluster.docker(2)
    for role, is_manager in (("manager", True), ("worker", False)) * 2:
        one.nodes.get("node2").update(Role=role)
        cluster.lab.run(5)
        assert two.info()["Swarm"]["ControlAvailable"] is is_manager


def test_a_manager_that_joins_late_costs_the_leader_nothing() -> None:
    cluster = Cluster(2)
    cluster.lab.run(100)
    one = cluster.docker(1)
    term = one.cluster.manager_node.raft.term
    cluster.docker(2).swarm.leave()
    cluster.docker(2).swarm.join(one.swarm.tokens.manager, "10.9.0.1:2377")
    cluster.lab.run(5)
    assert cluster.leaders() == ["node1"]
    assert one.cluster.manager_node.raft.term == term


@pytest.mark.parametrize(("managers", "warns"), [(1, False), (2, True), (3, False)])
def test_two_managers_are_warned_of(managers: int, warns: bool) -> None:
    info = Cluster(3, managers=managers).docker(1).info()["Swarm"]
    assert info["Managers"] == managers
    warnings = info.get("Warnings", [])
    assert [text.splitlines()[0] for text in warnings] == [
        "WARNING: Running Swarm in a two-manager configuration. This configuration provides"
    ] * warns


def test_the_leader_demotes_itself_by_letting_another_lead() -> None:
    cluster = Cluster(3, managers=3)
    cluster.lab.run(5)
    assert cluster.leaders() == ["node1"]
    cluster.docker(1).nodes.get("node1").update(Role="worker")
    cluster.lab.run(30)
    assert len(cluster.leaders()) == 1
    assert cluster.leaders() != ["node1"]
    roles = {node.hostname: node.attrs["Spec"]["Role"] for node in cluster.docker(2).nodes.list()}
    assert roles == {"node1": "worker", "node2": "manager", "node3": "manager"}
    assert cluster.docker(1).cluster.manager_node is None


def test_a_leader_that_is_cut_off_is_replaced_and_comes_back_as_a_follower() -> None:
    cluster = Cluster(3, managers=3)
    cluster.lab.run(5)
    cluster.isolate(cluster.hosts[0])
    cluster.lab.run(5)
    with pytest.raises(EngineError, match="The swarm does not have a leader"):
        cluster.docker(1).nodes.list()
    cluster.lab.run(60)
    assert len(cluster.leaders()) == 1
    (leader,) = cluster.leaders()
    assert leader != "node1"
    number = int(leader[-1])
    states = {node.hostname: node.status for node in cluster.docker(number).nodes.list()}
    assert states["node1"] == "down"
    cluster.docker(number).networks.create("made-meanwhile", driver="overlay")
    cluster.rejoin(cluster.hosts[0])
    cluster.lab.run(60)
    # Its term has grown meanwhile, so there is another election (SwarmKit sets no PreVote), which it cannot win.
    assert cluster.leaders() in (["node2"], ["node3"])
    assert "made-meanwhile" in {network.name for network in cluster.docker(1).networks.list()}
    assert {node.hostname: node.status for node in cluster.docker(1).nodes.list()}["node1"] == "ready"


def test_without_a_quorum_nothing_can_be_changed_but_tasks_run_on() -> None:
    cluster = Cluster(3, managers=3)
    docker = cluster.docker(1)
    docker.networks.create("net", driver="overlay")
    docker.services.create("alpine", "sleep 1d", name="job", networks=["net"], mode="global")
    cluster.lab.settle()
    for host in cluster.hosts[1:]:
        cluster.isolate(host)
    cluster.lab.run(40)
    assert cluster.leaders() == []
    with pytest.raises(EngineError, match=r"The swarm does not have a leader\. It's possible that too few managers"):
        docker.services.get("job").scale(1)
    assert [container.status for container in docker.containers.list()] == ["running"]
    for host in cluster.hosts[1:]:
        cluster.rejoin(host)
    cluster.lab.run(90)
    assert len(cluster.leaders()) == 1
    assert docker.services.get("job").name == "job"


def test_leaving_takes_tasks_and_networks_along() -> None:
    cluster = Cluster(2)
    one, two = cluster.docker(1), cluster.docker(2)
    one.services.create("nginx", name="web", replicas=2, ports={8080: 80})
    cluster.lab.settle()
    assert len(two.containers.list()) == 1
    two.swarm.leave()
    assert two.containers.list(all=True) == []
    assert {network.name for network in two.networks.list()} == {"bridge", "host", "none", "docker_gwbridge"}
    assert two.info()["Swarm"]["LocalNodeState"] == "inactive"
    cluster.lab.run(40)
    assert {node.hostname: node.status for node in one.nodes.list()} == {"node1": "ready", "node2": "down"}
    one.nodes.get("node2").remove()
    with pytest.raises(Unavailable, match="Removing the last manager erases all current state of the swarm"):
        one.swarm.leave()
    one.swarm.leave(force=True)
    assert one.containers.list(all=True) == []
    one.swarm.init()
    assert len(one.nodes.list()) == 1


def test_a_node_that_is_cut_off_is_down_after_three_heartbeats_and_its_tasks_move() -> None:
    cluster = Cluster(3)
    docker = cluster.docker(1)
    docker.nodes.get("node1").update(Availability="drain")
    service = docker.services.create("alpine", "sleep 1d", name="job", replicas=1)
    cluster.lab.settle()
    (task,) = [each for each in service.tasks() if each["DesiredState"] == "running"]
    home = docker.nodes.get(task["NodeID"])
    host = cluster.lab.host(home.hostname)
    cluster.isolate(host)
    began = cluster.lab.now
    while home.status == "ready":
        cluster.lab.run(0.5)
    assert 8 <= cluster.lab.now - began <= 17
    cluster.lab.run(10)
    (moved,) = [
        each for each in service.tasks() if each["DesiredState"] == "running" and each["Status"]["State"] == "running"
    ]
    assert moved["NodeID"] != task["NodeID"]
    cluster.rejoin(host)
    cluster.lab.run(40)
    assert home.status == "ready"
    assert host.docker.containers.list() == []


def test_certificates_are_renewed_before_they_expire() -> None:
    cluster = Cluster(2)
    docker = cluster.docker(1)
    docker.swarm.update(CAConfig={"NodeCertExpiry": 3600 * 10**9})
    node = cluster.docker(2).cluster.node
    assert node is not None
    cluster.lab.run(1)
    client = cluster.docker(2).complete(node.renew_certificate())
    assert client.not_after_s - cluster.lab.clock.wall_s == pytest.approx(3600, abs=31)
    for _ in range(4):
        cluster.lab.run(1500)
        assert node.certificate is not None
        assert node.certificate.is_valid_at(cluster.lab.clock.wall_s)
    assert {each.status for each in docker.nodes.list()} == {"ready"}
    fork = cluster.lab.fork()
    copy = fork.hosts["node2"].docker.cluster.node
    assert copy is not None and copy.certificate is not None
    not_after_s = copy.certificate.not_after_s
    fork.run(0.8 * 3600)  # a certificate is renewed after 50 to 80 % of its lifetime
    assert copy.certificate.not_after_s > not_after_s


@pytest.mark.parametrize("engine", ["26.1.5", "28.5.2", "29.7.2"])
def test_a_node_that_left_publishes_nothing_any_more(engine: str) -> None:
    cluster = Cluster(3, engine=engine)
    cluster.docker(1).services.create("nginx", name="web", replicas=4, ports={8080: 80})
    cluster.lab.settle()
    node2 = cluster.hosts[1]
    assert "--dport 8080" in node2.iptables("-t nat -S DOCKER-INGRESS")
    assert cluster.hosts[2].curl("http://10.9.0.2:8080").succeeded
    cluster.docker(2).swarm.leave()
    cluster.lab.run(1)
    assert "8080" not in node2.exec("iptables-save").output
    assert not [info for info in node2.namespace.sockets.listeners() if info.local_port == 8080]
    assert cluster.hosts[2].curl("http://10.9.0.2:8080").status == 7, "refused: nobody listens there"
    cluster.docker(2).swarm.join(cluster.docker(1).swarm.tokens.worker, "10.9.0.1:2377")
    cluster.lab.run(20)
    cluster.lab.settle()
    assert cluster.hosts[2].curl("http://10.9.0.2:8080").succeeded


def test_a_node_that_leaves_takes_its_containers_off_the_swarms_networks() -> None:
    cluster = Cluster(2)
    cluster.docker(1).networks.create("open", driver="overlay", attachable=True)
    docker = cluster.docker(2)
    container = docker.containers.run("alpine", "sleep 1d", name="own", network="open", detach=True)
    assert "open" in container.attrs["NetworkSettings"]["Networks"]
    docker.swarm.leave()
    container.reload()
    assert (container.status, container.attrs["NetworkSettings"]["Networks"]) == ("running", {})
    assert "open" not in {network.name for network in docker.networks.list()}
    assert container.exec("ip -o -4 addr").output.split()[1] == "lo"


def test_the_settings_of_a_new_swarm_may_be_refused_after_it_is_there() -> None:
    docker = Lab().add_host("node1", "10.9.0.1/24", docker=True).docker
    with pytest.raises(
        SystemFault, match=r"^error updating cluster settings: .*minimum certificate expiry time is: 1h0m0s$"
    ):
        docker.swarm.init(node_cert_expiry=60_000_000_000)
    assert docker.cluster.state == "active"
    assert docker.swarm.attrs["Spec"]["CAConfig"]["NodeCertExpiry"] == 90 * 24 * 3600 * 10**9


def test_a_task_whose_container_is_restarted_by_hand_has_come_to_its_end() -> None:
    cluster = Cluster(1)
    docker = cluster.docker(1)
    service = docker.services.create(
        "alpine", "sleep infinity", name="web", log_driver="json-file", log_driver_options={"max-size": "1m"}
    )
    cluster.lab.settle()
    (container,) = docker.containers.list()
    assert container.attrs["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
    container.restart(timeout=1)
    cluster.lab.run(15)
    states = sorted((task["DesiredState"], task["Status"].get("Err", "")) for task in service.tasks())
    assert states == [("running", ""), ("shutdown", "task: non-zero exit (137)")]


def test_a_manager_knows_the_key_that_locks_its_disk() -> None:
    cluster = Cluster(2)
    nodes = [cluster.docker(number).cluster.node for number in (1, 2)]
    assert [node.lock_key for node in nodes if node is not None] == [b"", b""]
    swarm = cluster.docker(1).swarm
    swarm.update(EncryptionConfig={"AutoLockManagers": True})
    cluster.lab.run(1)
    printed = swarm.get_unlock_key()["UnlockKey"]
    assert [node.lock_key for node in nodes if node is not None] == [parse_unlock_key(printed), b""]


def test_logs_of_a_service_come_from_every_node() -> None:
    cluster = Cluster(2)
    one = cluster.docker(1)
    command = ["sh", "-c", "hostname; sleep 1d"]
    one.services.create("alpine", command=command, hostname="{{.Node.Hostname}}", mode="global", name="said")
    cluster.lab.run(5)
    lines = b"".join(one.services.get("said").logs(stdout=True)).decode().split()
    assert sorted(lines) == ["node1", "node2"]
