"""What a packet meets on the bridge driver's rules: the source address a server sees, or how the client fails.

The cells are measurements on real engines, with and without the userland proxy.
"""

from __future__ import annotations

import pytest
from support.docker_host import VERSIONS, DockerHost
from support.traffic import REFUSED, TIMEOUT, UNREACHABLE, add_remote, ask, serve

HOST, REMOTE, DOCKER0, S0, C0 = "10.0.0.15", "10.0.0.50", "172.17.0.1", "172.17.0.2", "172.17.0.3"

# flow: (from, to, port) -> with proxy and without, for 26.1.5, 28.5.2, 29.7.2 in turn
MATRIX = {
    ("c0", S0, 80): (C0, C0, C0, C0, C0, C0),
    ("c1", S0, 80): (TIMEOUT,) * 6,
    ("c1", S0, 81): (TIMEOUT,) * 6,
    ("c0", HOST, 8080): (DOCKER0, C0, DOCKER0, C0, DOCKER0, C0),
    ("s0", HOST, 8080): (DOCKER0,) * 6,
    ("c1", HOST, 8080): (DOCKER0, TIMEOUT, DOCKER0, TIMEOUT, DOCKER0, DOCKER0),
    ("c1", "172.18.0.1", 8080): (DOCKER0, TIMEOUT, DOCKER0, TIMEOUT, DOCKER0, DOCKER0),
    ("c1", DOCKER0, 8080): (DOCKER0, TIMEOUT, DOCKER0, TIMEOUT, DOCKER0, DOCKER0),
    ("ci", "172.19.0.1", 8080): (TIMEOUT,) * 6,
    ("ci", S0, 80): (UNREACHABLE,) * 6,
    ("", "127.0.0.1", 8080): (DOCKER0,) * 6,
    ("", HOST, 8080): (HOST, DOCKER0, HOST, DOCKER0, HOST, DOCKER0),
    ("", "::1", 8080): (DOCKER0, REFUSED, DOCKER0, REFUSED, DOCKER0, REFUSED),
    ("", S0, 80): (DOCKER0,) * 6,
    ("", S0, 81): (DOCKER0,) * 6,
    ("", "172.19.0.2", 80): ("172.19.0.1",) * 6,
    ("remote", HOST, 8080): (REMOTE,) * 6,
    ("remote", S0, 80): (REMOTE, REMOTE, TIMEOUT, TIMEOUT, TIMEOUT, TIMEOUT),
    ("remote", S0, 81): (TIMEOUT,) * 6,
}


#: Where nftables differs: the port's rule accepts before the internal network's drop is reached.
NFTABLES = {("ci", "172.19.0.1", 8080): "172.19.0.2"}


@pytest.mark.parametrize("proxy", [True, False], ids=["proxy", "no-proxy"])
@pytest.mark.parametrize(("version", "backend"), [*((version, "") for version in VERSIONS), ("29.7.2", "nftables")])
def test_server_sees_what_it_sees_on_a_real_engine(version: str, backend: str, proxy: bool) -> None:
    host = DockerHost(version, userland_proxy=proxy, firewall_backend=backend)
    remote = add_remote(host)
    host.network("bridge1")
    host.network("brint", internal=True)
    for name, network in (("s0", "bridge"), ("c0", "bridge"), ("c1", "bridge1"), ("ci", "brint")):
        host.run(name, network, *(["8080:80"] if name == "s0" else []))
    serve(host, "s0", 80)
    serve(host, "s0", 81)
    serve(host, "ci", 80)
    column = VERSIONS.index(version) * 2 + (not proxy)
    seen = {
        flow: ask(host, flow[1], flow[2], source=remote.root if flow[0] == "remote" else flow[0]) for flow in MATRIX
    }
    expected = {flow: cells[column] for flow, cells in MATRIX.items()}
    assert seen == (expected | NFTABLES if backend else expected)


@pytest.mark.parametrize("version", VERSIONS)
def test_udp_port_is_reached_from_outside_and_through_loopback(version: str) -> None:
    host = DockerHost(version)
    remote = add_remote(host)
    host.run("dns", "bridge", "5353:53/udp")
    serve(host, "dns", 53, udp=True)
    assert ask(host, HOST, 5353, source=remote.root, udp=True) == REMOTE
    assert ask(host, "127.0.0.1", 5353, udp=True) == DOCKER0


