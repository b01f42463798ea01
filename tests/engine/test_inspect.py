"""What inspect and the listings print, as recorded from Docker Engine 26.1.5, 28.5.2 and 29.7.2."""

from __future__ import annotations

import json

import pytest
from support.engine_lab import VERSIONS, new_engine

from cnmsim.engine.wire.api_version import ApiVersion

API = ApiVersion.parse("1.45")
DEFAULT_BRIDGE = {
    "26.1.5": '{"Name":"bridge","Id":"<net>","Created":"<time>","Scope":"local","Driver":"bridge","EnableIPv6":false,'
    '"IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]},'
    '"Internal":false,"Attachable":false,"Ingress":false,"ConfigFrom":{"Network":""},"ConfigOnly":false,'
    '"Containers":{"<ctr>":{"Name":"c1","EndpointID":"<ep>","MacAddress":"<mac>","IPv4Address":"172.17.0.2/16",'
    '"IPv6Address":""}},"Options":<options>,"Labels":{}}',
    "28.5.2": '{"Name":"bridge","Id":"<net>","Created":"<time>","Scope":"local","Driver":"bridge","EnableIPv4":true,'
    '"EnableIPv6":false,"IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"172.17.0.0/16",'
    '"Gateway":"172.17.0.1"}]},"Internal":false,"Attachable":false,"Ingress":false,"ConfigFrom":{"Network":""},'
    '"ConfigOnly":false,"Containers":{"<ctr>":{"Name":"c1","EndpointID":"<ep>","MacAddress":"<mac>",'
    '"IPv4Address":"172.17.0.2/16","IPv6Address":""}},"Options":<options>,"Labels":{}}',
    "29.7.2": '{"Name":"bridge","Id":"<net>","Created":"<time>","Scope":"local","Driver":"bridge","EnableIPv4":true,'
    '"EnableIPv6":false,"IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"172.17.0.0/16",'
    '"Gateway":"172.17.0.1"}]},"Internal":false,"Attachable":false,"Ingress":false,"ConfigFrom":{"Network":""},'
    '"ConfigOnly":false,"Options":<options>,"Labels":{},"Containers":{"<ctr>":{"Name":"c1","EndpointID":"<ep>",'
    '"MacAddress":"<mac>","IPv4Address":"172.17.0.2/16","IPv6Address":""}}}',
}
BRIDGE_OPTIONS = (
    '{"com.docker.network.bridge.default_bridge":"true","com.docker.network.bridge.enable_icc":"true",'
    '"com.docker.network.bridge.enable_ip_masquerade":"true",'
    '"com.docker.network.bridge.host_binding_ipv4":"0.0.0.0","com.docker.network.bridge.name":"docker0",'
    '"com.docker.network.driver.mtu":"1500"}'
)
PLAN_IPAM = (
    '{"Driver":"default","Options":{},"Config":[{"Subnet":"10.20.0.0/16","IPRange":"10.20.5.0/29",'
    '"Gateway":"10.20.0.254","AuxiliaryAddresses":{"printer":"10.20.5.2","scanner":"10.20.5.3"}}]}'
)
#: `docker network connect blue both` sends an endpoint configuration with empty members.
CLI_SETTINGS = {"IPAMConfig": {}, "Links": None, "Aliases": [], "DriverOpts": {}}
BLUE = {
    "26.1.5": '{"IPAMConfig":{},"Links":null,"Aliases":[],"MacAddress":"02:42:ac:13:00:02","NetworkID":"<net>",'
    '"EndpointID":"<ep>","Gateway":"172.19.0.1","IPAddress":"172.19.0.2","IPPrefixLen":16,"IPv6Gateway":"",'
    '"GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DriverOpts":{},"DNSNames":["both","<id12>"]}',
    "28.5.2": '{"IPAMConfig":{},"Links":null,"Aliases":[],"MacAddress":"<mac>","DriverOpts":{},"GwPriority":0,'
    '"NetworkID":"<net>","EndpointID":"<ep>","Gateway":"172.19.0.1","IPAddress":"172.19.0.2","IPPrefixLen":16,'
    '"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":["both","<id12>"]}',
    "29.7.2": '{"IPAMConfig":{},"Links":null,"Aliases":[],"DriverOpts":{},"GwPriority":0,"NetworkID":"<net>",'
    '"EndpointID":"<ep>","Gateway":"172.19.0.1","IPAddress":"172.19.0.2","MacAddress":"<mac>","IPPrefixLen":16,'
    '"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":["both","<id12>"]}',
}


