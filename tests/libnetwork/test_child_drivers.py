"""The macvlan and ipvlan drivers: parents, modes, gateways and MACs by release, and their errors in order."""

from __future__ import annotations

from typing import Any

import pytest
from support.docker_host import VERSIONS, DockerHost

from cnmsim.errors import EngineError
from cnmsim.kernel.address import format_mac, parse_mac
from cnmsim.kernel.dummy import Dummy
from cnmsim.kernel.ipvlan import Ipvlan
from cnmsim.kernel.macvlan import Macvlan
from cnmsim.kernel.vlan import Vlan
from cnmsim.libnetwork.endpoint import Endpoint

LATER = VERSIONS[1:]


def make(host: DockerHost, name: str, driver: str, subnet: str = "10.9.0.0/24", **options: Any) -> Any:
    flags = {key: options.pop(key) for key in ("internal", "enable_ipv4", "enable_ipv6") if key in options}
    subnets = [subnet] if subnet else []
    return host.network(name, *subnets, driver=driver, driver_opts=options, **flags)


def refusal(host: DockerHost, name: str, driver: str, subnet: str = "10.9.0.0/24", **options: Any) -> str:
    before = host.snapshot()
    with pytest.raises(EngineError) as refused:
        make(host, name, driver, subnet, **options)
    assert host.snapshot() == before
    return refused.value.message


def device_of(endpoint: Endpoint) -> Any:
    assert endpoint.sandbox is not None
    assert endpoint.sandbox.namespace is not None
    return endpoint.sandbox.namespace.devices[endpoint.interface_name]


