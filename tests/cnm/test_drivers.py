"""Every built-in driver at the level of the model, and what each refuses."""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Controller, Lab, cnm
from cnmsim.errors import Conflict, EngineError, Forbidden, InvalidParameter, NotFound
from cnmsim.observe.diagnosis.verdict import Verdict


def run(controller: Controller, network: cnm.Network, name: str, **settings: Any) -> cnm.Sandbox:
    sandbox = controller.new_sandbox(name)
    network.create_endpoint(name, aliases=[name], **settings).join(sandbox)
    return sandbox


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("bridge", {}),
        ("macvlan", {"parent": "eth0"}),
        ("ipvlan", {"parent": "eth0"}),
        ("ipvlan", {"parent": "eth0", "ipvlan_mode": "l3"}),
    ],
)
def test_two_sandboxes_of_one_network_reach_each_other(driver: str, options: dict[str, str]) -> None:
    controller = Controller()
    network = controller.new_network("net", driver, subnet="10.9.0.0/24", driver_opts=options)
    a, b = run(controller, network, "a"), run(controller, network, "b")
    assert a.exec("ping -c 1 -W 1 b").succeeded
    a.delete()
    b.delete()
    network.delete()
    assert set(controller.machine.root.devices) == {"lo", "eth0"}


def test_macvlan_puts_the_sandbox_on_the_lan() -> None:
    lab = Lab()
    controller = lab.controller()
    client = lab.add_host("client", "10.0.0.50/24")
    network = controller.new_network(
        "lan", "macvlan", subnet="10.0.0.0/24", gateway="10.0.0.1", driver_opts={"parent": "eth0"}
    )
    a = run(controller, network, "a", address="10.0.0.99")
    assert lab.trace(client, a).is_reachable
    assert lab.trace("node1", a).verdict is Verdict.UNREACHABLE  # a macvlan child does not reach its parent


def test_null_has_only_a_loopback() -> None:
    controller = Controller()
    sandbox = run(controller, controller.new_network("none", "null"), "a")
    assert [item.name for item in sandbox.interfaces] == ["lo"]
    assert sandbox.endpoints[0].info.address is None


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda c: c.new_network("n2", "null"), Forbidden, 'only one instance of "null" network is allowed'),
        (lambda c: c.network_by_name("none").delete(), Forbidden, 'network of type "null" cannot be deleted'),
        (lambda c: c.new_network("h2", "host"), Forbidden, 'only one instance of "host" network is allowed'),
        (lambda c: c.network_by_name("host").delete(), Forbidden, 'network of type "host" cannot be deleted'),
        (lambda c: c.new_network("m", "macvlan", driver_opts={"parent": "eth9"}), EngineError, "eth9"),
        (lambda c: c.new_network("m", "macvlan", driver_opts={"macvlan_mode": "x"}), EngineError, "x"),
        (lambda c: c.new_network("i", "ipvlan", driver_opts={"ipvlan_mode": "l9"}), EngineError, "l9"),
        (
            lambda c: c.network_by_name("ip").create_endpoint("e", mac="02:42:0a:00:00:09"),
            EngineError,
            "ipvlan interfaces do not support custom mac address assignment",
        ),
        (
            lambda c: c.new_network("b", subnet=["10.1.0.0/24", "10.2.0.0/24"]),
            Forbidden,
            "bridge driver doesn't support multiple subnets",
        ),
        (
            lambda c: c.new_network("b", driver_opts={"com.docker.network.bridge.enable_icc": "x"}),
            EngineError,
            "enable_icc",
        ),
        (lambda c: c.new_network("o", "overlay"), Forbidden, "This node is not a swarm manager"),
        (lambda c: c.new_network("b", scope="swarm"), Forbidden, "swarm scoped network when swarm is not active"),
        (lambda c: c.new_network("b", config_from="frob"), NotFound, '"frob" does not exist'),
        (lambda c: c.new_network("b", ipam_driver="frob"), NotFound, 'plugin "frob" not found'),
        (lambda c: c.new_network("b", ingress=True), Forbidden, "Ingress network can only be global scope network"),
    ],
)
def test_a_driver_refuses_in_its_own_words_and_nothing_is_left(call: Any, kind: type[Exception], text: str) -> None:
    controller = Controller()
    controller.new_network("none", "null")
    controller.new_network("host", "host")
    controller.new_network("ip", "ipvlan", subnet="10.8.0.0/24", driver_opts={"parent": "eth0"})
    before = [repr(network) for network in controller.networks], list(controller.machine.root.devices)
    with pytest.raises(kind, match=text):
        call(controller)
    assert ([repr(network) for network in controller.networks], list(controller.machine.root.devices)) == before