def compact(value):
    return json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize("version", VERSIONS)
def test_default_bridge_prints_as_recorded(version):
    engine = new_engine(version)
    container = engine.containers.run("alpine", "sleep 1d", name="c1", detach=True)
    network = engine.rest.networks.inspect("bridge", api=API)
    settings = container.record.networks["bridge"]
    expected = DEFAULT_BRIDGE[version].replace("<options>", BRIDGE_OPTIONS)
    for place, value in (
        ("<net>", settings.network_id),
        ("<ctr>", container.id),
        ("<ep>", settings.endpoint_id),
        ("<mac>", settings.mac_address),
        ("<time>", network["Created"]),
    ):
        expected = expected.replace(place, value)
    assert compact(network) == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_ipam_of_a_network_prints_what_was_asked_for(version):
    engine = new_engine(version)
    config = {
        "Subnet": "10.20.0.0/16",
        "IPRange": "10.20.5.0/29",
        "Gateway": "10.20.0.254",
        "AuxiliaryAddresses": {"printer": "10.20.5.2", "scanner": "10.20.5.3"},
    }
    body = {"Name": "plan", "IPAM": {"Driver": "default", "Options": {}, "Config": [config]}}
    engine.complete(engine.rest.networks.create(body))
    assert compact(engine.rest.networks.inspect("plan", api=API)["IPAM"]) == PLAN_IPAM


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("26.1.5", [{"Subnet": "10.70.0.0/24"}]),
        ("28.5.2", [{"Subnet": "10.70.0.0/24"}]),
        ("29.7.2", [{"Subnet": "10.70.0.0/24", "Gateway": "10.70.0.1"}]),
    ],
)
def test_allocated_gateway_shows_only_in_the_latest_release(version, expected):
    engine = new_engine(version)
    network = engine.networks.create("back", subnet="10.70.0.0/24")
    assert network.attrs["IPAM"]["Config"] == expected


def test_ipam_status_counts_addresses_for_clients_of_api_1_52():
    engine = new_engine()
    engine.networks.create("net", subnet="192.168.0.0/24")
    engine.containers.run("alpine", "sleep 1d", network="net", detach=True)
    assert engine.rest.networks.inspect("net")["Status"] == {
        "IPAM": {"Subnets": {"192.168.0.0/24": {"IPsInUse": 4, "DynamicIPsAvailable": 252}}}
    }
    assert "Status" not in engine.rest.networks.inspect("net", api=API)


@pytest.mark.parametrize("version", VERSIONS)
def test_endpoint_settings_print_in_the_order_of_the_release(version):
    engine = new_engine(version)
    engine.networks.create("red")
    blue = engine.networks.create("blue")
    container = engine.containers.run("alpine", "sleep 1d", name="both", network="red", detach=True)
    engine.complete(engine.rest.networks.connect("blue", {"Container": "both", "EndpointConfig": CLI_SETTINGS}))
    view = engine.rest.containers.inspect("both", api=API)["NetworkSettings"]["Networks"]["blue"]
    expected = BLUE[version].replace("<net>", blue.id).replace("<ep>", view["EndpointID"])
    expected = expected.replace("<mac>", view["MacAddress"]).replace("<id12>", container.id[:12])
    assert compact(view) == expected


