"""Sandboxes: their namespace, the order of their endpoints, default gateways, files and names."""

from __future__ import annotations

from typing import Any

import pytest
from support.docker_host import VERSIONS, DockerHost

from cnmsim.errors import Forbidden, InvalidParameter, NotFound, SystemFault
from cnmsim.kernel.address import Prefix, parse_ip
from cnmsim.libnetwork.driver import Capability, JoinInfo, SandboxContext
from cnmsim.libnetwork.drivers.null import NullDriver
from cnmsim.libnetwork.options import LegacyLink, SandboxOptions, TransportPort
from cnmsim.libnetwork.sandbox import Sandbox


def routes(sandbox: Sandbox, family: int = 4) -> list[str]:
    assert sandbox.namespace is not None
    return [str(route) for route in sandbox.namespace.routes(family).routes]


def default_devices(sandbox: Sandbox) -> tuple[str, str]:
    """Which networks the IPv4 and the IPv6 default route lead to."""
    first4, first6 = sandbox.gateway_endpoints
    return (first4.network.name if first4 else "", first6.network.name if first6 else "")


def interfaces(sandbox: Sandbox) -> list[str]:
    assert sandbox.namespace is not None
    return list(sandbox.namespace.devices)


def test_namespace_is_held_open_by_its_path_and_goes_with_the_sandbox() -> None:
    host = DockerHost()
    sandbox = host.sandbox("web")
    path = f"/var/run/docker/netns/{sandbox.id[:12]}"
    assert host.machine.namespaces == {path: sandbox.namespace}
    assert sandbox.namespace is not None
    assert sandbox.namespace.name == "web"
    assert sandbox.namespace.loopback.is_up
    host.remove("web")
    assert host.machine.namespaces == {}


def test_namespace_of_a_stopped_container_lives_on_for_who_shares_it() -> None:
    host = DockerHost()
    host.run("web", "bridge")
    namespace = host.sandboxes["web"].namespace
    assert namespace is not None

    async def sleep(process: object) -> int:
        await process.exited  # type: ignore[attr-defined]
        return 0

    host.machine.spawn(sleep, ["sleep"], namespace=namespace)
    host.clock.run_ready()
    host.remove("web")
    assert list(namespace.devices) == ["lo"]
    assert namespace.loopback.is_up


def test_container_has_one_sandbox() -> None:
    host = DockerHost()
    sandbox = host.sandbox("web")
    with pytest.raises(Forbidden, match=f"is already present in sandbox {sandbox.id}$"):
        host.controller.new_sandbox(sandbox.container_id)
    with pytest.raises(InvalidParameter, match=r"^invalid container ID$"):
        host.controller.new_sandbox("")
    with pytest.raises(NotFound, match=r"^network sandbox for container nosuch not found$"):
        host.controller.sandbox_by_container("nosuch")
    with pytest.raises(NotFound, match=r"^sandbox nosuch not found$"):
        host.controller.sandbox_by_id("nosuch")


def test_host_sandbox_is_the_hosts_own_namespace() -> None:
    host = DockerHost()
    host.machine.files.write("/etc/hosts", b"127.0.0.1 localhost\n10.0.0.15 node1\n")
    sandbox = host.sandbox("web", use_host_namespace=True)
    host.connect("web", "host")
    assert sandbox.namespace is host.machine.root
    assert sandbox.key == "/var/run/docker/netns/default"
    assert sandbox.hosts_file.content == host.machine.files.read("/etc/hosts")
    assert sandbox.resolv_conf.content.endswith(b"# Based on host file: '/etc/resolv.conf'\n# Overrides: []\n")
    host.remove("web")
    assert "docker0" in host.machine.root.devices


def test_none_network_leaves_loopback_alone() -> None:
    host = DockerHost()
    host.run("n1", "none")
    assert interfaces(host.sandboxes["n1"]) == ["lo"]
    assert routes(host.sandboxes["n1"]) == []


@pytest.mark.parametrize(("version", "reused"), [("26.1.5", "eth2"), ("28.5.2", "eth0"), ("29.7.2", "eth0")])
def test_interface_numbers_are_reused_since_28(version: str, reused: str) -> None:
    host = DockerHost(version)
    host.network("one")
    host.network("two")
    host.run("c1", "one")
    host.connect("c1", "two")
    host.disconnect("c1", "one")
    assert host.connect("c1", "one").interface_name == reused


