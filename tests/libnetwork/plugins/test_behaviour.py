"""What plugins can do with a network, and what they are told: gateways, routes, names, addresses, ports, nodes."""

from __future__ import annotations

from typing import Any

import pytest
from support.plugin_stage import Stage

from cnmsim.errors import EngineError, Forbidden
from cnmsim.kernel.address import parse_ip
from cnmsim.libnetwork.driver import JoinInfo
from cnmsim.libnetwork.drivers.remoteapi import read_join
from cnmsim.libnetwork.plugins.policy import PluginPolicy
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.testing.plugin import Fault
from cnmsim.testing.snapshot import Snapshot


def joined(stage: Stage, **answer: Any) -> None:
    """Have the plugin answer a join with its device and `answer`."""

    def reply(body: dict[str, Any] | None) -> dict[str, Any]:
        assert body is not None
        names = {
            "SrcName": f"tf{body['EndpointID'][:7]}",
            "DstPrefix": answer.pop("DstPrefix", "eth"),
            "DstName": "no",
        }
        return {"InterfaceName": names, **answer}

    stage.plugin.replies["NetworkDriver.Join"] = reply


def bodies(stage: Stage, method: str) -> list[dict[str, Any]]:
    return [call.body or {} for call in stage.plugin.calls if call.method == method]


# --- packets


def test_containers_exchange_packets_over_devices_the_plugin_made_and_nothing_is_left(stage: Stage) -> None:
    before = Snapshot.of(stage.host)
    network: Any = stage.network()
    web: Any = stage.engine.containers.run("nginx", name="web", network="f", detach=True)
    app: Any = stage.run("app")
    stage.lab.settle()
    walk = stage.lab.trace("app", "web:80")
    assert walk.verdict is Verdict.ANSWERED
    assert "Welcome to nginx!" in app.exec("wget -qO- http://web/").output
    for container in (web, app):
        container.remove(force=True)
    network.remove()
    stage.lab.settle()
    assert before.difference(Snapshot.of(stage.host)) == []


def test_an_interface_is_named_by_the_prefix_alone(stage: Stage) -> None:
    stage.network()
    joined(stage, DstPrefix="wan", Gateway="10.78.0.1")
    container: Any = stage.run()
    assert "wan0" in container.exec("ip -o addr").output
    assert "default via 10.78.0.1 dev wan0" in container.exec("ip route").output


def test_a_gateway_belongs_to_the_family_of_its_field() -> None:
    info = JoinInfo()
    read_join({"Gateway": "10.78.0.1", "GatewayIPv6": "fd07::1"}, info)
    assert (info.gateway4, info.gateway6) == (parse_ip("10.78.0.1"), parse_ip("fd07::1"))
    for response in ({"Gateway": "fd07::1"}, {"GatewayIPv6": "10.78.0.1"}):
        with pytest.raises(ValueError, match=r"route for the gateway .* could not be found: network is unreachable"):
            read_join(response, JoinInfo())


def test_a_plugin_is_told_to_leave_while_its_device_is_in_the_container(stage: Stage) -> None:
    stage.network()
    container: Any = stage.run()
    on_host: list[list[str]] = []

    def look(_: object) -> dict[str, Any]:
        on_host.append([name for name in stage.host.namespace.devices if name.startswith("tf")])
        return {}

    for method in ("Leave", "DeleteEndpoint"):
        stage.plugin.replies[f"NetworkDriver.{method}"] = look
    container.remove(force=True)
    assert [len(names) for names in on_host] == [0, 1]


def test_static_routes_next_hop_and_connected(stage: Stage) -> None:
    stage.network()
    routes = [
        {"Destination": "10.5.0.0/16", "RouteType": 0, "NextHop": "10.78.0.9"},
        {"Destination": "10.6.0.0/16", "RouteType": 1, "NextHop": ""},
    ]
    joined(stage, StaticRoutes=routes, DisableGatewayService=True)
    container: Any = stage.run()
    shown = container.exec("ip route").output
    assert "10.5.0.0/16 via 10.78.0.9 dev eth0" in shown
    assert "10.6.0.0/16 dev eth0" in shown
    assert "default" not in shown


