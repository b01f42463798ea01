"""Networks with a plugin's pools after a restart: allocations stay, and are requested again if required."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnmsim import Lab
from cnmsim.lab.state.statefile import restore_state, save_state
from cnmsim.testing.plugin import PluginServer

RELEASES = ("26.1.5", "28.5.2", "29.7.2")
POOL = {"PoolID": "a-pool", "Pool": "10.78.0.0/24"}


def build(release: str, folder: Path) -> Lab:
    lab = Lab(release, plugin_dirs=[folder])
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return lab


def restarted(
    release: str, folder: Path, *, replays: bool, again: dict[str, str] | None = None
) -> tuple[Lab, list[str]]:
    """Make a network with a plugin's pool, restart the engine, and give the lab and the IPAM calls of the restart."""
    lab = build(release, folder)
    with PluginServer(folder, implements=("IpamDriver",)) as plugin:
        plugin.replies["IpamDriver.GetCapabilities"] = {"RequiresRequestReplay": replays}
        plugin.replies["IpamDriver.RequestPool"] = POOL
        plugin.replies["IpamDriver.RequestAddress"] = {"Address": "10.78.0.1/24"}
        docker = lab.host("node1").docker
        docker.networks.create("fabric", ipam={"Driver": "test"})
        save_state(lab, folder / "state")
        before = len(plugin.calls)
        if again is not None:
            plugin.replies["IpamDriver.RequestPool"] = plugin.replies["IpamDriver.RequestAddress"] = dict(again)
        renewed = build(release, folder)
        restore_state(renewed, folder / "state")
        methods = [each for each in plugin.methods(before) if each.startswith("IpamDriver.Re")]
        plugin.replies["IpamDriver.RequestAddress"] = {"Address": "10.78.0.2/24"}
        engine = renewed.host("node1").docker
        engine.containers.run("alpine", "sleep 1d", name="app", network="fabric", detach=True)
        asked = plugin.calls[-1].body if plugin.calls[-1].method == "IpamDriver.RequestAddress" else None
        assert asked is None or asked["PoolID"] == "a-pool"
    return renewed, methods


def address_of(lab: Lab) -> str:
    found: str = lab.container("app").attrs["NetworkSettings"]["Networks"]["fabric"]["IPAddress"]
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_a_plugin_that_keeps_its_memory_is_not_asked_again(release: str, tmp_path: Path) -> None:
    lab, methods = restarted(release, tmp_path, replays=False)
    assert methods == []
    assert address_of(lab) == "10.78.0.2"


@pytest.mark.parametrize("release", RELEASES)
def test_one_that_forgets_is_asked_for_all_it_gave(release: str, tmp_path: Path) -> None:
    lab, methods = restarted(release, tmp_path, replays=True)
    assert methods == ["IpamDriver.RequestPool", "IpamDriver.RequestAddress"]
    assert address_of(lab) == "10.78.0.2"


@pytest.mark.parametrize("release", RELEASES)
def test_what_it_has_against_that_is_only_logged(release: str, tmp_path: Path) -> None:
    lab, methods = restarted(release, tmp_path, replays=True, again={"Error": "10.78.0.0/24 is taken"})
    assert methods == ["IpamDriver.RequestPool", "IpamDriver.RequestAddress"]
    engine = lab.host("node1").docker
    assert "Failed to allocate ipam pool(s): remote: 10.78.0.0/24 is taken" in engine.controller.log
    assert engine.networks.get("fabric").attrs["IPAM"]["Config"] == [
        {"Subnet": "10.78.0.0/24", "Gateway": "10.78.0.1"}
    ]
    assert address_of(lab) == "10.78.0.2"