def test_network_and_endpoint_choose_the_interfaces_name() -> None:
    host = DockerHost()
    host.network("foo", driver_opts={"com.docker.network.container_iface_prefix": "foo"})
    host.network("bar")
    host.run("c1", "foo")
    host.connect("c1", "bar", driver_opts={"com.docker.network.endpoint.ifname": "lan"})
    assert interfaces(host.sandboxes["c1"]) == ["lo", "foo0", "lan"]


@pytest.mark.parametrize("version", VERSIONS)
def test_endpoints_stand_in_the_documented_order(version: str) -> None:
    host = DockerHost(version)
    for name, subnets, options in (
        ("nw3", (), {"internal": True}),
        ("nw1", (), {}),
        ("nw0", (), {}),
        ("nw2", ("10.2.0.0/24", "fd00:2::/64"), {"enable_ipv6": True}),
    ):
        host.network(name, *subnets, **options)
    host.run("c1", "nw3")
    for name in ("nw1", "nw0", "nw2"):
        host.connect("c1", name)
    sandbox = host.sandboxes["c1"]
    assert [endpoint.network.name for endpoint in sandbox.endpoints] == ["nw2", "nw0", "nw1", "nw3"]
    assert routes(sandbox)[0] == "default via 10.2.0.1 dev eth3"
    host.disconnect("c1", "nw2")
    assert default_devices(sandbox) == ("nw0", "")
    assert [len(routes(sandbox)), len(routes(sandbox, 6))] == [4, 0]


@pytest.mark.parametrize(
    ("version", "first", "gateways"),
    [
        ("26.1.5", "dual", ("dual", "dual")),  # priorities are not known there
        ("28.5.2", "plain", ("dual", "dual")),
        ("29.7.2", "plain", ("plain", "dual")),
    ],
)
def test_priority_orders_endpoints_and_each_release_chooses_gateways_its_way(
    version: str, first: str, gateways: tuple[str, str]
) -> None:
    host = DockerHost(version)
    host.network("dual", "10.2.0.0/24", "fd00:2::/64", enable_ipv6=True)
    host.network("plain")
    host.run("c1", "dual")
    host.connect("c1", "plain", gw_priority=1000)
    sandbox = host.sandboxes["c1"]
    assert sandbox.endpoints[0].network.name == first
    assert default_devices(sandbox) == gateways


def test_default_route_follows_priority_as_networks_come_and_go() -> None:
    host = DockerHost("28.5.2")
    for number in range(1, 6):
        host.network(f"testnet{number}")
    host.run("c1", "testnet1")
    seen = []
    for name, priority in (("testnet5", -100), ("testnet2", 100), ("testnet3", 10), ("testnet4", 10)):
        host.connect("c1", name, gw_priority=priority)
        seen.append(default_devices(host.sandboxes["c1"])[0])
    host.disconnect("c1", "testnet2")
    seen.append(default_devices(host.sandboxes["c1"])[0])
    assert seen == ["testnet1", "testnet2", "testnet2", "testnet2", "testnet3"]
    assert routes(host.sandboxes["c1"])[0].endswith("dev eth3")


@pytest.mark.parametrize("version", VERSIONS)
def test_hosts_file_lists_every_address(version: str) -> None:
    host = DockerHost(version)
    host.network("six", "10.60.0.0/24", "fd00:60::/64", enable_ipv6=True)
    host.sandboxes["c1"] = host.controller.new_sandbox(
        "c" * 64,
        options=SandboxOptions(hostname="somehost", domainname="example.com", extra_hosts=[("db", "10.0.0.9")]),
    )
    host.connect("c1", "six")
    assert host.sandboxes["c1"].hosts_file.content.decode().splitlines()[6:] == [
        "10.0.0.9\tdb",
        "10.60.0.2\tsomehost.example.com somehost",
        "fd00:60::2\tsomehost.example.com somehost",
    ]
    host.disconnect("c1", "six")
    assert b"fd00:60::2" not in host.sandboxes["c1"].hosts_file.content or version == "26.1.5"


