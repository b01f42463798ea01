"""The doctor finds a fault in a lab that has it, and nothing in one that has not."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.observe.doctor import Severity

Build = Callable[[bool], Lab]


def _lab(**daemon: Any) -> Lab:
    lab = Lab(nameserver="203.0.113.10")
    lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=daemon or True)
    lab.add_host("client", "10.0.0.50/24", gateway="10.0.0.1")
    lab.add_router("router", "10.0.0.1/24", "203.0.113.1/24")
    return lab


def _run(lab: Lab, name: str, image: str = "nginx", **options: Any) -> Any:
    engine = lab.host("node1").docker
    return engine.containers.run(image, name=name, detach=True, **options)


def _network(lab: Lab, name: str, **options: Any) -> None:
    engine = lab.host("node1").docker
    engine.networks.create(name, **options)


def vpn(ill: bool) -> Lab:
    lab = _lab()
    _network(lab, "app", subnet="10.8.0.0/24")
    wide = "10.8.0.0/16" if ill else "10.9.0.0/16"
    assert lab.host("node1").exec(f"ip route add {wide} via 10.0.0.1").succeeded
    return lab


def hidden_machine(ill: bool) -> Lab:
    lab = _lab()
    lab.host("router").exec("true")
    lab.add_host("printer", "192.168.77.9/24")
    _network(lab, "app", subnet="192.168.77.0/24" if ill else "192.168.78.0/24")
    return lab


def pools(ill: bool) -> Lab:
    lab = _lab(**{"default-address-pools": [{"base": "10.50.0.0/20", "size": 24}]})
    for number in range(13 if ill else 5):
        _network(lab, f"n{number}")
    return lab


def full_network(ill: bool) -> Lab:
    lab = _lab()
    _network(lab, "small", subnet="10.60.0.0/29")
    for number in range(5 if ill else 2):
        _run(lab, f"c{number}", network="small")
    return lab


def macs(ill: bool) -> Lab:
    lab = _lab()
    _network(lab, "app")
    for number in (1, 2):
        _run(lab, f"c{number}", network="app", mac_address=f"02:00:00:00:00:0{1 if ill else number}")
    return lab


def aliases(ill: bool) -> Lab:
    lab = _lab()
    _network(lab, "app")
    for number in (1, 2):
        _run(lab, f"c{number}", network="app", aliases=["api" if ill else f"api{number}"])
    return lab


def forwarding(ill: bool) -> Lab:
    lab = _lab()
    if ill:
        lab.host("node1").exec("sysctl -w net.ipv4.ip_forward=0")
    return lab


def br_netfilter(ill: bool) -> Lab:
    lab = _lab()
    _network(lab, "quiet", options={"com.docker.network.bridge.enable_icc": "false"})
    if ill:
        lab.host("node1").exec("sysctl -w net.bridge.bridge-nf-call-iptables=0")
    return lab


def mtu(ill: bool) -> Lab:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", mtu=1450, docker={"mtu": 1450})
    lab.add_router("router", "10.0.0.1/24")
    _network(lab, "app", options={} if ill else {"com.docker.network.driver.mtu": "1450"})
    return lab


def mtu_behind_the_router(ill: bool) -> Lab:
    """A line of 1,400 bytes is on the way to the world, or on another one that nothing leads over."""
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
    lab.add_router("router", "10.0.0.1/24", "10.7.0.1/24", "10.8.0.1/24", gateway="10.8.0.2" if ill else "10.7.0.2")
    lab.add_router("wide", "10.7.0.2/24")
    lab.add_router("narrow", "10.8.0.2/24", mtu=1400)
    lab.segment("10.8.0.0/24").configure(mtu=1400)
    _network(lab, "app")
    return lab


def firewall(ill: bool) -> Lab:
    lab = _lab()
    _run(lab, "web", ports={"80/tcp": 8080})
    lab.host("node1").iptables(f"-A INPUT -p tcp --dport {8080 if ill else 8081} -j DROP")
    return lab


def database(ill: bool) -> Lab:
    lab = _lab()
    _run(lab, "db", "postgres", ports={"5432/tcp": 5432 if ill else ("127.0.0.1", 5432)})
    return lab


def proxy(ill: bool) -> Lab:
    lab = _lab(iptables=not ill)
    _run(lab, "web", ports={"80/tcp": 8080})
    return lab


def proxy_for_ipv6(ill: bool) -> Lab:
    lab = Lab()
    addresses = ["10.0.0.15/24", "fd00:a::15/64"] if ill else ["10.0.0.15/24"]
    lab.add_host("node1", *addresses, docker=True)
    _run(lab, "web", ports={"80/tcp": 8080})
    return lab


def wrong_container_port(ill: bool) -> Lab:
    lab = _lab()
    _run(lab, "web", ports={f"{8000 if ill else 80}/tcp": 8080})
    lab.settle()
    return lab


def loopback_only(ill: bool) -> Lab:
    lab = _lab()
    where = "127.0.0.1:8000" if ill else "8000"
    _run(lab, "api", image="alpine", command=f"httpd -f -p {where}", ports={"8000/tcp": 8000})
    lab.settle()
    return lab


def further_port(ill: bool) -> Lab:
    lab = _lab()
    _run(lab, "proxy", image="postgres", ports={f"{5433 if ill else 5432}/tcp": ("127.0.0.1", 5432)})
    lab.settle()
    return lab


def _swarm(nodes: int = 3, managers: int = 3, **init: Any) -> Lab:
    lab = Lab()
    engines = [lab.add_host(f"node{n}", f"10.1.0.1{n}/24", docker=True).docker for n in range(1, nodes + 1)]
    engines[0].swarm.init(advertise_addr="10.1.0.11", **init)
    tokens = engines[0].swarm.tokens
    for number, engine in enumerate(engines[1:], 2):
        engine.swarm.join(tokens.manager if number <= managers else tokens.worker, "10.1.0.11:2377")
    lab.settle()
    return lab


def one_manager(ill: bool) -> Lab:
    return _swarm(managers=1 if ill else 3)


def two_managers(ill: bool) -> Lab:
    return _swarm(managers=2 if ill else 3)


def overlay_on_host_subnet(ill: bool) -> Lab:
    lab = _swarm()
    engine = lab.host("node1").docker
    engine.networks.create("app", driver="overlay", subnet="10.1.0.0/24" if ill else "10.77.0.0/24")
    return lab


def single_replica(ill: bool) -> Lab:
    lab = _swarm()
    engine = lab.host("node1").docker
    engine.services.create("nginx", name="web", replicas=1 if ill else 2, ports={8080: 80})
    lab.settle()
    return lab


def database_service(ill: bool) -> Lab:
    lab = _swarm()
    engine = lab.host("node1").docker
    engine.services.create("postgres", name="db", ports={5432: 5432} if ill else {})
    lab.settle()
    return lab


def _blocked(rule: str) -> Build:
    def build(ill: bool) -> Lab:
        lab = _swarm()
        if ill:
            assert lab.host("node2").exec(f"iptables -A INPUT {rule} -j DROP").succeeded
        return lab

    return build


def stray_tunnel(ill: bool) -> Lab:
    lab = _swarm()
    engine = lab.host("node1").docker
    engine.networks.create("app", driver="overlay", attachable=True)
    engine.containers.run("alpine", "sleep 1d", name="c1", network="app", detach=True)
    vni = 4097 if ill else 77
    assert lab.host("node2").exec(f"ip link add old type vxlan id {vni} dstport 4789 dev eth0").succeeded
    return lab


def esp(ill: bool) -> Lab:
    lab = _swarm()
    engine = lab.host("node1").docker
    engine.networks.create("secret", driver="overlay", options={"encrypted": ""})
    if ill:
        lab.host("node3").iptables("-A INPUT -p esp -j DROP")
    return lab


def tunnel_mtu(ill: bool) -> Lab:
    lab = Lab()
    one = lab.add_host("node1", "10.1.0.11/24", mtu=1450, docker=True).docker
    two = lab.add_host("node2", "10.1.0.12/24", mtu=1450, docker=True).docker
    assert one is not None
    assert two is not None
    one.swarm.init(advertise_addr="10.1.0.11")
    two.swarm.join(one.swarm.tokens.worker, "10.1.0.11:2377")
    options = {} if ill else {"com.docker.network.driver.mtu": "1450"}
    one.networks.create("app", driver="overlay", attachable=True, options=options)
    one.containers.run("alpine", "sleep 1d", name="c1", network="app", detach=True)
    lab.settle()
    return lab


def _on_wire(ip_range: str, **options: Any) -> Lab:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_router("router", "10.0.0.1/24", **options)
    pool = {"Subnet": "10.0.0.0/24", "IPRange": ip_range, "Gateway": "10.0.0.1"}
    _network(lab, "lan", driver="macvlan", options={"parent": "eth0"}, ipam={"Config": [pool]})
    return lab


def lent_twice(ill: bool) -> Lab:
    return _on_wire("10.0.0.64/28" if ill else "10.0.0.32/28", dhcp="10.0.0.70-10.0.0.90")


def machine_in_range(ill: bool) -> Lab:
    lab = _on_wire("10.0.0.64/28")
    lab.add_host("printer", "10.0.0.70/24" if ill else "10.0.0.99/24")
    return lab


def two_ranges(ill: bool) -> Lab:
    lab = _on_wire("10.0.0.64/28")
    docker = lab.add_host("node2", "10.0.0.16/24", docker=True).docker
    pool = {"Subnet": "10.0.0.0/24", "IPRange": "10.0.0.72/29" if ill else "10.0.0.80/28", "Gateway": "10.0.0.1"}
    docker.networks.create("lan", driver="ipvlan", options={"parent": "eth0"}, ipam={"Config": [pool]})
    return lab


def two_vlans_one_range(ill: bool) -> Lab:
    """The same ranges of two hosts, on one VLAN or on two."""
    lab = Lab()
    lab.add_segment("switch", vlans={1: "172.16.0.0/24", 100: "10.0.0.0/24"})
    for number, vid in ((1, 100), (2, 100 if ill else 200)):
        docker = lab.add_host(f"node{number}", f"172.16.0.{number}/24", docker=True).docker
        lab.link(f"node{number}", "switch", trunk=[100, 200])
        ipam = {"Config": [{"Subnet": "10.0.0.0/24", "IPRange": "10.0.0.64/28"}]}
        docker.networks.create("lan", driver="macvlan", options={"parent": f"eth0.{vid}"}, ipam=ipam)
    return lab


def narrow_switch(ill: bool) -> Lab:
    lab = tunnel_mtu(False) if not ill else _swarm()
    engine = lab.host("node1").docker
    if ill:
        engine.networks.create("app", driver="overlay", attachable=True)
        engine.containers.run("alpine", "sleep 1d", name="c1", network="app", detach=True)
        lab.segment("10.1.0.0/24").configure(mtu=1450)
    return lab


def test_an_encrypted_network_leaves_room_for_its_headers() -> None:
    lab = _swarm()
    engine = lab.host("node1").docker
    engine.networks.create("secret", driver="overlay", attachable=True, options={"encrypted": ""})
    engine.containers.run("alpine", "sleep 1d", name="c1", network="secret", detach=True)
    assert not lab.doctor().of("mtu")


@pytest.mark.parametrize(
    ("build", "kind", "severity", "place", "text"),
    [
        (lent_twice, "dhcp-overlap", Severity.WARNING, "node1: network lan",
         "router assigns 10.0.0.70-10.0.0.90 by DHCP"),
        (machine_in_range, "address-in-range", Severity.WARNING, "node1: network lan",
         "which contains 10.0.0.70 of printer"),
        (two_ranges, "range-overlap", Severity.WARNING, "node1: network lan",
         "node2: network lan from 10.0.0.72/29"),
        (two_vlans_one_range, "range-overlap", Severity.WARNING, "node1: network lan",
         "from 10.0.0.64/28 on the same link"),
        (vpn, "subnet-overlap", Severity.ERROR, "node1: network app",
         "overlaps 10.8.0.0/16, which node1 reaches by eth0"),
        (hidden_machine, "subnet-overlap", Severity.WARNING, "node1: network app",
         "contains 192.168.77.9 of printer"),
        (pools, "pools-nearly-used-up", Severity.WARNING, "node1", "left in the default address pools"),
        (full_network, "network-nearly-full", Severity.WARNING, "node1: network small", "6 of the 6 addresses"),
        (macs, "duplicate-mac", Severity.ERROR, "node1: network app", "c1 and c2 have the MAC 02:00:00:00:00:01"),
        (aliases, "name-clash", Severity.WARNING, "node1: network app", "c1 and c2 both answer to the name api"),
        (forwarding, "ip-forward-off", Severity.ERROR, "node1", "net.ipv4.ip_forward = 0"),
        (br_netfilter, "icc-without-br-netfilter", Severity.ERROR, "node1: network quiet",
         "bridge-nf-call-iptables = 0"),
        (mtu, "mtu", Severity.WARNING, "node1: network app", "its MTU is 1500, but node1 eth0 carries 1450 bytes"),
        (mtu_behind_the_router, "mtu", Severity.WARNING, "node1: network app",
         "but segment 10.8.0.0/24 carries 1400 bytes"),
        (firewall, "published-past-firewall", Severity.ERROR, "node1: container web",
         "the firewall says -A INPUT -p tcp"),
        (database, "published-to-all", Severity.WARNING, "node1: container db", "port 5432 (PostgreSQL)"),
        (wrong_container_port, "nobody-listens", Severity.WARNING, "node1: container web",
         "is mapped to its port 8000, on which nothing listens (it listens on 80)"),
        (loopback_only, "nobody-listens", Severity.WARNING, "node1: container api",
         "it listens on 127.0.0.1:8000 only"),
        (further_port, "nobody-listens", Severity.NOTE, "node1: container proxy", "assumed from its image"),
        (proxy, "proxy-hides-source", Severity.WARNING, "node1: container web",
         "docker-proxy carries every connection"),
        (proxy_for_ipv6, "proxy-hides-source", Severity.NOTE, "node1: container web",
         "docker-proxy carries IPv6 clients"),
        (one_manager, "quorum", Severity.WARNING, "swarm of node1", "node1 is the only manager of 3 nodes"),
        (two_managers, "quorum", Severity.WARNING, "swarm of node1, node2", "2 managers survive the loss of 0"),
        (
            overlay_on_host_subnet, "overlay-on-host-subnet", Severity.ERROR, "network app",
            "its subnet 10.1.0.0/24 overlaps 10.1.0.0/24 of node1 eth0",
        ),
        (database_service, "published-to-all", Severity.WARNING, "service db", "port 5432 (PostgreSQL)"),
        (single_replica, "single-point", Severity.NOTE, "service web", "has one replica"),
        (_blocked("-p udp --dport 4789"), "port-blocked", Severity.ERROR, "node1 to node2", "UDP port 4789"),
        (_blocked("-p udp --dport 7946"), "port-blocked", Severity.ERROR, "node1 to node2", "UDP port 7946"),
        (_blocked("-p tcp --dport 7946"), "port-blocked", Severity.ERROR, "node1 to node2", "TCP port 7946"),
        (_blocked("-p tcp --dport 2377"), "port-blocked", Severity.ERROR, "node1 to node2", "TCP port 2377"),
        (stray_tunnel, "vni-taken", Severity.ERROR, "node2",
         "device old of node2 has VNI 4097, which is that of network app"),
        (esp, "port-blocked", Severity.ERROR, "node3", "ESP (IP protocol 50)"),
        (narrow_switch, "mtu", Severity.ERROR, "node1: network app",
         "segment 10.1.0.0/24 carries 1450: full packets are lost"),
        (tunnel_mtu, "mtu", Severity.WARNING, "node1: network app", "its MTU is 1450 and its tunnel adds 50 bytes"),
    ],
)  # fmt: skip
def test_a_fault_is_found_where_it_is_and_not_where_it_is_not(
    build: Build, kind: str, severity: Severity, place: str, text: str
) -> None:
    found = build(True).doctor().of(kind)
    fitting = [fault for fault in found if fault.place == place and text in fault.text]
    assert [fault.severity for fault in fitting] == [severity], [str(each) for each in found]
    assert fitting[0].advice
    assert [fault for fault in build(False).doctor().of(kind) if fault.place == place] == []


def test_a_sound_lab_has_no_fault() -> None:
    lab = _lab()
    _network(lab, "app")
    _run(lab, "web", network="app", ports={"80/tcp": 8080})
    found = lab.doctor()
    assert found
    assert len(found) == 0
    assert str(found) == "nothing found"


def test_what_is_found_is_printed_worst_first() -> None:
    lab = forwarding(ill=True)
    _run(lab, "db", "postgres", ports={"5432/tcp": 5432})
    found = lab.doctor()
    assert not found
    assert str(found).startswith("error [ip-forward-off] node1: net.ipv4.ip_forward = 0")
    assert [fault.severity for fault in found.faults] == sorted((f.severity for f in found.faults), reverse=True)
    assert "<b>node1</b>" in found._repr_html_()


def test_the_page_names_every_kind() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in Path(sys.modules["cnmsim.observe.doctor"].__file__ or "").parent.glob("*.py")
    )
    kinds = set(re.findall(r'Severity\.\w+(?: if \w+ else Severity\.\w+)?,\s*"([\w-]+)"', source))
    page = (Path(__file__).parents[2] / "docs" / "explaining.md").read_text(encoding="utf-8")
    assert len(kinds) > 15
    assert sorted(kind for kind in kinds if f"`{kind}`" not in page) == []
