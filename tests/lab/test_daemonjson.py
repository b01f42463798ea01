"""`daemon.json`: each release knows its own options, and 26.1.5 is asked itself where it is installed."""

import json
import shutil
import subprocess

import pytest

from cnmsim import Lab
from cnmsim.errors import InvalidParameter, NotSimulated
from cnmsim.libnetwork.profile import PROFILES

HEAD = "unable to configure the Docker daemon with file /etc/docker/daemon.json: "
UNKNOWN = HEAD + "the following directives don't match any configuration option: "
EVERY = set().union(*(each.daemon_directives for each in PROFILES.values()))


def engine(release, options):
    return Lab(release).add_host("node1", "10.0.0.15/24", docker=options, router=True).docker


def says(release, options):
    try:
        engine(release, options)
    except InvalidParameter as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("option", "value", "known_to"),
    [
        ("firewall-backend", "iptables", {"29.7.2"}),
        ("bridge-accept-fwmark", "0x1/0x3", {"29.7.2"}),
        ("allow-direct-routing", True, {"28.5.2", "29.7.2"}),
        ("ip-forward-no-drop", True, {"28.5.2", "29.7.2"}),
        ("bip6", "fd00:1::1/64", {"28.5.2", "29.7.2"}),
        ("api-cors-header", "*", {"26.1.5", "28.5.2"}),
        ("log-driver", "json-file", set(PROFILES)),
        ("icx", 1, set()),
    ],
)
@pytest.mark.parametrize("release", PROFILES)
def test_a_release_knows_its_own_options(release, option, value, known_to):
    assert says(release, {option: value}) == ("" if release in known_to else UNKNOWN + option)


def test_every_unknown_option_is_named():
    assert says("29.7.2", {"foo": 1, "mtu": 1400, "bar": 2}) == UNKNOWN + "foo, bar"


def test_a_mapping_of_another_name_stands_for_what_is_in_it():
    assert (
        engine("29.7.2", {"whatever": {"mtu": 1300}})
        .networks.get("bridge")
        .attrs["Options"]["com.docker.network.driver.mtu"]
        == "1300"
    )
    assert says("29.7.2", {"whatever": {"foo": 1}}) == UNKNOWN + "foo"
    assert says("29.7.2", {"log-opts": {"max-size": "10m"}, "runtimes": {"x": {"path": "/x"}}}) == ""


def test_an_mtu_below_zero_is_refused():
    said = says("29.7.2", {"mtu": -1})
    assert (
        said
        == HEAD + "merged configuration validation from file and command line flags failed: invalid default MTU: -1"
    )


def test_the_addresses_of_host_gateway_have_two_names():
    docker = engine("29.7.2", {"host-gateway-ips": ["192.0.2.1", "2001:db8::1"]})
    web = docker.containers.run("alpine", "sleep 1d", extra_hosts={"h": "host-gateway"}, detach=True)
    assert "192.0.2.1\th\n2001:db8::1\th\n" in web.exec("cat /etc/hosts").output
    both = says("29.7.2", {"host-gateway-ips": ["192.0.2.1"], "host-gateway-ip": "192.0.2.2"})
    assert both == HEAD + "host-gateway-ip and host-gateway-ips must not both be specified in the config file"


def test_rootless_mode_is_not_simulated():
    with pytest.raises(NotSimulated):
        engine("29.7.2", {"rootless": True})


def test_a_daemon_may_know_which_address_a_swarm_is_told():
    lab = Lab()
    host = lab.add_host("node1", "10.0.0.15/24", "10.1.0.15/24", docker={"swarm-default-advertise-addr": "eth1"})
    host.docker.swarm.init()
    assert host.docker.info()["Swarm"]["NodeAddr"] == "10.1.0.15"
    bad = lab.add_host("node2", "10.0.0.16/24", docker={"swarm-default-advertise-addr": "eth7"})
    with pytest.raises(InvalidParameter, match="default advertise address must be a non-zero IP address or network"):
        bad.docker.swarm.init()


@pytest.mark.parametrize(("mtu", "largest"), [(1500, 1400), (600, 500), (100, 400)])
def test_the_control_plane_keeps_to_its_mtu(mtu, largest):
    lab = Lab()
    host = lab.add_host("node1", "10.0.0.15/24", docker={"network-control-plane-mtu": mtu})
    host.docker.swarm.init()
    assert host.engine.controller.agent.db.config.packet_size == largest


def real_version():
    if shutil.which("dockerd") is None:
        return ""
    return subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=False).stdout


@pytest.mark.skipif("version 26.1.5" not in real_version(), reason="no dockerd 26.1.5 here")
@pytest.mark.parametrize("option", sorted(EVERY - {"config-file", "validate", "default-shm-size", "tlsverify"}))
def test_dockerd_itself_knows_as_much(option, tmp_path):
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({option: None}))
    done = subprocess.run(
        ["dockerd", "--validate", "--config-file", path], capture_output=True, text=True, check=False
    )
    known = "the following directives don't match any configuration option" not in done.stderr
    assert known is (option in PROFILES["26.1.5"].daemon_directives), done.stderr
