"""Published ports: which host port a binding gets, what stands in its way, and when it moves."""

from __future__ import annotations

from contextlib import closing

import pytest
from support.docker_host import VERSIONS, DockerHost, without_failed_join

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import format_ip
from cnmsim.kernel.process import Process
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.libnetwork.endpoint import Endpoint


def shown(endpoint: Endpoint) -> list[str]:
    found = []
    for binding in endpoint.port_map:
        assert binding.host_ip is not None
        host = format_ip(binding.host_ip)
        found.append(f"{binding.container_port}/{binding.protocol} -> {host}:{binding.host_port}")
    return found


def occupy(host: DockerHost, address: str, port: int, *, udp: bool = False) -> None:
    async def squatter(process: Process) -> int:
        await process.exited
        return 0

    process = host.machine.spawn(squatter, ["squatter"])
    if udp:
        process.udp().bind((address, port))
    else:
        socket = process.tcp()
        socket.bind((address, port))
        socket.listen()
    host.clock.run_ready()


@pytest.mark.parametrize("version", VERSIONS)
def test_port_without_address_is_published_in_both_families(version: str) -> None:
    host = DockerHost(version)
    assert shown(host.run("web", "bridge", "8080:80")) == ["80/tcp -> 0.0.0.0:8080", "80/tcp -> :::8080"]


@pytest.mark.parametrize("version", VERSIONS)
def test_without_proxy_ipv6_is_not_published_for_an_ipv4_container(version: str) -> None:
    host = DockerHost(version, userland_proxy=False)
    assert shown(host.run("web", "bridge", "8080:80", "[::]:8081:81")) == ["80/tcp -> 0.0.0.0:8080"]


@pytest.mark.parametrize(
    ("version", "ports"),
    [("26.1.5", {80: 32768, 22: 32769}), ("28.5.2", {22: 32768, 80: 32769}), ("29.7.2", {22: 32768, 80: 32769})],
)
def test_ephemeral_ports_are_given_in_the_engines_order(version: str, ports: dict[int, int]) -> None:
    endpoint = DockerHost(version).run("web", "bridge", "80", "22", "53/udp")
    found = {(binding.container_port, binding.protocol): binding.host_port for binding in endpoint.port_map}
    assert found == {(80, "tcp"): ports[80], (22, "tcp"): ports[22], (53, "udp"): 32768}


@pytest.mark.parametrize("version", ["28.5.2", "29.7.2"])
@pytest.mark.parametrize(
    ("published", "order"),
    [
        # moby portmapperapi PortBindingReq.Compare: exact host ports first, then by container port, protocol, host
        # port, end of the range, host address.
        (["127.0.0.9:81:80", "127.0.0.2:81:80"], ["80/tcp -> 127.0.0.2:81", "80/tcp -> 127.0.0.9:81"]),
        (["127.0.0.1:90:80", "127.0.0.1:81:80"], ["80/tcp -> 127.0.0.1:81", "80/tcp -> 127.0.0.1:90"]),
        (
            ["127.0.0.1:53:53/udp", "127.0.0.1:53:53/sctp", "127.0.0.1:53:53"],
            ["53/tcp -> 127.0.0.1:53", "53/udp -> 127.0.0.1:53", "53/sctp -> 127.0.0.1:53"],
        ),
        (
            ["127.0.0.1:8000-8009:22", "127.0.0.1:9000:99", "127.0.0.1:9001:80"],
            ["80/tcp -> 127.0.0.1:9001", "99/tcp -> 127.0.0.1:9000", "22/tcp -> 127.0.0.1:8000"],
        ),
        (
            ["127.0.0.1:8000-8009:80", "127.0.0.1:8000-8001:80"],
            ["80/tcp -> 127.0.0.1:8000", "80/tcp -> 127.0.0.1:8001"],
        ),
        (
            ["[::1]:81:80", "127.0.0.9:81:80", "82:80"],
            ["80/tcp -> 127.0.0.9:81", "80/tcp -> ::1:81", "80/tcp -> 0.0.0.0:82", "80/tcp -> :::82"],
        ),
    ],
)
def test_ports_are_mapped_in_the_engines_order(version: str, published: list[str], order: list[str]) -> None:
    assert shown(DockerHost(version).run("web", "bridge", *published)) == order


