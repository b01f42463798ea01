"""The routing mesh: every node answers for a service, whatever happens to its tasks and to the nodes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.engine.client.services import Service
from cnmsim.engine.images.catalogue import ImageMeaning
from cnmsim.lab.host import Host
from cnmsim.lab.recorded_images import add_recorded_images

NODES = ("node1", "node2", "node3", "node4")


class Mesh:
    """Four nodes, a client beside them, and a web server that tells which task answers whom."""

    def __init__(self, release: str = "29.7.2") -> None:
        self.lab = Lab(engine=release)
        add_recorded_images(self.lab.images)
        for number, name in enumerate(NODES, 1):
            self.lab.add_host(name, f"172.31.1.{number}/24", docker=True)
        self.client = self.lab.add_host("client", "172.31.1.50/24")
        leader = self.docker("node1")
        token = leader.swarm.init(advertise_addr="172.31.1.1").tokens.worker
        for name in NODES[1:]:
            self.docker(name).swarm.join(token, "172.31.1.1:2377")
        self.lab.settle()

    def docker(self, name: str) -> Any:
        return self.lab.host(name).docker

    def serve(self, **options: Any) -> Service:
        options = {"ports": {8080: 80}, "replicas": 4, **options}
        service: Service = self.docker("node1").services.create("nginx", name="web", **options)
        self.lab.settle()
        return service

    def ask(self, node: str, asker: Host | None = None, url: str | None = None) -> dict[str, str]:
        """Ask a node for the page that says who answered, and whom; empty if nobody did."""
        asker = asker or self.client
        address = self.lab.host(node).address
        text = asker.curl(url or f"http://{address}:8080/cgi-bin/whoami", timeout_s=2).output
        return dict(word.split("=", 1) for word in text.split())

    def answers(self, node: str, count: int) -> Counter[str]:
        """Count who answers how often; "" where nobody did."""
        return Counter(self.ask(node).get("host", "") for _ in range(count))

    def tasks(self, service: Service) -> dict[str, str]:
        """Give the host name of each running task's container, with its node's name."""
        hostnames = {each.id: each.hostname for each in self.docker("node1").nodes.list()}
        tasks = [each for each in service.tasks() if each["Status"]["State"] == each["DesiredState"] == "running"]
        return {each["Status"]["ContainerStatus"]["ContainerID"][:12]: hostnames[each["NodeID"]] for each in tasks}

    def balancer(self, node: str) -> str:
        """Give the address of a node on the ingress network, from which its tasks are asked."""
        containers = self.docker(node).networks.get("ingress").attrs["Containers"]
        address: str = next(each["IPv4Address"] for key, each in containers.items() if key == "ingress-sbox")
        return address.partition("/")[0]


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


@pytest.mark.parametrize("release", ["26.1.5", "28.5.2", "29.7.2"])
def test_every_node_answers_and_balances_evenly(release: str) -> None:
    mesh = Mesh(release)
    service = mesh.serve(replicas=3)
    assert len(mesh.tasks(service)) == 3
    for node in NODES:
        found = mesh.answers(node, 10)
        assert found.keys() == mesh.tasks(service).keys()
        assert max(found.values()) - min(found.values()) <= 1, f"{node}: {found}"


def test_all_connections_at_once_are_balanced(mesh: Mesh) -> None:
    service = mesh.serve(replicas=4)
    total: Counter[str] = Counter()
    for node in NODES:
        total += mesh.answers(node, 9)
    assert total.keys() == mesh.tasks(service).keys()
    assert sum(total.values()) == 36
    assert max(total.values()) - min(total.values()) <= len(NODES), "each node is even within one"


def test_a_removed_replica_is_missed_by_nobody(mesh: Mesh) -> None:
    service = mesh.serve()
    service.scale(2)
    mesh.lab.settle()
    assert len(mesh.tasks(service)) == 2
    for node in NODES:
        found = mesh.answers(node, 8)
        assert set(found) == set(mesh.tasks(service)), f"{node}: {found}"
        assert set(found.values()) == {4}


def test_a_drained_node_still_answers_through_others(mesh: Mesh) -> None:
    service = mesh.serve()
    mesh.docker("node1").nodes.get("node3").update(Availability="drain")
    mesh.lab.settle()
    assert set(mesh.tasks(service).values()) == {"node1", "node2", "node4"}
    for node in NODES:
        found = mesh.answers(node, 8)
        assert set(found) == set(mesh.tasks(service)), f"{node}: {found}"


def test_a_node_that_is_cut_off_is_replaced(mesh: Mesh) -> None:
    service = mesh.serve()
    lost = mesh.lab.host("node4")
    lost.exec("ip link set eth0 down")
    mesh.lab.run(60)
    mesh.lab.settle()
    assert set(mesh.tasks(service).values()) >= {"node1", "node2", "node3"}
    replaced = {key for key, node in mesh.tasks(service).items() if node != "node4"}
    assert len(replaced) == 4
    for node in NODES[:3]:
        found = mesh.answers(node, 8)
        assert set(found) == replaced, f"{node}: {found}"
        assert set(found.values()) == {2}
    assert mesh.ask("node4") == {}
    lost.exec("ip link set eth0 up")
    mesh.lab.run(60)
    mesh.lab.settle()
    assert mesh.answers("node4", 4).keys() == replaced, "a node that is back answers again, through others"


def test_a_task_that_dies_is_replaced(mesh: Mesh) -> None:
    service = mesh.serve(restart_policy={"Condition": "any", "Delay": 1_000_000_000})
    victim = next(iter(mesh.tasks(service)))
    mesh.docker(mesh.tasks(service)[victim]).containers.get(victim).kill()
    mesh.lab.run(5)
    mesh.lab.settle()
    assert len(mesh.tasks(service)) == 4
    for node in NODES:
        found = mesh.answers(node, 8)
        assert set(found) == set(mesh.tasks(service)), f"{node}: {found}"


def test_a_service_that_is_gone_is_refused(mesh: Mesh) -> None:
    service = mesh.serve()
    service.remove()
    mesh.lab.settle()
    for node in NODES:
        assert "Connection refused" in mesh.client.exec(f"curl -v http://{mesh.lab.host(node).address}:8080/").output


def test_host_mode_answers_where_a_task_is(mesh: Mesh) -> None:
    service = mesh.serve(ports={8080: (80, "tcp", "host")}, replicas=2)
    nodes = set(mesh.tasks(service).values())
    assert len(nodes) == 2
    for node in NODES:
        found = mesh.ask(node)
        assert bool(found) is (node in nodes), f"{node}: {found}"
        if found:
            assert mesh.tasks(service)[found["host"]] == node
            assert found["client"].endswith("172.31.1.50]"), "no balancer is in between"


def test_whom_a_task_sees(mesh: Mesh) -> None:
    service = mesh.serve(replicas=1)
    mesh.docker("node2").containers.run("alpine", "sleep 1d", name="inside", detach=True)
    for node in NODES:
        want = mesh.balancer(node)
        host = mesh.lab.host(node)
        assert mesh.ask(node)["client"].endswith(f"{want}]"), "another machine"
        assert mesh.ask(node, host)["client"].endswith(f"{want}]"), "the node itself"
        assert mesh.ask(node, host, "http://127.0.0.1:8080/cgi-bin/whoami")["client"].endswith(f"{want}]"), "loopback"
    inside = mesh.lab.container("inside").exec_run(["wget", "-qO-", "http://172.31.1.2:8080/cgi-bin/whoami"]).output
    assert mesh.balancer("node2") in inside.decode(), "a container of the node"
    assert len(mesh.tasks(service)) == 1


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_a_rolling_update_loses_no_connection(mesh: Mesh, order: str) -> None:
    service = mesh.serve(update_config={"Parallelism": 1, "Delay": 2_000_000_000, "Order": order})
    before = set(mesh.tasks(service))
    service.force_update()
    lost = []
    while service.attrs["UpdateStatus"]["State"] == "updating":
        lost += [(mesh.lab.now, node) for node in NODES if not mesh.ask(node)]
        mesh.lab.run(0.2)
    assert not lost
    assert len(mesh.tasks(service)) == 4
    assert not before & set(mesh.tasks(service))


def test_a_connection_that_is_open_stays_with_its_task(mesh: Mesh) -> None:
    mesh.lab.images.add("acme/echo", ImageMeaning(("nc", "-lk", "-p", "7000", "-e", "cat")))
    service = mesh.docker("node1").services.create("acme/echo", name="echo", ports={7000: 7000}, replicas=2)
    mesh.lab.settle()
    told = mesh.client.exec("(echo one; sleep 20; echo two; sleep 2) | nc -w 40 172.31.1.4 7000 & sleep 5; wait")
    assert told.output.split() == ["one", "two"]
    assert len(mesh.tasks(service)) == 2


def test_whom_a_task_sees_of_other_tasks(mesh: Mesh) -> None:
    docker = mesh.docker("node1")
    network = docker.networks.create("front", driver="overlay", attachable=True)
    mesh.serve(replicas=1, networks=["front"])
    docker.services.create("nginx", name="direct", networks=["front"], endpoint_mode="dnsrr")
    asker = mesh.docker("node2").containers.run("alpine", "sleep 1d", name="asker", network="front", detach=True)
    mesh.lab.settle()
    own = asker.attrs["NetworkSettings"]["Networks"]["front"]["IPAddress"]
    members = mesh.docker("node2").networks.get(network.id).attrs["Containers"]
    balancer = members["lb-front"]["IPv4Address"].partition("/")[0]

    def seen(name: str) -> str:
        answer = asker.exec_run(["wget", "-qO-", f"http://{name}/cgi-bin/whoami"]).output.decode()
        return answer.rpartition(":")[2].rstrip("]\n")

    assert seen("web") == balancer, "by the service's name the node's own balancer is in between"
    assert seen("tasks.web") == own
    assert seen("direct") == own


def test_an_ingress_network_over_the_lan_is_told() -> None:
    lab = Lab()
    node1, _ = (lab.add_host(f"node{n}", f"10.0.0.{n}/24", docker=True) for n in (11, 12))
    lab.add_host("client", "10.0.0.50/24")
    docker = node1.docker
    docker.swarm.init(advertise_addr="10.0.0.11")
    docker.services.create("nginx", name="web", ports={8080: 80})
    lab.settle()
    finding = lab.trace("client", "node11:8080").finding
    assert "10.0.0.50 is client, a host, but the subnet of network ingress holds that address too" in str(finding)
    assert "--default-addr-pool" in finding.advice


@pytest.mark.parametrize("delays", [(0, 0), (0.02, 0.5), (1.5, 0.3)])
def test_a_port_that_went_and_came_back_before_the_update_converged_answers(delays):
    mesh = Mesh()
    service = mesh.serve(replicas=2)
    for delay_s in delays:
        service.update(ports={})
        mesh.lab.run(delay_s)
        service.update(ports={8080: 80})
        mesh.lab.run(delay_s)
    mesh.lab.settle()
    for node in NODES:
        assert set(mesh.answers(node, 2)) == set(mesh.tasks(service))
