"""What an engine's message leaves out: who has the port, the address, the subnet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.errors import EngineError, NotFound

RELEASES = ("26.1.5", "28.5.2", "29.7.2")


def _lab(release: str) -> tuple[Lab, Any]:
    lab = Lab(release)
    return lab, lab.add_host("node1", "10.0.0.15/24", docker=True).docker


def _error(call: Callable[[], object]) -> EngineError:
    with pytest.raises(EngineError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("release", RELEASES)
def test_a_container_that_has_the_port(release: str) -> None:
    lab, docker = _lab(release)
    docker.containers.run("nginx", name="blue", ports={"80/tcp": 8080}, detach=True)
    error = _error(lambda: docker.containers.run("nginx", name="green", ports={"80/tcp": 8080}, detach=True))
    assert lab.explain_error(error).cause == "container blue on node1 has port 8080/tcp on 0.0.0.0"


@pytest.mark.parametrize("release", RELEASES)
def test_a_program_of_the_host_that_has_the_port(release: str) -> None:
    lab, docker = _lab(release)
    lab.host("node1").start("nc -lk -p 8080")
    lab.settle()
    error = _error(lambda: docker.containers.run("nginx", name="web", ports={"80/tcp": 8080}, detach=True))
    assert lab.explain_error(error).cause.startswith("nc of node1 itself listens on")


@pytest.mark.parametrize("release", RELEASES)
def test_the_network_a_subnet_collides_with(release: str) -> None:
    lab, docker = _lab(release)
    docker.networks.create("old", subnet="10.20.0.0/16")
    error = _error(lambda: docker.networks.create("new", subnet="10.20.30.0/24"))
    found = lab.explain_error(error, asked="10.20.30.0/24")
    assert found.cause == "10.20.30.0/24 overlaps network old (10.20.0.0/16) of node1"
    assert lab.explain_error(error).cause == "", "without the subnet nothing can be said"


@pytest.mark.parametrize("release", RELEASES)
def test_who_has_all_the_pools(release: str) -> None:
    lab, docker = _lab(release)
    error = None
    for number in range(40):
        try:
            docker.networks.create(f"n{number}")
        except EngineError as caught:
            error = caught
            break
    assert error is not None
    found = lab.explain_error(error)
    assert "networks hold all default pools of node1: " in found.cause
    assert "default-address-pools" in found.advice


@pytest.mark.parametrize("release", RELEASES)
def test_who_is_on_the_network(release: str) -> None:
    lab, docker = _lab(release)
    docker.networks.create("app")
    docker.containers.run("nginx", name="web", network="app", detach=True)
    error = _error(lambda: docker.networks.get("app").remove())
    assert lab.explain_error(error).cause == "container web is on network app"


@pytest.mark.parametrize("release", RELEASES)
def test_who_has_the_address(release: str) -> None:
    lab, docker = _lab(release)
    docker.networks.create("app", subnet="10.30.0.0/24")
    docker.containers.run("nginx", name="first", network="app", detach=True)
    error = _error(lambda: docker.containers.run("nginx", name="web", network="app", ip="10.30.0.2", detach=True))
    found = lab.explain_error(error, asked="10.30.0.2")
    assert found.cause.startswith("container first on node1 has 10.30.0.2")


def test_of_what_needs_no_explanation_the_message_is_all() -> None:
    lab, docker = _lab("29.7.2")
    with pytest.raises(NotFound) as caught:
        docker.networks.get("nowhere")
    assert str(lab.explain_error(caught.value)) == "refused: network nowhere not found"


@pytest.mark.parametrize("release", RELEASES)
def test_a_bridge_without_a_free_port_takes_no_container_and_nothing_is_left(release: str) -> None:
    lab, docker = _lab(release)
    docker.networks.create("app", subnet="10.50.0.0/16", options={"com.docker.network.bridge.name": "br-app"})
    host = lab.host("node1")
    for number in range(1023):
        host.exec(["ip", "link", "add", f"tap{number}", "type", "dummy"])
        assert host.exec(["ip", "link", "set", f"tap{number}", "master", "br-app"]).succeeded
    assert host.exec("ip link add one-more type dummy; ip link set one-more master br-app").output == (
        "RTNETLINK answers: Exchange full\n"
    )
    before = set(host.namespace.devices)
    error = _error(lambda: docker.containers.run("nginx", name="web", network="app", detach=True))
    assert "to bridge br-app failed: exchange full" in error.message
    assert set(host.namespace.devices) == before
    assert lab.explain_error(error).cause.startswith("br-app of node1 has 1,023 ports")
    host.exec("ip link del tap7")
    docker.containers.get("web").start()


@pytest.mark.parametrize("release", RELEASES)
def test_a_device_that_has_the_vni(release: str) -> None:
    lab, docker = _lab(release)
    docker.swarm.init(advertise_addr="10.0.0.15")
    docker.networks.create("app", driver="overlay", attachable=True)
    assert lab.host("node1").exec("ip link add old type vxlan id 4097 dstport 4789 dev eth0").succeeded
    error = _error(lambda: docker.containers.run("alpine", "sleep 1d", name="c1", network="app", detach=True))
    said = lab.explain_error(error)
    assert "attaching to network failed" in said.message
    assert said.cause == "device old of node1 has VNI 4097, which is that of network app"
    assert said.advice == "on node1: ip link del old"
    assert lab.host("node1").exec("ip link del old").succeeded
    docker.containers.run("alpine", "sleep 1d", name="c2", network="app", detach=True)
