"""What people suffer from, on real engines: the answer names the cause and the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from house import lan, run

from cnmsim import Lab
from cnmsim.errors import InvalidParameter, Unavailable
from cnmsim.observe.diagnosis.verdict import Verdict


def _network(lab: Lab, name: str, **options: Any) -> None:
    engine = lab.host("node1").docker
    engine.networks.create(name, **options)


def _finding(lab: Lab, source: str, destination: str) -> tuple[Verdict, str, str]:
    finding = lab.trace(source, destination).finding
    assert finding is not None
    return finding.verdict, finding.cause_text, finding.advice


def test_a_program_bound_to_loopback_refuses_its_neighbours() -> None:
    lab = lan()
    _network(lab, "app")
    run(lab, "web", command="httpd -f -p 127.0.0.1:8000", network="app")
    run(lab, "client1", "alpine", "sleep 1d", network="app")
    assert _finding(lab, "client1", "web:8000") == (
        Verdict.REFUSED,
        "web answers, but nothing listens on 172.18.0.2:8000 (a program listens on 127.0.0.1:8000 only)",
        "bind the program in web to 0.0.0.0 instead of 127.0.0.1",
    )


def test_a_container_asks_its_host_and_the_firewall_drops_it() -> None:
    lab = lan()
    run(lab, "app", "alpine", "sleep 1d", extra_hosts={"host.docker.internal": "host-gateway"})
    lab.host("node1").start("nc -lk -p 7000")
    assert lab.trace("app", "host.docker.internal:7000").verdict is Verdict.ANSWERED
    lab.host("node1").iptables("-A INPUT -i docker0 -p tcp -m tcp --dport 7000 -j DROP")
    assert _finding(lab, "app", "host.docker.internal:7000") == (
        Verdict.TIMEOUT,
        (
            "dropped on node1 by filter INPUT: -A INPUT -i docker0 -p tcp -m tcp --dport 7000 -j DROP; the firewall "
            "of "
            "node1 filters what comes to the host itself"
        ),
        "accept it on node1: iptables -I INPUT -i docker0 -p tcp --dport 7000 -j ACCEPT",
    )


def test_the_default_bridge_has_no_names_and_a_network_of_ones_own_has() -> None:
    lab = lan()
    run(lab, "web")
    run(lab, "app", "alpine", "sleep 1d")
    verdict, cause, _ = _finding(lab, "app", "web:80")
    assert verdict is Verdict.NAME_NOT_FOUND
    assert cause == (
        "203.0.113.10 answers NXDOMAIN for web: the default bridge has no names, its containers use the host's name "
        "server"
    )
    _network(lab, "app-net")
    engine = lab.host("node1").docker
    for name in ("web", "app"):
        engine.networks.get("app-net").connect(name)
    assert lab.trace("app", "web:80").verdict is Verdict.ANSWERED


def test_a_resolver_whose_upstream_is_cut_off_names_the_loss() -> None:
    lab = lan()
    _network(lab, "app")
    run(lab, "app", "alpine", "sleep 1d", network="app")
    lab.host("node1").iptables("-A OUTPUT -p udp --dport 53 -j DROP")
    verdict, cause, fix = _finding(lab, "app", "www.example.com")
    assert verdict is Verdict.NAME_NOT_FOUND
    assert "127.0.0.11" in cause
    assert "203.0.113.10" in cause or "filter OUTPUT" in cause
    assert fix


def test_the_search_list_is_walked_question_by_question() -> None:
    lab = lan()
    _network(lab, "app")
    run(lab, "app", "alpine", "sleep 1d", network="app", dns_search=["corp.example"])
    finding = lab.trace("app", "nowhere.else").finding
    assert finding is not None
    assert finding.remark_texts[0].startswith(
        "asked: A nowhere.else @127.0.0.11: NXDOMAIN; A nowhere.else.corp.example @"
    )


def test_a_remembered_address_of_a_container_that_is_gone() -> None:
    lab = lan()
    _network(lab, "app")
    gone = run(lab, "web", network="app")
    run(lab, "app", "alpine", "sleep 1d", network="app")
    gone.remove(force=True)
    verdict, cause, _ = _finding(lab, "app", "172.18.0.2:80")
    assert verdict is Verdict.UNREACHABLE
    assert cause.endswith("received no answer; no running container or host has that address")


def test_a_published_port_passes_by_the_firewall_of_the_host() -> None:
    lab = lan()
    run(lab, "web", ports={"80/tcp": 8080})
    lab.host("node1").iptables("-I INPUT -p tcp --dport 8080 -j DROP")
    finding = lab.trace("client", "node1:8080").finding
    assert finding is not None
    assert finding.verdict is Verdict.ANSWERED
    assert "nat PREROUTING → DOCKER" in finding.cause_text
    assert finding.remark_texts == (
        (
            "-A INPUT -p tcp -m tcp --dport 8080 -j DROP on node1 was never visited: a published port goes through "
            "FORWARD, not INPUT; filter it in DOCKER-USER, or publish it on 127.0.0.1"
        ),
    )


def test_a_port_published_on_loopback_is_the_hosts_own() -> None:
    lab = lan()
    run(lab, "web", ports={"80/tcp": ("127.0.0.1", 8080)})
    assert _finding(lab, "client", "node1:8080") == (
        Verdict.REFUSED,
        "nothing listens on 10.0.0.15:8080: port 8080 of node1 is published on 127.0.0.1 only",
        "publish port 80 of web: -p 8080:80, and use node1:8080",
    )
    assert lab.trace("node1", "127.0.0.1:8080").verdict is Verdict.ANSWERED


@pytest.mark.parametrize(
    ("engine", "verdict", "rule"),
    [
        ("26.1.5", Verdict.TIMEOUT, "filter FORWARD"),
        ("28.5.2", Verdict.TIMEOUT, "raw PREROUTING"),
        ("29.7.2", Verdict.TIMEOUT, "raw PREROUTING"),
    ],
)
def test_a_containers_own_address_is_closed_to_the_lan(engine: str, verdict: Verdict, rule: str) -> None:
    lab = lan(engine)
    run(lab, "web", ports={"81/tcp": 8081})
    found, cause, _ = _finding(lab, "client", "172.17.0.2:80")
    assert found is verdict
    assert cause.startswith(f"dropped on node1 by {rule}")


def test_ones_own_published_port_goes_by_the_proxy() -> None:
    lab = lan()
    run(lab, "web", ports={"80/tcp": 8080})
    finding = lab.trace("web", "node1:8080").finding
    assert finding is not None
    assert finding.cause_text == (
        "web answers at 172.17.0.2:80; docker-proxy on node1 carries it: a second connection starts there"
    )
    assert finding.remark_texts == ("web sees the client as 172.17.0.1, not as 172.17.0.2",)


def test_ones_own_published_port_without_proxy_is_translated_back() -> None:
    lab = lan(userland_proxy=False)
    run(lab, "web", ports={"80/tcp": 8080})
    finding = lab.trace("web", "node1:8080").finding
    assert finding is not None
    assert finding.verdict is Verdict.ANSWERED
    assert "-j DNAT --to-destination 172.17.0.2:80" in finding.cause_text


def test_containers_of_a_network_without_icc_do_not_talk() -> None:
    lab = lan()
    _network(lab, "quiet", options={"com.docker.network.bridge.enable_icc": "false"})
    run(lab, "web", network="quiet")
    run(lab, "app", "alpine", "sleep 1d", network="quiet")
    verdict, cause, fix = _finding(lab, "app", "web:80")
    assert verdict is Verdict.TIMEOUT
    assert cause.endswith("-j DROP; containers on quiet must not communicate (icc is false)")
    assert "enable_icc=true" in fix


def test_an_internal_network_leads_nowhere_and_its_gateway_still_answers() -> None:
    lab = lan()
    _network(lab, "vault", internal=True)
    run(lab, "keys", "alpine", "sleep 1d", network="vault")
    assert _finding(lab, "keys", "203.0.113.10:80") == (
        Verdict.UNREACHABLE,
        "keys has no default route: vault is internal and leads nowhere else",
        "docker network create outside; docker network connect outside keys",
    )
    assert _finding(lab, "keys", "www.example.com")[1] == (
        "127.0.0.11 answers SERVFAIL for www.example.com; it asked no other server, because the container is on "
        "internal networks only"
    )
    assert lab.trace("keys", "172.18.0.1").verdict is Verdict.ANSWERED


def test_forwarding_switched_off_stops_before_every_chain() -> None:
    lab = lan()
    run(lab, "app", "alpine", "sleep 1d")
    lab.host("node1").exec("sysctl -w net.ipv4.ip_forward=0")
    assert _finding(lab, "app", "203.0.113.10")[1] == (
        "it stops on node1: IP forwarding is disabled there (net.ipv4.ip_forward = 0), before any chain is traversed"
    )


def test_a_container_that_has_ended_is_said_to_have() -> None:
    lab = lan()
    _network(lab, "app")
    run(lab, "once", "alpine", "true", network="app")
    run(lab, "app", "alpine", "sleep 1d", network="app")
    assert _finding(lab, "app", "once:80")[1:] == (
        "127.0.0.11 answers NXDOMAIN for once: once is not running (exited)",
        "docker start once, or see in the logs of once why it ended",
    )  # fmt: skip


def test_a_paused_container_takes_connections_and_answers_no_request() -> None:
    lab = lan()
    _network(lab, "app")
    web = run(lab, "web", network="app")
    run(lab, "app", "alpine", "sleep 1d", network="app")
    web.pause()
    assert lab.trace("app", "web:80").verdict is Verdict.ANSWERED


def test_an_explanation_says_what_held_by_name_and_by_address() -> None:
    lab = lan()
    _network(lab, "front")
    _network(lab, "back")
    run(lab, "web", network="front")
    run(lab, "db", "postgres", network="back")
    answer = lab.explain("web", "db", "tcp/5432")
    assert not answer.reachable
    assert answer.verdict is Verdict.NAME_NOT_FOUND
    assert answer.by_address is not None
    assert answer.by_address.verdict is Verdict.TIMEOUT
    assert answer.advice == "docker network connect back web"
    assert answer.facts == (
        "web is on front 172.18.0.2", "db is on back 172.19.0.2", "shared networks: none",
        "db listens on 5432/tcp (postgres, assumed)",
    )  # fmt: skip


def test_the_matrix_holds_what_single_questions_say() -> None:
    lab = lan()
    _network(lab, "front")
    _network(lab, "back", internal=True)
    run(lab, "web", network="front")
    run(lab, "db", "postgres", network="back")
    matrix = lab.reachability()
    assert {key: trace.is_reachable for key, trace in matrix.cells.items()} == {
        ("web", "web:80"): True, ("web", "db:5432"): False, ("db", "web:80"): False, ("db", "db:5432"): True,
    }  # fmt: skip
    assert str(matrix).splitlines()[0].split() == ["FROM", "\\", "TO", "web:80", "db:5432"]


def test_a_container_in_anothers_stack_is_told_from_its_owner() -> None:
    lab = lan()
    _network(lab, "app")
    run(lab, "web", network="app")
    run(lab, "helper", "alpine", "sleep 1d", network="container:web")
    run(lab, "app", "alpine", "sleep 1d", network="app")
    assert _finding(lab, "app", "web:80")[1] == "web answers at 172.18.0.2:80; both are on network app"
    assert _finding(lab, "helper", "app")[1] == (
        "app answers the echo request at 172.18.0.3; both are on network app"
    )


def test_a_container_without_network_cannot_ask_for_names() -> None:
    lab = lan()
    run(lab, "hermit", "alpine", "sleep 1d", network="none")
    assert _finding(lab, "hermit", "www.example.com") == (
        Verdict.NAME_NOT_FOUND,
        "hermit cannot ask its name server 203.0.113.10: network is unreachable; hermit is attached to no network",
        "start hermit on a network instead of none: a container in network_mode none cannot join another",
    )


def test_names_and_services_are_asked_over_ipv6_too() -> None:
    lab = lan()
    _network(lab, "six", enable_ipv6=True)
    run(lab, "web", network="six")
    run(lab, "app", "alpine", "sleep 1d", network="six")
    trace = lab.trace("app", "web:80", family=6)
    assert trace.verdict is Verdict.ANSWERED
    assert ":" in trace.to_json()["question"]["address"]
    assert max(map(len, trace.text().splitlines())) <= 100


@pytest.mark.parametrize(
    ("destination", "verdict"),
    [("server:53/udp", Verdict.ANSWERED), ("server:54/udp", Verdict.REFUSED), ("server", Verdict.ANSWERED)],
)
def test_datagrams_and_echo_requests_have_verdicts_of_their_own(destination: str, verdict: Verdict) -> None:
    lab = lan()
    run(lab, "app", "alpine", "sleep 1d")
    assert lab.trace("app", destination).verdict is verdict


def test_a_datagram_that_is_taken_without_a_word_is_delivered() -> None:
    lab = lan()
    lab.host("client").start("nc -u -l -p 9000")
    lab.settle()
    run(lab, "app", "alpine", "sleep 1d")
    assert _finding(lab, "app", "client:9000/udp")[:2] == (
        Verdict.DELIVERED,
        (
            "client received the datagram at 10.0.0.50:9000 and, as UDP programs may, sent no reply; node1 rewrote "
            "the "
            "source by nat POSTROUTING: -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"
        ),
    )


def test_every_frame_of_a_capture_is_sound(tmp_path: Path) -> None:
    lab = lan()
    _network(lab, "app")
    run(lab, "web", network="app", ports={"80/tcp": 8080})
    with lab.capture() as capture:
        trace = lab.trace("client", "node1:8080")
    path = capture.save(tmp_path / "walk.pcapng", trace)
    assert {point.name for point in capture.points} >= {"client:eth0", "node1:eth0", "web:eth0"}
    for packet in capture.packets:
        rebuilt = type(packet)(bytes(packet))
        for layer in ("IP", "TCP"):
            if rebuilt.haslayer(layer):
                del rebuilt[layer].chksum
        assert bytes(rebuilt) == bytes(packet)
    from scapy.utils import rdpcap

    assert [bytes(packet) for packet in rdpcap(str(path))] == [frame.data for frame in capture.frames]


def test_a_scaled_service_means_its_first_replica_and_each_goes_by_service_and_number(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(
        "services:\n  app: {image: nginx, deploy: {replicas: 3}}\n  one: {image: alpine, command: sleep 1d}\n"
    )
    lab = Lab.from_compose(file, "shop")
    assert lab.trace("app", "one").question["source"] == "host:shop-app-1"
    assert lab.trace("app-2", "one").question["source"] == "host:shop-app-2"


def test_a_stopped_container_is_called_stopped_even_where_the_upstream_server_fails() -> None:
    lab = Lab(nameserver="203.0.113.10")
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    _network(lab, "app")
    run(lab, "web", network="app").stop()
    run(lab, "app", "alpine", "sleep 1d", network="app")
    assert _finding(lab, "app", "web:80") == (
        Verdict.NAME_NOT_FOUND,
        "127.0.0.11 answers SERVFAIL for web: web is not running (exited)",
        "docker start web, or see in the logs of web why it ended",
    )


def test_a_paused_container_answers_by_its_kernel_alone() -> None:
    lab = lan()
    _network(lab, "app")
    run(lab, "web", network="app").pause()
    run(lab, "app", "alpine", "sleep 1d", network="app")
    finding = lab.trace("app", "web:80").finding
    assert finding is not None
    assert finding.verdict is Verdict.ANSWERED
    assert "web is paused: its kernel accepts connections, its program answers nothing" in finding.remark_texts


@pytest.mark.parametrize(
    ("mode", "cause", "fix"),
    [
        ("container:web", "uses the network stack of web, and has no name of its own", "use web"),
        (
            "host",
            "uses the network stack of node1 (network_mode: host), and has no name there",
            "host.docker.internal",
        ),
        ("none", "has no network (network_mode none)", "start lodger on a network of app"),
    ],
)
def test_the_name_of_a_container_without_a_stack_of_its_own(mode: str, cause: str, fix: str) -> None:
    lab = lan()
    _network(lab, "app")
    run(lab, "web", network="app")
    run(lab, "app", "alpine", "sleep 1d", network="app")
    run(lab, "lodger", "alpine", "sleep 1d", network=mode)
    verdict, said, advised = _finding(lab, "app", "lodger:80")
    assert verdict is Verdict.NAME_NOT_FOUND
    assert cause in said
    assert fix in advised


@pytest.mark.parametrize("target", ["192.0.2.9:80", "192.0.2.9:53/udp", "192.0.2.9", "[2001:db8::1]:80"])
def test_a_source_that_knows_no_way_shows_it_in_the_walk(target: str) -> None:
    lab = Lab()
    lab.add_host("alone", "10.0.0.1/24")
    walk = lab.trace("alone", target)
    address = target.rpartition(":")[0].strip("[]") if target.count(":") else target
    assert walk.verdict is Verdict.UNREACHABLE
    assert [(hop.place, hop.what) for hop in walk.drops] == [
        ("alone", f"no route to {address}: network is unreachable")
    ]


def test_a_blackhole_route_of_ones_own_is_named() -> None:
    lab = lan()
    lab.host("client").exec("ip route add blackhole 192.0.2.0/24")
    verdict, cause, fix = _finding(lab, "client", "192.0.2.1:80")
    assert verdict is Verdict.UNREACHABLE
    assert "blackhole 192.0.2.0/24" in cause
    assert fix == "on client: ip route del blackhole 192.0.2.0/24"


def test_where_the_upstream_is_silent_the_default_bridge_is_still_the_cause() -> None:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    run(lab, "web")
    run(lab, "app", "alpine", "sleep 1d")
    verdict, cause, fix = _finding(lab, "app", "web:80")
    assert verdict is Verdict.NAME_NOT_FOUND
    assert "the default bridge has no names" in cause
    assert fix.startswith("docker network create app; docker network connect app web")


def test_a_listener_of_the_other_family_is_told_with_an_address_that_can_be_asked() -> None:
    lab = Lab()
    lab.add_host("client", "10.0.0.1/24", "fd00:a::1/64")
    lab.add_host("server", "10.0.0.2/24", "fd00:a::2/64").start("nc -lk -s 0.0.0.0 -p 7000")
    lab.settle()
    assert _finding(lab, "client", "[fd00:a::2]:7000") == (
        Verdict.REFUSED,
        "server answers, but nothing listens on [fd00:a::2]:7000 (only on 0.0.0.0:7000)",
        "use 10.0.0.2:7000",
    )


@pytest.mark.parametrize("target", ["web:nosuch", "web:80/sctp", "two words:80", "fd00::zz", "a/b"])
def test_what_is_no_destination_is_refused(target: str) -> None:
    lab = Lab()
    lab.add_host("client", "10.0.0.1/24")
    with pytest.raises(InvalidParameter):
        lab.trace("client", target)


def test_an_address_of_the_other_family_than_was_asked_for_is_refused() -> None:
    lab = Lab()
    lab.add_host("client", "10.0.0.1/24")
    with pytest.raises(InvalidParameter, match=r"10\.0\.0\.2 is no IPv6 address"):
        lab.trace("client", "10.0.0.2:80", family=6)


def test_a_name_that_two_containers_share_is_remarked_and_replicas_are_not() -> None:
    lab = lan()
    _network(lab, "app")
    engine = lab.host("node1").docker
    for name in ("one", "two"):
        container = engine.containers.create("nginx", name=name)
        engine.networks.get("app").connect(container, aliases=["api"])
        container.start()
    run(lab, "client1", "alpine", "sleep 1d", network="app")
    finding = lab.trace("client1", "api:80").finding
    assert finding is not None
    assert [remark.partition("; ")[0] for remark in finding.remark_texts] == [
        "2 containers answer to the name api: one (172.18.0.2), two (172.18.0.3)"
    ]
    ask = {"image": "alpine", "command": "sleep 1d"}
    scaled = lab.up({"services": {"app": {"image": "nginx", "scale": 2}, "ask": ask}}, project="scaled")
    finding = lab.trace(scaled.container("ask"), "app:80").finding
    assert finding is not None
    assert finding.remark_texts == ()


def test_a_host_is_asked_at_its_address_of_the_wanted_family() -> None:
    lab = Lab()
    lab.add_host("client", "10.0.0.1/24", "fd00:a::1/64")
    lab.add_host("server", "10.0.0.2/24", "fd00:a::2/64")
    assert lab.trace("client", "server", family=6).question["address"] == "fd00:a::2"
    lab.add_host("old", "10.0.0.3/24")
    with pytest.raises(Unavailable, match="old has no IPv6 address"):
        lab.trace("client", "old", family=6)


def test_a_host_without_name_server_is_told_of_the_published_port() -> None:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24")
    run(lab, "web", ports={"80/tcp": 8080})
    verdict, cause, fix = _finding(lab, "client", "web:80")
    assert verdict is Verdict.NAME_NOT_FOUND
    assert cause.endswith("a host's resolver has no container names, and web is a container")
    assert fix == "use the published port node1:8080"
    assert _finding(lab, "client", "node1:web:80") == (
        Verdict.UNREACHABLE,
        "client has no route to 172.17.0.2: only node1 has a route to the network of web",
        "use the published port node1:8080",
    )


def test_an_address_that_left_its_host_untranslated_gets_no_answer() -> None:
    lab = lan(iptables=False)
    run(lab, "app", "alpine", "sleep 1d")
    verdict, cause, fix = _finding(lab, "app", "203.0.113.10:80")
    assert verdict is Verdict.TIMEOUT
    assert cause == (
        "the answer is lost: router has no route to 172.17.0.2, and node1 let that address of app out untranslated"
    )
    assert fix.startswith('set "iptables": true in daemon.json of node1')


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (
            {"network": "app"},
            (
                (
                    "resolv.conf: nameserver 127.0.0.11 (the embedded resolver, which forwards to 203.0.113.10 from "
                    "the host: "
                    "from the host's /etc/resolv.conf)"
                ),
                "resolv.conf: options ndots:0 (from /etc/resolv.conf, and ndots:0 is the engine's own)",
            ),
        ),
        (
            {"dns": ["203.0.113.10"], "dns_search": ["corp.example"]},
            (
                "resolv.conf: nameserver 203.0.113.10 (given by dns)",
                "resolv.conf: search corp.example (given by dns_search)",
            ),
        ),
    ],
)
def test_each_line_of_resolv_conf_is_told_with_where_it_comes_from(
    options: dict[str, Any], facts: tuple[str, ...]
) -> None:
    lab = lan()
    _network(lab, "app")
    run(lab, "app", "alpine", "sleep 1d", **options)
    said = lab.explain("app", "nowhere.example", "tcp/80").facts
    assert tuple(fact for fact in said if fact.startswith("resolv.conf")) == facts


def test_the_engines_default_name_servers_are_told_as_such() -> None:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    run(lab, "app", "alpine", "sleep 1d")
    said = lab.explain("app", "nowhere.example", "tcp/80").facts
    assert "resolv.conf: nameserver 8.8.8.8 (the engine's default, as the host names none that can be used)" in said


HOST_MODE = {
    "services": {
        "web": {"image": "nginx", "network_mode": "host"},
        "app": {"image": "python", "command": "python -m http.server 5000", "network_mode": "host"},
        "db": {"image": "postgres:16", "ports": ["5433:5432"]},
    }
}


@pytest.mark.parametrize(
    ("source", "destination", "cause", "fix"),
    [
        ("app", "db:5432", "app is on no Docker network", "use the published port localhost:5433"),
        ("web", "web:80", "web uses the network stack of host", "use localhost"),
        ("web", "app:5000", "app uses the network stack of host", "use localhost"),
        ("web", "localhost:5432", "db's port 5432 is published as 5433", "use localhost:5433"),
    ],
)
def test_in_host_mode_localhost_is_the_fix(source: str, destination: str, cause: str, fix: str) -> None:
    asked = Lab.from_compose(HOST_MODE).explain(source, destination)
    assert cause in asked.decided_by
    assert [found.text for found in asked.fixes][:1] == [fix]


@pytest.mark.parametrize(
    ("source", "destination", "port", "cause", "fix"),
    [
        ("a", "b:80", "8080:80", "a is on no Docker network", "use the published port localhost:8080"),
        ("a", "b:80", "127.0.0.1:8080:80", "a is on no Docker network", "use the published port localhost:8080"),
        ("a", "b:80", "192.168.50.1:8080:80", "a is on no Docker", "use the published port 192.168.50.1:8080"),
        ("a", "b:80", "[::1]:8080:80", "a is on no Docker network", "use the published port [::1]:8080"),
        ("a", "b:80", "8080:80/udp", "a is on no Docker network", "use 172.18.0.2"),
        ("a", "localhost:80", "127.0.0.1:8080:80", "b's port 80 is published as 8080", "use localhost:8080"),
        ("a", "localhost:80", "192.168.50.1:8080:80", "80 is published as 8080", "use 192.168.50.1:8080"),
        ("a", "localhost:80", "[::1]:8080:80", "b's port 80 is published as 8080", "use [::1]:8080"),
        ("host", "localhost:80", "127.0.0.1:8080:80", "b's port 80 is published as 8080", "use localhost:8080"),
        ("host", "host:80", "127.0.0.1:8080:80", "b's port 80 is published as 8080", "use localhost:8080"),
        (
            "client", "host:80", "127.0.0.1:8080:80",
            "nothing listens on 198.51.100.15:80: port 80 of b is published on 127.0.0.1:8080 only",
            'publish port 80 of b as 80 (ports: "80:80")',
        ),
    ],
)  # fmt: skip
def test_a_port_that_the_host_reaches_by_one_address_or_protocol(
    source: str, destination: str, port: str, cause: str, fix: str
) -> None:
    sleeping = {"image": "alpine", "command": "sleep 1d", "network_mode": "host"}
    lab = Lab.from_compose({"services": {"a": sleeping, "b": {"image": "nginx", "ports": [port]}}})
    asked = lab.explain(source, destination)
    assert cause in asked.decided_by
    assert "does not publish" not in asked.decided_by
    assert "localhost:8080" not in str(asked) or "localhost:8080" in fix
    assert [found.text for found in asked.fixes][:1] == [fix]