@pytest.mark.parametrize("version", VERSIONS)
def test_proxy_accepts_and_then_closes_when_the_container_refuses(version: str) -> None:
    host = DockerHost(version)
    remote = add_remote(host)
    host.run("web", "bridge", "8080:80")
    assert ask(host, "127.0.0.1", 8080) == ""
    assert ask(host, HOST, 8080, source=remote.root) == REFUSED


def test_a_proxy_that_may_not_answer_gives_the_client_up() -> None:
    host = DockerHost()
    host.run("dns", "bridge", "5353:53/udp")
    serve(host, "dns", 53, udp=True)
    tables = host.machine.root.netfilter.iptables(4)
    tables.append("filter", "OUTPUT", "-o lo -p udp --sport 5353 -j DROP")
    assert ask(host, "127.0.0.1", 5353, udp=True) == TIMEOUT
    tables.delete("filter", "OUTPUT", "-o lo -p udp --sport 5353 -j DROP")
    assert ask(host, "127.0.0.1", 5353, udp=True) == DOCKER0


@pytest.mark.parametrize(
    ("version", "mode", "published", "unpublished"),
    [
        ("28.5.2", "nat", TIMEOUT, TIMEOUT),
        ("28.5.2", "routed", REMOTE, TIMEOUT),
        ("28.5.2", "nat-unprotected", REMOTE, REMOTE),
        ("29.7.2", "nat", TIMEOUT, TIMEOUT),
        ("29.7.2", "routed", REMOTE, TIMEOUT),
        ("29.7.2", "nat-unprotected", REMOTE, REMOTE),
        ("26.1.5", "routed", REMOTE, TIMEOUT),  # the label is not known there
    ],
)
def test_gateway_mode_decides_what_a_routed_client_reaches(
    version: str, mode: str, published: str, unpublished: str
) -> None:
    host = DockerHost(version)
    remote = add_remote(host)
    host.network("net", "172.20.0.0/16", driver_opts={"com.docker.network.bridge.gateway_mode_ipv4": mode})
    host.run("web", "net", "8080:80")
    serve(host, "web", 80)
    serve(host, "web", 81)
    assert ask(host, "172.20.0.2", 80, source=remote.root) == published
    assert ask(host, "172.20.0.2", 81, source=remote.root) == unpublished


@pytest.mark.parametrize(("version", "other_bridge"), [("28.5.2", TIMEOUT), ("29.7.2", "172.17.0.1")])
def test_direct_routing_opens_published_ports_only(version: str, other_bridge: str) -> None:
    host = DockerHost(version, allow_direct_routing=True)
    remote = add_remote(host)
    host.network("net")
    host.run("web", "bridge", "8080:80")
    host.run("peer", "net")
    serve(host, "web", 80)
    serve(host, "web", 81)
    assert ask(host, S0, 80, source=remote.root) == REMOTE
    assert ask(host, S0, 81, source=remote.root) == TIMEOUT
    assert ask(host, S0, 80, source="peer") == other_bridge


@pytest.mark.parametrize("version", VERSIONS)
def test_network_without_icc_separates_its_containers(version: str) -> None:
    host = DockerHost(version)
    host.network("apart", driver_opts={"com.docker.network.bridge.enable_icc": "false"})
    host.run("web", "apart", "8080:80")
    host.run("peer", "apart")
    serve(host, "web", 80)
    assert ask(host, "172.18.0.2", 80, source="peer") == TIMEOUT
    assert ask(host, HOST, 8080, source="peer") == "172.18.0.1"


def test_port_held_without_a_proxy_is_listened_on_but_never_served() -> None:
    host = DockerHost("29.7.2", userland_proxy=False, iptables=False)
    add_remote(host)
    host.run("web", "bridge", "8080:80")
    serve(host, "web", 80)
    assert ask(host, "127.0.0.1", 8080) == TIMEOUT


def test_without_iptables_everything_is_forwarded_unchanged() -> None:
    host = DockerHost("29.7.2", iptables=False, ip6tables=False)
    remote = add_remote(host)
    host.network("net")
    host.run("web", "bridge", "8080:80")
    host.run("peer", "net")
    serve(host, "web", 81)
    assert ask(host, S0, 81, source="peer") == "172.18.0.2"
    assert ask(host, S0, 81, source=remote.root) == REMOTE
    assert host.machine.root.sysctl_get("net.ipv4.ip_forward") == "1"
