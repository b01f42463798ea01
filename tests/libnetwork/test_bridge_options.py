"""The options of a bridge network: how they are read, and what is refused."""

from __future__ import annotations

import pytest
from support.docker_host import VERSIONS, DockerHost

from cnmsim.errors import EngineError, Forbidden, InvalidParameter, SystemFault
from cnmsim.gostrconv import parse_bool
from cnmsim.kernel.address import IPV6_ANY, parse_ip
from cnmsim.kernel.device import Loopback
from cnmsim.libnetwork.drivers.bridge import labels
from cnmsim.libnetwork.drivers.bridge.labels import GatewayMode, parse_options
from cnmsim.libnetwork.options import IpamConfig, NetworkOptions
from cnmsim.libnetwork.profile import PROFILES

ID = "0123456789abcdef"


def read(version: str = "29.7.2", **options: str) -> labels.BridgeOptions:
    given = {getattr(labels, name): value for name, value in options.items()}
    return parse_options(given, network_id=ID, profile=PROFILES[version])


def test_without_options_the_documented_defaults_hold() -> None:
    assert read() == labels.BridgeOptions(bridge_name="br-0123456789ab")


def test_every_option_is_read() -> None:
    options = read(
        BRIDGE_NAME="bridge1",
        ENABLE_ICC="F",
        ENABLE_IP_MASQUERADE="0",
        INHIBIT_IPV4="true",
        GATEWAY_MODE_IPV4="routed",
        GATEWAY_MODE_IPV6="nat-unprotected",
        DEFAULT_BINDING_IP="::",
        TRUSTED_HOST_INTERFACES="eth1:eth2",
        DRIVER_MTU="1280",
        CONTAINER_IFACE_PREFIX="foo",
        HOST_IPV4="10.0.0.15",
    )
    assert options == labels.BridgeOptions(
        bridge_name="bridge1",
        icc=False,
        masquerade=False,
        inhibit_ipv4=True,
        mode4=GatewayMode.ROUTED,
        mode6=GatewayMode.NAT_UNPROTECTED,
        binding_address=IPV6_ANY,
        trusted_interfaces=("eth1", "eth2"),
        mtu=1280,
        interface_prefix="foo",
        host_ipv4=parse_ip("10.0.0.15"),
    )


@pytest.mark.parametrize("text", ["yes", "", "tRuE", " true"])
def test_boolean_is_read_as_go_reads_it(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        parse_bool(text)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "ENABLE_ICC",
            "maybe",
            (
                "failed to parse com.docker.network.bridge.enable_icc value: maybe (strconv.ParseBool: parsing "
                '"maybe": invalid syntax)'
            ),
        ),
        (
            "DRIVER_MTU",
            "abc",
            'failed to parse com.docker.network.driver.mtu value: abc (strconv.Atoi: parsing "abc": invalid syntax)',
        ),
        ("DRIVER_MTU", "-1", "invalid MTU number: -1"),
        (
            "DEFAULT_BINDING_IP",
            "foo",
            "failed to parse com.docker.network.bridge.host_binding_ipv4 value: foo (nil ip)",
        ),
        ("HOST_IPV4", "foo", "failed to parse com.docker.network.host_ipv4 value: foo (nil ip)"),
        (
            "GATEWAY_MODE_IPV4",
            "foo",
            "failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: foo (unknown gateway mode foo)",
        ),
    ],
)
def test_bad_option_is_refused_in_the_drivers_words(option: str, value: str, message: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        read(**{option: value})
    assert refused.value.message == message


def test_gateway_mode_is_no_option_of_26_1() -> None:
    assert read("26.1.5", GATEWAY_MODE_IPV4="foo").mode4 is GatewayMode.NAT


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("subnets", "options", "error", "message"),
    [
        (
            (),
            {"com.docker.network.bridge.name": "docker0"},
            Forbidden,
            (
                "cannot create network <id> (docker0): conflicts with network <default> (docker0): networks have "
                "same bridge name"
            ),
        ),
        (
            ("172.17.0.0/16 172.17.9.0/24",),
            {},
            Forbidden,
            (
                "cannot create network <id> (br-<id12>): conflicts with network <default> (docker0): networks have "
                "overlapping IPv4"
            ),
        ),
        (("10.1.0.0/16", "10.2.0.0/16"), {}, Forbidden, "bridge driver doesn't support multiple subnets"),
        ((), {"com.docker.network.bridge.name": "x" * 16}, SystemFault, "numerical result out of range"),
        ((), {"com.docker.network.bridge.name": "eth0"}, SystemFault, "existing interface eth0 is not a bridge"),
        (
            (),
            {"com.docker.network.bridge.default_bridge": "true", "com.docker.network.bridge.name": "br9"},
            Forbidden,
            "bridge device with non default name br9 must be created manually",
        ),
        ((), {"com.docker.network.driver.mtu": "12"}, SystemFault, "invalid argument"),
    ],
)
def test_refused_network_leaves_everything_as_it_was(
    version: str, subnets: tuple[str, ...], options: dict[str, str], error: type[EngineError], message: str
) -> None:
    host = DockerHost(version)
    before = host.snapshot()
    network_id = "a" * 64
    ipam = [IpamConfig(*subnet.split(" ")) for subnet in subnets]
    with pytest.raises(error) as refused:
        host.controller.new_network(
            "net", id=network_id, options=NetworkOptions(driver_opts=options, ipam_config=ipam)
        )
    default = host.controller.find_network("bridge").id
    wanted = message.replace("<default>", default).replace("<id12>", "a" * 12).replace("<id>", network_id)
    assert refused.value.message == wanted
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ("auxiliary", "internal", "message"),
    [
        ("10.54.0.200", True, "no gateway can be set on an internal bridge network"),
        ("10.55.0.1", False, "auxiliary address: (DefaultGatewayIPv4:10.55.0.1) must belong to the master pool: "),
    ],
)
def test_replaced_gateway_has_to_make_sense(auxiliary: str, internal: bool, message: str) -> None:
    host = DockerHost()
    config = IpamConfig("10.54.0.0/24", aux_addresses={"DefaultGatewayIPv4": auxiliary})
    with pytest.raises(EngineError) as refused:
        host.controller.new_network("net", options=NetworkOptions(ipam_config=[config], internal=internal))
    assert refused.value.message.startswith(message)


