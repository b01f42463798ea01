"""What people suffer from, each with the sentence that names its cause and the fix."""

from __future__ import annotations

import pytest
from support.docker_host_by_hand import CHAINS, House, docker_rules

from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.location import Published
from cnmsim.observe.trace.trace import Trace


@pytest.fixture
def house() -> House:
    house = House()
    house.network("front", "172.18.0.0/24")
    house.network("back", "172.19.0.0/24")
    house.iptables(*CHAINS, *docker_rules("br-front"), *docker_rules("br-back"))
    house.container("web", ("front", "172.18.0.2"), listens={"0.0.0.0": [80]})
    house.container("db", ("back", "172.19.0.2"), listens={"0.0.0.0": [5432]})
    house.container("app", ("front", "172.18.0.3"), listens={"127.0.0.1": [3000]})
    return house


def _expect(trace: Trace, verdict: Verdict, cause: str, fix: str = "") -> None:
    assert trace.finding is not None
    assert (trace.verdict, trace.finding.cause_text, trace.finding.advice) == (verdict, cause, fix)


def test_a_neighbour_on_the_same_network_answers(house: House) -> None:
    _expect(
        house.ask("app", "web:80", by_address=True), Verdict.ANSWERED,
        "web answers at 172.18.0.2:80; both are on network front",
    )  # fmt: skip


def test_a_listener_on_loopback_only_refuses_the_others(house: House) -> None:
    _expect(
        house.ask("web", "app:3000", by_address=True), Verdict.REFUSED,
        "app answers, but nothing listens on 172.18.0.3:3000 (a program listens on 127.0.0.1:3000 only)",
        "bind the program in app to 0.0.0.0 instead of 127.0.0.1",
    )  # fmt: skip


def test_localhost_in_a_container_is_the_container(house: House) -> None:
    _expect(
        house.ask("app", "localhost:80"), Verdict.REFUSED,
        "localhost inside app is app itself, and nothing listens on port 80 there",
        "use web:80",
    )  # fmt: skip


def test_a_wrong_port_is_told_with_the_right_one(house: House) -> None:
    _expect(
        house.ask("app", "web:8080", by_address=True), Verdict.REFUSED,
        "web answers, but nothing listens on 172.18.0.2:8080; it listens on 80/tcp", "use port 80",
    )  # fmt: skip


def test_two_networks_are_apart(house: House) -> None:
    house.iptables("-t raw -A PREROUTING -d 172.19.0.2/32 ! -i br-back -j DROP")
    trace = house.ask("web", "db:5432", by_address=True)
    _expect(
        trace, Verdict.TIMEOUT,
        "dropped on node1 by raw PREROUTING: -A PREROUTING -d 172.19.0.2/32 ! -i br-back -j DROP; the two share no "
        "network (web is on front, db on back)",
        "docker network connect back web",
    )  # fmt: skip
    assert trace.drops[-1].reason is DropReason.NETFILTER_DROP


def test_the_filter_table_keeps_networks_apart_too(house: House) -> None:
    _expect(
        house.ask("web", "db:5432", by_address=True), Verdict.TIMEOUT,
        "dropped on node1 by filter FORWARD → DOCKER-FORWARD → DOCKER-BRIDGE → DOCKER: -A DOCKER ! -i br-back -o "
        "br-back -j DROP; the two share no network (web is on front, db on back)",
        "docker network connect back web",
    )  # fmt: skip


def test_a_containers_own_address_is_closed_to_other_hosts(house: House) -> None:
    house.iptables("-t raw -A PREROUTING -d 172.18.0.2/32 ! -i br-front -j DROP")
    house.lab.host("client").exec("true")
    router = house.lab.host("router").machine.root
    from cnmsim.kernel.address import Prefix, parse_ip
    from cnmsim.kernel.route import Route

    router.add_route(Route(Prefix.parse("172.18.0.0/24"), router.devices["eth0"], parse_ip("10.0.0.15")))
    _expect(
        house.ask("client", "172.18.0.2:80"), Verdict.TIMEOUT,
        "dropped on node1 by raw PREROUTING: -A PREROUTING -d 172.18.0.2/32 ! -i br-front -j DROP; a container's own "
        "address cannot be reached from outside its host",
        "publish port 80 of web: -p 80:80, and use node1:80, or set the network's gateway_mode to routed",
    )  # fmt: skip


