"""An engine with `firewall-backend: nftables`: what it says of itself, and what it refuses."""

import pytest

from cnmsim import Lab
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.errors import InvalidParameter, SystemFault


def node(**options):
    lab = Lab("29.7.2")
    docker = {"firewall-backend": "nftables", **options}
    return lab, lab.add_host("node1", "10.0.0.15/24", router=True, docker=docker).docker


@pytest.mark.parametrize(
    ("release", "options", "view"),
    [
        ("26.1.5", {}, None),
        ("28.5.2", {}, {"Driver": "iptables"}),
        ("29.7.2", {"userland-proxy": False}, {"Driver": "iptables"}),
        (
            "29.7.2",
            {"firewall-backend": "nftables"},
            {
                "Driver": "nftables",
                "Info": [["EnableUserlandProxy", "true"], ["UserlandProxyPath", "/usr/bin/docker-proxy"]],
            },
        ),
    ],
)
def test_info_names_the_backend(release, options, view):
    docker = Lab(release).add_host("node1", "10.0.0.15/24", router=True, docker=options).docker
    assert docker.info().get("FirewallBackend") == view


@pytest.mark.parametrize(
    ("release", "version", "names_backend", "has_expected", "bridged"),
    [
        # moby system_routes.go getInfo: 26.1.5 has no such field; later releases answer as the version asks.
        ("26.1.5", "1.45", False, True, True),
        ("28.5.2", "1.48", False, True, False), ("28.5.2", "1.49", True, False, False),
        ("28.5.2", "1.50", True, False, None),
        ("29.7.2", "1.48", False, True, False), ("29.7.2", "1.49", True, False, False),
        ("29.7.2", "1.50", True, False, None),
    ],
)  # fmt: skip
def test_info_has_the_fields_of_the_api_version(release, version, names_backend, has_expected, bridged):
    docker = Lab(release).add_host("node1", "10.0.0.15/24", docker=True).docker
    info = docker.rest.system.info(ApiVersion.parse(version))
    assert ("FirewallBackend" in info) == names_backend
    assert [("Expected" in info[name]) for name in ("ContainerdCommit", "RuncCommit", "InitCommit")] == [
        has_expected
    ] * 3
    assert (info.get("BridgeNfIptables"), info.get("BridgeNfIp6tables")) == (bridged, bridged)


@pytest.mark.parametrize(
    ("options", "command", "shown"),
    [
        ({}, "iptables-legacy -P FORWARD DROP", "iptables-legacy -S"),
        ({}, "nft 'table inet t { chain c { type filter hook forward priority 0; drop; }; }'", "nft list ruleset"),
        ({"firewall-backend": "nftables"}, "iptables -P FORWARD DROP", "iptables -S"),
        (
            {"firewall-backend": "nftables"},
            "nft 'table inet t { chain c { type filter hook forward priority 0; drop; }; }'",
            "",
        ),
        ({}, "true", ""),
    ],
)
def test_the_doctor_finds_a_second_rule_set(options, command, shown):
    lab = Lab("29.7.2")
    host = lab.add_host("node1", "10.0.0.15/24", router=True, docker=options)
    host.exec(command)
    found = [str(fault) for fault in lab.doctor().faults if fault.kind == "second-rule-set"]
    assert len(found) == bool(shown)
    assert all(shown in text for text in found)


def test_swarm_mode_is_refused():
    _, docker = node()
    with pytest.raises(SystemFault, match="--firewall-backend=nftables is incompatible with swarm mode"):
        docker.swarm.init(advertise_addr="10.0.0.15")
    assert docker.info()["Swarm"]["LocalNodeState"] == "inactive"


def test_swarm_mode_is_allowed_where_no_rules_are_written():
    _, docker = node(iptables=False)
    docker.swarm.init(advertise_addr="10.0.0.15")
    assert docker.info()["Swarm"]["LocalNodeState"] == "active"


def test_live_restore_does_not_go_with_swarm_mode():
    docker = Lab().add_host("node1", "10.0.0.15/24", docker={"live-restore": True}).docker
    assert docker.info()["LiveRestoreEnabled"] is True
    with pytest.raises(SystemFault, match="--live-restore daemon configuration is incompatible with swarm mode"):
        docker.swarm.init(advertise_addr="10.0.0.15")


def experimental_swarm():
    lab = Lab("29.7.2")
    docker = {"firewall-backend": "nftables", "features": {"swarm-nftables": True}}
    one, two = (lab.add_host(f"node{n}", f"10.0.0.1{n}/24", router=True, docker=docker) for n in (1, 2))
    lab.add_host("client", "10.0.0.50/24")
    two.docker.swarm.join(one.docker.swarm.init(advertise_addr="10.0.0.11").tokens.worker, "10.0.0.11:2377")
    return lab, one, two