def test_replaced_gateway_is_the_containers_default_route() -> None:
    host = DockerHost()
    config = IpamConfig("10.54.0.0/24", aux_addresses={"DefaultGatewayIPv4": "10.54.0.200"})
    host.controller.new_network("net", options=NetworkOptions(ipam_config=[config]))
    endpoint = host.run("c1", "net")
    assert endpoint.gateway == parse_ip("10.54.0.200")
    namespace = host.sandboxes["c1"].namespace
    assert namespace is not None
    assert str(namespace.routes4.routes[0]) == "default via 10.54.0.200 dev eth0"


def test_null_ipam_gives_a_bridge_nothing_to_work_with() -> None:
    host = DockerHost()
    with pytest.raises(InvalidParameter, match=r"^ipv4 pool is empty$"):
        host.network("net", ipam_driver="null")


def test_network_needs_one_address_family() -> None:
    with pytest.raises(InvalidParameter, match=r"^IPv4 or IPv6 must be enabled$"):
        DockerHost().network("net", enable_ipv4=False)


def test_mtu_option_reaches_bridge_and_both_ends_of_the_cable() -> None:
    host = DockerHost()
    network = host.network("net", driver_opts={"com.docker.network.driver.mtu": "1280"})
    host.run("c1", "net")
    namespace = host.sandboxes["c1"].namespace
    assert namespace is not None
    outside = [device for name, device in host.machine.root.devices.items() if name.startswith("veth")]
    assert host.machine.root.devices[f"br-{network.id[:12]}"].mtu == 1280
    assert [device.mtu for device in (namespace.devices["eth0"], *outside)] == [1280, 1280]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("br9", "gateway mode 'isolated' can only be used for an internal network"),
        ("eth0", "existing interface eth0 is not a bridge"),
    ],
)
def test_isolated_network_is_internal_and_its_device_checked_first(name: str, message: str) -> None:
    options = {
        "com.docker.network.bridge.name": name,
        "com.docker.network.bridge.gateway_mode_ipv4": "isolated",
    }
    with pytest.raises(EngineError) as refused:
        DockerHost().network("iso", driver_opts=options)
    assert refused.value.message == message


def test_isolated_network_reserves_no_gateway() -> None:
    host = DockerHost()
    network = host.network(
        "iso", internal=True, driver_opts={"com.docker.network.bridge.gateway_mode_ipv4": "isolated"}
    )
    endpoint = host.run("c1", "iso")
    assert endpoint.ipv4 == (parse_ip("172.18.0.1"), 16)
    assert not [a for a in host.machine.root.devices[f"br-{network.id[:12]}"].addresses if a.family == 4]


def test_bridge_that_was_there_is_used_and_left_behind() -> None:
    from cnmsim.kernel.bridge import Bridge

    host = DockerHost()
    mine = Bridge("mybr", b"\x02\x00\x00\x00\x00\x99", host.clock)
    host.machine.root.add_device(mine)
    host.machine.root.add_address(mine, "10.9.0.7/24")
    network = host.network("net", "10.9.0.0/24", driver_opts={"com.docker.network.bridge.name": "mybr"})
    assert [str(address) for address in mine.addresses if address.family == 4] == ["10.9.0.1/24"]
    network.delete()
    assert host.machine.root.devices["mybr"] is mine


def test_loopback_is_no_bridge() -> None:
    host = DockerHost()
    assert isinstance(host.machine.root.devices["lo"], Loopback)
    with pytest.raises(SystemFault, match="existing interface lo is not a bridge"):
        host.network("net", driver_opts={"com.docker.network.bridge.name": "lo"})


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bridge_with_ipv6_has_its_gateway_and_in_older_releases_a_link_local_address(version: str) -> None:
    # moby drivers/bridge/setup_ipv6_linux.go (setupBridgeIPv6), bridge_linux.go (programIPv6Addresses)
    host = DockerHost(version)
    host.network("six", "10.60.0.0/24", "fd00:60::/64", enable_ipv6=True, driver_opts={labels.BRIDGE_NAME: "br6"})
    bridge = host.machine.root.devices["br6"]
    assert host.machine.root.sysctl_get("net.ipv6.conf.br6.disable_ipv6") == "0"
    found = {str(address) for address in bridge.addresses}
    assert {"10.60.0.1/24", "fd00:60::1/64"} <= found
    assert ("fe80::1/64" in found) is PROFILES[version].bridge_has_fe80_1


def test_an_isolated_bridge_has_no_address_and_ipv6_switched_off() -> None:
    # moby drivers/bridge/setup_ipv6_linux.go: isolated bridges have disable_ipv6 set
    host = DockerHost("29.7.2")
    modes = dict.fromkeys((labels.GATEWAY_MODE_IPV4, labels.GATEWAY_MODE_IPV6), "isolated")
    host.network(
        "iso", "10.60.0.0/24", "fd00:60::/64", enable_ipv6=True, internal=True,
        driver_opts={labels.BRIDGE_NAME: "br6", **modes},
    )  # fmt: skip
    assert host.machine.root.sysctl_get("net.ipv6.conf.br6.disable_ipv6") == "1"
    assert host.machine.root.devices["br6"].addresses == []
