"""What a container may change of its network: nothing without CAP_NET_ADMIN (recorded: ipvlan-mixed)."""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.engine.client.containers import Container


@pytest.fixture
def lab() -> Lab:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return lab


def run(lab: Lab, **options: Any) -> Container:
    docker = lab.host("node1").docker
    return docker.containers.run("alpine", "sleep 1d", detach=True, **options)


REFUSED = [
    ("ip addr add 10.9.0.1/24 dev eth0", "ip: RTNETLINK answers: Operation not permitted\n"),
    ("ip route add 10.9.0.0/24 via 172.17.0.1", "ip: RTNETLINK answers: Operation not permitted\n"),
    ("ip route del default", "ip: RTNETLINK answers: Operation not permitted\n"),
    ("ip link set eth0 down", "ip: SIOCSIFFLAGS: Operation not permitted\n"),
    ("ip link set eth0 address 02:00:00:00:00:01", "ip: SIOCSIFHWADDR: Operation not permitted\n"),
    ("ip link add v0 type dummy", "ip: RTNETLINK answers: Operation not permitted\n"),
    ("ifconfig eth0 down", "ifconfig: SIOCSIFFLAGS: Operation not permitted\n"),
    ("route add -net 10.9.0.0/24 gw 172.17.0.1", "route: SIOCADDRT: Operation not permitted\n"),
]


@pytest.mark.parametrize(("command", "complaint"), REFUSED, ids=[command for command, _ in REFUSED])
def test_an_ordinary_container_changes_nothing_of_its_network(lab: Lab, command: str, complaint: str) -> None:
    container = run(lab)
    before = container.exec("ip addr; ip route").output
    done = container.exec(command)
    assert (done.exit_code != 0, done.output) == (True, complaint)
    assert container.exec("ip addr; ip route").output == before


@pytest.mark.parametrize(
    "options",
    [
        {"cap_add": ["NET_ADMIN"]},
        {"cap_add": ["cap_net_admin"], "cap_drop": ["ALL"]},
        {"cap_add": ["ALL"]},
        {"privileged": True},
    ],
    ids=str,
)
def test_one_with_the_capability_does(lab: Lab, options: dict[str, Any]) -> None:
    container = run(lab, **options)
    assert container.exec("ip addr add 10.9.0.1/24 dev eth0").exit_code == 0
    assert "inet 10.9.0.1/24 scope global eth0" in container.exec("ip addr show dev eth0").output


@pytest.mark.parametrize(
    "options",
    [
        {"cap_add": ["ALL"], "cap_drop": ["NET_ADMIN"]},
        {"cap_add": ["NET_RAW"]},
        {"privileged": True, "user": "1000"},
    ],
    ids=str,
)
def test_one_that_lost_it_or_is_not_root_does_not(lab: Lab, options: dict[str, Any]) -> None:
    container = run(lab, **options)
    refused = container.exec("ip addr add 10.9.0.1/24 dev eth0")
    assert (refused.exit_code, refused.output) == (2, "ip: RTNETLINK answers: Operation not permitted\n")
    assert "10.9.0.1" not in container.exec("ip addr show dev eth0").output


def test_a_privileged_exec_has_it(lab: Lab) -> None:
    container = run(lab)
    assert container.exec_run("ip addr add 10.9.0.1/24 dev eth0", privileged=True).exit_code == 0
