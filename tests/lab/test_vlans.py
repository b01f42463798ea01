"""Labs with VLANs: who hears whom over a trunk, and what a lab file says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnmsim import Lab
from cnmsim.errors import FileError, InvalidParameter

TWO_VLANS = Path(__file__).parents[2] / "examples" / "labs" / "two-vlans.yml"
VERSIONS = ("26.1.5", "28.5.2", "29.7.2")


@pytest.fixture(scope="module", params=VERSIONS)
def lab(request: pytest.FixtureRequest) -> Lab:
    return Lab.from_file(TWO_VLANS, engine=request.param)


def vlans_seen(lab: Lab, where: str, run) -> set[int | None]:  # type: ignore[no-untyped-def]
    """The VLAN tags of the ARP and ICMP frames at a device while something runs; `None` for untagged ones."""
    found: set[int | None] = set()
    host, device = where.split(":")
    nic = lab.host(host).namespace.devices[device]

    def tap(_time_ns: int, _direction: str, frame: bytes) -> None:
        found.add(int.from_bytes(frame[14:16]) & 0xFFF if frame[12:14] == b"\x81\x00" else None)

    nic.taps += (tap,)
    run()
    nic.taps = tuple(each for each in nic.taps if each is not tap)
    return found


def test_containers_are_neighbours_of_the_machines_of_their_vlan(lab: Lab) -> None:
    assert lab.host("app-server").ping("10.0.0.64").succeeded
    assert lab.host("database").ping("192.168.3.64").succeeded
    assert lab.container("mactainer1").exec_run("ping -c 1 -W 1 mactainer2").exit_code == 0
    assert "Welcome to nginx!" in lab.host("app-server").curl("http://10.0.0.64/").output


def test_frames_have_their_tag_on_the_trunk_and_none_behind_an_access_port(lab: Lab) -> None:
    app = lab.host("app-server")
    assert vlans_seen(lab, "node1:eth0", lambda: app.ping("10.0.0.64")) == {100}
    assert vlans_seen(lab, "app-server:eth0", lambda: app.ping("10.0.0.65")) == {None}
    assert vlans_seen(lab, "node1:eth0", lambda: lab.host("router").ping("172.16.0.15")) == {None}


def test_nothing_of_one_vlan_is_heard_in_the_other(lab: Lab) -> None:
    database = lab.host("database")
    lab.settle(10)
    assert vlans_seen(lab, "database:eth0", lambda: lab.host("app-server").ping("10.0.0.77")) == set()
    lab.run(5)  # app-server's own questions for 10.0.0.77 go on after its ping gave up
    assert vlans_seen(lab, "app-server:eth0", lambda: database.ping("192.168.3.77")) == set()


def test_vlans_meet_in_the_router_only(lab: Lab) -> None:
    walk = lab.trace("mactainer1", "192.168.3.64")
    assert walk.is_reachable
    assert "router" in {hop.place for hop in walk.hops}
    lab.host("router").exec("sysctl -w net.ipv4.ip_forward=0")
    assert not lab.trace("mactainer1", "192.168.3.64").is_reachable
    lab.host("router").exec("sysctl -w net.ipv4.ip_forward=1")


def test_a_trunk_between_switches_carries_what_it_is_told() -> None:
    lab = Lab()
    lab.add_segment("left", vlans={10: "10.1.0.0/24", 20: "10.2.0.0/24"})
    lab.add_segment("right")
    for name, address in (("a", "10.1.0.1/24"), ("b", "10.2.0.1/24"), ("c", "10.1.0.2/24"), ("d", "10.2.0.2/24")):
        lab.add_host(name, address)
    lab.link("c", "right", access=10)
    lab.link("d", "right", access=20)
    lab.link("left", "right", trunk=[10])
    assert lab.host("a").ping("10.1.0.2").succeeded
    assert not lab.host("b").ping("10.2.0.2").succeeded


def test_a_host_without_a_vlan_of_its_own_is_in_vlan_1() -> None:
    lab = Lab()
    lab.add_segment("switch", "10.9.0.0/24", vlans={10: "10.1.0.0/24"})
    for name, address in (("a", "10.9.0.1/24"), ("b", "10.9.0.2/24"), ("c", "10.1.0.1/24")):
        lab.add_host(name, address)
    assert lab.host("a").ping("10.9.0.2").succeeded
    lab.host("c").exec("ip addr add 10.9.0.3/24 dev eth0")
    assert not lab.host("c").ping("10.9.0.1").succeeded


def test_a_router_on_a_stick() -> None:
    lab = Lab()
    lab.add_segment("switch", vlans={1: "172.16.0.0/24", 10: "10.1.0.0/24", 20: "10.2.0.0/24"})
    router = lab.add_router("router", "172.16.0.1/24")
    lab.add_host("a", "10.1.0.2/24", gateway="10.1.0.1")
    lab.add_host("b", "10.2.0.2/24", gateway="10.2.0.1")
    lab.link("router", "switch", trunk="all")
    for vlan in (10, 20):
        router.exec(f"ip link add link eth0 name eth0.{vlan} type vlan id {vlan}")
        router.exec(f"ip addr add 10.{vlan // 10}.0.1/24 dev eth0.{vlan}")
        router.exec(f"ip link set eth0.{vlan} up")
    assert lab.host("a").ping("10.2.0.2").succeeded
    router.exec("ip link set eth0 down")
    assert "state DOWN" in router.exec("ip link show eth0.10").output
    assert not lab.host("a").ping("10.2.0.2").succeeded
    router.exec("ip link set eth0 up")
    assert lab.host("a").ping("10.2.0.2").succeeded


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"access": 10, "trunk": [10]}, "either access or trunk"),
        ({"native": 10}, "say which VLANs"),
        ({"access": 4095}, "between 1 and 4094"),
        ({"trunk": [0]}, "between 1 and 4094"),
        ({"trunk": "some"}, 'or "all"'),
    ],
)
def test_impossible_ports_are_refused(options: dict[str, object], words: str) -> None:
    lab = Lab()
    lab.add_segment("switch")
    lab.add_host("a", "10.1.0.1/24")
    with pytest.raises(InvalidParameter, match=words):
        lab.link("a", "switch", **options)
    assert lab.host("a").interfaces[0].link is lab.segment("10.1.0.0/24")


def test_vlans_are_a_matter_of_switches() -> None:
    lab = Lab()
    lab.add_host("a", "10.1.0.1/24")
    lab.add_host("b", "10.1.0.2/24")
    with pytest.raises(InvalidParameter, match="a switch's ports"):
        lab.link("a", "b", access=10)
    with pytest.raises(InvalidParameter, match="hub"):
        lab.add_segment("hub", is_hub=True, vlans={10: "10.2.0.0/24"})
    with pytest.raises(InvalidParameter, match="in VLAN 10 and VLAN 20"):
        lab.add_segment("switch", vlans={10: "10.2.0.0/24", 20: "10.2.0.0/24"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("segments: {s: {vlans: {x: 10.0.0.0/24}}}\nhosts: {a: {addresses: [10.0.0.1/24]}}", "segments.s.vlans"),
        ("segments: {s: {vlans: {5000: 10.0.0.0/24}}}\nhosts: {a: {addresses: [10.0.0.1/24]}}", "between 1 and 4094"),
        ("hosts: {a: {addresses: [10.0.0.1/24]}}\nlinks: [{between: [a, b], trunk: some}]", "links\\[0\\].trunk"),
        ("hosts: {a: {addresses: [10.0.0.1/24]}}\nlinks: [{between: [a, b], access: 0}]", "links\\[0\\].access"),
    ],
)
def test_a_lab_file_names_what_is_wrong_with_its_vlans(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "lab.yml"
    path.write_text(text)
    with pytest.raises(FileError, match=words):
        Lab.from_file(path)


def test_pictures_hang_a_network_of_the_wire_on_its_segment(lab: Lab) -> None:
    drawn = lab.to_mermaid()
    for parent in ("eth0.100", "eth0.200"):
        assert f'---|"{parent}"| s' in drawn
    edge = lab.to_networkx().edges["node1", "node1/vlan100"]
    assert (edge["device"], edge["kind"]) == ("eth0.100", "parent")


def test_vepa_needs_a_switch_that_reflects_frames() -> None:
    for hairpin in (False, True):
        lab = Lab()
        lab.add_segment("lan", "10.0.0.0/24")
        docker = lab.add_host("node1", "10.0.0.15/24", docker=True).docker
        if hairpin:
            lab.link("node1", "lan", hairpin=True)
        options = {"parent": "eth0", "macvlan_mode": "vepa"}
        docker.networks.create(
            "net", driver="macvlan", options=options, ipam={"Config": [{"Subnet": "10.0.0.64/26"}]}
        )
        for name in ("web1", "web2"):
            docker.containers.run("nginx", name=name, network="net", detach=True)
        assert lab.trace("web1", "web2:80").is_reachable == hairpin
