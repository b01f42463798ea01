"""The controller: the networks a daemon starts with, and what new networks and look-ups are refused for."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest
from support.docker_host import VERSIONS, DockerHost

from cnmsim.errors import Conflict, EngineError, Forbidden, InvalidParameter, NotFound, SystemFault
from cnmsim.kernel.address import parse_ip
from cnmsim.libnetwork.config import AddressPool, DaemonConfig
from cnmsim.libnetwork.driver import Capability
from cnmsim.libnetwork.drivers.null import NullDriver
from cnmsim.libnetwork.drivers.registry import DriverHost
from cnmsim.libnetwork.network_configuration import ManagerRedirect
from cnmsim.libnetwork.options import IpamConfig, NetworkOptions
from cnmsim.libnetwork.profile import PROFILES


@pytest.mark.parametrize("version", VERSIONS)
def test_daemon_starts_with_three_networks_and_docker0(version: str) -> None:
    host = DockerHost(version)
    assert [(n.name, n.driver_name, n.scope) for n in host.controller.networks] == [
        ("none", "null", "local"),
        ("host", "host", "local"),
        ("bridge", "bridge", "local"),
    ]
    docker0 = host.machine.root.devices["docker0"]
    assert [str(address) for address in docker0.addresses] == ["172.17.0.1/16"]
    assert docker0.is_up
    assert not docker0.has_carrier


def test_docker0_has_the_mac_its_release_gives_it() -> None:
    macs = {version: DockerHost(version).machine.root.devices["docker0"].mac for version in VERSIONS}
    assert macs["26.1.5"][:2] == b"\x02\x42"
    assert all(mac[0] & 3 == 2 for mac in macs.values())


def test_ids_are_64_hex_digits_and_the_same_in_every_run() -> None:
    one, other = DockerHost(), DockerHost()
    assert [n.id for n in one.controller.networks] == [n.id for n in other.controller.networks]
    assert all(len(n.id) == 64 and set(n.id) <= set("0123456789abcdef") for n in one.controller.networks)


@pytest.mark.parametrize(
    ("config", "subnet", "gateway"),
    [
        ({"bip": "192.168.9.5/24"}, "192.168.9.0/24", "192.168.9.5"),
        ({"default_address_pools": [AddressPool("10.200.0.0/16", 24)]}, "10.200.0.0/24", "10.200.0.1"),
        ({"fixed_cidr": "10.7.0.0/24"}, "10.7.0.0/24", "10.7.0.1"),
        ({"bip": "10.7.0.1/16", "fixed_cidr": "10.7.9.0/24"}, "10.7.0.0/16", "10.7.0.1"),
    ],
)
def test_docker0_takes_its_subnet_from_the_daemons_options(
    config: dict[str, object], subnet: str, gateway: str
) -> None:
    info = DockerHost(**config).controller.find_network("bridge").ipam_info[0]
    assert (str(info.pool), info.gateway) == (subnet, parse_ip(gateway))


def test_docker0_keeps_the_address_it_has() -> None:
    from cnmsim.kernel.bridge import Bridge

    host = DockerHost(start=False)
    docker0 = Bridge("docker0", b"\x02\x42\x00\x00\x00\x01", host.clock)
    host.machine.root.add_device(docker0)
    host.machine.root.add_address(docker0, "10.77.0.1/24")
    host.controller.start()
    host.clock.run_ready()
    assert str(host.controller.find_network("bridge").ipam_info[0].pool) == "10.77.0.0/24"


def test_daemon_without_bridge_has_no_docker0() -> None:
    host = DockerHost(bridge="none")
    assert [network.name for network in host.controller.networks] == ["none", "host"]
    assert "docker0" not in host.machine.root.devices


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"bridge": "br0", "bip": "10.0.0.1/8"}, InvalidParameter, "You specified -b & --bip"),
        ({"iptables": False, "icc": False}, InvalidParameter, "You specified --iptables=false with --icc=false"),
        ({"firewall_backend": "pf"}, InvalidParameter, 'allowed values are "iptables" and "nftables"'),
    ],
)
def test_daemon_refuses_options_that_do_not_go_together(
    config: dict[str, object], error: type[EngineError], message: str
) -> None:
    with pytest.raises(error, match=message):
        DaemonConfig(**config).validate(PROFILES["29.7.2"])  # type: ignore[arg-type]


BLANK = {
    "26.1.5": "invalid name: {}",
    "28.5.2": "invalid name: name is empty",
    "29.7.2": "invalid name: name is empty",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["", "  "])
def test_blank_name_is_refused(version: str, name: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        DockerHost(version).network(name)
    assert refused.value.message == BLANK[version].format(name)


def test_names_may_hold_anything_else() -> None:
    host = DockerHost()
    assert [host.network(name).name for name in ("bad name", "-bad")] == ["bad name", "-bad"]


REFUSED: list[tuple[str, dict[str, object], type[EngineError], str]] = [
    ("nosuchdriver", {}, NotFound, 'plugin "nosuchdriver" not found'),
    ("bridge", {"ipam_driver": "nosuch"}, NotFound, 'plugin "nosuch" not found'),
    ("host", {}, Forbidden, 'only one instance of "host" network is allowed'),
    ("null", {}, Forbidden, 'only one instance of "null" network is allowed'),
    ("bridge", {"ingress": True}, Forbidden, "Ingress network can only be global scope network"),
    (
        "bridge",
        {"scope": "swarm"},
        Forbidden,
        "cannot create a swarm scoped network when swarm is not active",
    ),
    (
        "overlay",
        {},
        Forbidden,
        (
            'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node '
            "to swarm and try again."
        ),
    ),
    (
        "bridge",
        {"config_only": True, "internal": True},
        Forbidden,
        (
            "configuration network can only contain network specific fields. Network operator fields like [ "
            "ingress | internal | attachable | scope ] are not supported."
        ),
    ),
    (
        "bridge",
        {"config_only": True, "config_from": "x"},
        Forbidden,
        "a configuration network cannot depend on another configuration network",
    ),
    ("bridge", {"config_from": "x"}, NotFound, 'configuration network "x" does not exist'),
    (
        "bridge",
        {"config_from": "x", "driver_opts": {"a": "b"}},
        Forbidden,
        "network driver options are not supported if the network depends on a configuration network",
    ),
]


@pytest.mark.parametrize(("driver", "options", "error", "message"), REFUSED)
def test_network_is_refused_in_libnetworks_words(
    driver: str, options: dict[str, object], error: type[EngineError], message: str
) -> None:
    host = DockerHost()
    before = host.snapshot()
    with pytest.raises(error) as refused:
        host.network("net", driver=driver, **options)
    assert refused.value.message == message
    assert host.snapshot() == before


def test_name_and_id_are_given_out_once() -> None:
    host = DockerHost()
    network = host.network("net1")
    with pytest.raises(Conflict, match=r"^network with name net1 already exists$"):
        host.network("net1")
    with pytest.raises(Conflict, match=f"^network with name {network.id} already exists$"):
        host.controller.new_network("net2", id=network.id)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            IpamConfig("10.51.0.0/24", gateway="10.51.0.0"),
            "failed to allocate gateway (10.51.0.0): Address already in use",
        ),
        (
            IpamConfig("10.51.0.0/24", gateway="10.51.0.255"),
            "failed to allocate gateway (10.51.0.255): Address already in use",
        ),
        (IpamConfig("10.51.0.0/24", gateway="nope"), "invalid gateway address nope in Ipam configuration"),
        (
            IpamConfig("10.51.0.0/24", aux_addresses={"x": "10.51.0.1"}),
            "failed to allocate secondary ip address (x:10.51.0.1): Address already in use",
        ),
        (
            IpamConfig("10.51.0.0/24", aux_addresses={"x": "10.52.0.1"}),
            "auxiliary address: (x:10.52.0.1) must belong to the master pool: 10.51.0.0/24",
        ),
    ],
)
def test_refused_address_gives_the_pool_back(version: str, config: IpamConfig, message: str) -> None:
    host = DockerHost(version)
    before = host.snapshot()
    with pytest.raises(EngineError) as refused:
        host.controller.new_network("net", options=NetworkOptions(ipam_config=[config]))
    assert refused.value.message == message
    assert host.snapshot() == before
    assert str(host.network("again", "10.51.0.0/24").ipam_info[0].pool) == "10.51.0.0/24"


def test_first_address_of_an_ip_range_is_the_gateway() -> None:
    network = DockerHost().network("net", "10.1.0.0/16 10.1.128.0/24")
    assert network.ipam_info[0].gateway == parse_ip("10.1.128.0")


def test_dynamic_pool_stays_clear_of_the_hosts_own_networks_and_name_servers() -> None:
    host = DockerHost(start=False)
    host.machine.root.add_address(host.machine.root.devices["eth0"], "172.17.3.4/24")
    host.machine.files.write("/etc/resolv.conf", b"nameserver 172.18.0.53\n")
    host.controller.start()
    host.clock.run_ready()
    assert str(host.controller.find_network("bridge").ipam_info[0].pool) == "172.19.0.0/16"


def test_network_is_found_by_id_name_and_prefix_in_this_order() -> None:
    host = DockerHost()
    first = host.controller.new_network("net1", id="aa" + "0" * 62)
    second = host.controller.new_network("aa0", id="ab" + "0" * 62)
    find = host.controller.find_network
    assert find(first.id) is first
    assert find("aa0") is second
    assert find("aa00") is first
    with pytest.raises(InvalidParameter, match=r"^network a is ambiguous \(2 matches found on ID prefix\)$"):
        find("a")
    with pytest.raises(NotFound, match=r"^network nosuch not found$"):
        find("nosuch")


@pytest.mark.parametrize(("version", "message"), [("26.1.5", "invalid id: "), ("29.7.2", "invalid id: id is empty")])
def test_empty_term_is_refused(version: str, message: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        DockerHost(version).controller.find_network("")
    assert refused.value.message == message


def test_network_takes_its_configuration_from_another() -> None:
    host = DockerHost()
    source = host.network("conf", "10.5.0.0/24", config_only=True, labels={"a": "b"})
    network = host.network("net", config_from="conf")
    assert (source.driver_name, source.scope, source.ipam_info) == ("null", "local", [])
    assert [event.name for event in host.controller.events if event.action == "create"][-2:] == ["conf", "net"]
    assert (str(network.ipam_info[0].pool), network.labels) == ("10.5.0.0/24", {"a": "b"})
    with pytest.raises(Forbidden, match=r'^configuration network "conf" is in use$'):
        source.delete()
    network.delete()
    source.delete()


def test_default_network_options_fill_in_what_a_user_left_out() -> None:
    mtu = "com.docker.network.driver.mtu"
    host = DockerHost(default_network_opts={"bridge": {mtu: "1400"}})
    assert host.network("one").driver_opts == {mtu: "1400"}
    assert host.network("two", driver_opts={mtu: "1300"}).driver_opts == {mtu: "1300"}
    assert host.controller.find_network("bridge").driver_opts[mtu] == "1500"


class Fabric(NullDriver):
    """A driver of another package, global and with addresses."""

    def __init__(self, host: DriverHost) -> None:
        super().__init__()
        self.name = "fabric"
        self.is_special = False
        self.capability = Capability("global", "global")
        self.machine = host.machine


def use_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    found = EntryPoint("fabric", f"{__name__}:Fabric", "cnmsim.drivers")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **wanted: EntryPoints([found]).select(**wanted))


def test_driver_of_an_installed_package_is_loaded_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    use_entry_point(monkeypatch)
    host = DockerHost()
    assert "fabric" not in host.controller.drivers.names()
    network = host.network("net", driver="fabric")
    assert network.driver is host.controller.drivers.get("fabric")
    assert (network.scope, str(network.ipam_info[0].pool)) == ("global", "10.0.0.0/24")


class Membership:
    def __init__(self, *, is_manager: bool) -> None:
        self.is_manager, self.is_agent = is_manager, True


def test_global_network_is_made_by_the_swarms_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    use_entry_point(monkeypatch)
    host = DockerHost()
    host.controller.cluster = Membership(is_manager=True)
    with pytest.raises(ManagerRedirect):
        host.network("net", driver="fabric")
    host.controller.cluster = Membership(is_manager=False)
    with pytest.raises(Forbidden, match=r"^Cannot create a multi-host network from a worker node"):
        host.network("net", driver="fabric")
    with pytest.raises(Forbidden, match=r"^cannot downgrade network scope for fabric networks$"):
        host.network("net", driver="fabric", scope="local")
    pushed = host.controller.new_network("net", "fabric", is_dynamic=True)
    assert pushed.scope == "swarm"


def test_exhausted_ipv4_pool_of_a_single_address_still_makes_a_network() -> None:
    host = DockerHost()
    network = host.network("tiny", "10.3.0.0/32")
    with pytest.raises(SystemFault) as refused:
        host.run("c1", "tiny")
    assert refused.value.message == (
        f"no available IPv4 addresses on this network's address pools: tiny ({network.id})"
    )


def test_a_refused_subnet_carries_a_note_of_who_is_in_the_way() -> None:
    host = DockerHost()
    for name, subnet in (("near", "10.1.0.0/16"), ("far", "10.2.0.0/16")):
        host.controller.new_network(name, options=NetworkOptions(ipam_config=[IpamConfig(subnet)]))
    with pytest.raises(Forbidden) as refused:
        host.controller.new_network("new", options=NetworkOptions(ipam_config=[IpamConfig("10.1.7.0/24")]))
    assert refused.value.message == "invalid pool request: Pool overlaps with other one on this address space"
    assert refused.value.__notes__ == ["in use: 10.1.0.0/16 by network near"]


def test_exhausted_default_pools_carry_a_note_of_who_holds_them() -> None:
    host = DockerHost(default_address_pools=[AddressPool("10.200.0.0/23", 24)])
    host.controller.new_network("one")
    with pytest.raises(InvalidParameter) as refused:
        host.controller.new_network("two")
    assert refused.value.__notes__ == ["in use: 10.200.0.0/24 by network bridge; 10.200.1.0/24 by network one"]