def routes_of(endpoint: Endpoint) -> list[str]:
    assert endpoint.sandbox is not None
    assert endpoint.sandbox.namespace is not None
    table = endpoint.sandbox.namespace
    return [
        str(r).partition(" proto")[0] for r in (*table.routes4.routes, *table.routes6.routes) if not r.prefix.length
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
@pytest.mark.parametrize(
    ("parent", "text"),
    [
        ("lo", "loopback interface is not a valid {driver} parent link"),
        ("nosuch", "invalid subinterface vlan name nosuch, example formatting is eth0.10"),
        (
            "eth0.1.2",
            "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received eth0.1.2",
        ),
        ("eth0.x", "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)"),
        ("eth9.x", "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)"),
        ("eth9.7", "-o parent interface was not found on the host: eth9"),
        ("eth9.5000", "-o parent interface was not found on the host: eth9"),
        ("eth0.0", "vlan id must be between 1-4094, received: 0"),
        ("eth0.4095", "vlan id must be between 1-4094, received: 4095"),
        ("eth0.-3", "vlan id must be between 1-4094, received: -3"),
    ],
)
def test_impossible_parents_are_refused_in_order(version: str, driver: str, parent: str, text: str) -> None:
    host = DockerHost(version)
    assert refusal(host, "net", driver, parent=parent) == text.format(driver=driver)


@pytest.mark.parametrize("version", VERSIONS)
def test_modes_are_read_before_the_parent(version: str) -> None:
    host = DockerHost(version)
    macvlan = "requested macvlan mode 'hub' is not valid, 'bridge' mode is the macvlan driver default"
    assert refusal(host, "net", "macvlan", parent="lo", macvlan_mode="hub") == macvlan
    mode = "requested ipvlan mode 'l4' is not valid, 'l2' mode is the ipvlan driver default"
    assert refusal(host, "net", "ipvlan", parent="lo", ipvlan_mode="l4", ipvlan_flag="odd") == mode
    flag = "requested ipvlan flag 'odd' is not valid, 'bridge' is the ipvlan driver default"
    assert refusal(host, "net", "ipvlan", parent="lo", ipvlan_flag="odd") == flag


def test_a_vlan_that_has_an_interface_of_another_name_is_no_parent_under_its_own() -> None:
    host = DockerHost()
    root = host.machine.root
    root.add_device(Vlan("office", root.devices["eth0"], 10))
    assert refusal(host, "net", "macvlan", parent="eth0.10") == "failed to create eth0.10 vlan link: file exists"
    assert make(host, "net", "macvlan", parent="office")


def test_a_sub_interface_of_an_interface_that_is_down_cannot_be_enabled() -> None:
    host = DockerHost()
    host.machine.root.devices["eth0"].set_down()
    text = "failed to enable eth0.10 the ipvlan parent link network is down"
    assert refusal(host, "net", "ipvlan", parent="eth0.10") == text


def test_a_sub_interface_has_no_transmit_queue() -> None:
    # LinkAttrs without NewLinkAttrs has TxQLen 0 (moby libnetwork/drivers/macvlan/macvlan_setup.go, createVlanLink).
    host = DockerHost()
    make(host, "net", "macvlan", parent="eth0.10")
    assert host.machine.root.devices["eth0.10"].txqueuelen == 0


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_pools_must_not_be_empty_before_ipv4_can_be_switched_off(driver: str) -> None:
    assert refusal_without_pool(DockerHost("26.1.5"), driver) == "ipv4 pool is empty"
    for version in LATER:
        assert refusal_without_pool(DockerHost(version), driver) == "ipv4 pool is empty"
        host = DockerHost(version)
        make(host, "bare", driver, "", parent="eth0", enable_ipv4=False)
        assert device_of(host.run("c1", "bare")).addresses == []


def refusal_without_pool(host: DockerHost, driver: str) -> str:
    with pytest.raises(EngineError) as refused:
        host.network("net", driver=driver, ipam_driver="null")
    return refused.value.message


def test_macvlan_networks_share_a_parent_from_27_on() -> None:
    host = DockerHost("26.1.5")
    first = make(host, "a", "macvlan", "10.1.0.0/24", parent="eth0")
    text = f"network dm-{first.id[:12]} is already using parent interface eth0"
    assert refusal(host, "b", "macvlan", "10.2.0.0/24", parent="eth0") == text
    for version in LATER:
        host = DockerHost(version)
        first = make(host, "a", "macvlan", "10.1.0.0/24", parent="eth0")
        make(host, "b", "macvlan", "10.2.0.0/24", parent="eth0", macvlan_mode="private")
        using = f"macvlan network {first.id} is already using parent interface eth0"
        text = f"cannot use mode passthru, {using}"
        assert refusal(host, "c", "macvlan", "10.3.0.0/24", parent="eth0", macvlan_mode="passthru") == text
        host = DockerHost(version)
        first = make(host, "a", "macvlan", "10.1.0.0/24", parent="eth0", macvlan_mode="passthru")
        text = f"macvlan network {first.id} is already using parent interface eth0 in mode passthru"
        assert refusal(host, "b", "macvlan", "10.2.0.0/24", parent="eth0") == text


@pytest.mark.parametrize("version", VERSIONS)
def test_ipvlan_networks_never_share_a_parent(version: str) -> None:
    host = DockerHost(version)
    first = make(host, "a", "ipvlan", "10.1.0.0/24", parent="eth0")
    text = f"network di-{first.id[:12]} is already using parent interface eth0"
    assert refusal(host, "b", "ipvlan", "10.2.0.0/24", parent="eth0") == text


@pytest.mark.parametrize("version", VERSIONS)
def test_the_two_drivers_meet_when_a_container_starts(version: str) -> None:
    host = DockerHost(version)
    make(host, "a", "ipvlan", "10.1.0.0/24", parent="eth0")
    make(host, "b", "macvlan", "10.2.0.0/24", parent="eth0")
    host.run("c1", "a")
    host.sandbox("c2")
    before = host.snapshot()
    with pytest.raises(EngineError, match=r"^failed to create the macvlan port: device or resource busy$"):
        host.connect("c2", "b")
    assert host.snapshot() == before
    host.remove("c1")
    assert isinstance(device_of(host.connect("c2", "b")), Macvlan)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_second_passthru_container_is_refused(version: str) -> None:
    host = DockerHost(version)
    make(host, "net", "macvlan", parent="eth0", macvlan_mode="passthru")
    first = host.run("c1", "net")
    assert device_of(first).mac == host.machine.root.devices["eth0"].mac == first.mac
    host.sandbox("c2")
    before = host.snapshot()
    with pytest.raises(EngineError, match=r"^failed to create the macvlan port: invalid argument$"):
        host.connect("c2", "net")
    assert host.snapshot() == before


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_what_a_driver_made_goes_with_its_network_and_what_was_there_stays(version: str, driver: str) -> None:
    host = DockerHost(version)
    devices = host.machine.root.devices
    net = make(host, "net", driver, parent="eth0.10")
    assert isinstance(devices["eth0.10"], Vlan)
    assert devices["eth0.10"].is_up
    host.run("c1", "net")
    host.remove("c1")
    net.delete()
    assert "eth0.10" not in devices
    assert devices["eth0"].upper_devices is None or not devices["eth0"].upper_devices.all
    make(host, "own", driver, parent="eth0").delete()
    assert "eth0" in devices


def test_a_shared_sub_interface_goes_with_its_last_network() -> None:
    for version in LATER:
        host = DockerHost(version)
        first = make(host, "a", "macvlan", "10.1.0.0/24", parent="eth0.10")
        second = make(host, "b", "macvlan", "10.2.0.0/24", parent="eth0.10")
        first.delete()
        assert "eth0.10" in host.machine.root.devices
        second.delete()
        assert "eth0.10" not in host.machine.root.devices


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("driver", "prefix", "kind"), [("macvlan", "dm", Macvlan), ("ipvlan", "di", Ipvlan)])
def test_without_a_parent_there_is_a_dummy_and_no_way_out(version: str, driver: str, prefix: str, kind: type) -> None:
    host = DockerHost(version)
    net = make(host, "net", driver)
    name = f"{prefix}-{net.id[:12]}"
    assert isinstance(host.machine.root.devices[name], Dummy)
    endpoint = host.run("c1", "net")
    assert isinstance(device_of(endpoint), kind)
    assert routes_of(endpoint) == []
    assert [each.name for each in host.controller.networks if each.name == "docker_gwbridge"] == []
    host.remove("c1")
    net.delete()
    assert name not in host.machine.root.devices


