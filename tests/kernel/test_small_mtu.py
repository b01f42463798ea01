"""A device whose MTU is below 1280 has no IPv6: no addresses, no sysctls (as an interface of Linux 6.1 was seen to
do)."""

import errno

import pytest

from cnmsim import Lab
from cnmsim.errors import EngineError


@pytest.fixture
def host():
    host = Lab().add_host("node1", "10.0.0.1/24", "fd00::1/64")
    assert "fe80::" in host.exec("ip -6 addr show dev eth0").output
    return host


def test_ipv6_goes_with_a_small_mtu_and_comes_back_without_what_was_set(host):
    host.exec("ip link set eth0 mtu 1279")
    assert host.exec("ip -6 addr show dev eth0").output == ""
    assert "eth0" not in host.exec("ip -6 route").output
    assert "inet 10.0.0.1/24" in host.exec("ip addr show dev eth0").output
    refused = host.exec("ip addr add fd00::2/64 dev eth0")
    assert (refused.status, refused.output) == (2, "RTNETLINK answers: Invalid argument\n")
    host.exec("ip link set eth0 mtu 1280")
    listed = host.exec("ip -6 addr show dev eth0").output
    assert "fe80::" in listed
    assert "fd00::1" not in listed


def test_its_sysctls_are_gone_too(host):
    space = host.namespace
    space.sysctl_set("net.ipv6.conf.eth0.accept_ra", "2")
    host.exec("ip link set eth0 mtu 1000")
    for call in (
        lambda: space.sysctl_get("net.ipv6.conf.eth0.accept_ra"),
        lambda: space.sysctl_set("net.ipv6.conf.eth0.accept_ra", "1"),
    ):
        with pytest.raises(OSError) as error:
            call()
        assert error.value.errno == errno.ENOENT
    host.exec("ip link set eth0 mtu 1500")
    assert space.sysctl_get("net.ipv6.conf.eth0.accept_ra") == "1"


@pytest.mark.parametrize("release", ["26.1.5", "28.5.2", "29.7.2"])
def test_an_ipv6_network_of_a_small_mtu_is_refused_and_one_of_ipv4_is_not(release):
    docker = Lab(release).add_host("node1", "10.0.0.1/24", docker=True).docker
    small = {"com.docker.network.driver.mtu": "1000", "com.docker.network.bridge.name": "small"}
    with pytest.raises(EngineError) as error:
        docker.networks.create("six", enable_ipv6=True, options=small, subnet=["10.9.0.0/24", "fd00:5::/64"])
    where = "/proc/sys/net/ipv6/conf/small/disable_ipv6"
    assert error.value.message.endswith(
        f"Cannot read IPv6 setup for bridge small: open {where}: no such file or directory"
    )
    docker.networks.create("four", options=small)
    c1 = docker.containers.run("alpine", "sleep 1d", name="c1", network="four", detach=True)
    c2 = docker.containers.run("alpine", "sleep 1d", name="c2", network="four", detach=True)
    assert "1 packets received" in c1.exec("ping -c 1 c2").output
    assert "inet6" not in c2.exec("ip addr show dev eth0").output