def test_without_a_gateway_the_container_goes_out_by_docker_gwbridge(stage: Stage) -> None:
    stage.network()
    joined(stage)
    container: Any = stage.run()
    assert "docker_gwbridge" in [network.name for network in stage.engine.networks.list()]
    assert "default via 172." in container.exec("ip route").output
    container.remove(force=True)
    joined(stage, DisableGatewayService=True)
    other: Any = stage.run("other")
    assert "default" not in other.exec("ip route").output
    assert "eth1" not in other.exec("ip -o link").output


def test_a_default_route_of_the_plugins_is_as_good_as_a_gateway(stage: Stage) -> None:
    stage.network()
    joined(stage, StaticRoutes=[{"Destination": "0.0.0.0/0", "RouteType": 1}])
    container: Any = stage.run()
    has_bridge = "docker_gwbridge" in [network.name for network in stage.engine.networks.list()]
    assert not has_bridge
    assert stage.engine.networks.get("f") is not None
    assert container.status == "running"


# --- what is told


def test_options_of_a_network(stage: Stage) -> None:
    network: Any = stage.network(options={"b": "2", "a": "1"}, internal=True)
    (body,) = bodies(stage, "NetworkDriver.CreateNetwork")
    has_ipv4 = stage.engine.profile.version != "26.1.5"
    assert body == {
        "NetworkID": network.id,
        "Options": {
            **({"com.docker.network.enable_ipv4": True} if has_ipv4 else {}),
            "com.docker.network.enable_ipv6": False,
            "com.docker.network.generic": {"a": "1", "b": "2"},
            "com.docker.network.internal": True,
        },
        "IPv4Data": [{"AddressSpace": "test-local", "Gateway": "10.78.0.1/24", "Pool": "10.78.0.0/24"}],
        "IPv6Data": [],
    }