GATEWAYS = {
    ("macvlan", ""): {"26.1.5": "10.9.0.1", "28.5.2": "10.9.0.1", "29.7.2": ""},
    ("ipvlan", "l2"): {"26.1.5": "10.9.0.1", "28.5.2": "10.9.0.1", "29.7.2": ""},
    ("ipvlan", "l3"): dict.fromkeys(VERSIONS, "device"),
    ("ipvlan", "l3s"): dict.fromkeys(VERSIONS, "device"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("driver", "mode"), list(GATEWAYS))
def test_the_default_route_is_by_the_release_and_the_mode(version: str, driver: str, mode: str) -> None:
    host = DockerHost(version)
    make(host, "net", driver, parent="eth0", **({"ipvlan_mode": mode} if mode else {}))
    endpoint = host.run("c1", "net")
    gateway = GATEWAYS[driver, mode][version]
    wanted = {"": [], "device": ["default dev eth0 scope link"]}.get(gateway, [f"default via {gateway} dev eth0"])
    assert routes_of(endpoint) == wanted
    first = "10.9.0.2" if version == "26.1.5" or gateway == "10.9.0.1" else "10.9.0.1"
    assert str(device_of(endpoint).addresses[0]) == f"{first}/24"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_a_gateway_that_was_asked_for_is_used_and_internal_networks_have_none(version: str, driver: str) -> None:
    host = DockerHost(version)
    make(host, "net", driver, "10.9.0.0/24  10.9.0.254", parent="eth0")
    assert routes_of(host.run("c1", "net")) == ["default via 10.9.0.254 dev eth0"]
    host = DockerHost(version)
    make(host, "net", driver, "10.9.0.0/24  10.9.0.254", parent="eth0", internal=True)
    assert routes_of(host.run("c1", "net")) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_ipv6_has_a_default_route_of_its_own(version: str) -> None:
    host = DockerHost(version)
    options = {"parent": "eth0", "ipvlan_mode": "l3"}
    host.network("l3", "10.9.0.0/24", "fd09::/64", driver="ipvlan", driver_opts=options, enable_ipv6=True)
    assert routes_of(host.run("c1", "l3")) == ["default dev eth0 scope link", "default dev eth0 metric 1024"]
    host = DockerHost(version)
    host.network(
        "mv", "10.9.0.0/24  10.9.0.254", "fd09::/64  fd09::fe", driver="macvlan", driver_opts={"parent": "eth0"},
        enable_ipv6=True,
    )  # fmt: skip
    assert routes_of(host.run("c1", "mv")) == [
        "default via 10.9.0.254 dev eth0",
        "default via fd09::fe dev eth0 metric 1024",
    ]


def test_macs_are_of_the_address_in_26_and_random_later() -> None:
    for version in VERSIONS:
        host = DockerHost(version)
        make(host, "net", "macvlan", parent="eth0")
        mac = host.run("c1", "net").mac
        assert mac is not None
        assert format_mac(mac).startswith("02:42:0a:09:00:02") == (version == "26.1.5")
        asked = parse_mac("02:42:0a:09:00:99")
        assert device_of(host_run_with_mac(host, asked)).mac == asked


def host_run_with_mac(host: DockerHost, mac: bytes) -> Endpoint:
    host.sandbox("c2")
    return host.connect("c2", "net", mac=mac)


@pytest.mark.parametrize("version", VERSIONS)
def test_ipvlan_takes_no_mac_and_tells_none(version: str) -> None:
    host = DockerHost(version)
    make(host, "net", "ipvlan", parent="eth0")
    endpoint = host.run("c1", "net")
    assert endpoint.mac is None
    assert device_of(endpoint).mac == host.machine.root.devices["eth0"].mac
    host.sandbox("c2")
    before = host.snapshot()
    text = (
        "failed to create endpoint c2 on network net: ipvlan interfaces do not support custom mac address assignment"
    )
    with pytest.raises(EngineError) as refused:
        host.connect("c2", "net", mac=b"\x02\0\0\0\0\1")
    assert refused.value.message == text
    assert host.snapshot() == before


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_ports_are_ignored_with_a_line_in_the_log(version: str, driver: str) -> None:
    host = DockerHost(version)
    make(host, "net", driver, parent="eth0")
    rules = host.saved("iptables", "nat")
    host.sandbox("c1", "8080:80")
    endpoint = host.connect("c1", "net", port_bindings=host.sandboxes["c1"].options.port_bindings)
    assert endpoint.port_map == []
    assert host.saved("iptables", "nat") == rules
    assert f"{driver} driver does not support port mappings" in host.controller.log


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_other_options_are_ignored_and_the_mtu_is_the_parent_s(version: str, driver: str) -> None:
    host = DockerHost(version)
    host.machine.root.devices["eth0"].set_mtu(1400)
    make(host, "net", driver, parent="eth0", **{"com.docker.network.driver.mtu": "1300", "anything": "1"})
    assert device_of(host.run("c1", "net")).mtu == 1400


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_a_parent_that_went_away_is_named(version: str, driver: str) -> None:
    host = DockerHost(version)
    make(host, "net", driver, parent="eth0.10")
    first = host.run("c1", "net")
    host.machine.root.remove_device(host.machine.root.devices["eth0.10"])
    assert first.sandbox is not None
    assert list(first.sandbox.namespace.devices) == ["lo"]  # type: ignore[union-attr]
    host.sandbox("c2")
    with pytest.raises(EngineError) as refused:
        host.connect("c2", "net")
    assert refused.value.message == "the requested parent interface eth0.10 was not found on the Docker host"
    host.remove("c1")
    host.controller.find_network("net").delete()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_leaving_gives_address_and_device_back(version: str, driver: str) -> None:
    host = DockerHost(version)
    make(host, "net", driver, parent="eth0")
    host.sandbox("c1")
    before = host.snapshot()
    for _ in range(3):
        host.connect("c1", "net")
        host.disconnect("c1", "net")
    after = host.snapshot()
    # 26.1 takes lines out of the hosts file by the container's name, not by what it wrote.
    assert [part for part in after if not is_hosts_file(part)] == [part for part in before if not is_hosts_file(part)]


def is_hosts_file(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("c1"), bytes)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_interface_name_that_was_asked_for_is_given_from_28_on(version: str) -> None:
    host = DockerHost(version)
    make(host, "net", "macvlan", parent="eth0")
    host.sandbox("c1")
    asked = {"com.docker.network.endpoint.ifname": "lan0"}
    assert host.connect("c1", "net", driver_opts=asked).interface_name == ("eth0" if version == "26.1.5" else "lan0")


def test_a_way_out_beside_a_routed_one_is_refused_in_26_and_chosen_by_order_later() -> None:
    host = DockerHost("26.1.5")
    make(host, "l3", "ipvlan", parent="eth0", ipvlan_mode="l3")
    host.run("c1", "l3")
    before = host.snapshot()
    with pytest.raises(EngineError, match=r"^failed to set gateway while updating gateway: file exists$"):
        host.connect("c1", "bridge")
    # A join that fails after the interface is in the container leaves it there.
    assert [name[:4] for name in set(host.snapshot()[0]) - set(before[0])] == ["veth"]
    for version in LATER:
        host = DockerHost(version)
        make(host, "l3", "ipvlan", parent="eth0", ipvlan_mode="l3")
        routed = host.run("c1", "l3")
        host.connect("c1", "bridge")
        assert routes_of(routed) == ["default via 172.17.0.1 dev eth1"]


@pytest.mark.parametrize("version", VERSIONS)
def test_only_what_has_a_mac_of_its_own_announces_itself(version: str) -> None:
    for driver in ("macvlan", "ipvlan"):
        host = DockerHost(version)
        make(host, "net", driver, parent="eth0")
        frames: list[bytes] = []
        nic = host.machine.root.devices["eth0"]
        nic.taps += (
            lambda _time, direction, frame, heard=frames: heard.append(frame) if direction == "out" else None,
        )
        endpoint = host.run("c1", "net")
        host.clock.run_for(5)
        announced = [frame for frame in frames if frame[12:14] == b"\x08\x06" and frame[28:32] == frame[38:42]]
        assert len(announced) == (3 if driver == "macvlan" and version != "26.1.5" else 0)
        assert all(frame[6:12] == endpoint.mac for frame in announced)
