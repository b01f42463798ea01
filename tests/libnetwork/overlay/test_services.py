"""Services on an overlay network: their names, their virtual address, and who answers there."""

from __future__ import annotations

import pytest
from support.overlay_nodes import VERSIONS, Swarm, ask, ping, serve

from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.libnetwork.networkdb.convergence import is_converged
from cnmsim.libnetwork.networkdb.databases import databases_of
from cnmsim.libnetwork.options import PortConfig, ServiceBinding
from cnmsim.libnetwork.profile import PROFILES

VIP = parse_ip("10.0.1.9")


def _service(*aliases: str, virtual_ip: bytes | None = VIP, ports: tuple[PortConfig, ...] = ()) -> ServiceBinding:
    return ServiceBinding("svc1", "web", aliases, virtual_ip, ports)


def _swarm(version: str = "29.7.2", count: int = 2) -> Swarm:
    """Nodes on `net`, and a plain container `client` 10.0.1.20 on the first."""
    swarm = Swarm(count, version)
    swarm.define("net")
    for number, node in enumerate(swarm.nodes):
        node.network("net", lb=f"10.0.1.{2 + number}")
    swarm.nodes[0].run("client", "net=10.0.1.20")
    swarm.settle()
    return swarm


def _task(swarm: Swarm, number: int, name: str, address: str, service: ServiceBinding) -> None:
    swarm.nodes[number].run(name, f"net={address}", service=service)
    serve(swarm.nodes[number].namespace(name), 80)
    swarm.settle()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_name_of_a_service_is_its_virtual_address_on_every_node(version: str) -> None:
    swarm = _swarm(version)
    _task(swarm, 0, "web.1", "10.0.1.10", _service("www"))
    _task(swarm, 1, "web.2", "10.0.1.11", _service("www"))
    node = swarm.nodes[0]
    assert node.names("client", "web") == {"10.0.1.9"}
    assert node.names("client", "WWW.net") == {"10.0.1.9"}
    assert node.names("client", "tasks.web") == node.names("client", "tasks.www") == {"10.0.1.10", "10.0.1.11"}
    assert node.names("client", "web.2") == {"10.0.1.11"}
    assert swarm.nodes[1].names("web.2", "web") == {"10.0.1.9"}
    assert node.sandboxes["client"].resolve_address(VIP) is None


def test_load_goes_round_the_tasks_from_this_nodes_balancer_address() -> None:
    swarm = _swarm()
    _task(swarm, 0, "web.1", "10.0.1.10", _service())
    _task(swarm, 1, "web.2", "10.0.1.11", _service())
    client = swarm.nodes[0].namespace("client")
    answers = [ask(client, "10.0.1.9", 80) for _ in range(4)]
    assert sorted(answers) == ["web.1 10.0.1.2"] * 2 + ["web.2 10.0.1.2"] * 2
    assert answers[0] != answers[1]
    assert ask(client, "10.0.1.11", 80) == "web.2 10.0.1.20"
    assert ping(client, "10.0.1.9")


