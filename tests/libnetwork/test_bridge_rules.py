"""The bridge driver's rules are, byte for byte, those that real engines of each release printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.docker_host import VERSIONS, DockerHost

from cnmsim.errors import SystemFault

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


def network_rules(host: DockerHost) -> dict[str, list[str]]:
    """What one network writes, beyond what a fresh daemon has, by chain; the bridge is called BR."""
    fresh = DockerHost(host.profile.version, **_config(host))
    found: dict[str, list[str]] = {}
    for table in ("raw", "nat", "filter"):
        known = fresh.saved("iptables", table).splitlines()
        for line in host.saved("iptables", table).splitlines():
            if line.startswith("-A") and line not in known:
                _, chain, rule = line.split(" ", 2)
                found.setdefault(f"{table} {chain}", []).append(rule.replace("br-<0>", "BR"))
    return found


def _config(host: DockerHost) -> dict[str, bool]:
    return {"userland_proxy": host.controller.config.userland_proxy}


SUBNET, CIP = "192.0.2.0/24", "192.0.2.2/32"
MODE = "com.docker.network.bridge.gateway_mode_ipv4"
CT_ACCEPT = "-o BR -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
PORT = f"-d {CIP} ! -i BR -o BR -p tcp -m tcp --dport 80 -j ACCEPT"
DNAT = "! -i BR -p tcp -m tcp --dport 8080 -j DNAT --to-destination 192.0.2.2:80"
ITSELF = f"-s {CIP} -d {CIP} -p tcp -m tcp --dport 80 -j MASQUERADE"
MASQUERADE = f"-s {SUBNET} ! -o BR -j MASQUERADE"
RAW = f"-d {CIP} ! -i BR -j DROP"
COMMON = {
    "filter DOCKER-CT": [CT_ACCEPT],
    "filter DOCKER-BRIDGE": ["-o BR -j DOCKER"],
}


def written(
    version: str, *, options: dict[str, str] | None = None, proxy: bool = True, port: str = "8080:80"
) -> dict[str, list[str]]:
    host = DockerHost(version, userland_proxy=proxy)
    host.network("bridge1", SUBNET, driver_opts=options or {})
    host.run("c1", "bridge1", port)
    return network_rules(host)


def test_29_writes_these_rules_for_a_network_and_a_port() -> None:
    assert written("29.7.2") == COMMON | {
        "filter DOCKER": [PORT, "! -i BR -o BR -j DROP"],
        "filter DOCKER-FORWARD": ["-i BR -j ACCEPT"],
        "nat POSTROUTING": [MASQUERADE],
        "nat DOCKER": [DNAT],
        "raw PREROUTING": [RAW],
    }


def test_29_without_proxy_masquerades_hairpins_and_translates_from_the_bridge_too() -> None:
    assert written("29.7.2", proxy=False) == COMMON | {
        "filter DOCKER": [PORT, "! -i BR -o BR -j DROP"],
        "filter DOCKER-FORWARD": ["-i BR -j ACCEPT"],
        "nat POSTROUTING": ["-o BR -m addrtype --src-type LOCAL -j MASQUERADE", MASQUERADE, ITSELF],
        "nat DOCKER": [DNAT.removeprefix("! -i BR ")],
        "raw PREROUTING": [RAW],
    }


def test_29_routed_network_opens_icmp_and_the_port_and_translates_nothing() -> None:
    assert written("29.7.2", options={MODE: "routed"}) == COMMON | {
        "filter DOCKER": [PORT, "-o BR -p icmp -j ACCEPT", "! -i BR -o BR -j DROP"],
        "filter DOCKER-FORWARD": ["-i BR -j ACCEPT"],
    }


def test_28_routed_network_is_let_through_isolation() -> None:
    rules = written("28.5.2", options={MODE: "routed"})
    assert rules["filter DOCKER-ISOLATION-STAGE-1"] == [
        "-i BR -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-o BR -j RETURN",
        "-i BR ! -o BR -j DOCKER-ISOLATION-STAGE-2",
    ]
    assert rules["nat DOCKER"] == ["-i BR -j RETURN"]


def test_unprotected_network_accepts_everything_and_has_no_rule_a_port() -> None:
    assert written("29.7.2", options={MODE: "nat-unprotected"}) == COMMON | {
        "filter DOCKER": ["! -i BR -o BR -j ACCEPT"],
        "filter DOCKER-FORWARD": ["-i BR -j ACCEPT"],
        "nat POSTROUTING": [MASQUERADE],
        "nat DOCKER": [DNAT],
    }


def test_network_without_icc_drops_before_it_accepts() -> None:
    rules = written("29.7.2", options={"com.docker.network.bridge.enable_icc": "false"})
    assert rules["filter DOCKER-FORWARD"] == ["-i BR -o BR -j DROP", "-i BR ! -o BR -j ACCEPT"]


def test_26_drops_without_icc_at_the_very_end_of_forward() -> None:
    rules = written("26.1.5", options={"com.docker.network.bridge.enable_icc": "false"})
    assert rules["filter FORWARD"] == [
        CT_ACCEPT,
        "-o BR -j DOCKER",
        "-i BR ! -o BR -j ACCEPT",
        "-i BR -o BR -j DROP",
    ]


def test_host_address_option_takes_the_place_of_masquerading() -> None:
    rules = written("29.7.2", options={"com.docker.network.host_ipv4": "10.0.0.15"})
    assert rules["nat POSTROUTING"] == [f"-s {SUBNET} ! -o BR -j SNAT --to-source 10.0.0.15"]


def test_trusted_interface_is_accepted_before_the_drop() -> None:
    rules = written("29.7.2", options={"com.docker.network.bridge.trusted_host_interfaces": "eth1:eth2"})
    assert rules["raw PREROUTING"] == [f"-d {CIP} -i eth1 -j ACCEPT", f"-d {CIP} -i eth2 -j ACCEPT", RAW]


def test_accepted_mark_stands_first_in_docker_forward() -> None:
    host = DockerHost("29.7.2", bridge_accept_fwmark="0x1/0x3")
    assert host.rules("DOCKER-FORWARD")[0] == "-m mark --mark 0x1/0x3 -j ACCEPT"


def test_sctp_port_has_a_checksum_rule_in_26_1() -> None:
    host = DockerHost("26.1.5")
    host.run("c1", "bridge", "9000:9000/sctp")
    assert host.rules("POSTROUTING", "mangle") == ["-p sctp -m sctp --sport 9000 -j CHECKSUM --checksum-fill"]


def test_forward_policy_is_left_alone_on_a_host_that_forwards_already() -> None:
    for version in VERSIONS:
        host = DockerHost(version, start=False)
        host.machine.root.sysctl_set("net.ipv4.ip_forward", "1")
        host.controller.start()
        host.clock.run_ready()
        assert ":FORWARD ACCEPT" in host.saved("iptables", "filter")


def test_without_iptables_no_rule_is_written() -> None:
    for version in VERSIONS:
        host = DockerHost(version, iptables=False, ip6tables=False)
        host.network("net")
        host.run("c1", "net", "8080:80")
        assert [host.machine.root.netfilter.iptables(family).save() for family in (4, 6)] == ["", ""]


def without_nat_chains(version: str) -> DockerHost:
    host = DockerHost(version)
    tables = host.machine.root.netfilter.iptables(4)
    tables.execute(["-t", "nat", "-F"])
    tables.execute(["-t", "nat", "-X"])
    return host


def test_network_on_a_flushed_firewall_fails_with_the_text_people_search_for() -> None:
    host = without_nat_chains("26.1.5")
    before = host.snapshot()
    with pytest.raises(SystemFault) as refused:
        host.controller.new_network("net", id="75f3817a8fe1" + "0" * 52)
    assert refused.value.message.startswith(
        "Failed to Setup IP tables: Unable to enable SKIP DNAT rule:  (iptables failed: iptables --wait -t nat "
        "-I DOCKER -i br-75f3817a8fe1 -j RETURN: iptables"
    )
    assert refused.value.message.endswith("\n (exit status 1))")
    assert host.snapshot() == before


@pytest.mark.parametrize(("version", "purpose"), [("26.1.5", ""), ("29.7.2", "Unable to enable DNAT rule: ")])
def test_port_on_a_flushed_firewall_fails_with_the_text_people_search_for(version: str, purpose: str) -> None:
    host = without_nat_chains(version)
    before = host.snapshot()
    with pytest.raises(SystemFault) as refused:
        host.run("web", "bridge", "8080:80")
    cause = refused.value.message.partition("): ")[2]
    assert cause.startswith(
        f"{purpose} (iptables failed: iptables --wait -t nat -A DOCKER -p tcp -d 0/0 --dport 8080 -j DNAT "
        "--to-destination 172.17.0.2:80 ! -i docker0: iptables"
    )
    assert host.snapshot() == before