# --- overlay, without a swarm


@pytest.fixture(scope="module")
def overlay() -> tuple[Lab, cnm.GossipCluster, dict[str, cnm.Network]]:
    lab = Lab()
    cluster = cnm.join([lab.controller("n1"), lab.controller("n2")])
    networks = cluster.new_network("blue", encrypted=True, load_balancer=True, subnet="10.50.0.0/24")
    for number, (controller, network) in enumerate(zip(cluster.controllers, networks.values(), strict=True), 1):
        sandbox = run(controller, network, f"c{number}")
        sandbox.enable_service()
        task = controller.new_sandbox(f"w{number}")
        network.create_endpoint(f"w{number}", aliases=[f"w{number}"]).join(task)
        task.start("nc -lk -p 80 -e hostname")
    cluster.settle()
    return lab, cluster, networks


def test_an_overlay_network_without_a_swarm_reaches_over_vxlan(
    overlay: tuple[Lab, cnm.GossipCluster, dict[str, cnm.Network]],
) -> None:
    lab, cluster, networks = overlay
    a, b = lab.sandbox("c1"), lab.sandbox("c2")
    addresses = [endpoint.address for network in networks.values() for endpoint in network.endpoints.values()]
    assert len(set(addresses)) == len(addresses)
    with lab.capture("n1:eth0") as capture:
        assert a.exec("ping -c 1 c2").succeeded
    assert "ESP" in str(capture) and "ICMP" not in str(capture)
    assert b.exec("ping -c 1 c1").succeeded
    before = list(cluster.keys)
    cluster.rotate_keys()
    for subsystem in {key.subsystem for key in before}:
        old = [key for key in before if key.subsystem == subsystem]
        *kept, new = (key for key in cluster.keys if key.subsystem == subsystem)
        assert kept == sorted(old, key=lambda key: key.lamport_time)[1:]
        assert new.lamport_time > max(key.lamport_time for key in old) and len(new.key) == 16
    cluster.settle()
    assert a.exec("ping -c 1 c2").succeeded
    with pytest.raises(Forbidden, match="has active endpoints"):
        cluster.remove_network("blue")
    with pytest.raises(Forbidden, match="n1 is a member of a cluster"):
        cnm.join(cluster.controllers)
    fork = lab.fork()
    assert fork.sandbox("c1").exec("ping -c 1 c2").succeeded
    late = run(fork.controller("n2"), fork.controller("n2").network_by_name("blue"), "late")
    late.enable_service()
    fork.run(5)
    assert fork.sandbox("c1").exec("ping -c 1 late").succeeded  # the copy's members still gossip