def test_names_without_a_virtual_address_stand_for_the_tasks() -> None:
    swarm = _swarm()
    service = _service("www", virtual_ip=None)
    _task(swarm, 0, "web.1", "10.0.1.10", service)
    _task(swarm, 1, "web.2", "10.0.1.11", service)
    node = swarm.nodes[0]
    for name in ("web", "www", "tasks.web", "tasks.www"):
        assert node.names("client", name) == {"10.0.1.10", "10.0.1.11"}
    swarm.nodes[1].sandboxes["web.2"].disable_service()
    swarm.settle()
    assert node.names("client", "web") == {"10.0.1.10"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_task_that_shuts_down_gets_no_new_connections_but_keeps_the_name(version: str) -> None:
    swarm = _swarm(version)
    _task(swarm, 0, "web.1", "10.0.1.10", _service())
    _task(swarm, 1, "web.2", "10.0.1.11", _service())
    node = swarm.nodes[0]
    swarm.nodes[1].sandboxes["web.2"].disable_service()
    swarm.settle()
    assert node.names("client", "tasks.web") == {"10.0.1.10"}
    assert node.names("client", "web.2") is None
    assert {ask(node.namespace("client"), "10.0.1.9", 80) for _ in range(4)} == {"web.1 10.0.1.2"}
    node.sandboxes["web.1"].disable_service()
    swarm.settle()
    assert node.names("client", "web") == {"10.0.1.9"}
    assert ask(node.namespace("client"), "10.0.1.9", 80) == "refused"
    swarm.nodes[1].remove("web.2")
    node.remove("web.1")
    swarm.settle()
    assert node.names("client", "web") is None
    assert ask(node.namespace("client"), "10.0.1.9", 80) == "unreachable"


def test_tasks_on_a_node_that_crashes_are_taken_out_everywhere() -> None:
    swarm = _swarm()
    _task(swarm, 0, "web.1", "10.0.1.10", _service())
    _task(swarm, 1, "web.2", "10.0.1.11", _service())
    swarm.nodes[1].controller.daemon().kill()
    swarm.clock.run_for(12)
    node = swarm.nodes[0]
    assert node.names("client", "tasks.web") == {"10.0.1.10"}
    assert {ask(node.namespace("client"), "10.0.1.9", 80) for _ in range(3)} == {"web.1 10.0.1.2"}


@pytest.mark.parametrize("version", VERSIONS)
def test_aliases_of_a_rolling_update(version: str) -> None:
    swarm = _swarm(version)
    _task(swarm, 0, "web.1", "10.0.1.10", _service("old"))
    _task(swarm, 1, "web.2", "10.0.1.11", _service("new"))
    node = swarm.nodes[0]
    counted = PROFILES[version].alias_vip_reference_counted
    assert node.names("client", "old") == {"10.0.1.9"}
    assert node.names("client", "new") == ({"10.0.1.9"} if counted else None)
    assert node.names("client", "tasks.new") == {"10.0.1.11"}
    node.remove("web.1")
    swarm.settle()
    assert node.names("client", "old") == (None if counted else {"10.0.1.9"})


def test_marks_count_up_and_are_shown() -> None:
    swarm = _swarm()
    _task(swarm, 0, "web.1", "10.0.1.10", _service())
    swarm.nodes[1].run("db.1", "net=10.0.1.30", service=ServiceBinding("svc2", "db", (), parse_ip("10.0.1.8")))
    swarm.settle()
    services = swarm.nodes[0].controller.find_network("net").services()
    assert {name: info.local_lb_index for name, info in services.items()} == {"": 0, "web": 256, "db": 257}
    assert str(services["web"].virtual_ip) == format_ip(VIP)
    assert [(task.name, str(task.endpoint_ip), task.info) for task in services["db"].tasks] == [
        ("db.1", "10.0.1.30", {"Host IP": "10.100.0.2"})
    ]
    swarm.nodes[0].remove("web.1")
    swarm.settle()
    _task(swarm, 0, "web.2", "10.0.1.11", _service())
    assert swarm.nodes[0].controller.find_network("net").services()["web"].local_lb_index == 258


def test_a_health_checked_task_is_found_once_it_is_enabled() -> None:
    swarm = _swarm()
    node = swarm.nodes[1]
    node.run("web.1", "net=10.0.1.10", service=_service())
    node.sandboxes["web.1"].disable_service()
    swarm.settle()
    assert swarm.nodes[0].names("client", "tasks.web") is None


def test_user_networks_answer_before_ingress_and_local_ones() -> None:
    swarm = _swarm()
    node = swarm.nodes[0]
    node.controller.new_network("aaa", "bridge")
    node.run("peer", "aaa")
    node.connect("client", "aaa")
    _task(swarm, 1, "peer", "10.0.1.40", ServiceBinding("svc3", "peer-service", (), None))
    assert node.names("client", "peer") == {"10.0.1.40"}


# --- the routing mesh -----------------------------------------------------------------------------------------------

_PORTS = (PortConfig("", "tcp", 80, 8080),)
_INGRESS_VIP = parse_ip("10.0.0.9")


def _mesh(version: str, count: int = 2) -> Swarm:
    swarm = Swarm(count, version)
    swarm.define("ingress", "10.0.0.0/24", ingress=True)
    for number, node in enumerate(swarm.nodes):
        node.network("ingress", lb=f"10.0.0.{2 + number}")
    swarm.settle()
    return swarm


def _publish(swarm: Swarm, number: int, name: str, address: str) -> None:
    service = ServiceBinding("svc1", "web", (), _INGRESS_VIP, _PORTS)
    swarm.nodes[number].run(name, f"ingress={address}", service=service)
    serve(swarm.nodes[number].namespace(name), 80)
    swarm.settle()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_published_port_is_open_on_every_node(version: str) -> None:
    swarm = _mesh(version)
    a, b = swarm.nodes
    assert ask(b.machine.root, "10.100.0.1", 8080) == "refused"
    _publish(swarm, 0, "web.1", "10.0.0.10")
    assert ask(b.machine.root, "10.100.0.1", 8080) == "web.1 10.0.0.2"
    assert ask(a.machine.root, "10.100.0.2", 8080) == "web.1 10.0.0.3"
    assert ask(b.machine.root, "10.100.0.2", 8080) == "web.1 10.0.0.3"
    assert ask(b.machine.root, "127.0.0.1", 8080) == "web.1 10.0.0.3"
    a.remove("web.1")
    swarm.settle()
    assert ask(b.machine.root, "10.100.0.1", 8080) == "refused"


def test_load_on_a_published_port_goes_round_all_tasks() -> None:
    swarm = _mesh("29.7.2", 3)
    _publish(swarm, 0, "web.1", "10.0.0.10")
    _publish(swarm, 1, "web.2", "10.0.0.11")
    client = swarm.nodes[2].machine.root
    assert {ask(client, "10.100.0.3", 8080) for _ in range(4)} == {"web.1 10.0.0.4", "web.2 10.0.0.4"}


def test_the_ingress_sandbox_is_on_docker_gwbridge_and_has_its_own_name() -> None:
    swarm = _mesh("28.5.2")
    node = swarm.nodes[0]
    sandbox = node.machine.namespaces["/var/run/docker/netns/ingress_sbox"]
    addresses = {name: [str(a) for a in d.addresses if a.family == 4] for name, d in sandbox.devices.items()}
    assert addresses == {"lo": ["127.0.0.1/8"], "eth0": ["10.0.0.2/24"], "eth1": ["172.18.0.2/16"]}
    assert "default via 172.18.0.1 dev eth1" in [str(r) for r in sandbox.routes4.routes]
    network = node.controller.find_network("ingress")
    assert [endpoint.name for endpoint in network.endpoints.values()] == ["ingress-endpoint"]
    gateway = node.controller.find_network("docker_gwbridge")
    assert [endpoint.name for endpoint in gateway.endpoints.values()] == ["gateway_ingress-sbox"]
    _publish(swarm, 0, "web.1", "10.0.0.10")
    assert [str(a) for a in sandbox.devices["eth0"].addresses] == ["10.0.0.2/24", "10.0.0.9/32"]
    assert node.names("web.1", "web") is None


def test_the_ingress_address_of_a_task_takes_its_published_ports_alone() -> None:
    swarm = _mesh("29.7.2")
    _publish(swarm, 0, "web.1", "10.0.0.10")
    serve(swarm.nodes[0].namespace("web.1"), 81)
    inside = swarm.nodes[1].machine.namespaces["/var/run/docker/netns/ingress_sbox"]
    assert ask(inside, "10.0.0.10", 8080) == "web.1 10.0.0.3"
    assert ask(inside, "10.0.0.10", 81) == "timeout"


def test_the_ingress_network_can_be_made_anew() -> None:
    swarm = _mesh("29.7.2")
    for node in swarm.nodes:
        node.controller.find_network("ingress").delete(remove_load_balancer=True)
    swarm.settle()
    assert not any("ingress" in path for path in swarm.nodes[0].machine.namespaces)
    for number, node in enumerate(swarm.nodes):
        node.network("ingress", lb=f"10.0.0.{2 + number}")
    _publish(swarm, 0, "web.1", "10.0.0.10")
    assert ask(swarm.nodes[1].machine.root, "10.100.0.2", 8080) == "web.1 10.0.0.3"


@pytest.mark.parametrize("version", VERSIONS)
def test_leaving_the_swarm_closes_its_ports_and_frees_everything(version: str) -> None:
    swarm = _mesh(version)
    a, b = swarm.nodes
    _publish(swarm, 0, "web.1", "10.0.0.10")
    b.controller.agent_stop()
    swarm.clock.run_for(7)
    b.controller.find_network("ingress").delete(remove_load_balancer=True)
    assert ask(a.machine.root, "10.100.0.2", 8080) == "refused"
    assert [db.process.machine.name for db in databases_of(swarm.clock)] == ["node0"]
    assert is_converged(swarm.clock)
    b.start_agent([a.address])
    swarm.settle()
