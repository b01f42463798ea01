"""Endpoints: addresses and names, joining and leaving, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.docker_host import VERSIONS, DockerHost, without_failed_join
from support.port_spec import read_port_bindings

from cnmsim.errors import EngineError, Forbidden, InvalidParameter, SystemFault, Unavailable
from cnmsim.kernel.address import format_mac, parse_ip, parse_mac
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.endpointsettings import RequestedAddresses, validate_endpoint_settings
from cnmsim.libnetwork.options import EndpointOptions
from cnmsim.libnetwork.profile import profile


def text_of(endpoint: Endpoint) -> str:
    namespace = endpoint.sandbox.namespace if endpoint.sandbox else None
    assert namespace is not None
    return str(namespace.devices[endpoint.interface_name].addresses[0])


@pytest.mark.parametrize("version", VERSIONS)
def test_addresses_are_the_lowest_free_ones_and_come_back_at_once(version: str) -> None:
    host = DockerHost(version)
    assert [text_of(host.run(name, "bridge")) for name in ("a", "b", "c")] == [
        "172.17.0.2/16",
        "172.17.0.3/16",
        "172.17.0.4/16",
    ]
    host.remove("b")
    assert text_of(host.run("d", "bridge")) == "172.17.0.3/16"


def test_26_makes_the_mac_of_the_address_and_later_releases_at_random() -> None:
    macs = {version: DockerHost(version).run("c1", "bridge").mac for version in VERSIONS}
    assert macs["26.1.5"] == parse_mac("02:42:ac:11:00:02")
    assert all(mac is not None and mac[0] & 3 == 2 for mac in macs.values())
    assert len(set(macs.values())) == 2  # both later releases draw from the same stream


def test_wanted_mac_is_the_interfaces() -> None:
    host = DockerHost()
    host.sandbox("c1")
    endpoint = host.connect("c1", "bridge", mac=parse_mac("02:00:00:00:00:99"))
    namespace = host.sandboxes["c1"].namespace
    assert namespace is not None
    assert format_mac(namespace.devices[endpoint.interface_name].mac) == "02:00:00:00:00:99"


@pytest.mark.parametrize("version", VERSIONS)
def test_host_end_is_a_port_of_the_bridge_and_called_veth(version: str) -> None:
    host = DockerHost(version)
    host.run("c1", "bridge")
    outside = [device for device in host.machine.root.devices.values() if device.kind == "veth"]
    assert [bool(re.fullmatch(r"veth[0-9a-f]{7}", device.name)) for device in outside] == [True]
    assert outside[0].master is host.machine.root.devices["docker0"]
    assert outside[0].txqueuelen == 0


@pytest.mark.parametrize(("version", "index"), [("26.1.5", 4), ("28.5.2", 2), ("29.7.2", 2)])
def test_container_end_is_made_inside_since_28(version: str, index: int) -> None:
    host = DockerHost(version)  # lo, eth0 and docker0 have the numbers before
    host.run("c1", "bridge")
    outside = next(device for device in host.machine.root.devices.values() if device.kind == "veth")
    assert outside.peer_index == index


@pytest.mark.parametrize("version", VERSIONS)
def test_interface_without_ipv6_has_it_switched_off(version: str) -> None:
    host = DockerHost(version)
    host.network("six", "10.60.0.0/24", "fd00:60::/64", enable_ipv6=True)
    plain, dual = host.run("v4", "bridge"), host.run("v6", "six")
    plain_ns, dual_ns = host.sandboxes["v4"].namespace, host.sandboxes["v6"].namespace
    assert plain_ns is not None
    assert dual_ns is not None
    assert [a.family for a in plain_ns.devices[plain.interface_name].addresses] == [4]
    found = [str(address) for address in dual_ns.devices[dual.interface_name].addresses]
    assert found[:2] == ["10.60.0.2/24", "fd00:60::2/64"]
    assert found[2].startswith("fe80::")
    assert [str(route) for route in dual_ns.routes6.routes][-1] == "default via fd00:60::1 dev eth0 metric 1024"


@pytest.mark.parametrize("version", VERSIONS)
def test_both_addresses_of_a_removed_endpoint_are_free_again(version: str) -> None:
    host = DockerHost(version)
    host.network("six", "10.60.0.0/24", "fd00:60::/64", enable_ipv6=True)
    host.run("first", "six", ipv4="10.60.0.9", ipv6="fd00:60::9")
    for ipv4, ipv6 in (("10.60.0.9", "fd00:60::a"), ("10.60.0.10", "fd00:60::9")):
        with pytest.raises(Forbidden, match="Address already in use"):
            host.run("second", "six", ipv4=ipv4, ipv6=ipv6)
    host.remove("first")
    endpoint = host.run("second", "six", ipv4="10.60.0.9", ipv6="fd00:60::9")
    assert (endpoint.ipv4, endpoint.ipv6) == ((parse_ip("10.60.0.9"), 24), (parse_ip("fd00:60::9"), 64))


def test_26_puts_the_mac_into_the_ipv6_address_on_the_default_bridge() -> None:
    host = DockerHost("26.1.5", ipv6=True, fixed_cidr_v6="2001:db8:1::/64")
    endpoint = host.run("c1", "bridge")
    assert endpoint.ipv6 == (parse_ip("2001:db8:1::242:ac11:2"), 64)
    other = DockerHost("29.7.2", ipv6=True, fixed_cidr_v6="2001:db8:1::/64").run("c1", "bridge")
    assert other.ipv6 == (parse_ip("2001:db8:1::2"), 64)


def test_26_refuses_ipv6_on_the_default_bridge_without_a_subnet() -> None:
    with pytest.raises(InvalidParameter, match="Specify an IPv6 subnet using --fixed-cidr-v6"):
        DockerHost("26.1.5", ipv6=True)
    assert DockerHost("29.7.2", ipv6=True).run("c1", "bridge").ipv6 is not None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ("10.9.0.1", Forbidden, "Address already in use"),
        (
            "10.10.0.1",
            InvalidParameter,
            "invalid address 10.10.0.1: It does not belong to any of this network's subnets",
        ),
    ],
)
def test_address_that_cannot_be_had_is_refused(
    version: str, wanted: str, error: type[EngineError], message: str
) -> None:
    host = DockerHost(version)
    network = host.network("net", "10.9.0.0/24")
    before = host.snapshot()
    with pytest.raises(error) as refused:
        network.create_endpoint("c1", options=EndpointOptions(ipv4=parse_ip(wanted)))
    assert refused.value.message == message
    assert host.snapshot() == before


@pytest.mark.parametrize("version", VERSIONS)
def test_exhausted_network_says_so(version: str) -> None:
    host = DockerHost(version)
    network = host.network("tiny", "10.30.0.0/30")
    network.create_endpoint("c1")
    with pytest.raises(SystemFault) as refused:
        network.create_endpoint("c2")
    assert (
        refused.value.message == f"no available IPv4 addresses on this network's address pools: tiny ({network.id})"
    )
    particular = Unavailable if version == "26.1.5" else Forbidden
    with pytest.raises(particular):
        network.create_endpoint("c3", options=EndpointOptions(ipv4=parse_ip("10.30.0.2")))


def test_endpoint_that_makes_no_sense_is_refused() -> None:
    host = DockerHost()
    network = host.network("net1")
    network.create_endpoint("c1")
    with pytest.raises(Forbidden, match=r"^endpoint with name c1 already exists in network net1$"):
        network.create_endpoint("c1")
    with pytest.raises(InvalidParameter, match=r"^invalid name: name is empty$"):
        network.create_endpoint(" ")
    with pytest.raises(InvalidParameter, match=r"^invalid link local IP address: 10.0.0.1$"):
        network.create_endpoint("c2", options=EndpointOptions(link_local=[parse_ip("10.0.0.1")]))
    with pytest.raises(Forbidden, match=r"^cannot create endpoint on configuration-only network$"):
        host.network("conf", config_only=True).create_endpoint("c1")


def test_link_local_addresses_come_on_top() -> None:
    host = DockerHost()
    host.sandbox("c1")
    endpoint = host.connect("c1", "bridge", link_local=[parse_ip("169.254.9.9")])
    namespace = host.sandboxes["c1"].namespace
    assert namespace is not None
    found = namespace.devices[endpoint.interface_name].addresses
    assert [(str(address), address.broadcast) for address in found] == [
        ("172.17.0.2/16", parse_ip("172.17.255.255")),
        ("169.254.9.9/16", parse_ip("169.254.255.255")),
    ]


@pytest.mark.parametrize(("subnet", "broadcast"), [("10.9.0.0/30", "10.9.0.3"), ("10.9.0.0/31", "")])
def test_an_address_in_a_subnet_of_two_has_no_broadcast_address(subnet: str, broadcast: str) -> None:
    # vishvananda/netlink addr_linux.go: a broadcast address is set for prefixes shorter than /31.
    host = DockerHost()
    host.network("net", subnet)
    endpoint = host.run("c1", "net")
    namespace = host.sandboxes["c1"].namespace
    assert namespace is not None
    (address, *_) = namespace.devices[endpoint.interface_name].addresses
    assert address.broadcast == (parse_ip(broadcast) if broadcast else None)


@pytest.mark.parametrize("version", VERSIONS)
def test_endpoint_joins_and_leaves_one_sandbox_at_a_time(version: str) -> None:
    host = DockerHost(version)
    endpoint = host.run("c1", "bridge")
    other = host.sandbox("c2")
    with pytest.raises(Forbidden, match=r"^another container is attached to the same network endpoint$"):
        endpoint.join(other)
    with pytest.raises(Forbidden, match=f"^endpoint with name c1 id {endpoint.id} has active containers$"):
        endpoint.delete()
    expected = f"unexpected sandbox ID in leave request. Expected {host.sandboxes['c1'].id}. Got {other.id}"
    with pytest.raises(Forbidden, match=f"^{re.escape(expected)}$"):
        endpoint.leave(other)
    endpoint.leave()
    with pytest.raises(Forbidden, match=r"^cannot leave endpoint with no attached sandbox$"):
        endpoint.leave()
    endpoint.join(other)
    assert text_of(endpoint) == "172.17.0.2/16"


def test_something_else_than_a_sandbox_is_refused() -> None:
    endpoint = DockerHost().network("net").create_endpoint("c1")
    with pytest.raises(InvalidParameter, match=r"^invalid Sandbox passed to endpoint join: None$"):
        endpoint.join(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", VERSIONS)
def test_second_endpoint_of_a_network_in_one_sandbox_clashes_with_the_route(version: str) -> None:
    host = DockerHost(version)
    host.run("c1", "bridge")
    index = 4 if version == "26.1.5" else 2  # moved inside with its number, or made inside
    before = host.snapshot()
    second = host.controller.find_network("bridge").create_endpoint("again")
    with pytest.raises(SystemFault) as refused:
        second.join(host.sandboxes["c1"])
    assert re.fullmatch(
        r'failed to add interface (veth[0-9a-f]{7}) to sandbox: error setting interface "\1" IP to 172.17.0.3/16: '
        r"cannot program address 172.17.0.3/16 in sandbox interface because it conflicts with existing route "
        rf"\{{Ifindex: {index} Dst: 172.17.0.0/16 Src: 172.17.0.2 Gw: <nil> Flags: \[\] Table: 254 Realm: 0\}}",
        refused.value.message,
    )
    second.delete()
    if host.controller.profile.failed_join_keeps_interface:
        assert without_failed_join(host.snapshot()) == without_failed_join(before)
    else:
        assert host.snapshot() == before


def test_a_join_that_fails_leaves_no_resolver_behind() -> None:
    host = DockerHost("29.7.2")  # earlier releases leave the interface and what it needs
    host.machine.files.write("/etc/resolv.conf", b"nameserver 203.0.113.10\n")
    network = host.network("net")
    host.run("taken", "bridge", "8080:80")
    sandbox = host.sandbox("c1", "8080:80")
    assert sandbox.namespace is not None
    sockets, tables = sandbox.namespace.sockets, sandbox.namespace.netfilter.iptables(4)
    for _ in range(2):
        endpoint = network.create_endpoint("c1")
        with pytest.raises(EngineError, match="port is already allocated"):
            endpoint.join(sandbox)
        endpoint.delete()
        assert sandbox.dns.resolver is None
        assert (sockets.listeners(), tables.save("nat").count("127.0.0.11")) == ([], 0)
        assert "DOCKER_OUTPUT" not in tables.save("nat")
        assert sandbox.resolv_conf.content.decode().startswith("# Generated by Docker Engine.")
        assert b"nameserver 203.0.113.10\n" in sandbox.resolv_conf.content
    host.sandboxes["taken"].delete()
    network.create_endpoint("c1").join(sandbox)
    assert b"nameserver 127.0.0.11\n" in sandbox.resolv_conf.content
    assert len(sockets.listeners()) == 2
    before = sandbox.dns.resolver
    with pytest.raises(SystemFault, match="conflicts with existing route"):
        network.create_endpoint("again").join(sandbox)
    assert (sandbox.dns.resolver, len(sockets.listeners())) == (before, 2)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("26.1.5", "network net1 id <id> has active endpoints"),
        ("28.5.2", 'network net1 has active endpoints (name:"c1" id:"<ep>")'),
        ("29.7.2", 'network net1 has active endpoints (name:"c1" id:"<ep>")'),
    ],
)
def test_network_in_use_stays(version: str, message: str) -> None:
    host = DockerHost(version)
    network = host.network("net1")
    endpoint = host.run("c1", "net1")
    with pytest.raises(Forbidden) as refused:
        network.delete()
    assert refused.value.message == message.replace("<id>", network.id).replace("<ep>", endpoint.id[:12])


@pytest.mark.parametrize("name", ["none", "host"])
def test_special_network_stays(name: str) -> None:
    network = DockerHost().controller.find_network(name)
    with pytest.raises(Forbidden, match=f'^network of type "{network.driver_name}" cannot be deleted$'):
        network.delete()


def test_names_are_known_from_the_time_their_release_makes_them_known() -> None:
    for version, before_join in (("26.1.5", True), ("28.5.2", True), ("29.7.2", False)):
        host = DockerHost(version)
        network = host.network("net")
        endpoint = network.create_endpoint("c1", options=EndpointOptions(dns_names=["c1", "abc"], aliases=["web"]))
        assert ("c1" in network.records.names()) is before_join
        endpoint.join(host.sandbox("c1"))
        assert network.records.names() == ["c1", "abc", "web"]
        endpoint.delete(force=True)
        assert not network.records.names()


def test_renamed_endpoint_is_found_by_its_new_name_only() -> None:
    host = DockerHost()
    host.network("net")
    endpoint = host.run("old", "net")
    endpoint.rename("new", ["new"])
    lookup = host.sandboxes["old"].resolve_name
    assert (lookup("new", 4), lookup("old", 4)) == ([parse_ip("172.18.0.2")], None)


def test_endpoint_option_sets_sysctls_of_its_interface() -> None:
    host = DockerHost()
    host.sandbox("c1")
    option = {
        "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.rp_filter=2,net.ipv4.conf.IFNAME.proxy_arp=1"
    }
    host.connect("c1", "bridge", driver_opts=option)
    namespace = host.sandboxes["c1"].namespace
    assert namespace is not None
    assert namespace.sysctl_get("net.ipv4.conf.eth0.rp_filter") == "2"
    assert namespace.sysctl_get("net.ipv4.conf.eth0.proxy_arp") == "1"


def test_unknown_sysctl_refuses_the_join() -> None:
    host = DockerHost()
    host.sandbox("c1")
    before = host.snapshot()
    with pytest.raises(SystemFault, match=r"^failed to add interface veth"):
        host.connect(
            "c1", "bridge", driver_opts={"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.nosuch=1"}
        )
    assert host.snapshot() == before


@pytest.mark.parametrize("version", ["28.5.2", "29.7.2"])
def test_network_may_have_ipv6_alone(version: str) -> None:
    host = DockerHost(version)
    host.network("six", enable_ipv4=False, enable_ipv6=True)
    endpoint = host.run("c1", "six", "8080:80")
    assert endpoint.ipv4 is None
    assert endpoint.ipv6 is not None
    assert [len(binding.host_ip or b"") for binding in endpoint.port_map] == [16]
    assert host.rules("DOCKER", "nat", family=6)[-1].startswith(
        "! -s fe80::/10 ! -i br-<0> -p tcp -m tcp --dport 8080"
    )


def test_ports_that_cannot_move_back_are_lost_and_logged() -> None:
    host = DockerHost()
    host.network("anet")
    host.network("bnet", driver_opts={"com.docker.network.bridge.host_binding_ipv4": "10.1.2.3"})
    host.run("c1", "anet")
    sandbox = host.sandboxes["c1"]
    host.connect("c1", "bnet")
    sandbox.options.port_bindings += read_port_bindings(host.profile, {"80/tcp": [{"HostPort": "8080"}]})
    host.disconnect("c1", "anet")
    assert sandbox.port_map == []
    assert "cannot assign requested address" in host.controller.log[-1]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"ipv4": "10.0.0.2"}, ""), ({"ipv6": "fd00::2"}, ""), ({"link_local": ["169.254.1.1", "fe80::1"]}, ""),
        ({"ipv4": "fd00::2"}, "invalid IPv4 address: fd00::2"),
        ({"ipv6": "10.0.0.2"}, "invalid IPv6 address: 10.0.0.2"),
        ({"ipv4": "x"}, "invalid IPv4 address: x"), ({"ipv6": "::"}, "invalid IPv6 address: ::"),
        ({"ipv4": "0.0.0.0"}, "invalid IPv4 address: 0.0.0.0"),
        ({"link_local": ["x"]}, "invalid link-local IP address: x"),
    ],
)  # fmt: skip
def test_a_requested_address_is_of_its_family(settings: dict[str, Any], fault: str) -> None:
    requested = RequestedAddresses(**settings)
    if not fault:
        validate_endpoint_settings(profile("29.7.2"), "net", requested)
        return
    with pytest.raises(InvalidParameter, match=re.escape(fault)):
        validate_endpoint_settings(profile("29.7.2"), "net", requested)