def test_a_mac_address_for_a_later_connection_shows_until_the_container_starts_and_is_not_used():
    # As a real 26.1.5 answers.
    engine = new_engine("26.1.5")
    engine.networks.create("blue")
    container = engine.containers.create("alpine", "sleep 1d")
    body = {"Container": container.id, "EndpointConfig": {"MacAddress": "02:00:00:00:00:99"}}
    engine.complete(engine.rest.networks.connect("blue", body))

    def shown() -> str:
        networks = engine.rest.containers.inspect(container.id, api=API)["NetworkSettings"]["Networks"]
        return networks["blue"]["MacAddress"]

    assert shown() == "02:00:00:00:00:99"
    container.start()
    assert shown() not in ("", "02:00:00:00:00:99")
    container.stop()
    assert shown() == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_old_clients_find_the_bridge_address_at_the_top(version):
    engine = new_engine(version)
    container = engine.containers.run("alpine", "sleep 1d", detach=True)
    settings = engine.rest.containers.inspect(container.id, api=API)["NetworkSettings"]
    assert (settings["IPAddress"], settings["Gateway"], settings["IPPrefixLen"]) == ("172.17.0.2", "172.17.0.1", 16)


def test_clients_of_api_1_52_find_no_top_level_address():
    engine = new_engine()
    container = engine.containers.run("alpine", "sleep 1d", detach=True)
    settings = engine.rest.containers.inspect(container.id)["NetworkSettings"]
    assert list(settings) == ["SandboxID", "SandboxKey", "Ports", "Networks"]


def test_created_container_prints_as_recorded_from_26():
    engine = new_engine("26.1.5")
    container = engine.containers.create("alpine", "sleep 1d", name="cr")
    view = engine.rest.containers.inspect("cr", api=API)
    assert list(view) == [
        "Id", "Created", "Path", "Args", "State", "Image", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath",
        "Name", "RestartCount", "Driver", "Platform", "MountLabel", "ProcessLabel", "AppArmorProfile", "ExecIDs",
        "HostConfig", "GraphDriver", "Mounts", "Config", "NetworkSettings",
    ]  # fmt: skip
    assert compact(view["State"]) == (
        '{"Status":"created","Running":false,"Paused":false,"Restarting":false,"OOMKilled":false,"Dead":false,'
        '"Pid":0,"ExitCode":0,"Error":"","StartedAt":"0001-01-01T00:00:00Z","FinishedAt":"0001-01-01T00:00:00Z"}'
    )
    assert (view["Path"], view["Args"], view["ResolvConfPath"]) == ("sleep", ["1d"], "")
    assert view["Config"]["Hostname"] == container.id[:12]
    assert compact(view["NetworkSettings"]["Networks"]) == (
        '{"bridge":{"IPAMConfig":null,"Links":null,"Aliases":null,"MacAddress":"","NetworkID":"","EndpointID":"",'
        '"Gateway":"","IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"","GlobalIPv6Address":"",'
        '"GlobalIPv6PrefixLen":0,"DriverOpts":null,"DNSNames":null}}'
    )


def test_host_config_prints_every_field_in_docker_order():
    engine = new_engine("26.1.5")
    engine.containers.create("alpine", name="cr")
    host_config = engine.rest.containers.inspect("cr")["HostConfig"]
    assert list(host_config)[:12] == [
        "Binds", "ContainerIDFile", "LogConfig", "NetworkMode", "PortBindings", "RestartPolicy", "AutoRemove",
        "VolumeDriver", "VolumesFrom", "ConsoleSize", "CapAdd", "CapDrop",
    ]  # fmt: skip
    assert list(host_config)[-3:] == ["IOMaximumBandwidth", "MaskedPaths", "ReadonlyPaths"]
    assert list(host_config).index("Runtime") == list(host_config).index("ShmSize") + 1
    assert (host_config["ShmSize"], host_config["Runtime"], host_config["LogConfig"]["Type"]) == (
        67108864,
        "runc",
        "json-file",
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_published_ports_print_for_both_families_and_exposed_ones_as_null(version):
    engine = new_engine(version)
    web = engine.containers.run("nginx", name="web", ports={"80/tcp": 8080}, expose=["9000/udp"], detach=True)
    assert web.attrs["NetworkSettings"]["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        "9000/udp": None,
    }
    assert engine.rest.containers.list()[0]["Ports"] == [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 9000, "Type": "udp"},
    ]


