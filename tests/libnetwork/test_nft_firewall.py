"""The bridge driver's rules written with nftables: chain by chain what moby's generated documents of 29.7 show."""

from __future__ import annotations

import pytest
from support.docker_host import DockerHost
from support.traffic import TIMEOUT, add_remote, ask, serve

from cnmsim.errors import SystemFault
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.nftables import NfTables
from cnmsim.libnetwork.nftables import Chain, DaemonTable, Rule

ESTABLISHED = "ct state established,related counter accept"
ICC = 'iifname "bridge1" counter accept comment "ICC"'
OUTGOING = [ESTABLISHED, 'counter accept comment "OUTGOING"']
UNPUBLISHED = 'counter drop comment "UNPUBLISHED PORT DROP"'
MASQUERADE = 'oifname != "bridge1" ip saddr 192.0.2.0/24 counter masquerade comment "MASQUERADE"'
DIRECT = 'ip daddr 192.0.2.2 iifname != "bridge1" counter drop comment "DROP DIRECT ACCESS"'
DNAT = 'iifname != "bridge1" tcp dport 8080 counter dnat to 192.0.2.2:80 comment "DNAT"'
OPEN = "ip daddr 192.0.2.2 tcp dport 80 counter accept"
FORWARD_KEY = "net.ipv4.ip_forward"
NETWORK_CHAINS = ("filter-forward-in__", "filter-forward-out__", "nat-postrouting-in__", "nat-postrouting-out__")


def nft_host(**config: object) -> DockerHost:
    return DockerHost("29.7.2", firewall_backend="nftables", **config)


def with_port(spec: str = "8080:80", *, userland_proxy: bool = True, **labels: str) -> dict[str, list[str]]:
    host = nft_host(userland_proxy=userland_proxy)
    names = {"name": "bridge1", **labels}
    host.network(
        "bridge1", "192.0.2.0/24", driver_opts={f"com.docker.network.bridge.{key}": names[key] for key in names}
    )
    host.run("c1", "bridge1", spec)
    return host.nft_chains()


def of_bridge(chains: dict[str, list[str]], bridge: str = "bridge1") -> tuple[list[str], ...]:
    return tuple(chains[f"{name}{bridge}"] for name in NETWORK_CHAINS)


def test_a_new_daemon_has_base_chains_and_maps_and_the_chains_of_docker0() -> None:
    chains = nft_host().nft_chains()
    assert list(chains) == [
        "filter-FORWARD", "nat-OUTPUT", "nat-POSTROUTING", "nat-PREROUTING", "nat-prerouting-and-output",
        "raw-PREROUTING", *(f"{name}docker0" for name in NETWORK_CHAINS),
    ]  # fmt: skip
    assert chains["filter-FORWARD"] == [
        "oifname vmap @filter-forward-in-jumps",
        "iifname vmap @filter-forward-out-jumps",
    ]
    assert chains["nat-OUTPUT"] == [
        "ip daddr != 127.0.0.0/8 fib daddr type local counter jump nat-prerouting-and-output"
    ]
    assert nft_host().nft_chains(family=6)["nat-OUTPUT"] == [
        "ip6 daddr != ::1 fib daddr type local counter jump nat-prerouting-and-output"
    ]


def test_no_rule_of_iptables_is_written() -> None:
    host = nft_host()
    host.network("net")
    host.run("web", "net", "8080:80")
    assert not any(host.machine.root.netfilter.iptables(family).has_effect for family in (4, 6))


def test_a_published_port() -> None:
    chains = with_port()
    assert of_bridge(chains) == ([ESTABLISHED, ICC, OPEN, UNPUBLISHED], OUTGOING, [], [MASQUERADE])
    assert chains["nat-prerouting-and-output"] == [DNAT]
    assert chains["raw-PREROUTING"] == [DIRECT]


def test_a_port_published_on_loopback() -> None:
    chains = with_port("127.0.0.1:8080:80")
    assert chains["nat-prerouting-and-output"] == [
        'iifname != "bridge1" ip daddr 127.0.0.1 tcp dport 8080 counter dnat to 192.0.2.2:80 comment "DNAT"'
    ]
    assert chains["raw-PREROUTING"] == [
        DIRECT,
        'iifname != "lo" ip daddr 127.0.0.1 tcp dport 8080 counter drop comment "DROP REMOTE LOOPBACK"',
    ]


def test_a_network_without_icc() -> None:
    incoming = of_bridge(with_port(enable_icc="false"))[0]
    assert incoming == [ESTABLISHED, 'iifname "bridge1" counter drop comment "ICC"', OPEN, UNPUBLISHED]


