"""Examples of swarms. In the sample shop: who reaches whom, who knows whom by name, and who holds which secret."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.observe.diagnosis.verdict import Verdict

EXAMPLES = Path(__file__).parents[2] / "examples"
PORTS = {"reverse_proxy": 80, "database": 5432, "appserver": 8080, "visualizer": 8080, "payment_gateway": 8443}
TIERS = {
    "front-tier": {"reverse_proxy", "appserver"},
    "back-tier": {"database", "appserver"},
    "payment": {"appserver", "payment_gateway"},
}
SECRETS = {
    "reverse_proxy": {"revprox_cert", "revprox_key"},
    "database": {"postgres_password"},
    "appserver": {"postgres_password"},
    "visualizer": set[str](),
    "payment_gateway": {"payment_token"},
}


@pytest.fixture(scope="module")
def shop() -> Lab:
    return Lab.from_file(EXAMPLES / "sample-shop" / "lab.yml")


def share_a_tier(one: str, other: str) -> bool:
    return one == other or any({one, other} <= members for members in TIERS.values())


def addresses_of(lab: Lab, service: str) -> dict[str, str]:
    attached = lab[service].attrs["NetworkSettings"]["Networks"]  # type: ignore[union-attr]
    return {name: view["IPAddress"] for name, view in attached.items() if name != "ingress"}


@pytest.mark.parametrize("asked", PORTS)
@pytest.mark.parametrize("asker", PORTS)
def test_services_know_and_reach_each_other_on_a_shared_tier_only(shop: Lab, asker: str, asked: str) -> None:
    may = share_a_tier(asker, asked)
    for name in (asked, f"shop_{asked}", f"tasks.{asked}"):
        walk = shop.trace(asker, f"{name}:{PORTS[asked]}")
        assert walk.verdict is (Verdict.ANSWERED if may else Verdict.NAME_NOT_FOUND), str(walk)
    # Who does not know the name may know the address.
    for network, address in addresses_of(shop, asked).items():
        tier = TIERS.get(network.removeprefix("shop_"), {asked})
        walk = shop.trace(asker, f"{address}:{PORTS[asked]}", timeout_s=2)
        assert walk.is_reachable is (asker in tier), str(walk)


@pytest.mark.parametrize("service", PORTS)
def test_secrets_are_where_they_are_granted_and_nowhere_else(shop: Lab, service: str) -> None:
    listed = shop[service].exec_run(["sh", "-c", "ls /run/secrets 2>/dev/null"])  # type: ignore[union-attr]
    assert set(listed.output.decode().split()) == SECRETS[service]
    for secret in SECRETS[service]:
        path = EXAMPLES / "sample-shop" / "secrets" / {"payment_token": "staging_token"}.get(secret, secret)
        found = shop[service].exec_run(["cat", f"/run/secrets/{secret}"])  # type: ignore[union-attr]
        assert found.output == path.read_bytes()


def test_the_customer_gets_in_by_any_node(shop: Lab) -> None:
    for node in ("node1", "node2", "node3", "node4"):
        for port in (80, 443, 8001):
            assert shop.trace("customer", f"{node}:{port}").is_reachable
        assert not shop.trace("customer", f"{node}:5432").is_reachable, "the database is published nowhere"


def test_services_are_placed_as_their_constraints_say(shop: Lab) -> None:
    docker: Any = shop.host("node1").docker
    hostnames = {each.id: each.hostname for each in docker.nodes.list()}
    found = {
        service.name: {hostnames[task["NodeID"]] for task in service.tasks()}
        for service in docker.stacks.get("shop").services()
    }
    assert found["shop_visualizer"] == {"node1"}
    assert found["shop_payment_gateway"] == {"node2"}
    assert "node1" not in found["shop_appserver"] | found["shop_database"]
    assert len(found["shop_appserver"]) == 2


def test_payments_are_encrypted_between_hosts(shop: Lab) -> None:
    with shop.capture("node*:eth0") as wire:
        assert shop.trace("appserver.1", "tasks.payment_gateway:8443").is_reachable
    with shop.capture("node*:eth0") as clear:
        assert shop.trace("appserver.1", "tasks.database:5432").is_reachable
    inner = [packet for packet in wire.packets if packet.haslayer("VXLAN") and packet.haslayer("TCP")]
    assert not inner, "nobody on the wire reads payments"
    assert [packet for packet in wire.packets if packet["IP"].proto == 50]
    assert [packet for packet in clear.packets if packet.haslayer("VXLAN") and packet.haslayer("TCP")]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "two_nodes",
            (
                "before: []",
                "after: ['uber-net']",
                "test.1 on node1: 10.0.1.3/24",
                "test.2 on node2: 10.0.1.4/24",
                "1 packets transmitted, 1 packets received, 0% packet loss",
                "30 hops max, 46 byte packets\n 1  10.0.1.4",
                "outer 172.31.1.5 > 192.168.1.25 port 4789, VNI 4097",
                "inner 10.0.1.3 > 10.0.1.4",
            ),
        ),
        (
            "routing_mesh",
            (
                "web.1 runs on node1",
                *(f"node{number} answers: " for number in (1, 2, 3, 4)),
                "by way of: client, node3, ingress-sbox, node3: overlay ingress, node1",
                "sees the client as 10.0.0.4, not as 172.31.1.50",
                "port 9090: connection refused",
                "port 9090: 172.31.1.50:",
                "node3, which is drained, had 4 tasks answer 8 requests: [2, 2, 2, 2]",
            ),
        ),
    ],
)
def test_a_script_of_a_swarm_prints_its_point(
    script: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(EXAMPLES / "scripts" / f"{script}.py"))
    printed = capsys.readouterr().out
    assert all(word in printed for word in words), printed
    assert printed.count("30 hops max") == printed.count("\n 1  10.0.1.4")
    assert "\n 2  " not in printed, "one hop"
