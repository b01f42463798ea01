"""What goes wrong beside the gallery: each is asked for, told in a sentence, and mended as told where one command
mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from house import run

from cnmsim import Lab
from cnmsim.observe.explain import Explanation

HOURS_NS = 3600 * 10**9


def _lan(**options: Any) -> Lab:
    lab = Lab(nameserver="203.0.113.10", **options)
    lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
    lab.add_host("client", "10.0.0.50/24", gateway="10.0.0.1")
    lab.add_router("router", "10.0.0.1/24", "203.0.113.1/24")
    lab.add_host(
        "server", "203.0.113.10/24", gateway="203.0.113.1", names={"www.example.com": "203.0.113.10"}, web=True
    )
    return lab


def _pair(**app: Any) -> Lab:
    """`app` and `web` on network net."""
    lab = _lan()
    lab.host("node1").docker.networks.create("net")
    run(lab, "app", "alpine", "sleep 1d", network="net", **app)
    run(lab, "web", network="net")
    return lab


def _type(lab: Lab, host: str, command: str) -> None:
    done = lab.host(host).exec(command)
    assert done.succeeded, done.output


def narrow_mask() -> Explanation:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24")
    lab.add_host("client", "10.0.0.50/24")
    _type(lab, "client", "ip addr del 10.0.0.50/24 dev eth0; ip addr add 10.0.0.50/30 dev eth0")
    return lab.explain("client", "node1", "icmp")


def lost_by_the_wire() -> Explanation:
    lab = _lan()
    run(lab, "web", ports={"80/tcp": 8080})
    lab.lose("node1", "client", 1.0)
    return lab.explain("client", "node1", "tcp/8080")


def cable_pulled() -> Explanation:
    lab = _lan()
    run(lab, "web", ports={"80/tcp": 8080})
    lab.cut("client")
    return lab.explain("client", "node1", "tcp/8080")


def dead_name_server() -> Explanation:
    return _pair(dns=["10.0.0.99"]).explain("app", "www.example.com", "tcp/80")


def stopped_publisher() -> Explanation:
    lab = _lan()
    run(lab, "web", ports={"80/tcp": 8080}).stop()
    return lab.explain("client", "node1", "tcp/8080")


def published_for_ipv6() -> Explanation:
    lab = _lan()
    run(lab, "web", ports={"80/tcp": ("::", 8080)})
    return lab.explain("client", "10.0.0.15", "tcp/8080")


def published_on_another_address() -> Explanation:
    lab = _lan()
    _type(lab, "node1", "ip addr add 10.0.0.16/24 dev eth0")
    run(lab, "web", ports={"80/tcp": ("10.0.0.16", 8080)})
    return lab.explain("client", "10.0.0.15", "tcp/8080")


def rule_in_the_sandbox() -> Explanation:
    lab = _pair()
    key = lab.host("node1").docker.containers.get("app").attrs["NetworkSettings"]["SandboxKey"]
    _type(lab, "node1", f"nsenter --net={key} iptables -A OUTPUT -p tcp --dport 80 -j DROP")
    return lab.explain("app", "web", "tcp/80")


def routing_loop() -> Explanation:
    lab = Lab()
    lab.add_host("pc", "10.0.0.5/24", gateway="10.0.0.1")
    lab.add_router("r1", "10.0.0.1/24", "10.1.0.1/24")
    lab.add_router("r2", "10.1.0.2/24", "10.2.0.1/24")
    _type(lab, "r1", "ip route add 10.9.0.0/24 via 10.1.0.2")
    _type(lab, "r2", "ip route add 10.9.0.0/24 via 10.1.0.1; ip route add 10.0.0.0/24 via 10.1.0.1")
    return lab.explain("pc", "10.9.0.9", "tcp/80")


def reverse_path_filter() -> Explanation:
    lab = Lab()
    lab.add_host("pc", "10.0.0.5/24", gateway="10.0.0.1")
    lab.add_router("near", "10.0.0.1/24", "10.1.0.1/24")
    lab.add_host("web", "10.1.0.5/24", "10.3.0.5/24", web=True, gateway="10.3.0.1")
    lab.add_router("far", "10.3.0.1/24", "10.0.0.2/24")
    _type(lab, "web", "sysctl -w net.ipv4.conf.all.rp_filter=1")
    return lab.explain("pc", "10.1.0.5", "tcp/80")


def full_connection_table() -> Explanation:
    lab = _lan()
    run(lab, "web", ports={"80/tcp": 8080})
    assert lab.explain("client", "node1", "tcp/8080")
    _type(lab, "node1", "sysctl -w net.netfilter.nf_conntrack_max=1")
    return lab.explain("server", "node1", "tcp/8080")


def way_back_to_nobody() -> Explanation:
    lab = _lan()
    _type(lab, "node1", "ip route add 203.0.113.0/24 via 10.0.0.99")
    run(lab, "web", ports={"80/tcp": 8080})
    return lab.explain("server", "10.0.0.15", "tcp/8080")


def wrong_default_gateway() -> Explanation:
    lab = _lan()
    _type(lab, "client", "ip route replace default via 10.0.0.254")
    return lab.explain("client", "server", "tcp/80")


def wrong_protocol() -> Explanation:
    return _pair().explain("app", "web", "udp/80")


def interface_down() -> Explanation:
    lab = _pair(cap_add=["NET_ADMIN"])
    lab.host("node1").docker.containers.get("app").exec_run("ip link set eth0 down")
    return lab.explain("app", "web", "tcp/80")


def host_interface_down() -> Explanation:
    lab = _lan()
    _type(lab, "client", "ip link set eth0 down")
    return lab.explain("client", "node1", "icmp")


def no_masquerade() -> Explanation:
    lab = _lan()
    options = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    lab.host("node1").docker.networks.create("net", options=options)
    run(lab, "app", "alpine", "sleep 1d", network="net")
    return lab.explain("app", "server", "tcp/80")


def wrong_hosts_file() -> Explanation:
    return _pair(extra_hosts={"web": "10.9.9.9"}).explain("app", "web", "tcp/80")


def rejected_by_the_operator() -> Explanation:
    lab = _lan()
    run(lab, "web", ports={"80/tcp": 8080})
    _type(lab, "node1", "iptables -I DOCKER-USER -s 10.0.0.50 -j REJECT --reject-with icmp-admin-prohibited")
    return lab.explain("client", "node1", "tcp/8080")


def raw_drop() -> Explanation:
    lab = _lan()
    run(lab, "web", ports={"80/tcp": 8080})
    _type(lab, "node1", "iptables -t raw -I PREROUTING -p tcp --dport 8080 -j DROP")
    return lab.explain("client", "node1", "tcp/8080")


def misspelt() -> Explanation:
    return _pair().explain("app", "wbe", "tcp/80")


def blackhole() -> Explanation:
    lab = _lan()
    _type(lab, "router", "ip route add blackhole 203.0.113.10/32")
    return lab.explain("client", "server", "tcp/80")


@pytest.mark.parametrize(
    ("ask", "verdict", "cause"),
    [
        (narrow_mask, "unreachable", "client has only 10.0.0.48/30 on its link (its address is 10.0.0.50/30)"),
        (lost_by_the_wire, "unreachable", "is lost at 10.0.0.0/24 eth0: what node1 sends does not get to client"),
        (cable_pulled, "unreachable", "ARP who has 10.0.0.15 is lost at client eth0"),
        (dead_name_server, "name not found", "its upstream 10.0.0.99 was not reached"),
        (stopped_publisher, "refused", "web, which publishes the port, is not running (exited)"),
        (published_for_ipv6, "refused", "web publishes port 8080 of node1 on :: only, which is no IPv4 address"),
        (published_on_another_address, "refused", "only on 10.0.0.16:8080"),
        (rule_in_the_sandbox, "timeout",
         "dropped on app by filter OUTPUT: -A OUTPUT -p tcp -m tcp --dport 80 -j DROP"),
        (reverse_path_filter, "timeout", "a packet from 10.0.0.5 should not arrive at eth0"),
        (full_connection_table, "timeout", "the connection table of node1 is full (net.netfilter.nf_conntrack_max)"),
        (way_back_to_nobody, "timeout", ("203.0.113.0/24 via 10.0.0.99 dev eth0, leads to 10.0.0.99, and no host on "
                                        "that link")),
        (wrong_default_gateway, "unreachable", "default via 10.0.0.254 dev eth0, leads to 10.0.0.254"),
        (wrong_protocol, "refused", "nothing listens on 172.18.0.3:80 by udp; it listens on 80/tcp"),
        (interface_down, "unreachable", "eth0 of app is down, and the routes by it are gone with it"),
        (host_interface_down, "unreachable", "eth0 of client is down"),
        (no_masquerade, "timeout", "node1 let that address of app out untranslated"),
        (wrong_hosts_file, "unreachable", "web is 10.9.9.9 by the hosts file of app, while web has 172.18.0.3"),
        (rejected_by_the_operator, "unreachable", "a rule in DOCKER-USER, which Docker leaves to the operator"),
        (raw_drop, "timeout", "raw PREROUTING: -A PREROUTING -p tcp -m tcp --dport 8080 -j DROP"),
        (misspelt, "name not found", "no container, service or host has that name"),
        (blackhole, "timeout", "blackhole 203.0.113.10: the route there is meant to refuse"),
    ],
)  # fmt: skip
def test_a_situation_is_told_and_its_first_fix_mends_it(
    ask: Callable[[], Explanation], verdict: str, cause: str
) -> None:
    said = ask()
    assert said.verdict.value == verdict
    assert cause in said.decided_by
    assert said.fixes, said.advice
    assert said.fixes[0].was_tried
    assert said.fixes[0].apply().reachable


def test_a_loop_names_the_routers_in_it() -> None:
    said = routing_loop()
    assert said.verdict.value == "unreachable"
    assert said.decided_by.startswith(
        "it goes round between r1 and r2 until its TTL runs out on r2: r1 by 10.9.0.0/24 via 10.1.0.2"
    )
    assert said.advice == "correct the route to 10.9.0.9 on r1 or r2"


def test_a_narrow_mask_is_no_reason_on_another_wire() -> None:
    lab = Lab()
    lab.add_host("one", "10.0.0.5/28")
    lab.add_host("two", "10.0.0.50/24")
    assert len(lab.segments) == 2
    assert lab.explain("one", "two", "icmp").decided_by == "one has no route to 10.0.0.50"


def test_networks_of_one_name_on_two_hosts_are_two() -> None:
    lab = Lab()
    for number, name in enumerate(("left", "right"), 1):
        engine = lab.add_host(f"node{number}", f"10.0.0.{number}/24", docker=True).docker
        engine.networks.create("net")
        engine.containers.run("nginx", name=name, network="net", detach=True)
    lab.settle()
    said = lab.explain("left", "right", "tcp/80")
    assert "right runs on node2, and network net of node2 is not network net of node1" in said.decided_by
    assert "shared networks: none" in said.facts


def test_a_paused_program_takes_datagrams_and_does_nothing() -> None:
    lab = _pair()
    run(lab, "names", "alpine", "nc -u -l -p 53", network="net").pause()
    said = lab.explain("app", "names", "udp/53")
    assert said.decided_by.endswith("sent no reply; both are on network net"), (
        "the question for the name is another packet"
    )
    assert "names is paused: its kernel accepts datagrams, its program answers nothing" in str(said)


def test_a_task_whose_health_check_has_not_passed_gets_no_traffic() -> None:
    lab = Lab()
    engine = lab.add_host("node1", "10.0.0.1/24", docker=True).docker
    engine.swarm.init(advertise_addr="10.0.0.1")
    engine.networks.create("net", driver="overlay", attachable=True)
    check = {"test": ["CMD-SHELL", "false"], "interval": HOURS_NS, "start_period": HOURS_NS}
    engine.services.create("nginx", name="web", networks=["net"], healthcheck=check)
    lab.run(10)
    engine.containers.run("alpine", "sleep 1d", name="app", network="net", detach=True)
    assert "its health check has not passed yet" in lab.explain("app", "web", "tcp/80").decided_by


def test_a_connection_at_the_second_try_says_what_became_of_the_first() -> None:
    lab = _lan()
    run(lab, "web", ports={"80/tcp": 8080})
    assert lab.explain("client", "node1", "tcp/8080").trace.finding.remark_texts == ()
    lab.lose("client", "node1", 1.0)
    lab.clock.call_later(0.5, lab.heal)
    said = lab.explain("client", "node1", "tcp/8080")
    assert said.reachable
    assert "only try 2 came through, after 1 s; the first one: lost at 10.0.0.0/24 eth0" in str(said)


def test_a_container_whose_gateway_is_not_there() -> None:
    lab = _lan()
    options = {"parent": "eth0"}
    lab.host("node1").docker.networks.create(
        "wire",
        driver="macvlan",
        options=options,
        subnet="10.0.0.0/24",
        gateway="10.0.0.254",
        ip_range="10.0.0.128/28",
    )
    run(lab, "app", "alpine", "sleep 1d", network="wire")
    said = lab.explain("app", "server", "tcp/80")
    assert "default via 10.0.0.254 dev eth0, leads to 10.0.0.254, and no host on that link answers" in said.decided_by
    assert said.advice == "create network wire with --gateway 10.0.0.1"
    assert said.fixes == ()


def test_a_host_without_an_address() -> None:
    lab = _lan()
    _type(lab, "client", "ip addr flush dev eth0")
    assert lab.explain("client", "node1", "icmp").decided_by.startswith("client has no address")


def test_a_host_without_power() -> None:
    lab = _lan()
    lab.host("node1").power_off()
    assert (
        "node1, which has that address, has no power or no cable" in lab.explain("client", "node1", "icmp").decided_by
    )
    lab.host("node1").power_on()
    assert lab.explain("client", "node1", "icmp")