def test_ports_are_told_to_the_first_network_and_to_no_internal_one(stage: Stage) -> None:
    stage.network("inside", internal=True)
    stage.network("outside")
    stage.run("one", "inside", ports={"80/tcp": 8080})
    stage.run("two", "outside", ports={"80/tcp": 8080})
    inside, outside = (body["Options"] for body in bodies(stage, "NetworkDriver.CreateEndpoint"))
    assert inside == {}
    assert outside["com.docker.network.portmap"] == [
        {"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080}
    ]
    assert {"Proto": 6, "Port": 80} in outside["com.docker.network.endpoint.exposedports"]


def test_the_endpoint_that_leads_out_is_told_of_ports_and_of_their_end(stage: Stage) -> None:
    stage.network("aaa")
    stage.network("bbb")
    container: Any = stage.run("app", "bbb")
    start = len(stage.plugin.calls)
    aaa = stage.engine.networks.get("aaa")
    aaa.connect("app")
    told = [
        (call.method[14:], (call.body or {})["NetworkID"] == aaa.id)
        for call in stage.plugin.calls[start:]
        if "External" in call.method
    ]
    assert told == [("RevokeExternalConnectivity", False), ("ProgramExternalConnectivity", True)]
    start = len(stage.plugin.calls)
    aaa.disconnect("app")
    told = [
        (call.method[14:], (call.body or {})["NetworkID"] == aaa.id)
        for call in stage.plugin.calls[start:]
        if "External" in call.method
    ]
    assert told == [("RevokeExternalConnectivity", True), ("ProgramExternalConnectivity", False)]
    container.remove(force=True)


# --- addresses


def test_pools_gateways_and_reserved_addresses_are_asked_for_in_order(stage: Stage) -> None:
    config = {
        "Subnet": "10.99.0.0/24",
        "Gateway": "10.99.0.254",
        "IPRange": "10.99.0.128/25",
        "AuxiliaryAddresses": {"a": "10.99.0.5"},
    }
    network: Any = stage.engine.networks.create(
        "f", driver="bridge", ipam={"Driver": "test", "Config": [config], "Options": {"x": "y"}}
    )
    asked = [(call.method[11:], call.body) for call in stage.plugin.calls if call.method.startswith("Ipam")]
    spaces = [("GetDefaultAddressSpaces", None)] * (1 if stage.engine.profile.version == "26.1.5" else 2)
    pool = {"AddressSpace": "test-local", "Pool": "10.99.0.0/24", "SubPool": "10.99.0.128/25", "Options": {"x": "y"}}
    gateway = {"RequestAddressType": "com.docker.network.gateway"}
    assert asked == [
        ("GetCapabilities", None),
        *spaces,
        ("RequestPool", {**pool, "V6": False}),
        ("RequestAddress", {"PoolID": "10.99.0.0/24", "Address": "10.99.0.254", "Options": gateway}),
        ("RequestAddress", {"PoolID": "10.99.0.0/24", "Address": "10.99.0.5", "Options": None}),
    ]
    start = len(stage.plugin.calls)
    network.remove()
    assert stage.plugin.methods(start) == [
        "IpamDriver.ReleaseAddress",
        "IpamDriver.ReleaseAddress",
        "IpamDriver.ReleasePool",
    ]


def test_a_gateway_that_came_with_the_pool_is_not_asked_for(stage: Stage) -> None:
    data = {"com.docker.network.gateway": "10.78.7.9/24"}
    stage.plugin.replies["IpamDriver.RequestPool"] = {"PoolID": "10.78.7.0/24", "Pool": "10.78.7.0/24", "Data": data}
    stage.plugin.replies["IpamDriver.ReleaseAddress"] = stage.plugin.replies["IpamDriver.ReleasePool"] = {}
    network: Any = stage.network()
    assert "IpamDriver.RequestAddress" not in stage.plugin.methods()
    assert network.attrs["IPAM"]["Config"] == [{"Subnet": "10.78.7.0/24", "Gateway": "10.78.7.9"}]


def test_a_pool_that_overlaps_the_host_is_held_until_there_is_another(stage: Stage) -> None:
    offered = iter(["10.0.0.0/25", "10.0.0.128/25", "10.66.0.0/24"])

    def reply(_: object) -> dict[str, Any]:
        pool = next(offered)
        return {"PoolID": pool, "Pool": pool}

    stage.plugin.replies["IpamDriver.RequestPool"] = reply
    stage.plugin.replies["IpamDriver.RequestAddress"] = {"Address": "10.66.0.1/24"}
    stage.plugin.replies["IpamDriver.ReleasePool"] = {}
    network: Any = stage.network()
    assert network.attrs["IPAM"]["Config"][0]["Subnet"] == "10.66.0.0/24"
    assert [body["PoolID"] for body in bodies(stage, "IpamDriver.ReleasePool")] == ["10.0.0.0/25", "10.0.0.128/25"]


def test_an_ipam_plugin_that_wants_mac_addresses_is_told_them(stage: Stage) -> None:
    stage.plugin.replies["IpamDriver.GetCapabilities"] = {"RequiresMACAddress": True}
    stage.network()
    stage.run("one", mac_address="02:00:00:00:00:77")
    stage.run("two")
    first, second = bodies(stage, "IpamDriver.RequestAddress")[1:]
    assert first["Options"] == {"com.docker.network.endpoint.macaddress": "02:00:00:00:00:77"}
    drawn = second["Options"]["com.docker.network.endpoint.macaddress"]
    interfaces = [body["Interface"]["MacAddress"] for body in bodies(stage, "NetworkDriver.CreateEndpoint")]
    assert interfaces == ["02:00:00:00:00:77", drawn]


def test_an_ipam_plugin_without_capabilities_is_a_driver_all_the_same(stage: Stage) -> None:
    stage.plugin.replies["IpamDriver.GetCapabilities"] = Fault(b"", status=404)
    network: Any = stage.network()
    assert network.attrs["IPAM"]["Driver"] == "test"


def test_a_network_plugin_may_do_without_gateways(stage: Stage) -> None:
    stage.plugin.capabilities = {"Scope": "local", "GwAllocChecker": True}
    stage.plugin.replies["NetworkDriver.GwAllocCheck"] = {"SkipIPv4": True}
    stage.network()
    (body,) = bodies(stage, "NetworkDriver.CreateNetwork")
    asks = stage.engine.profile.version != "26.1.5"
    assert ("NetworkDriver.GwAllocCheck" in stage.plugin.methods()) == asks
    assert ("Gateway" in body["IPv4Data"][0]) == (not asks)


# --- reach


def test_a_global_plugin_makes_no_local_network(stage: Stage) -> None:
    stage.plugin.capabilities = {"Scope": "global"}
    with pytest.raises(Forbidden) as caught:
        stage.network(scope="local")
    assert caught.value.message == "cannot downgrade network scope for test networks"
    network: Any = stage.network()
    assert network.attrs["Scope"] == "global"
    (body,) = bodies(stage, "NetworkDriver.CreateNetwork")
    assert body["IPv4Data"][0]["AddressSpace"] == "test-global"


def test_a_global_network_may_have_the_subnets_of_its_host(stage: Stage) -> None:
    # moby daemon/libnetwork/network.go, ipamAllocateVersion: only others reserve the prefixes of the host's routes
    stage.plugin.capabilities = {"Scope": "global"}
    ipam = {"Config": [{"Subnet": "fd00:7::/64"}]}
    network: Any = stage.engine.networks.create("f", driver="test", enable_ipv6=True, ipam=ipam)
    assert {config["Subnet"] for config in network.attrs["IPAM"]["Config"]} == {"fd00:7::/64", "10.0.0.0/24"}
    assert "10.0.0.0/24 dev eth0" in stage.host.exec("ip route").output


def test_nodes_are_told_to_plugins_whose_networks_reach_further(stage: Stage) -> None:
    stage.plugin.capabilities = {"Scope": "local", "ConnectivityScope": "global"}
    stage.network()
    driver: Any = stage.engine.controller.drivers.get("test")
    assert (driver.capability.data_scope, driver.capability.connectivity_scope) == ("local", "global")
    driver.node_joined(parse_ip("10.0.0.15"), is_self=True)
    driver.node_left(parse_ip("10.0.0.16"))
    (new,), (gone,) = bodies(stage, "NetworkDriver.DiscoverNew"), bodies(stage, "NetworkDriver.DiscoverDelete")
    assert new == {
        "DiscoveryType": 1,
        "DiscoveryData": {"Address": "10.0.0.15", "BindAddress": "10.0.0.15", "Self": True},
    }
    assert gone["DiscoveryData"]["Address"] == "10.0.0.16"
    stage.plugin.replies["NetworkDriver.DiscoverNew"] = {"Err": "who?"}
    driver.node_joined(parse_ip("10.0.0.17"), is_self=False)
    assert stage.engine.controller.log[-1] == "discovery notification error: remote: who?"


def test_nodes_are_not_told_to_plugins_whose_networks_end_here(stage: Stage) -> None:
    stage.network()
    driver: Any = stage.engine.controller.drivers.get("test")
    driver.node_joined(parse_ip("10.0.0.15"), is_self=True)
    assert "NetworkDriver.DiscoverNew" not in stage.plugin.methods()


def test_a_swarm_refuses_networks_of_plugins(stage: Stage) -> None:
    """As 26.1.5 and 29.7.2 do, whose managers send no plugin in a socket `AllocateNetwork`."""
    stage.engine.swarm.init(advertise_addr="10.0.0.15")
    head = "rpc error: code = InvalidArgument desc = "
    unsupported = head + "legacy plugin test of type {} is not supported in swarm mode"

    def refusal(**options: Any) -> str:
        with pytest.raises(EngineError) as error:
            stage.engine.networks.create("f", **options)
        return error.value.message

    assert refusal(driver="test", scope="swarm") == unsupported.format("NetworkDriver")
    assert refusal(driver="overlay", ipam={"Driver": "test"}) == unsupported.format("IpamDriver")
    unknown = refusal(driver="overlay", ipam={"Driver": "none-such"})
    assert unknown == head + "error during lookup of plugin none-such"
    assert not bodies(stage, "NetworkDriver.AllocateNetwork")


def test_two_runs_ask_the_same(release: str, tmp_path: Any) -> None:
    def calls(folder: Any) -> list[tuple[str, object]]:
        folder.mkdir()
        stage = Stage(release, folder)
        with stage.plugin:
            stage.network()
            stage.run()
        return [(call.method, call.body) for call in stage.plugin.calls]

    assert calls(tmp_path / "one") == calls(tmp_path / "two")


@pytest.mark.parametrize(
    ("give_up_s", "pauses"), [(30.0, [1, 2, 4, 8]), (100.0, [1, 2, 4, 8, 16, 30, 30]), (0.0, [])]
)
def test_pauses_between_attempts_double_up_to_30_seconds(give_up_s: float, pauses: list[float]) -> None:
    # moby pkg/plugins/client.go: backoff (defaultTimeOut = 30) and abort.
    class Elapsed:
        seconds = 5.0

        def now(self) -> float:
            return self.seconds

        def sleep(self, seconds: float) -> None:
            self.seconds += seconds

    clock, taken = Elapsed(), []
    for pause in PluginPolicy(give_up_s=give_up_s, time=clock).pauses():
        taken.append(pause)
        clock.sleep(pause)
    assert taken == pauses
