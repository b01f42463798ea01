"""Explaining the physical network: parents and children, modes, VLANs, port security, clashing addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.observe.explain import Explanation

TWO_VLANS = Path(__file__).parents[2] / "examples" / "labs" / "two-vlans.yml"


def room(**segment: Any) -> Lab:
    lab = Lab()
    lab.add_segment("lan", "10.0.0.0/24", **segment)
    lab.add_router("gw", "10.0.0.1/24")
    lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
    lab.add_host("vm", "10.0.0.50/24", gateway="10.0.0.1", web=True)
    return lab


def network(lab: Lab, driver: str, subnet: str = "10.0.0.0/24", **options: str) -> None:
    base = subnet.removesuffix("0/24")
    config = {"Subnet": subnet, "Gateway": f"{base}1", "IPRange": f"{base}64/28"}
    docker = lab.host("node1").docker
    docker.networks.create("net", driver=driver, options={"parent": "eth0", **options}, ipam={"Config": [config]})
    for name in ("web1", "web2"):
        docker.containers.run("nginx", detach=True, name=name, network="net")
    lab.settle(4)


def said(found: Explanation) -> str:
    assert not found.reachable
    return f"{found.decided_by} | {found.advice}"


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_a_host_and_a_child_of_its_own_interface_never_meet(driver: str) -> None:
    lab = room()
    network(lab, driver)
    for text in (said(lab.explain("node1", "10.0.0.64")), said(lab.explain("web1", "node1"))):
        assert f"web1 is a{'n' * (driver == 'ipvlan')} {driver} child of node1's eth0" in text
        assert f"type {driver} mode {'l2' if driver == 'ipvlan' else 'bridge'}" in text
    assert lab.explain("vm", "10.0.0.64").reachable


def test_the_advice_to_give_the_host_a_child_of_its_own_works() -> None:
    lab = room()
    network(lab, "macvlan")
    host = lab.host("node1")
    host.exec("ip link add link eth0 name shim0 type macvlan mode bridge")
    host.exec("ip addr add 10.0.0.200/32 dev shim0")
    host.exec("ip link set shim0 up")
    host.exec("ip route add 10.0.0.64/28 dev shim0")
    assert lab.explain("node1", "10.0.0.64").reachable


def test_a_port_that_refuses_foreign_macs_lets_ipvlan_through_and_macvlan_not() -> None:
    lab = room(refuse_unknown_macs=True)
    network(lab, "macvlan")
    for text in (said(lab.explain("web1", "vm")), said(lab.explain("vm", "10.0.0.64"))):
        assert "the port of eth0 on lan refuses frames from web1" in text
        assert "use ipvlan" in text
    lab = room(refuse_unknown_macs=True)
    network(lab, "ipvlan")
    assert lab.explain("web1", "vm").reachable
    assert lab.explain("vm", "10.0.0.64").reachable


def test_one_cable_may_refuse_foreign_macs_while_others_do_not() -> None:
    lab = room()
    lab.link("node1", "lan", refuse_unknown_macs=True)
    network(lab, "macvlan")
    assert "refuses frames from web1" in said(lab.explain("web1", "vm"))
    assert lab.explain("node1", "vm").reachable


@pytest.mark.parametrize(
    ("driver", "options", "words"),
    [
        ("macvlan", {"macvlan_mode": "private"}, "macvlan mode private keeps its containers apart"),
        ("macvlan", {"macvlan_mode": "vepa"}, "leaves it to the switch to send frames back"),
        ("ipvlan", {"ipvlan_flag": "private"}, "ipvlan mode private keeps its containers apart"),
    ],
)
def test_modes_that_keep_containers_apart_are_named(driver: str, options: dict[str, str], words: str) -> None:
    lab = room()
    network(lab, driver, **options)
    text = said(lab.explain("web1", "web2"))
    assert words in text
    assert "=bridge" in text
    assert lab.explain("web1", "vm").reachable


def test_a_routed_ipvlan_network_needs_routes_outside() -> None:
    lab = room()
    network(lab, "ipvlan", "10.7.0.0/24", ipvlan_mode="l3")
    text = said(lab.explain("vm", "10.7.0.64"))
    assert "gw has no route to 10.7.0.0/24, an ipvlan network in mode l3 of node1" in text
    lab.host("gw").exec("ip route add 10.7.0.0/24 via 10.0.0.15")
    assert lab.explain("vm", "10.7.0.64").reachable
    assert lab.explain("web1", "vm").reachable
    lab.host("vm").exec("ip route del default")
    assert "the answer is lost: vm has no route to 10.7.0.0/24" in said(lab.explain("web1", "vm"))


def test_a_routed_ipvlan_container_on_the_subnet_of_the_wire_answers_no_arp() -> None:
    lab = room()
    network(lab, "ipvlan", "10.0.0.0/24", ipvlan_mode="l3")
    text = said(lab.explain("vm", "10.0.0.64"))
    assert "web1 is on ipvlan in mode l3, which answers no ARP" in text
    assert "via 10.0.0.15" in text


def test_stations_of_two_vlans_are_told_apart() -> None:
    lab = Lab.from_file(TWO_VLANS)
    lab.host("database").exec("ip addr add 10.0.0.99/24 dev eth0")
    text = said(lab.explain("mactainer1", "10.0.0.99"))
    assert "mactainer1's eth0 is in VLAN 100, database's eth0 in VLAN 200" in text


def test_a_trunk_that_does_not_carry_a_vlan_is_named() -> None:
    lab = Lab()
    lab.add_segment("switch", vlans={10: "10.0.0.0/24", 20: "10.2.0.0/24"})
    lab.add_host("vm", "10.0.0.50/24")
    lab.add_host("node1", "10.2.0.15/24", docker=True)
    lab.link("node1", "switch", trunk=[20])
    docker = lab.host("node1").docker
    pool = {"Subnet": "10.0.0.0/24"}
    docker.networks.create("net", driver="macvlan", options={"parent": "eth0.10"}, ipam={"Config": [pool]})
    docker.containers.run("nginx", detach=True, name="web1", network="net")
    assert "lost at switch: the port of eth0 is trunk for VLAN 20, 1 untagged" in said(lab.explain("web1", "vm"))


@pytest.mark.parametrize("version", ["26.1.5", "28.5.2", "29.7.2"])
def test_an_address_given_out_twice_is_an_event_of_the_lab(version: str) -> None:
    lab = Lab.from_file(TWO_VLANS, engine=version)
    lab.add_host("laptop", "10.0.0.66/24")  # so says the DHCP server of the office
    docker = lab.host("node1").docker
    docker.containers.run("nginx", detach=True, name="web", network="vlan100")
    assert lab.container("web").attrs["NetworkSettings"]["Networks"]["vlan100"]["IPAddress"] == "10.0.0.66"
    lab.settle(5)
    found = lab.explain("app-server", "10.0.0.66", "tcp/80")
    assert any("both claim 10.0.0.66" in note and "laptop" in note and "node1:web" in note for note in notes(found))
    assert any("duplicate address 10.0.0.66" in hop.what for hop in found.trace.hops)
    event = lab.events[-1]
    assert (event.kind.value, event.place) == ("duplicate-address", "app-server")
    macs = {lab.host("laptop").interfaces[0].mac, lab.container("web").namespace.devices["eth0"].mac}
    assert set(event.macs) == macs
    announced = {event.place for event in lab.events}
    assert announced == ({"app-server"} if version == "26.1.5" else {"laptop", "web", "app-server"})


def notes(found: Explanation) -> tuple[str, ...]:
    assert found.trace.finding is not None
    return found.trace.finding.remark_texts


def test_a_lab_without_clashes_has_no_events() -> None:
    lab = Lab.from_file(TWO_VLANS)
    lab.settle(5)
    assert lab.explain("app-server", "10.0.0.64", "tcp/80").reachable
    assert not notes(lab.explain("app-server", "10.0.0.64", "tcp/80"))
    docker = lab.host("node1").docker
    docker.containers.get("mactainer1").remove(force=True)
    docker.containers.run("nginx", detach=True, name="next", network="vlan100")
    lab.settle(5)
    assert lab.explain("app-server", "10.0.0.64", "tcp/80").reachable
    assert lab.events == []


def test_an_address_that_a_new_container_takes_over_at_once_is_answered_and_no_event() -> None:
    # Linux: a request that is answered updates the entry of its sender within `locktime`, too (neigh_event_ns).
    lab = Lab()
    docker = lab.add_host("node1", "10.0.0.15/24", docker=True).docker
    docker.containers.run("alpine", "sleep infinity", name="old", mac_address="02:42:ac:11:00:99", detach=True)
    assert docker.containers.get("old").exec_run("ping -c 1 -W 1 172.17.0.1").exit_code == 0
    docker.containers.get("old").remove(force=True)
    new = docker.containers.run("alpine", "sleep infinity", name="new", mac_address="02:42:ac:11:00:98", detach=True)
    assert new.exec_run("ping -c 1 -W 1 172.17.0.1").exit_code == 0
    assert "02:42:ac:11:00:98" in lab.host("node1").exec("ip neigh show 172.17.0.2 dev docker0").output
    assert lab.events == []


def test_two_hosts_with_one_ipv6_address_notice_it() -> None:
    lab = Lab()
    lab.add_host("a", "10.0.0.1/24", "fd00::1/64")
    lab.add_host("b", "10.0.0.2/24", "fd00::2/64")
    lab.host("b").exec("ip addr add fd00::1/64 dev eth0")
    lab.host("b").namespace.neighbours.announce(
        lab.host("b").interfaces[0], lab.host("a").interfaces[0].addresses[1].address
    )
    lab.settle()
    assert [(event.place, event.kind.value) for event in lab.events] == [("a", "duplicate-address")]


def test_neighbours_on_a_wire_are_told_from_those_behind_a_router() -> None:
    lab = Lab.from_file(TWO_VLANS)
    near, far = lab.explain("app-server", "10.0.0.64"), lab.explain("app-server", "192.168.3.64")
    assert near.decided_by.endswith("both are on one link")
    assert far.decided_by.endswith("routed all the way")
    assert "macvlan (bridge) → mactainer1 eth0" in {hop.what for hop in near.trace.hops}