@pytest.mark.parametrize("version", VERSIONS)
def test_resolver_starts_with_the_first_user_defined_network_and_stays(version: str) -> None:
    host = DockerHost(version)
    host.machine.files.write("/etc/resolv.conf", b"nameserver 203.0.113.10\n")
    host.network("net")
    sandbox = host.run("c1", "bridge").sandbox
    assert sandbox is not None
    assert sandbox.dns.resolver is None
    assert b"nameserver 203.0.113.10\n" in sandbox.resolv_conf.content
    host.connect("c1", "net")
    assert sandbox.dns.resolver is not None
    assert sandbox.dns.resolver.is_running
    assert b"nameserver 127.0.0.11\noptions ndots:0\n" in sandbox.resolv_conf.content
    host.disconnect("c1", "net")
    assert sandbox.dns.resolver.is_running
    assert sandbox.namespace is not None
    assert "-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp" in sandbox.namespace.netfilter.iptables(4).save("nat")


def test_names_are_looked_up_in_the_order_of_endpoints() -> None:
    host = DockerHost()
    host.network("anet")
    host.network("bnet")
    host.run("web", "bnet")
    host.run("other", "anet")
    host.run("me", "anet")
    lookup = host.sandboxes["me"].resolve_name
    assert lookup("web", 4) is None
    assert lookup("OTHER.", 4) == [parse_ip("172.18.0.2")]
    assert lookup("other.anet", 4) == [parse_ip("172.18.0.2")]
    assert lookup("other.bnet", 4) is None
    host.connect("me", "bnet")
    assert lookup("web", 4) == [parse_ip("172.19.0.2")]
    assert lookup("me", 4) == [parse_ip("172.18.0.3")]
    assert host.sandboxes["me"].resolve_address(parse_ip("172.19.0.2")) == "web.bnet"


@pytest.mark.parametrize(("version", "v6_answer"), [("26.1.5", []), ("29.7.2", [])])
def test_known_name_without_ipv6_is_answered_empty(version: str, v6_answer: list[bytes]) -> None:
    host = DockerHost(version)
    host.network("net")
    host.run("c1", "net")
    assert host.sandboxes["c1"].resolve_name("c1", 6) == v6_answer


def test_link_is_an_alias_private_to_its_sandbox() -> None:
    host = DockerHost()
    host.network("net")
    host.run("db", "net")
    host.run("peer", "net")
    sandbox = host.sandbox("web")
    endpoint = host.controller.find_network("net").create_endpoint("web")
    endpoint.join(sandbox, links={"database": "db"})
    assert sandbox.resolve_name("database", 4) == [parse_ip("172.18.0.2")]
    assert host.sandboxes["peer"].resolve_name("database", 4) is None


def test_external_access_is_what_leads_out() -> None:
    host = DockerHost()
    host.network("inner", internal=True)
    host.network("outer")
    sandbox = host.run("c1", "inner").sandbox
    assert sandbox is not None
    assert not sandbox.has_external_access
    host.connect("c1", "outer")
    assert sandbox.has_external_access


@pytest.mark.parametrize("version", VERSIONS)
def test_legacy_link_opens_exposed_ports_between_two_containers_without_icc(version: str) -> None:
    from support.traffic import TIMEOUT, ask, serve

    host = DockerHost(version, icc=False)
    host.run("db", "bridge")
    host.run("stranger", "bridge")
    host.run("web", "bridge", legacy_links=[LegacyLink(parse_ip("172.17.0.2"), (TransportPort("tcp", 80),))])
    serve(host, "db", 80)
    serve(host, "db", 81)
    assert ask(host, "172.17.0.2", 80, source="web") == "172.17.0.4"
    assert ask(host, "172.17.0.2", 81, source="web") == TIMEOUT
    assert ask(host, "172.17.0.2", 80, source="stranger") == TIMEOUT
    host.remove("web")
    assert not [rule for rule in host.rules("DOCKER") if "172.17.0.4" in rule]


def test_namespace_may_come_later_and_is_then_filled_in_gateway_order() -> None:
    host = DockerHost("26.1.5")
    host.network("znet")
    host.network("anet")
    sandbox = host.sandbox("c1", use_external_key=True)
    host.connect("c1", "znet")
    host.connect("c1", "anet")
    assert sandbox.namespace is None
    sandbox.set_key()
    assert [(e.network.name, e.interface_name) for e in sandbox.endpoints] == [("anet", "eth0"), ("znet", "eth1")]
    assert routes(sandbox)[0] == "default via 172.19.0.1 dev eth0"