@pytest.mark.parametrize("version", VERSIONS)
def test_port_of_a_range_is_not_reused_before_the_range_came_round(version: str) -> None:
    host = DockerHost(version)
    taken = []
    for number, freed in enumerate(("", "", "w0")):
        if freed:
            host.remove(freed)
        taken.append(host.run(f"w{number}", "bridge", "9000-9002:80").port_map[0].host_port)
    taken.append(host.run("w3", "bridge", "9000-9002:80").port_map[0].host_port)
    assert taken == [9000, 9001, 9002, 9000]
    with pytest.raises(SystemFault, match="all ports are allocated"):
        host.run("w4", "bridge", "9000-9002:80")


@pytest.mark.parametrize("version", VERSIONS)
def test_one_process_serves_each_host_address_of_a_port(version: str) -> None:
    host = DockerHost(version)
    host.run("web", "bridge", "8080:80")
    fd = " -use-listen-fd" if version != "26.1.5" else ""
    running = [" ".join(process.argv) for process in host.machine.processes.values() if "proxy" in process.argv[0]]
    assert running == [
        f"/usr/bin/docker-proxy -proto tcp -host-ip {address} -host-port 8080 -container-ip 172.17.0.2 "
        f"-container-port 80{fd}"
        for address in ("0.0.0.0", "::")
    ]
    host.remove("web")
    assert not [process for process in host.machine.processes.values() if "proxy" in process.argv[0]]


ALLOCATED = "Bind for 0.0.0.0:5000 failed: port is already allocated"
PROXY = "Error starting userland proxy: "
CONFLICTS: list[tuple[str, str, str, str]] = [
    # version, held by the first container, asked by the second, cause
    ("26.1.5", "5000:80", "5000:80", ALLOCATED),
    ("28.5.2", "5000:80", "5000:80", ALLOCATED),
    ("29.7.2", "5000:80", "5000:80", ALLOCATED),
    ("26.1.5", "5000:80", "127.0.0.1:5000:80", f"{PROXY}listen tcp4 127.0.0.1:5000: bind: address already in use"),
    ("28.5.2", "5000:80", "127.0.0.1:5000:80", ALLOCATED),
    ("29.7.2", "5000:80", "127.0.0.1:5000:80", ALLOCATED),
    ("29.7.2", "127.0.0.1:5000:80", "5000:80", ALLOCATED.replace("0.0.0.0", "127.0.0.1")),
]


@pytest.mark.parametrize(("version", "held", "asked", "cause"), CONFLICTS)
def test_port_of_another_container_is_refused(version: str, held: str, asked: str, cause: str) -> None:
    host = DockerHost(version)
    host.run("first", "bridge", held)
    before = host.snapshot()
    with pytest.raises(SystemFault) as refused:
        host.run("second", "bridge", asked)
    text = refused.value.message
    assert text.startswith("driver failed programming external connectivity on endpoint second (")
    assert text.endswith(f"): {cause}")
    assert host.snapshot() == before


FOREIGN: list[tuple[str, str, str]] = [
    ("26.1.5", "9500:80", f"{PROXY}listen tcp4 0.0.0.0:9500: bind: address already in use"),
    ("28.5.2", "9500:80", "failed to bind host port for 0.0.0.0:9500:172.17.0.2:80/tcp: address already in use"),
    ("29.7.2", "9500:80", "failed to bind host port 0.0.0.0:9500/tcp: address already in use"),
    ("26.1.5", "9500:80/udp", f"{PROXY}listen udp4 0.0.0.0:9500: bind: address already in use"),
    ("28.5.2", "9500:80/udp", "failed to bind host port for 0.0.0.0:9500:172.17.0.2:80/udp: address already in use"),
    ("29.7.2", "9500:80/udp", "failed to bind host port 0.0.0.0:9500/udp: address already in use"),
    ("26.1.5", "10.1.2.3:80:80", f"{PROXY}listen tcp4 10.1.2.3:80: bind: cannot assign requested address"),
    (
        "28.5.2",
        "10.1.2.3:80:80",
        "failed to bind host port for 10.1.2.3:80:172.17.0.2:80/tcp: cannot assign requested address",
    ),
    ("29.7.2", "10.1.2.3:80:80", "failed to bind host port 10.1.2.3:80/tcp: cannot assign requested address"),
]