def test_a_virtual_address_balances_over_both_hosts(
    overlay: tuple[Lab, cnm.GossipCluster, dict[str, cnm.Network]],
) -> None:
    lab, cluster, networks = overlay
    first, second = networks.values()
    vip = first.reserve_address()
    for number, network in enumerate((first, second), 1):
        task = network.endpoint_by_name(f"w{number}")
        assert task is not None
        network.add_service_binding("web", task, virtual_ip=vip)
    cluster.settle()
    client = lab.sandbox("c1")
    resolver, balancer = client.resolver, first.balancer
    assert resolver is not None and balancer is not None
    assert resolver.lookup("web").records == (str(vip),)
    assert len(resolver.lookup("tasks.web").records) == 2
    assert resolver.lookup(str(vip), "AAAA" if ":" in str(vip) else "A").rcode != "NOERROR"
    assert {str(item.virtual_ip) for item in balancer.backends} == {str(vip)} and len(balancer.backends) == 2
    assert {client.exec("nc web 80").output for _ in range(4)} == {"w1\n", "w2\n"}
    assert first.services()["web"].tasks[0].name == "w1"
    w2 = second.endpoint_by_name("w2")
    assert w2 is not None and w2.sandbox is not None
    w2.sandbox.delete()
    cluster.settle()
    assert [str(item.address) for item in balancer.backends] == [str(first.endpoint_by_name("w1").address.ip)]  # type: ignore[union-attr]
    fork = lab.fork().controller("n1").network_by_name("blue").balancer
    assert fork is not None
    fork.namespace.ipvs.clear()  # ipvsadm -C
    assert fork.backends == []


def test_a_cluster_can_be_left_and_leaves_no_pool() -> None:
    lab = Lab()
    cluster = cnm.join([lab.controller("n1"), lab.controller("n2")])
    cluster.new_network("blue", subnet="10.50.0.0/24")
    late = lab.controller("n3")
    cluster.add(late)
    assert late.network_by_name("blue").subnets == cluster.networks[0].subnets
    cluster.remove_network("blue")
    assert cluster.new_network("red", subnet="10.50.0.0/24")
    for controller in list(cluster.controllers):
        cluster.remove(controller)
    assert not late.networks and not late.is_swarm_node
    with pytest.raises(NotFound):
        cluster.remove(late)
    with pytest.raises(InvalidParameter, match="the cluster has no members"):
        cluster.new_network("blue")
    with pytest.raises(InvalidParameter, match="belongs to another lab"):
        cnm.join([late, Controller()])
    assert not late.is_swarm_node


# --- services on a local network


def test_a_service_on_a_local_network() -> None:
    controller = Controller()
    blue = controller.new_network("blue", subnet="172.18.0.0/16", load_balancer_ip="172.18.0.200")
    tasks = [run(controller, blue, f"w{number}") for number in (1, 2)]
    for task in tasks:
        task.start("nc -lk -p 80 -e hostname")
    vip = blue.reserve_address("172.18.0.100")
    for task in tasks:
        blue.add_service_binding("web", task.endpoints[0], virtual_ip=vip)
    client = run(controller, blue, "client")
    assert {client.exec("nc web 80").output for _ in range(4)} == {"w1\n", "w2\n"}
    tasks[0].delete()
    assert [str(item) for item in blue.balancer.backends] == ["web 172.18.0.100 -> 172.18.0.3 weight 1"]  # type: ignore[union-attr]
    blue.remove_service_binding(tasks[1].endpoints[0])
    assert client.resolver is not None and client.resolver.lookup("web").records == ()
    with pytest.raises(NotFound, match="is a task of no service"):
        blue.remove_service_binding(tasks[1].endpoints[0])
    with pytest.raises(InvalidParameter, match="did you mean virtual_ip"):
        blue.add_service_binding("web", tasks[1].endpoints[0], virtualip=vip)
    with pytest.raises(NotFound, match=r"172\.18\.0\.101 is not reserved on blue"):
        blue.release_address("172.18.0.101")
    blue.release_address(vip)
    assert blue.reserve_address("172.18.0.100") == vip


def test_a_task_can_leave_and_rejoin_a_service_of_a_cluster(
    overlay: tuple[Lab, cnm.GossipCluster, dict[str, cnm.Network]],
) -> None:
    _, cluster, networks = overlay
    first, second = networks.values()
    task, watcher = first.endpoint_by_name("c1"), second.endpoint_by_name("c2")
    assert task is not None and watcher is not None and watcher.sandbox is not None
    resolver = watcher.sandbox.resolver
    assert resolver is not None
    with pytest.raises(Conflict, match="published: bind it to a service before"):
        first.add_service_binding("db", task)
    spare = run(cluster.controllers[0], first, "spare")
    endpoint = first.endpoint_by_name("spare")
    assert endpoint is not None
    first.add_service_binding("db", endpoint, aliases=["sql"])
    cluster.settle()
    assert resolver.lookup("db").records == resolver.lookup("sql").records == (str(endpoint.address.ip),)  # type: ignore[union-attr]
    with pytest.raises(Conflict, match="is a task of the service db"):
        first.add_service_binding("web", endpoint)
    first.remove_service_binding(endpoint)
    cluster.settle()
    assert resolver.lookup("db").records == resolver.lookup("sql").records == ()
    spare.delete()