def test_no_userland_proxy() -> None:
    chains = with_port(userland_proxy=False)
    assert chains["nat-OUTPUT"] == ["fib daddr type local counter jump nat-prerouting-and-output"]
    assert chains["nat-prerouting-and-output"] == [DNAT.removeprefix('iifname != "bridge1" ')]
    assert chains["nat-postrouting-in__bridge1"] == [
        'fib saddr type local counter masquerade comment "MASQUERADE FROM HOST"',
        'ip saddr 192.0.2.2 ip daddr 192.0.2.2 tcp dport 80 counter masquerade comment "MASQ TO OWN PORT"',
    ]


@pytest.mark.parametrize(
    ("mode", "incoming", "outgoing", "dnat", "raw"),
    [
        ("nat-unprotected", [ESTABLISHED, ICC, 'counter accept comment "UNPROTECTED"'], [MASQUERADE], [DNAT], []),
        (
            "routed",
            [ESTABLISHED, 'ip protocol icmp counter accept comment "ICMP"', ICC, OPEN, UNPUBLISHED],
            [],
            [],
            [],
        ),
    ],
)
def test_gateway_modes(mode: str, incoming: list[str], outgoing: list[str], dnat: list[str], raw: list[str]) -> None:
    chains = with_port(gateway_mode_ipv4=mode)
    assert of_bridge(chains) == (incoming, OUTGOING, [], outgoing)
    assert chains["nat-prerouting-and-output"] == dnat
    assert chains["raw-PREROUTING"] == raw


@pytest.mark.parametrize(("icc", "verdict"), [("true", "accept"), ("false", "drop")])
def test_an_internal_network(icc: str, verdict: str) -> None:
    host = nft_host()
    host.network("inside", internal=True, driver_opts={"com.docker.network.bridge.enable_icc": icc})
    host.run("c1", "inside")
    assert of_bridge(host.nft_chains(), "inside") == (
        [
            ESTABLISHED,
            'iifname != "inside" counter drop comment "INTERNAL NETWORK INGRESS"',
            f'counter {verdict} comment "ICC"',
        ],
        [ESTABLISHED, 'oifname != "inside" counter drop comment "INTERNAL NETWORK EGRESS"'],
        [],
        [],
    )
    assert host.nft_chains()["raw-PREROUTING"] == []


def test_options_of_daemon_and_network() -> None:
    host = nft_host(bridge_accept_fwmark="0x10/0xf0")
    label = "com.docker.network"
    host.network(
        "net", "192.0.2.0/24", "fd00:60::/64", enable_ipv6=True,
        driver_opts={f"{label}.host_ipv4": "10.0.0.15", f"{label}.bridge.trusted_host_interfaces": "eth0:wg0"},
    )  # fmt: skip
    host.run("c1", "net", "8080:80", "8081:80")
    chains, chains6 = host.nft_chains(), host.nft_chains(family=6)
    assert chains["filter-forward-in__net"][1] == (
        'meta mark & 0x000000f0 == 0x00000010 counter accept comment "ALLOW FW MARK"'
    )
    assert chains["nat-postrouting-out__net"] == [
        'oifname != "net" ip saddr 192.0.2.0/24 counter snat to 10.0.0.15 comment "SNAT"'
    ]
    (guard,) = chains["raw-PREROUTING"]
    assert guard.startswith("ip daddr 192.0.2.2 iifname != {")
    assert all(f'"{name}"' in guard for name in ("net", "eth0", "wg0"))
    assert chains["filter-forward-in__net"].count(OPEN) == 1
    assert chains6["nat-prerouting-and-output"][0] == (
        'iifname != "net" ip6 saddr != fe80::/10 tcp dport 8080 counter dnat to [fd00:60::2]:80 comment "DNAT"'
    )


def test_everything_goes_with_its_network() -> None:
    host = nft_host()
    nft = NfTables.of(host.machine.root.netfilter)
    before = nft.execute("list ruleset")
    net = host.network("net", "192.0.2.0/24", "fd00:60::/64", enable_ipv6=True)
    with_network = nft.execute("list ruleset")
    host.run("c1", "net", "8080:80", "127.0.0.1:8081:81/udp")
    host.remove("c1")
    assert nft.execute("list ruleset") == with_network
    net.delete()
    assert nft.execute("list ruleset") == before