@pytest.mark.parametrize(("version", "asked", "cause"), FOREIGN)
def test_address_that_cannot_be_bound_is_refused(version: str, asked: str, cause: str) -> None:
    host = DockerHost(version)
    occupy(host, "0.0.0.0", 9500)
    occupy(host, "0.0.0.0", 9500, udp=True)
    before = host.snapshot()
    with pytest.raises(SystemFault) as refused:
        host.run("web", "bridge", asked)
    assert refused.value.message.partition("): ")[2] == cause
    assert host.snapshot() == before


def test_busy_first_port_of_a_range_is_passed_over_since_28() -> None:
    for version in ("28.5.2", "29.7.2"):
        host = DockerHost(version)
        occupy(host, "0.0.0.0", 9500)
        assert host.run("web", "bridge", "9500-9502:80").port_map[0].host_port == 9501
    host = DockerHost("26.1.5")
    occupy(host, "0.0.0.0", 9500)
    with pytest.raises(SystemFault, match=r"listen tcp4 0\.0\.0\.0:9500: bind: address already in use"):
        host.run("web", "bridge", "9500-9502:80")


@pytest.mark.parametrize(
    ("version", "cause"),
    [
        ("26.1.5", "Bind for 0.0.0.0:8400 failed: port is already allocated"),
        ("28.5.2", "failed to listen on TCP socket: address already in use"),
        ("29.7.2", "failed to bind host port 0.0.0.0:8400/tcp: address already in use"),
    ],
)
def test_same_binding_twice_is_refused(version: str, cause: str) -> None:
    from cnmsim.libnetwork.options import PortBinding, SandboxOptions

    host = DockerHost(version)
    twice = [PortBinding("tcp", 80, None, 8400, 8400)] * 2
    host.sandboxes["web"] = host.controller.new_sandbox("w" * 64, options=SandboxOptions(port_bindings=twice))
    before = host.snapshot()
    with pytest.raises(SystemFault) as refused:
        host.connect("web", "bridge")
    assert refused.value.message.partition("): ")[2] == cause
    if host.controller.profile.failed_join_keeps_interface:
        assert without_failed_join(host.snapshot()) == without_failed_join(before)
    else:
        assert host.snapshot() == before


@pytest.mark.parametrize("version", VERSIONS)
def test_mappings_follow_the_gateway_and_ephemeral_ones_change(version: str) -> None:
    host = DockerHost(version)
    host.network("znet")
    host.network("anet")
    ports = []
    endpoint = host.run("web", "znet", "80", "8777:81")

    def ephemeral(of: Endpoint) -> int:
        assert {b.host_port for b in of.port_map if b.container_port == 81} == {8777}
        return next(b.host_port for b in of.port_map if b.container_port == 80)

    ports.append(ephemeral(endpoint))
    other = host.connect("web", "anet")
    assert endpoint.port_map == []
    ports.append(ephemeral(other))
    assert any("--to-destination 172.19.0.2:81" in rule for rule in host.rules("DOCKER", "nat"))
    host.disconnect("web", "anet")
    ports.append(ephemeral(endpoint))
    assert ports == [32768, 32769, 32770]


@pytest.mark.parametrize("version", VERSIONS)
def test_failing_to_move_mappings_leaves_them_where_they_were(version: str) -> None:
    host = DockerHost(version)
    host.network("znet")
    host.network("anet", driver_opts={"com.docker.network.bridge.host_binding_ipv4": "10.1.2.3"})
    endpoint = host.run("web", "znet", "8777:81")
    before = host.snapshot()
    with pytest.raises(SystemFault):
        host.connect("web", "anet")
    assert {binding.host_port for binding in endpoint.port_map} == {8777}
    assert [sorted(rules.splitlines()) for rules in host.snapshot()[1]] == [
        sorted(rules.splitlines()) for rules in before[1]
    ]
    after = host.snapshot()
    if host.controller.profile.failed_join_keeps_interface:
        before, after = without_failed_join(before), without_failed_join(after)
    assert (after[0], after[2:]) == (before[0], before[2:])


@pytest.mark.parametrize("version", VERSIONS)
def test_internal_network_publishes_nothing_and_moves_nothing(version: str) -> None:
    host = DockerHost(version)
    host.network("abackend", internal=True)
    host.network("front")
    front = host.run("web", "front", "8080:80")
    inner = host.connect("web", "abackend")
    assert inner.port_map == []
    assert len(front.port_map) == 2


