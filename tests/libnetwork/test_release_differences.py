"""Behaviour of some releases: IPv6 subnets and addresses, exposed and UDP ports, reloaded networks."""

from __future__ import annotations

import pytest
from support.docker_host import VERSIONS, DockerHost

from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.kernel.process import Process
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.options import TransportPort
from cnmsim.libnetwork.profile import PROFILES

CLASH = "clash with the Link-Local prefix 'fe80::/64'"
IPV6_SUBNETS = [
    ("26.1.5", "fe80::/60", CLASH),
    ("28.5.2", "fe80::/60", "'fe80::1/60' clashes with the Link-Local prefix 'fe80::/64'"),
    ("29.7.2", "fe80::/80", "'fe80::1/80' clashes with the Link-Local prefix 'fe80::/64'"),
    ("28.5.2", "ff05::/64", "multicast subnet 'ff05::1/64' is not allowed"),
    ("29.7.2", "ff05::/64", "multicast subnet 'ff05::1/64' is not allowed"),
]


@pytest.mark.parametrize(("version", "subnet", "fault"), IPV6_SUBNETS)
def test_a_bridge_network_refuses_an_ipv6_subnet(version: str, subnet: str, fault: str) -> None:
    host = DockerHost(version)
    before = host.snapshot()
    with pytest.raises(InvalidParameter) as refused:
        host.network("n6", "172.30.0.0/16", subnet, enable_ipv6=True)
    assert refused.value.message == fault
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ("version", "subnet"), [*((version, "fe80::/64") for version in VERSIONS), ("26.1.5", "ff05::/64")]
)
def test_a_bridge_network_accepts_an_ipv6_subnet(version: str, subnet: str) -> None:
    network = DockerHost(version).network("n6", "172.30.0.0/16", subnet, enable_ipv6=True)
    assert [str(info.pool) for info in network.ipam_pools(6)] == [subnet]


@pytest.mark.parametrize(
    ("version", "fault"),
    [
        ("26.1.5", CLASH),
        *((version, "'fe80::/63' clashes with the Link-Local prefix 'fe80::/64'") for version in VERSIONS[1:]),
    ],
)
def test_a_daemon_refuses_a_fixed_cidr_v6_beside_the_link_local_prefix(version: str, fault: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        DaemonConfig(ipv6=True, fixed_cidr_v6="fe80::/63").validate(PROFILES[version])
    assert refused.value.message.endswith(f"flags failed: invalid fixed-cidr-v6: {fault}")


def test_ip6tables_of_26_needs_experimental_features() -> None:
    with pytest.raises(InvalidParameter) as refused:
        DockerHost("26.1.5", ip6tables=True)
    assert refused.value.message == "ip6tables rules are only available if experimental features are enabled"
    DockerHost("26.1.5", ip6tables=True, experimental=True)
    DockerHost("28.5.2", ip6tables=True)


@pytest.mark.parametrize(("version", "is_shown"), [("26.1.5", False), ("28.5.2", False), ("29.7.2", True)])
def test_exposed_ports_on_an_internal_network_are_reported(version: str, is_shown: bool) -> None:
    host = DockerHost(version)
    host.network("inside", internal=True)
    endpoint = host.run("web", "inside", exposed_ports=[TransportPort("tcp", 80)])
    assert endpoint.driver_info()["exposed_ports"] == ([TransportPort("tcp", 80)] if is_shown else [])
    outside = host.run("db", "bridge", exposed_ports=[TransportPort("tcp", 5432)])
    assert outside.driver_info()["exposed_ports"] == [TransportPort("tcp", 5432)]


async def _wait(process: Process) -> int:
    await process.exited
    return 0


@pytest.mark.parametrize(("version", "shares"), [("26.1.5", False), ("28.5.2", True), ("29.7.2", False)])
def test_a_udp_port_is_shared_with_a_process_that_reuses_its_address(version: str, shares: bool) -> None:
    host = DockerHost(version)
    other = host.machine.spawn(_wait, ["other"]).udp(4)
    other.reuse_address = True
    other.bind((b"\0\0\0\0", 9700))
    if shares:
        assert host.run("web", "bridge", "9700:80/udp").port_map[0].host_port == 9700
        return
    with pytest.raises(SystemFault, match="address already in use"):
        host.run("web", "bridge", "9700:80/udp")


def test_an_ipv6_address_that_a_sysctl_removes_cannot_be_advertised() -> None:
    host = DockerHost("28.5.2")
    host.network("n6", "172.30.0.0/16", "2001:db8::/64", enable_ipv6=True)
    sandbox = host.sandbox("web")
    with pytest.raises(SystemFault, match=r"^failed to add interface veth[0-9a-f]+ to sandbox: failed to advertise "):
        host.connect(
            "web", "n6", driver_opts={"com.docker.network.endpoint.sysctls": "net.ipv6.conf.IFNAME.disable_ipv6=1"}
        )
    assert "eth0" in sandbox.namespace.devices


def test_an_ipv6_address_that_a_sysctl_removes_is_released() -> None:
    host = DockerHost("29.7.2")
    network = host.network("n6", "172.30.0.0/16", "2001:db8::/64", enable_ipv6=True)
    free = {"com.docker.network.endpoint.sysctls": "net.ipv6.conf.IFNAME.disable_ipv6=1"}
    host.sandbox("web")
    guards = len(host.rules("PREROUTING", "raw", family=6))
    endpoint = host.connect("web", "n6", driver_opts=free)
    assert endpoint.ipv6 is None
    assert endpoint.gateway6 is None
    assert "2001:db8::2" not in host.sandboxes["web"].hosts_file.content.decode()
    assert len(host.rules("PREROUTING", "raw", family=6)) == guards
    second = host.run("db", "n6")
    assert second.ipv6 is not None
    assert second.ipv6[0][-1] == 2
    assert network.records.lookup("web") == [endpoint.ipv4[0]]


@pytest.mark.parametrize(("version", "overwrites"), [("26.1.5", True), ("28.5.2", True), ("29.7.2", False)])
def test_reloaded_networks_are_configured_with_what_was_allocated(version: str, overwrites: bool) -> None:
    host = DockerHost(version)
    automatic, subnet_only = host.network("automatic"), host.network("subnet-only", "172.30.0.0/16")
    before = [list(network.ipam_config) for network in (automatic, subnet_only)]
    host.controller.reload_networks()
    after = [[(each.subnet, each.gateway) for each in network.ipam_config] for network in (automatic, subnet_only)]
    if overwrites:
        assert after == [[("172.18.0.0/16", "172.18.0.1")], [("172.30.0.0/16", "172.30.0.1")]]
    else:
        assert [automatic.ipam_config, subnet_only.ipam_config] == before