def test_what_others_put_into_a_chain_that_changes_is_lost_and_a_table_that_is_gone_is_made_anew() -> None:
    host = nft_host()
    nft = NfTables.of(host.machine.root.netfilter)
    net = host.network("net", "192.0.2.0/24")
    nft.execute("insert rule ip docker-bridges filter-forward-in__docker0 drop")
    host.run("c1", "bridge", "8080:80")
    assert "drop" not in host.nft_chains()["filter-forward-in__docker0"]
    nft.execute("flush ruleset")
    net.delete()  # what it would delete is not there, and so everything is made anew
    assert "ip daddr 172.17.0.2 tcp dport 80 counter accept" in host.nft_chains()["filter-forward-in__docker0"]
    assert "filter-forward-in__net" not in host.nft_chains()


def test_the_first_update_of_a_table_drops_all_rules_that_are_there_and_the_next_only_those_of_its_chains() -> None:
    # incremental_update.nft.gotmpl: a new table is flushed, because an earlier daemon may have left rules in it.
    nft = NfTables.of(NetworkNamespace("host", Clock()).netfilter)
    nft.execute("table ip docker { chain old { drop; }; chain mine { accept; }; }")
    nft.execute("table ip others { chain c { drop; }; }")
    table = DaemonTable(nft, "ip", "docker")
    table.create([Chain("mine"), Rule("mine", "counter")])
    assert [rules_of(nft, "docker", chain) for chain in ("old", "mine")] == [[], ["counter packets 0 bytes 0"]]
    assert rules_of(nft, "others", "c") == ["drop"]
    nft.execute("add rule ip docker old drop; add rule ip docker mine drop")
    table.create([Chain("next"), Rule("next", "return")])
    assert [rules_of(nft, "docker", chain)[-1] for chain in ("old", "mine", "next")] == ["drop", "drop", "return"]
    table.create([Rule("mine", "return")])
    assert rules_of(nft, "docker", "mine") == ["counter packets 0 bytes 0", "return"]


def rules_of(nft: NfTables, table: str, chain: str) -> list[str]:
    lines = nft.execute(f"list chain ip {table} {chain}").splitlines()
    return [line.strip() for line in lines if line.startswith("\t\t")]


def test_an_operators_table_drops_what_docker_accepts_but_accepts_nothing_docker_drops() -> None:
    host = nft_host()
    remote = add_remote(host)
    host.run("web", "bridge", "8080:80")
    serve(host, "web", 80)
    nft = NfTables.of(host.machine.root.netfilter)
    guard = "table inet guard { chain forward { type filter hook forward priority -10; %s; }; }"
    nft.execute(guard % "accept")
    assert ask(host, "10.0.0.15", 8080, source=remote.root) == "10.0.0.50"
    assert ask(host, "172.17.0.2", 80, source=remote.root) == TIMEOUT
    nft.execute(f"flush ruleset inet\n{guard % 'ct original proto-dst 8080 drop'}")
    assert ask(host, "10.0.0.15", 8080, source=remote.root) == TIMEOUT


def test_the_resolver_has_a_table_in_the_containers_namespace() -> None:
    host = nft_host()
    host.network("net")
    host.run("web", "net")
    host.run("app", "net")
    namespace = host.sandboxes["app"].namespace
    assert namespace is not None
    text = NfTables.of(namespace.netfilter).execute("list table ip docker-dns")
    assert "ip daddr 127.0.0.11 udp dport 53 counter packets 0 bytes 0 dnat to 127.0.0.11:" in text
    assert "counter packets 0 bytes 0 snat to :53" in text
    assert not namespace.netfilter.iptables(4).has_effect


def test_a_host_that_does_not_forward_gets_no_network() -> None:
    refusal = (
        "IPv4 forwarding is disabled: check your host's firewalling and set sysctl net.ipv4.ip_forward=1, or disable"
    )
    host = nft_host(start=False)
    host.machine.root.sysctl_set(FORWARD_KEY, "0")
    with pytest.raises(SystemFault, match=refusal):
        host.controller.start()
    unchecked = nft_host(start=False, ip_forward=False)
    unchecked.machine.root.sysctl_set(FORWARD_KEY, "0")
    unchecked.controller.start()
    assert unchecked.machine.root.sysctl_get(FORWARD_KEY) == "0"


def test_a_host_that_does_not_forward_ipv6_gets_no_ipv6_network() -> None:
    host = nft_host()
    host.machine.root.sysctl_set("net.ipv6.conf.default.forwarding", "0")
    before = NfTables.of(host.machine.root.netfilter).execute("list ruleset")
    with pytest.raises(SystemFault, match="IPv6 global forwarding is disabled"):
        host.network("six", "10.60.0.0/24", "fd00:60::/64", enable_ipv6=True)
    assert NfTables.of(host.machine.root.netfilter).execute("list ruleset") == before