def test_reserved_addresses_are_of_the_networks_subnets() -> None:
    controller = Controller()
    dual = controller.new_network("dual", subnet=["172.18.0.0/24", "fd00::/64"])
    assert str(dual.reserve_address()) == "172.18.0.2"
    assert str(dual.reserve_address("fd00::9")) == "fd00::9"
    with pytest.raises(Forbidden, match="Address already in use"):
        dual.reserve_address("fd00::9")
    for address in ("172.19.0.9", "fd01::9"):
        with pytest.raises(InvalidParameter, match=f"^invalid address {address}: It does not belong"):
            dual.reserve_address(address)
    with pytest.raises(InvalidParameter, match=r"not an IP address|invalid"):
        dual.reserve_address("frob")
    with pytest.raises(InvalidParameter, match=r"not an IP address|invalid"):
        dual.release_address("frob")
    dual.release_address("fd00::9")
    assert str(dual.reserve_address("fd00::9")) == "fd00::9"
    with pytest.raises(InvalidParameter, match=r"^network none has no IPv4 subnet$"):
        controller.new_network("none", "null").reserve_address()
    dual.delete()  # releases what is reserved
    again = controller.new_network("dual", subnet=["172.18.0.0/24", "fd00::/64"])
    assert str(again.reserve_address("fd00::9")) == "fd00::9"


@pytest.mark.parametrize(
    ("service", "settings", "text"),
    [
        ("", {}, "a service's name is needed, not ''"),
        (" ", {}, "a service's name is needed, not ' '"),
        (7, {}, "a service's name is needed, not 7"),
        (cnm.ServiceBinding("i", "web"), {"aliases": ["a"]}, "^aliases: set in the ServiceBinding"),
        ("web", {"frob": 1}, "no option 'frob'; there are id, aliases, virtual_ip, ports"),
        ("web", {"virtual_ip": "frob"}, "^add_service_binding: "),
        ("web", {"aliases": 7}, "^add_service_binding: "),
    ],
)
def test_a_binding_that_cannot_be_is_refused(service: Any, settings: dict[str, Any], text: str) -> None:
    controller = Controller()
    blue = controller.new_network("blue", subnet="172.18.0.0/16")
    (task,) = run(controller, blue, "a").endpoints
    with pytest.raises(InvalidParameter, match=text):
        blue.add_service_binding(service, task, **settings)
    alone = blue.create_endpoint("alone")
    with pytest.raises(InvalidParameter, match="has joined no sandbox"):
        blue.add_service_binding("web", alone)
    other = controller.new_network("other")
    with pytest.raises(InvalidParameter, match="is no endpoint of"):
        other.add_service_binding("web", task)
    assert not blue.services()


def test_the_resolver_answers_as_programs_see_it() -> None:
    controller = Controller()
    blue = controller.new_network("blue", subnet=["172.18.0.0/16", "fd00::/64"])
    a = run(controller, blue, "a")
    run(controller, blue, "db")
    assert a.resolver is not None
    assert str(a.resolver.lookup("db")) == "db A: 172.18.0.3"
    assert a.resolver.lookup("db.blue", "AAAA").records == ("fd00::3",)
    assert a.resolver.lookup("172.18.0.3", "PTR").records == ("db.blue.",)
    answer = a.resolver.lookup("www.example.com")
    assert (answer.rcode, answer.is_forwarded) == ("SERVFAIL", True)
    with pytest.raises(InvalidParameter, match="no query for 'db' 'FROB'"):
        a.resolver.lookup("db", "FROB")