def test_forwarding_that_is_off_is_no_matter_of_chains(house: House) -> None:
    house.root.sysctl_set("net.ipv4.ip_forward", "0")
    _expect(
        house.ask("web", "203.0.113.10"), Verdict.TIMEOUT,
        "it stops on node1: IP forwarding is disabled there (net.ipv4.ip_forward = 0), before any chain is traversed",
        "sysctl -w net.ipv4.ip_forward=1 on node1",
    )  # fmt: skip


def test_an_internal_network_has_no_way_out(house: House) -> None:
    house.network("vault", "172.20.0.0/24", internal=True)
    house.container("keys", ("vault", "172.20.0.2"))
    _expect(
        house.ask("keys", "203.0.113.10:80"), Verdict.UNREACHABLE,
        "keys has no default route: vault is internal and leads nowhere else",
        "docker network connect front keys",
    )  # fmt: skip


def test_a_container_without_network_knows_no_way(house: House) -> None:
    house.container("lonely")
    _expect(
        house.ask("lonely", "203.0.113.10"), Verdict.UNREACHABLE,
        "lonely has no route to 203.0.113.10: it is attached to no network", "docker network connect NETWORK lonely",
    )  # fmt: skip


def test_a_published_port_is_translated_and_passes_by_the_input_chain(house: House) -> None:
    house.iptables(*docker_rules("br-front", address="172.18.0.2", host_port=8080))
    house.iptables("-A INPUT -p tcp --dport 8080 -j DROP")
    trace = house.ask("client", "node1:8080")
    _expect(
        trace, Verdict.ANSWERED,
        "web answers at 172.18.0.2:80; node1 rewrote the destination by nat PREROUTING → DOCKER: -A DOCKER ! -i "
        "br-front -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80",
    )  # fmt: skip
    assert trace.finding is not None
    assert trace.finding.remark_texts == (
        (
            "-A INPUT -p tcp -m tcp --dport 8080 -j DROP on node1 was never visited: a published port goes through "
            "FORWARD, not INPUT; filter it in DOCKER-USER, or publish it on 127.0.0.1"
        ),
    )


def test_a_rule_in_docker_user_is_the_operators(house: House) -> None:
    house.iptables(*docker_rules("br-front", address="172.18.0.2", host_port=8080))
    house.iptables("-I DOCKER-USER -s 10.0.0.50 -j DROP")
    _expect(
        house.ask("client", "node1:8080"), Verdict.TIMEOUT,
        "dropped on node1 by filter FORWARD → DOCKER-USER: -A DOCKER-USER -s 10.0.0.50/32 -j DROP; a rule in "
        "DOCKER-USER, which Docker leaves to the operator",
        "delete that rule on node1: iptables -t filter -D DOCKER-USER -s 10.0.0.50/32 -j DROP, or accept it on "
        "node1: iptables "
        "-I DOCKER-USER -s 10.0.0.50 -j ACCEPT",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("target", "verdict", "answer"),
    [
        ("-j REJECT", Verdict.REFUSED, ""),
        ("-p tcp -j REJECT --reject-with tcp-reset", Verdict.REFUSED, ""),
        ("-j REJECT --reject-with icmp-host-prohibited", Verdict.UNREACHABLE,
         "; node1 answers with ICMP host prohibited"),
        ("-j DROP", Verdict.TIMEOUT, ""),
    ],
)  # fmt: skip
def test_refused_unreachable_and_timeout_are_told_apart(
    house: House, target: str, verdict: Verdict, answer: str
) -> None:
    house.iptables(f"-I INPUT -i br-front {target}")
    trace = house.ask("web", "172.18.0.1:22")
    assert trace.verdict is verdict
    assert trace.finding is not None
    assert "on node1 by filter INPUT: -A INPUT -i br-front" in trace.finding.cause_text
    assert trace.finding.cause_text.endswith(f"filters what comes to the host itself{answer}")
    assert trace.finding.advice == "accept it on node1: iptables -I INPUT -i br-front -p tcp --dport 22 -j ACCEPT"