@pytest.mark.parametrize(("version", "keeps_sandbox"), [("26.1.5", True), ("28.5.2", False), ("29.7.2", False)])
def test_stopped_container_keeps_its_settings_but_no_address(version, keeps_sandbox):
    engine = new_engine(version)
    container = engine.containers.run("alpine", "sleep 1d", detach=True)
    container.stop(timeout=0)
    settings = container.attrs["NetworkSettings"]
    bridge = settings["Networks"]["bridge"]
    assert bool(settings["SandboxID"]) == keeps_sandbox
    assert (settings["Ports"], bridge["IPAddress"], bridge["EndpointID"]) == ({}, "", "")
    assert bridge["NetworkID"] == engine.networks.get("bridge").id


def test_host_container_has_the_name_and_sandbox_of_its_host():
    engine = new_engine()
    container = engine.containers.run("alpine", "sleep 1d", network_mode="host", detach=True)
    view = container.attrs
    assert view["Config"]["Hostname"] == "node1"
    assert view["NetworkSettings"]["SandboxKey"] == "/var/run/docker/netns/default"
    assert view["NetworkSettings"]["Networks"]["host"]["IPAddress"] == ""
    assert container.namespace is engine.machine.root


def test_container_in_anothers_network_shows_no_network_of_its_own():
    engine = new_engine()
    web = engine.containers.run("alpine", "sleep 1d", name="web", hostname="www", detach=True)
    side = engine.containers.run("alpine", "sleep 1d", network_mode="container:web", detach=True)
    assert side.attrs["HostConfig"]["NetworkMode"] == f"container:{web.id}"
    assert side.attrs["NetworkSettings"]["Networks"] == {}
    assert side.exec("cat /etc/hostname").text == "www\n"
    assert side.namespace is web.namespace


@pytest.mark.parametrize(
    ("command", "shown"),
    [("sleep 1d", "sleep 1d"), (["sh", "-c", "echo a b"], "sh -c 'echo a b'"), (None, "sh")],
)
def test_listing_prints_the_command_line(command, shown):
    engine = new_engine()
    engine.containers.create("alpine", command)
    assert engine.rest.containers.list({"all": "1"})[0]["Command"] == shown


def test_listing_tells_how_long_a_container_has_been_what_it_is():
    engine = new_engine()
    container = engine.containers.run("alpine", "sleep 1d", name="c1", detach=True)

    def status():
        return engine.rest.containers.list({"all": "1"})[0]["Status"]

    seen = [status()]
    engine.clock.run_for(65)
    seen.append(status())
    container.pause()
    seen.append(status())
    container.unpause()
    engine.clock.run_for(7200)
    seen.append(status())
    container.kill()
    engine.clock.run_for(3)
    seen.append(status())
    assert seen == [
        "Up Less than a second", "Up About a minute", "Up About a minute (Paused)", "Up 2 hours",
        "Exited (137) 3 seconds ago",
    ]  # fmt: skip


def test_raw_answer_for_old_clients_is_sorted_by_name_in_the_latest_release():
    engine = new_engine()
    container = engine.containers.run("alpine", "sleep 1d", detach=True)
    assert list(engine.rest.containers.inspect(container.id, api=API))[:3] == ["AppArmorProfile", "Args", "Config"]
    assert list(engine.rest.containers.inspect(container.id))[:2] == ["Id", "Created"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_fields_of_a_health_check_that_are_zero_are_not_printed(version: str) -> None:
    # v1.HealthcheckConfig of moby/docker-image-spec: every field has `omitempty`
    engine = new_engine(version)
    whole = {
        "Test": ["CMD", "true"], "Interval": 2_000_000_000, "Timeout": 3_000_000_000, "StartPeriod": 4_000_000_000,
        "StartInterval": 5_000_000_000, "Retries": 6,
    }  # fmt: skip
    zero = dict.fromkeys(whole, 0) | {"Test": ["NONE"]}
    for given, shown in ((whole, whole), (zero, {"Test": ["NONE"]}), ({"Retries": 1}, {"Retries": 1})):
        created = engine.rest.containers.create({"Image": "alpine", "Healthcheck": given})
        config = engine.rest.containers.inspect(created["Id"])["Config"]
        assert compact(config["Healthcheck"]) == compact(shown)
