"""Networks on parent interfaces survive a restart of their engine, with state files and configuration networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnmsim import Lab
from cnmsim.lab.state.statefile import restore_state, save_state


def office(release: str) -> Lab:
    lab = Lab(release)
    lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
    lab.add_router("gw", "10.0.0.1/24")
    lab.add_host("vm", "10.0.0.50/24", gateway="10.0.0.1")
    return lab


def create(lab: Lab, name: str, driver: str, subnet: str, **options: str) -> None:
    body = {"Name": name, "Driver": driver, "Options": options, "IPAM": {"Config": [{"Subnet": subnet}]}}
    docker = lab.host("node1").docker
    docker.complete(docker.rest.networks.create(body))


@pytest.mark.parametrize("release", ["26.1.5", "28.5.2", "29.7.2"])
def test_parents_and_children_are_there_again_after_a_restart(tmp_path: Path, release: str) -> None:
    lab = office(release)
    docker = lab.host("node1").docker
    create(lab, "lan", "macvlan", "10.0.0.64/28", parent="eth0")
    create(lab, "routed", "ipvlan", "10.9.0.0/24", parent="eth0.10", ipvlan_mode="l3s")
    create(lab, "alone", "macvlan", "10.8.0.0/24")
    for name, network in (("w1", "lan"), ("w2", "routed"), ("w3", "alone")):
        docker.containers.run("nginx", name=name, network=network, detach=True)
    save_state(lab, tmp_path / "state")
    again = office(release)
    restore_state(again, tmp_path / "state")
    again.settle()
    assert again.host("node1").exec("ip -br link show type vlan").output.startswith("eth0.10@eth0")
    dummy = again.host("node1").exec("ip -br link show type dummy").output
    assert dummy.startswith(f"dm-{docker.networks.get('alone').id[:12]}")
    assert again.host("vm").exec("ip route add 10.0.0.64/28 dev eth0").succeeded
    for name in ("w1", "w2", "w3"):
        before, after = (each.container(name).attrs["NetworkSettings"]["Networks"] for each in (lab, again))
        assert {k: v["IPAddress"] for k, v in before.items()} == {k: v["IPAddress"] for k, v in after.items()}
    restored = again.host("node1").docker
    assert restored is not None
    for name in ("w1", "w2", "w3"):
        restored.containers.get(name).remove(force=True)
    for name in ("lan", "routed", "alone"):
        restored.networks.get(name).remove()
    assert list(again.host("node1").namespace.devices) == ["lo", "eth0", "docker0"]


@pytest.mark.parametrize("release", ["26.1.5", "28.5.2", "29.7.2"])
def test_a_configuration_is_used_again_after_a_restart(tmp_path: Path, release: str) -> None:
    lab = office(release)
    docker = lab.host("node1").docker
    pool = {"Subnet": "10.0.0.0/24", "IPRange": "10.0.0.64/28", "Gateway": "10.0.0.1"}
    configuration = {"Name": "conf", "ConfigOnly": True, "Options": {"parent": "eth0"}, "IPAM": {"Config": [pool]}}
    docker.complete(docker.rest.networks.create(configuration))
    docker.complete(
        docker.rest.networks.create({"Name": "lan", "Driver": "macvlan", "ConfigFrom": {"Network": "conf"}})
    )
    docker.containers.run("nginx", name="w1", network="lan", detach=True)
    save_state(lab, tmp_path / "state")
    again = office(release)
    restore_state(again, tmp_path / "state")
    again.settle()
    assert again.host("vm").ping("10.0.0.64").succeeded
    rest = again.host("node1").docker.rest  # type: ignore[union-attr]
    shown = rest.networks.inspect("lan")
    assert (shown["ConfigFrom"], shown["Options"]) == ({"Network": "conf"}, {"parent": "eth0"})
    kept = rest.networks.inspect("conf")
    assert (kept["ConfigOnly"], kept["Driver"], kept["Scope"], kept["IPAM"]["Config"]) == (
        True,
        "null",
        "local",
        None if release.startswith("29") else [pool],
    )
