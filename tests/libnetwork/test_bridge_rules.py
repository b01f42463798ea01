"""The bridge driver's rules are, byte for byte, those that real engines of each release printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from dockerhost import VERSIONS, DockerHost

GOLDEN = Path(__file__).parent / "golden"


def user_defined(host: DockerHost) -> None:
    host.network("localnet")
    host.run("c1", "localnet")
    host.run("c2", "localnet")
    host.run("web", "localnet", "5000:80")


def internal(host: DockerHost) -> None:
    host.network("backend", internal=True)
    host.network("front")
    host.run("db", "backend", "8090:80")
    host.run("app", "backend")


def variants(host: DockerHost) -> None:
    host.run("w1", "bridge", "8080:80")
    host.run("w2", "bridge", "127.0.0.1:8081:80")
    host.run("w3", "bridge", "10.0.0.15:8082:80", "10.0.0.15:5353:53/udp")
    host.run("w4", "bridge", "8084-8086:80-82/tcp", "8443:443/udp")
    host.run("w5", "bridge")


def ipv6(host: DockerHost) -> None:
    host.network("six", "10.60.0.0/24", "fd00:60::/64", enable_ipv6=True)
    host.run("c1", "six", "8080:80")
    host.run("c2", "six", ipv6="fd00:60::99")
    host.run("v4", "bridge")


def isolation(host: DockerHost) -> None:
    host.network("red")
    host.network("blue")
    host.run("r1", "red")
    host.run("b1", "blue")
    host.run("both", "red")
    host.connect("both", "blue")


def egress(host: DockerHost) -> None:
    host.network("net1")
    host.network("raw", driver_opts={"com.docker.network.bridge.enable_ip_masquerade": "false"})
    host.run("web", "net1", "8080:80")
    host.run("peer", "net1")
    host.run("def", "bridge")
    host.run("bare", "raw")


SCENARIOS: dict[str, Callable[[DockerHost], None]] = {
    "bridge-user-defined": user_defined,
    "internal-network": internal,
    "publish-variants": variants,
    "ipv6-bridge": ipv6,
    "bridge-isolation": isolation,
    "egress-and-source": egress,
}


def golden(version: str, scenario: str) -> list[tuple[str, str, str]]:
    text = (GOLDEN / version / f"{scenario}.txt").read_text()
    found = re.findall(r"^# (ip6?tables)-save -t (\w+)\n(.*?^COMMIT\n)", text, re.MULTILINE | re.DOTALL)
    return [(program, table, re.sub(r"\[n:n\]", "[0:0]", body)) for program, table, body in found]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_rules_are_those_a_real_engine_printed(version: str, scenario: str) -> None:
    host = DockerHost(version)
    SCENARIOS[scenario](host)
    recorded = golden(version, scenario)
    assert recorded
    for program, table, body in recorded:
        assert host.saved(program, table) == re.sub(r"br-<id:(\d+)>", r"br-<\1>", body)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_deleting_everything_leaves_what_a_fresh_daemon_has(version: str, scenario: str) -> None:
    host, fresh = DockerHost(version), DockerHost(version)
    SCENARIOS[scenario](host)
    for name in list(host.sandboxes):
        host.remove(name)
    for network in host.networks:
        network.delete()
    after, before = host.snapshot(), fresh.snapshot()
    assert after[0] == before[0]
    assert _without_policies(after[1]) == _without_policies(before[1])
    assert after[2:] == before[2:]


def _without_policies(rules: list[str]) -> list[str]:
    # Forwarding that was opened stays open, and so does the policy that came with it.
    return [re.sub(r"^(:FORWARD) \w+", r"\1", text, flags=re.MULTILINE) for text in rules]