def test_containers_may_be_forbidden_to_talk_on_one_bridge(house: House) -> None:
    house.root.sysctl_set("net.bridge.bridge-nf-call-iptables", "1")
    house.iptables("-t filter -I FORWARD -i br-front -o br-front -j DROP")
    trace = house.ask("app", "web:80", by_address=True)
    assert trace.verdict is Verdict.TIMEOUT
    assert trace.finding is not None
    assert trace.finding.cause_text.endswith("; containers on front must not communicate (icc is false)")


def test_an_address_nobody_has_any_more(house: House) -> None:
    _expect(
        house.ask("web", "172.18.0.9:80"), Verdict.UNREACHABLE,
        "web sent requests for 172.18.0.9 on eth0 and received no answer; no running container or host has that "
        "address",
        "use the name instead of a remembered address: a restarted container may have another one",
    )  # fmt: skip


def test_a_port_published_on_loopback_only_refuses_the_lan(house: House) -> None:
    house.container("admin", ("front", "172.18.0.4"), published=(Published("127.0.0.1", 8081, 80, "tcp"),))
    _expect(
        house.ask("client", "node1:8081"), Verdict.REFUSED,
        "nothing listens on 10.0.0.15:8081: port 8081 of node1 is published on 127.0.0.1 only",
        "publish port 80 of admin: -p 8081:80, and use node1:8081",
    )  # fmt: skip


def test_a_port_that_is_not_published(house: House) -> None:
    _expect(
        house.ask("client", "node1:5432"), Verdict.REFUSED,
        "node1 answers, but nothing listens on 10.0.0.15:5432; db listens on that port, but does not publish it",
        "publish port 5432 of db: -p 5432:5432, and use node1:5432",
    )  # fmt: skip


def test_the_default_bridge_has_no_names() -> None:
    house = House()
    house.network("bridge", "172.17.0.0/24")
    resolver = "nameserver 203.0.113.10\n"
    house.iptables("-t nat -A POSTROUTING -s 172.17.0.0/24 ! -o docker0 -j MASQUERADE")
    house.container("web", ("bridge", "172.17.0.2"), listens={"0.0.0.0": [80]}, resolv_conf=resolver)
    house.container("app", ("bridge", "172.17.0.3"), resolv_conf=resolver)
    trace = house.ask("app", "web:80")
    assert trace.verdict is Verdict.NAME_NOT_FOUND
    assert trace.finding is not None
    assert trace.finding.cause_text == (
        "203.0.113.10 answers NXDOMAIN for web: the default bridge has no names, its containers use the host's name "
        "server"
    )
    assert house.ask("app", "www.example.com").verdict is Verdict.ANSWERED


def test_a_name_server_that_is_not_there(house: House) -> None:
    house.container("lost", ("front", "172.18.0.7"))
    trace = house.ask("lost", "web:80")
    _expect(
        trace, Verdict.NAME_NOT_FOUND,
        "lost uses 127.0.0.1 as name server, and none listens there (lost)",
        "name a server that can be reached (dns), or run lost without --dns",
    )  # fmt: skip


def test_masquerading_is_remarked_on(house: House) -> None:
    house.iptables("-t nat -A POSTROUTING -s 172.18.0.0/24 ! -o br-front -j MASQUERADE")
    trace = house.ask("web", "203.0.113.10")
    assert trace.verdict is Verdict.ANSWERED
    assert trace.finding is not None
    assert trace.finding.remark_texts == ("server sees the client as 10.0.0.15, not as 172.18.0.2",)
