"""Networks of the swarm beside those of the engine: which of them a request means, and how they are shown."""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.engine.engine import Engine
from cnmsim.errors import InvalidParameter, NotFound, Unavailable


def manager(release: str = "29.7.2") -> Engine:
    docker: Any = Lab(release).add_host("node1", "10.0.0.15/24", docker=True).docker
    docker.swarm.init(advertise_addr="10.0.0.15")
    return docker  # type: ignore[no-any-return]


def test_a_scope_selects_among_networks_of_the_engine_and_of_the_swarm() -> None:
    # moby api/server/router/network getNetwork: the scope is a filter of both lists.
    docker = manager()
    local, overlay = docker.networks.create("mine"), docker.networks.create("ours", driver="overlay")
    inspect = docker.rest.networks.inspect
    for network, scope, other in ((local, "local", "swarm"), (overlay, "swarm", "local")):
        for term in (network.id, network.name, network.id[:12]):
            assert inspect(term)["Id"] == inspect(term, {"scope": scope})["Id"] == network.id
        with pytest.raises(NotFound, match=f"network {network.name} not found"):
            inspect(network.name, {"scope": other})
    with pytest.raises(NotFound, match="network nosuch not found"):
        inspect("nosuch", {"scope": "swarm"})
    with pytest.raises(NotFound, match="network nosuch not found"):
        inspect("nosuch")


def test_a_term_that_begins_several_ids_is_ambiguous() -> None:
    docker = manager()
    ids = [network["Id"] for network in docker.rest.networks.list()]
    while len({identity[0] for identity in ids}) == len(ids):
        ids.append(docker.networks.create(f"net{len(ids)}").id)
    first = next(digit for digit in "0123456789abcdefghijklmnopqrstuvwxyz" if sum(i[0] == digit for i in ids) > 1)
    with pytest.raises(InvalidParameter, match=f"2 matches found based on ID prefix: network {first} is ambiguous"):
        docker.rest.networks.inspect(first, {"scope": "local"})


@pytest.mark.parametrize("release", ["26.1.5", "28.5.2", "29.7.2"])
def test_a_network_that_no_container_of_this_node_is_on_is_shown_without_containers(release: str) -> None:
    docker = manager(release)
    overlay = docker.networks.create("ours", driver="overlay")
    view = docker.rest.networks.inspect(overlay.id)
    assert view["Containers"] in ({}, None)
    assert (view["Scope"], view["Driver"], view["Attachable"]) == ("swarm", "overlay", False)


def test_unused_networks_of_the_swarm_are_pruned_by_label() -> None:
    docker = manager()
    docker.networks.create("old", driver="overlay", labels={"stage": "old"})
    docker.networks.create("kept", driver="overlay")
    assert docker.networks.prune({"label": "stage=old"}) == {"NetworksDeleted": ["old"]}
    assert docker.networks.prune({"label!": "stage"}) == {"NetworksDeleted": ["kept"]}
    assert "ingress" in {network["Name"] for network in docker.rest.networks.list()}


def test_only_a_manager_can_change_a_volume_and_no_volume_is_one_of_the_cluster() -> None:
    # moby api/server/router/volume putVolumesUpdate
    docker = manager()
    docker.rest.volumes.create({"Name": "data"})
    with pytest.raises(NotFound, match="data not found"):
        docker.rest.volumes.update("data", {"version": "1"})
    docker.swarm.leave(force=True)
    with pytest.raises(Unavailable, match="volume update only valid for cluster volumes, but swarm is unavailable"):
        docker.rest.volumes.update("data", {"version": "1"})


def test_a_new_swarm_is_not_locked_and_has_the_default_settings() -> None:
    docker = manager()
    swarm = docker.complete(docker.rest.swarm.inspect())
    assert swarm["Spec"]["EncryptionConfig"] == {"AutoLockManagers": False}
    assert (swarm["DataPathPort"], swarm["SubnetSize"]) == (4789, 24)


def test_a_container_on_an_attachable_network_loses_it_when_its_node_leaves() -> None:
    docker = manager()
    docker.networks.create("open", driver="overlay", attachable=True)
    container = docker.containers.run("alpine", "sleep 1d", name="own", network="open", detach=True)
    assert "open" in container.attrs["NetworkSettings"]["Networks"]
    docker.swarm.leave(force=True)
    container.reload()
    assert (container.status, container.attrs["NetworkSettings"]["Networks"]) == ("running", {})
    assert "open" not in {network.name for network in docker.networks.list()}


def test_a_plugin_that_is_not_installed_is_not_found() -> None:
    docker = manager()
    assert not docker.cluster.executor.has_plugin("nosuch", "NetworkDriver")