class Gatewayless(NullDriver):
    """A driver with addresses but no way out, like overlay."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "flat"
        self.is_special = False
        self.capability = Capability()

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        info.disable_gateway_service = False


@pytest.mark.parametrize(
    ("version", "prefix"), [("26.1.5", ""), ("28.5.2", ""), ("29.7.2", "failed to set default gateway: ")]
)
def test_docker_gwbridge_that_is_taken_from_a_sandbox_in_need_of_it_cannot_be_attached_anew(
    version: str, prefix: str
) -> None:
    host = DockerHost(version)
    host.controller.drivers.register("flat", Gatewayless())
    host.network("fabric", "10.99.0.0/24", driver="flat")
    host.run("c1", "fabric")
    sandbox = host.sandboxes["c1"]
    gwbridge = host.controller.find_network("docker_gwbridge")
    (endpoint,) = gwbridge.endpoints.values()
    with pytest.raises(SystemFault) as refused:
        endpoint.leave()
    assert refused.value.message == (
        f"{prefix}container {sandbox.container_id}: endpoint create on GW Network failed: "
        f"endpoint with name {endpoint.name} already exists in network docker_gwbridge"
    )
    assert default_devices(sandbox) == ("", "")
    assert list(gwbridge.endpoints.values()) == [endpoint]
    host.remove("c1")
    assert list(gwbridge.endpoints.values()) == [endpoint]


@pytest.mark.parametrize("version", VERSIONS)
def test_sandbox_that_nothing_leads_out_of_is_attached_to_docker_gwbridge(version: str) -> None:
    host = DockerHost(version)
    host.controller.drivers.register("flat", Gatewayless())
    host.network("fabric", "10.99.0.0/24", driver="flat")
    host.network("net")
    host.run("c1", "fabric", "8080:80")
    sandbox = host.sandboxes["c1"]
    gwbridge = host.controller.find_network("docker_gwbridge")
    assert [endpoint.name for endpoint in gwbridge.endpoints.values()] == [f"gateway_{sandbox.id[:12]}"]
    assert default_devices(sandbox)[0] == "docker_gwbridge"
    assert [binding.host_port for binding in sandbox.port_map] == [8080, 8080]
    assert sandbox.hosts_file.content.decode().splitlines()[-1].startswith("10.99.0.2")
    host.connect("c1", "net")
    assert gwbridge.endpoints == {}
    assert default_devices(sandbox)[0] == "net"
    host.disconnect("c1", "net")
    assert len(gwbridge.endpoints) == 1
    host.remove("c1")
    assert gwbridge.endpoints == {}


def test_default_route_may_be_on_a_link() -> None:
    from cnmsim.kernel.device import Veth
    from cnmsim.libnetwork.driver import StaticRoute

    host = DockerHost()

    class OnLink(Gatewayless):
        def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
            inside, outside = Veth.pair(host.clock, "in0", "out0", b"\x02" + bytes(4) + b"\x01", b"\x02" + bytes(5))
            host.machine.root.add_device(inside)
            host.machine.root.add_device(outside)
            info.source_name = "in0"
            info.static_routes = [StaticRoute(Prefix.parse("0.0.0.0/0")), StaticRoute(Prefix.parse("10.5.0.0/16"))]

    host.controller.drivers.register("flat", OnLink())
    host.network("link", "10.99.0.0/24", driver="flat")
    host.run("c1", "link")
    assert routes(host.sandboxes["c1"]) == [
        "default dev eth0 scope link",
        "10.5.0.0/16 dev eth0 scope link",
        "10.99.0.0/24 dev eth0 proto kernel scope link src 10.99.0.2",
    ]
    host.disconnect("c1", "link")
    assert "in0" in host.machine.root.devices


@pytest.mark.parametrize(
    "hosts",
    [
        ["db:10.0.0.9", "six:fd00::9"],
        [("db", "10.0.0.9"), ("six", "fd00::9")],
        {"db": "10.0.0.9", "six": "fd00::9"},
    ],
)
def test_extra_hosts_are_pairs_texts_or_a_mapping(hosts: Any) -> None:
    assert SandboxOptions(extra_hosts=hosts).extra_hosts == [("db", "10.0.0.9"), ("six", "fd00::9")]


@pytest.mark.parametrize("hosts", [["db"], ["db:frob"], [("db", "frob")], {"db": ""}])
def test_an_extra_host_has_an_address(hosts: Any) -> None:
    with pytest.raises(ValueError, match="address"):
        SandboxOptions(extra_hosts=hosts)
    with pytest.raises(TypeError, match=r"^a list is needed: \['db:10.0.0.9'\]$"):
        SandboxOptions(extra_hosts="db:10.0.0.9")  # type: ignore[arg-type]
