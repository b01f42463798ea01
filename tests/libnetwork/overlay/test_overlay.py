"""Containers on two and more hosts on one overlay network: what reaches whom, and by which packets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.overlay_nodes import VERSIONS, Swarm, ask, ping, serve

from cnmsim.errors import Forbidden, SystemFault
from cnmsim.kernel.skbuff import Packet
from cnmsim.libnetwork.options import IpamConfig, NetworkOptions


def _pair(version: str = "29.7.2", **options: object) -> Swarm:
    """Two nodes with a container each on `net`: c0 10.0.1.4, c1 10.0.1.5."""
    swarm = Swarm(2, version)
    swarm.define("net", **options)
    for number, node in enumerate(swarm.nodes):
        node.network("net", lb=f"10.0.1.{2 + number}")
        node.run(f"c{number}", f"net=10.0.1.{4 + number}")
    swarm.settle()
    return swarm


@pytest.mark.parametrize("version", VERSIONS)
def test_containers_reach_each_other_by_address_and_name(version: str) -> None:
    swarm = _pair(version)
    a, b = swarm.nodes
    serve(b.namespace("c1"), 80)
    assert ping(a.namespace("c0"), "10.0.1.5")
    assert ask(a.namespace("c0"), "10.0.1.5", 80) == "c1 10.0.1.4"
    assert a.names("c0", "c1") == {"10.0.1.5"}
    assert b.names("c1", "c0.net") == {"10.0.1.4"}
    assert a.sandboxes["c0"].resolve_address(b"\x0a\0\1\5") == "c1.net"


def test_frames_cross_the_underlay_in_vxlan_packets_of_the_networks_vni() -> None:
    swarm = _pair(vnis="4242")
    outer: list[Packet] = []

    def tap(_time: int, direction: str, frame: bytes) -> None:
        if direction == "in" and frame[12:14] == b"\x08\0" and frame[23] == 17 and frame[36:38] == b"\x12\xb5":
            outer.append(Packet(frame[14:], None))

    swarm.segment.taps = (tap,)
    assert ping(swarm.nodes[0].namespace("c0"), "10.0.1.5")
    assert [packet.payload[8 + 4 : 8 + 7] for packet in outer] == [(4242).to_bytes(3)] * 2
    inner = outer[0].payload[16:]
    assert inner[:6] == b"\x02\x42\x0a\0\1\5"
    assert inner[26:34] == b"\x0a\0\1\4\x0a\0\1\5"
    assert {packet.src for packet in outer} == {b"\x0a\x64\0\1", b"\x0a\x64\0\2"}


def test_networks_are_isolated_from_each_other() -> None:
    swarm = _pair()
    swarm.define("other", "10.0.1.0/24")
    # The same addresses once more, in another network.
    a, b = swarm.nodes
    for node in (a, b):
        node.controller.find_network("net")
    swarm.define("third", "10.0.7.0/24")
    a.network("third", lb="10.0.7.2")
    b.network("third", lb="10.0.7.3")
    a.run("d0", "third=10.0.7.4")
    b.run("d1", "third=10.0.7.5")
    swarm.settle()
    assert ping(a.namespace("d0"), "10.0.7.5")
    assert not ping(a.namespace("d0"), "10.0.1.5")
    assert not ping(a.namespace("c0"), "10.0.7.5")
    assert a.names("d0", "c1") is None


def test_what_a_node_has_in_its_overlay_namespace() -> None:
    swarm = _pair()
    a = swarm.nodes[0]
    namespace = a.overlay("net")
    assert list(namespace.devices) == ["lo", "br0", "vxlan0", "veth0", "veth1"]
    assert [str(address) for address in namespace.devices["br0"].addresses] == ["10.0.1.1/24"]
    assert a.peers("net") == {"10.0.1.3": "10.100.0.2", "10.0.1.5": "10.100.0.2"}
    assert {device.mtu for name, device in namespace.devices.items() if name != "lo"} == {1450}
    assert int(a.machine.root.sysctl_get("net.ipv4.neigh.default.gc_thresh3")) == 65536
    assert not any(name.startswith(("vx-", "ov-")) for name in a.machine.root.devices)


def test_interfaces_and_routes_of_a_container() -> None:
    swarm = _pair()
    namespace = swarm.nodes[0].namespace("c0")
    addresses = {name: [str(a) for a in device.addresses] for name, device in namespace.devices.items()}
    assert addresses == {"lo": ["127.0.0.1/8", "::1/128"], "eth0": ["10.0.1.4/24"], "eth1": ["172.18.0.2/16"]}
    assert namespace.devices["eth0"].mac == b"\x02\x42\x0a\0\1\4"
    assert namespace.devices["eth0"].mtu == 1450
    assert [str(route).partition(" proto")[0] for route in namespace.routes4.routes] == [
        "default via 172.18.0.1 dev eth1",
        "10.0.1.0/24 dev eth0",
        "172.18.0.0/16 dev eth1",
    ]


@pytest.mark.parametrize(("base", "mtu"), [("9000", 8950), ("1492", 1442), ("0", 1450)])
def test_the_mtu_is_the_underlays_less_the_headers(base: str, mtu: int) -> None:
    swarm = _pair(driver_opts={"com.docker.network.driver.mtu": base})
    assert swarm.nodes[0].namespace("c0").devices["eth0"].mtu == mtu


def test_an_mtu_larger_than_the_path_is_told_to_senders() -> None:
    swarm = _pair(driver_opts={"com.docker.network.driver.mtu": "1600"})
    source = swarm.nodes[0].namespace("c0")
    assert not ping(source, "10.0.1.5", size=1500)
    assert ping(source, "10.0.1.5", size=1500)


def test_an_internal_network_leads_nowhere_else() -> None:
    swarm = _pair(internal=True)
    a = swarm.nodes[0]
    assert list(a.namespace("c0").devices) == ["lo", "eth0"]
    assert ping(a.namespace("c0"), "10.0.1.5")
    assert not any(route.prefix.length == 0 for route in a.namespace("c0").routes4.routes)


def test_subnets_of_a_network_are_routed_on_the_senders_node() -> None:
    swarm = Swarm(2)
    swarm.define("net", "10.0.1.0/24", "10.0.2.0/24", vnis="4097,4098")
    a, b = swarm.nodes
    a.network("net", lb="10.0.1.2")
    b.network("net", lb="10.0.2.2")
    a.run("c0", "net=10.0.1.4")
    b.run("c1", "net=10.0.2.4")
    swarm.settle()
    # br0 is of the subnet that was needed first on that node.
    assert str(a.overlay("net").devices["br0"].addresses[0]) == "10.0.1.1/24"
    assert str(b.overlay("net").devices["br0"].addresses[0]) == "10.0.2.1/24"
    assert "10.0.2.0/24 via 10.0.1.1 dev eth0" in [str(route) for route in a.namespace("c0").routes4.routes]
    assert ping(a.namespace("c0"), "10.0.2.4")


def test_no_broadcast_crosses_a_tunnel() -> None:
    swarm = _pair()
    seen: list[bytes] = []
    swarm.segment.taps = (lambda _time, _direction, frame: seen.append(frame),)
    assert not ping(swarm.nodes[0].namespace("c0"), "10.0.1.99")
    assert not any(frame[36:38] == b"\x12\xb5" for frame in seen)


def test_a_blocked_data_path_port_stops_traffic_and_nothing_else() -> None:
    swarm = _pair()
    a, b = swarm.nodes
    swarm.iptables(1, "-A INPUT -p udp --dport 4789 -j DROP")
    assert not ping(a.namespace("c0"), "10.0.1.5")
    swarm.clock.run_for(60)
    assert a.names("c0", "c1") == {"10.0.1.5"}
    assert a.peers("net") == {"10.0.1.3": "10.100.0.2", "10.0.1.5": "10.100.0.2"}
    swarm.iptables(1, "-F INPUT")
    assert ping(b.namespace("c1"), "10.0.1.4")


def test_blocked_gossip_withdraws_peers_and_names_although_the_data_path_works() -> None:
    swarm = _pair()
    a, b = swarm.nodes
    for protocol in ("udp", "tcp"):
        swarm.iptables(1, f"-A INPUT -p {protocol} --dport 7946 -j DROP")
    swarm.clock.run_for(40)
    assert a.peers("net") == {}
    assert a.names("c0", "c1") is None
    assert not ping(a.namespace("c0"), "10.0.1.5")
    swarm.iptables(1, "-F INPUT")
    swarm.clock.run_for(90)
    swarm.settle()
    assert a.names("c0", "c1") == {"10.0.1.5"}
    assert b.peers("net") == {"10.0.1.2": "10.100.0.1", "10.0.1.4": "10.100.0.1"}
    assert ping(a.namespace("c0"), "10.0.1.5")


def test_another_data_path_address_is_what_peers_are_told() -> None:
    swarm = Swarm(2)
    swarm.define("net")
    for number, node in enumerate(swarm.nodes):
        node.controller.agent_stop()
        swarm.clock.run_for(8)
        node.machine.root.add_address(node.nic, f"10.200.0.{number + 1}/24")
        node.start_agent([swarm.nodes[0].address] if number else [], data_path_addr=bytes([10, 200, 0, number + 1]))
    swarm.settle()
    for number, node in enumerate(swarm.nodes):
        node.network("net", lb=f"10.0.1.{2 + number}")
        node.run(f"c{number}", f"net=10.0.1.{4 + number}")
    swarm.settle()
    a = swarm.nodes[0]
    assert a.peers("net") == {"10.0.1.3": "10.200.0.2", "10.0.1.5": "10.200.0.2"}
    assert a.controller.find_network("net").services()[""].tasks[1].info == {"Host IP": "10.200.0.2"}
    assert ping(a.namespace("c0"), "10.0.1.5")


def test_a_node_that_comes_later_learns_of_everyone_and_is_learnt_of() -> None:
    swarm = Swarm(3)
    swarm.define("net")
    a, b, c = swarm.nodes
    a.network("net", lb="10.0.1.2")
    b.network("net", lb="10.0.1.3")
    a.run("c0", "net=10.0.1.5")
    b.run("c1", "net=10.0.1.6")
    swarm.settle()
    c.network("net", lb="10.0.1.4")
    c.run("c2", "net=10.0.1.7")
    swarm.settle()
    assert set(c.peers("net")) == {"10.0.1.2", "10.0.1.3", "10.0.1.5", "10.0.1.6"}
    assert ping(c.namespace("c2"), "10.0.1.5")
    assert ping(b.namespace("c1"), "10.0.1.7")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_address_that_moves_to_another_node_is_followed(version: str) -> None:
    swarm = Swarm(3, version)
    swarm.define("net")
    for number, node in enumerate(swarm.nodes):
        node.network("net", lb=f"10.0.1.{2 + number}")
    a, b, c = swarm.nodes
    a.run("c0", "net=10.0.1.10")
    b.run("c1", "net=10.0.1.11")
    swarm.settle()
    b.remove("c1")
    c.run("c1", "net=10.0.1.11")
    swarm.settle()
    assert a.peers("net")["10.0.1.11"] == "10.100.0.3"
    assert ping(a.namespace("c0"), "10.0.1.11")


@pytest.mark.parametrize("version", VERSIONS)
def test_two_holders_of_an_address_the_first_counts_until_it_goes(version: str) -> None:
    swarm = Swarm(3, version)
    swarm.define("net")
    for number, node in enumerate(swarm.nodes):
        node.network("net", lb=f"10.0.1.{2 + number}")
    a, b, c = swarm.nodes
    b.run("c1", "net=10.0.1.11")
    swarm.settle()
    c.run("c2", "net=10.0.1.11")
    swarm.settle()
    assert a.peers("net")["10.0.1.11"] == "10.100.0.2"
    b.remove("c1")
    swarm.settle()
    assert a.peers("net")["10.0.1.11"] == "10.100.0.3"


def test_a_container_that_stops_is_withdrawn_and_its_namespace_goes_with_the_last_one() -> None:
    swarm = _pair()
    a, b = swarm.nodes
    b.remove("c1")
    swarm.settle()
    assert a.peers("net") == {"10.0.1.3": "10.100.0.2"}
    b.controller.find_network("net").delete()
    swarm.settle()
    assert a.peers("net") == {}
    assert [str(peer.ip) for peer in a.controller.find_network("net").peers()] == ["10.100.0.1"]
    assert not any("1-net" in path or "lb_" in path for path in b.machine.namespaces)
    b.network("net", lb="10.0.1.3")
    b.run("c1", "net=10.0.1.5")
    swarm.settle()
    assert ping(a.namespace("c0"), "10.0.1.5")


def test_a_network_with_containers_is_not_deleted() -> None:
    swarm = _pair()
    network = swarm.nodes[0].controller.find_network("net")
    with pytest.raises(Forbidden, match="network net has active endpoints"):
        network.delete()
    assert ping(swarm.nodes[0].namespace("c0"), "10.0.1.5")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "no VNI provided"),
        ({"com.docker.network.driver.overlay.vxlanid_list": "4097,x"}, 'invalid vxlan id value "x" passed'),
        (
            {"com.docker.network.driver.overlay.vxlanid_list": "1", "com.docker.network.driver.mtu": "-1"},
            "invalid MTU value: -1",
        ),
    ],
)
def test_networks_a_node_refuses(options: dict[str, str], text: str) -> None:
    controller = Swarm(1).nodes[0].controller
    asked = NetworkOptions(scope="swarm", driver_opts=options, ipam_config=[IpamConfig("10.0.9.0/24")])
    with pytest.raises(SystemFault, match=text):
        controller.new_network("bad", "overlay", id="bad", is_dynamic=True, options=asked)
    assert all(network.name != "bad" for network in controller.networks)


def test_too_few_vnis() -> None:
    swarm = Swarm(1)
    swarm.define("net", "10.0.1.0/24", "10.0.2.0/24", vnis="4097")
    with pytest.raises(SystemFault, match=r"insufficient vnis\(1\) passed to overlay"):
        swarm.nodes[0].network("net")


def test_a_port_held_by_another_program_keeps_containers_from_starting() -> None:
    swarm = Swarm(1)
    swarm.define("net")
    node = swarm.nodes[0]
    holder = node.controller.daemon().udp()
    holder.bind(("0.0.0.0", 4789))
    with pytest.raises(
        SystemFault, match=r'subnet sandbox join failed for "10\.0\.1\.0/24": vxlan interface creation failed'
    ):
        node.network("net", lb="10.0.1.2")
    assert not any("-net" in path for path in node.machine.namespaces)
    assert not any(name.startswith(("veth", "vx-")) for name in node.machine.root.devices)
    holder.close()
    node.network("net", lb="10.0.1.2")


def test_a_vni_in_use_is_refused() -> None:
    swarm = Swarm(1)
    swarm.define("net", vnis="5000")
    swarm.define("twin", vnis="5000")
    node = swarm.nodes[0]
    node.network("net", lb="10.0.1.2")
    with pytest.raises(SystemFault, match="error creating vxlan interface: file exists"):
        node.network("twin", lb="10.0.2.2")


def test_a_crashed_daemon_leaves_peers_that_the_others_forget() -> None:
    swarm = _pair()
    a, b = swarm.nodes
    b.controller.daemon().kill()
    swarm.clock.run_for(12)
    assert a.peers("net") == {}
    assert a.names("c0", "c1") is None


@settings(max_examples=15)
@given(
    version=st.sampled_from(VERSIONS),
    steps=st.lists(
        st.tuples(st.sampled_from(["run", "remove", "pause"]), st.integers(0, 2), st.integers(0, 2)), max_size=14
    ),
)
def test_after_convergence_exactly_the_containers_there_are_reach_each_other(
    version: str, steps: list[tuple[str, int, int]]
) -> None:
    swarm = Swarm(3, version)
    swarm.define("net")
    for number, node in enumerate(swarm.nodes):
        node.network("net", lb=f"10.0.1.{2 + number}")
    where: dict[str, tuple[int, str]] = {}
    for action, number, slot in steps:
        node, name, address = swarm.nodes[number], f"c{number}{slot}", f"10.0.1.{20 + slot * 3 + number}"
        if action == "run" and name not in where:
            node.run(name, f"net={address}")
            where[name] = (number, address)
        elif action == "remove" and name in where:
            node.remove(name)
            del where[name]
        elif action == "pause":
            swarm.clock.run_for(0.25)
    swarm.settle()
    for name, (number, _) in where.items():
        node = swarm.nodes[number]
        for other, (_, address) in where.items():
            assert node.names(name, other) == {address}
            assert ping(node.namespace(name), address)
    remote = [{a for _, (n, a) in where.items() if n != number} for number in range(3)]
    for number, node in enumerate(swarm.nodes):
        balancers = {f"10.0.1.{2 + other}" for other in range(3) if other != number}
        assert set(node.peers("net")) == remote[number] | balancers