@pytest.mark.parametrize(("version", "routed_side"), [("28.5.2", []), ("29.7.2", ["80/tcp -> 0.0.0.0:0"])])
def test_29_opens_routed_ports_on_endpoints_that_are_no_gateway(version: str, routed_side: list[str]) -> None:
    host = DockerHost(version)
    host.network("anet")
    host.network("rnet", driver_opts={"com.docker.network.bridge.gateway_mode_ipv4": "routed"})
    host.run("web", "anet", "8080:80")
    assert shown(host.connect("web", "rnet")) == routed_side


def test_default_binding_address_limits_where_ports_are_published() -> None:
    host = DockerHost(ip="10.0.0.15")
    assert shown(host.run("web", "bridge", "8080:80")) == ["80/tcp -> 10.0.0.15:8080"]


def test_publishing_drops_tracked_connections_of_the_address() -> None:
    from support.traffic import ask, serve

    host = DockerHost()
    host.run("first", "bridge")
    serve(host, "first", 80)
    assert ask(host, "172.17.0.2", 80) == "172.17.0.1"
    conntrack = host.machine.root.netfilter.conntrack
    assert len(list(conntrack.entries())) == 1
    host.remove("first")
    host.run("second", "bridge", "8080:80")
    assert not list(conntrack.entries())


@pytest.mark.parametrize(
    ("version", "published", "flushed"),
    [
        # v28.5.2 flushes by the host's port; docker-v29.7.2 by the container's, on the host address if there is one.
        ("26.1.5", "5353:53/udp", {("10.0.0.99", 5353)}),
        ("28.5.2", "5353:53/udp", {("10.0.0.99", 5353)}),
        ("28.5.2", "10.0.0.15:5353:53/udp", {("10.0.0.99", 5353)}),
        ("28.5.2", "5353:53", set()),
        ("29.7.2", "5353:53/udp", {("172.17.0.3", 53), ("10.0.0.98", 53), ("10.0.0.99", 53)}),
        ("29.7.2", "10.0.0.15:5353:53/udp", set()),
        ("29.7.2", "5353:53", set()),
    ],
)
def test_publishing_forgets_a_connection_that_nobody_answered_before(
    version: str, published: str, flushed: set[tuple[str, int]]
) -> None:
    # moby clearConntrackEntries: a client that kept sending before the container existed is tracked without NAT.
    host = DockerHost(version)
    conntrack = host.machine.root.netfilter.conntrack

    def destinations() -> set[tuple[str, int]]:
        return {(format_ip(entry.original[2]), entry.original[4]) for entry in conntrack.entries()}

    early = {("172.17.0.2", 53), ("172.17.0.3", 53), ("10.0.0.98", 53), ("10.0.0.99", 53), ("10.0.0.99", 5353)}
    with closing(UdpSocket(host.machine.root)) as client:
        for address in early:
            client.sendto(b"early", address)
    host.clock.run_ready()
    assert destinations() == early
    host.run("web", "bridge", published)
    assert early - destinations() == {("172.17.0.2", 53), *flushed}


@pytest.mark.parametrize(("version", "kept"), [("26.1.5", set()), ("28.5.2", set()), ("29.7.2", {"172.17.0.2"})])
def test_the_connections_of_a_removed_container_are_forgotten_before_29(version: str, kept: set[str]) -> None:
    # moby RevokeExternalConnectivity (v26.1.5, v28.5.2); docker-v29.7.2 has no such step in Leave.
    host = DockerHost(version)
    host.run("web", "bridge", "5353:53/udp")
    with closing(UdpSocket(host.machine.root)) as client:
        client.sendto(b"late", ("172.17.0.2", 53))
        client.sendto(b"late", ("172.17.0.3", 53))
    host.clock.run_ready()
    host.remove("web")
    entries = host.machine.root.netfilter.conntrack.entries()
    assert {format_ip(entry.original[2]) for entry in entries} == {"172.17.0.3", *kept}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_container_without_ports_forgets_connections_to_its_address_as_well(version: str) -> None:
    host = DockerHost(version)
    with closing(UdpSocket(host.machine.root)) as client:
        client.sendto(b"early", ("172.17.0.2", 53))
    host.clock.run_ready()
    host.run("web", "bridge")
    assert not list(host.machine.root.netfilter.conntrack.entries())