def test_the_feature_swarm_nftables_encrypts_overlay_networks_with_rules_of_nft():
    lab, one, two = experimental_swarm()
    one.docker.networks.create("open", driver="overlay", attachable=True)
    one.docker.networks.create("secret", driver="overlay", attachable=True, options={"encrypted": ""})
    for network in ("open", "secret"):
        one.docker.containers.run("alpine", "sleep 1d", name=f"{network}-1", network=network, detach=True)
        two.docker.containers.run("nginx", name=f"{network}-2", network=network, detach=True)
    lab.settle()
    for network in ("open", "secret"):
        walk = lab.trace(f"{network}-1", f"{network}-2:80")
        assert walk.is_reachable, str(walk)
        assert ("encrypted as ESP" in walk.text(verbose=True)) is (network == "secret")
    listed = one.exec("nft list table ip docker-overlay").output
    assert "elements = { 0x1002 }" in listed
    assert "@th,96,24 @encrypted-vnis counter packets 0 " not in listed.partition("chain enc-out")[2]
    assert "bpf" not in one.exec("iptables-save").output
    # What comes in clear is dropped: the other side forgets that the network is encrypted.
    two.exec("nft flush chain ip docker-overlay enc-out")
    lost = lab.trace("secret-2", "secret-1:80", timeout_s=2)
    assert not lost.is_reachable
    assert "nft ip docker-overlay enc-in" in str(lost)
    one.docker.containers.get("secret-1").remove(force=True)
    two.docker.containers.get("secret-2").remove(force=True)
    lab.settle()
    one.docker.networks.get("secret").remove()
    assert "elements" not in one.exec("nft list table ip docker-overlay").output


def test_the_feature_swarm_nftables_has_no_routing_mesh():
    lab, one, _ = experimental_swarm()
    one.docker.services.create("nginx", name="web", replicas=2, ports={8080: 80})
    lab.settle()
    answer = lab.explain("client", "10.0.0.11", "tcp/8080")
    assert not answer.reachable
    assert "no chain DOCKER-FORWARD" in str(answer)


def test_an_unknown_backend_is_refused():
    with pytest.raises(InvalidParameter, match='allowed values are "iptables" and "nftables"'):
        node(**{"firewall-backend": "pf"})


def test_explain_speaks_of_docker_rules_in_nftables():
    lab, docker = node()
    lab.add_host("client", "10.0.0.50/24", routes=["172.16.0.0/12 via 10.0.0.15"])
    docker.networks.create("apart", options={"com.docker.network.bridge.enable_icc": "false"})
    docker.networks.create("inside", internal=True)
    for name, network in (("web", "bridge"), ("one", "apart"), ("two", "apart"), ("db", "inside")):
        docker.containers.run(
            "nginx", name=name, network=network, detach=True, ports={80: 8080} if name == "web" else {}
        )
    lab.settle()
    assert "use the published port node1:8080" in str(lab.explain("client", "172.17.0.2", "tcp/80"))
    assert "containers on apart must not communicate (icc is false)" in str(lab.explain("one", "two", "tcp/80"))
    assert "inside is internal" in str(lab.explain("client", "172.19.0.2", "tcp/80"))
    lab.host("node1").exec(
        "nft 'table inet guard { chain f { type filter hook forward priority 5; tcp dport 80 drop; }; }'"
    )
    answer = lab.explain("client", "10.0.0.15", "tcp/8080")
    assert "node1 has more than one rule set" in answer.decided_by
    assert answer.fixes[0].commands == ("node1$ nft delete rule inet guard f handle 2",)
    assert answer.fixes[0].apply().reachable


def test_lab_rules_shows_tables_of_every_kind_and_what_a_trace_passed():
    lab, docker = node()
    lab.add_host("client", "10.0.0.50/24")
    docker.containers.run("nginx", name="web", detach=True, ports={80: 8080})
    lab.settle()
    host = lab.host("node1")
    host.exec("iptables-legacy -A INPUT -p icmp -j DROP")
    walk = lab.trace("client", "node1:8080")
    shown = lab.rules("node1", "nft ip docker-bridges", trace=walk)
    marked = {row.text: row.mark for chain in shown.chains for row in chain.rows if row.mark}
    assert marked == {
        'iifname != "docker0" tcp dport 8080 counter dnat to 172.17.0.2:80 comment "DNAT"': "decided",
        "fib daddr type local counter jump nat-prerouting-and-output": "jumped",
        "ip daddr 172.17.0.2 tcp dport 80 counter accept": "decided",
        "ct state established,related counter accept": "decided",
    }
    text = str(lab.rules("node1", "nft ip docker-bridges", "filter-FORWARD", trace=walk))
    assert "Chain filter-FORWARD (type filter hook forward priority filter; policy accept) ◂ passed" in text
    assert "-A INPUT -p icmp -j DROP" in str(lab.rules("node1", "iptables-legacy filter", "INPUT"))
    with pytest.raises(InvalidParameter, match="no table 'nft ip other'; there are: nft ip docker-bridges"):
        lab.rules("node1", "nft ip other")
