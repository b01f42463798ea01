"""What a lab shows of sandboxes that belong to no container, and what takes sandboxes and endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Lab, cnm
from cnmsim.errors import CnmsimError, InvalidParameter, NotFound, Unavailable
from cnmsim.observe.diagnosis.verdict import Verdict


@pytest.fixture(scope="module")
def lab() -> Lab:
    """Sandbox a on network A, b on A and B (internal), d on B; b serves port 80, published as 8080."""
    lab = Lab()
    controller = lab.controller()
    lab.add_host("client", "10.0.0.50/24")
    networks = {
        "A": controller.new_network("A", subnet="172.20.0.0/16"),
        "B": controller.new_network("B", subnet="172.21.0.0/16", internal=True),
    }
    for name, joins, ports in (("a", "A", []), ("b", "AB", ["8080:80/tcp"]), ("d", "B", [])):
        sandbox = controller.new_sandbox(name, port_bindings=ports)
        for network in joins:
            networks[network].create_endpoint(name, aliases=[name]).join(sandbox)
    lab.sandbox("b").start("httpd -f -p 80")
    return lab


def endpoint(lab: Lab, network: str, name: str) -> cnm.Endpoint:
    found = lab.controller().network_by_name(network).endpoint_by_name(name)
    assert found is not None
    return found


def test_a_trace_goes_between_objects_and_names(lab: Lab) -> None:
    a, b = lab.sandbox("a"), lab.sandbox("b")
    for source, destination in (
        (a, b), (a, endpoint(lab, "A", "b")), ("a", "b:80"), (a, "b:80"), (endpoint(lab, "A", "a"), b),
        ("client", "node1:8080"), ("node1", a),
    ):  # fmt: skip
        assert lab.trace(source, destination).verdict is Verdict.ANSWERED
    assert lab.trace(a, endpoint(lab, "B", "d")).verdict is Verdict.TIMEOUT
    assert lab.trace("client", b).verdict is Verdict.UNREACHABLE


def test_an_explanation_names_the_model(lab: Lab) -> None:
    text = str(lab.explain("a", "d", "tcp/80"))
    assert "the two share no network (a is on A, d on B)" in text
    assert "fact: a is on A 172.20.0.2" in text
    assert "docker network connect" not in text
    explanation = lab.explain("a", endpoint(lab, "B", "d"))
    assert not explanation and "DOCKER-INTERNAL" in explanation.decided_by
    assert "create_endpoint" in explanation.advice
    fixes = explanation.fixes
    assert fixes and fixes[0].apply().reachable
    assert not explanation.trace.is_reachable and not lab.trace("a", "172.21.0.3").is_reachable


@pytest.mark.parametrize("names", ["ab", "ad", "ba", "bd", "da", "db"])
def test_a_trace_and_an_explanation_of_objects_use_the_address(lab: Lab, names: str) -> None:
    source, destination = map(lab.sandbox, names)
    explanation = lab.explain(source, destination)
    assert explanation.trace.verdict is lab.trace(source, destination).verdict
    assert explanation.reachable is ("b" in names)


def test_everything_that_shows_a_lab_shows_its_sandboxes(lab: Lab) -> None:
    reachable = lab.reachability()
    assert "b:80" in str(reachable) and "\nd " in str(reachable)
    assert lab.lookup(lab.sandbox("a"), "b").addresses == ("172.20.0.3",)
    assert "172.20.0.0/16 dev eth0" in str(lab.routes(endpoint(lab, "A", "a")))
    assert "DOCKER_OUTPUT" in str(lab.rules(lab.sandbox("a"), "nat"))
    graph = lab.to_networkx()
    assert graph.nodes["node1/b"]["kind"] == "sandbox"
    assert set(graph["node1/b"]) == {"node1/A", "node1/B"}
    assert 'n3("a")' in lab.to_mermaid() or '("a")' in lab.to_mermaid()
    assert ">b<" in str(lab.draw()._repr_mimebundle_())
    assert str(lab.doctor()).strip()
    assert "sandboxes" in lab.host("node1")._repr_html_()


def test_a_capture_starts_at_sandboxes_and_endpoints(lab: Lab) -> None:
    a = lab.sandbox("a")
    with lab.capture(endpoint(lab, "A", "b")) as near, lab.capture(endpoint(lab, "B", "b")) as far:
        a.exec("ping -c 1 b")
    with lab.capture(a) as all_devices:
        a.exec("ping -c 1 b")
    assert len(near) >= 2 and len(all_devices) >= 2
    assert len(far) == 0


def test_packets_are_sent_from_sandboxes(lab: Lab) -> None:
    scapy = pytest.importorskip("scapy.layers.inet")
    answer = lab.sandbox("a").ask(scapy.IP(dst="172.20.0.3") / scapy.ICMP())
    assert answer is not None and answer[scapy.IP].src == "172.20.0.3"


def test_a_fork_has_the_sandboxes_and_leaves_the_lab_alone(lab: Lab) -> None:
    fork = lab.fork()
    assert fork.trace("a", "b:80").is_reachable
    fork.sandbox("a").delete()
    assert lab.sandbox("a").exec("ping -c 1 b").succeeded


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda lab: lab.trace(5, "b"), InvalidParameter, "5 is no place"),
        (lambda lab: lab.trace("a", 5), InvalidParameter, "5 is a port, not a destination"),
        (lambda lab: lab.capture(5), InvalidParameter, "5 is no place to capture at"),
        (lambda lab: lab.sandbox("q"), NotFound, "No such sandbox: q"),
        (lambda lab: lab.explain("q", "a"), NotFound, "there are: a, b, client, d, node1"),
        (lambda lab: lab.controller("node1", "10.0.0.9/24"), InvalidParameter, "host node1 exists"),
        (lambda lab: lab.controller(config={"frob": 1}), InvalidParameter, "host node1 has a controller"),
        (lambda lab: lab.controller("n9", "10.0.0"), InvalidParameter, "n9"),
        (lambda lab: lab.controller("n9", config={"frob": 1}), InvalidParameter, "frob"),
        (lambda lab: lab.host("node1").power_off(), Unavailable, "runs libnetwork without an engine"),
    ],
)
def test_wrong_input_is_answered_by_a_sentence(lab: Lab, call: Any, kind: type[CnmsimError], text: str) -> None:
    with pytest.raises(kind, match=text):
        call(lab)
    assert list(lab.hosts) == ["node1", "client"]


def test_an_endpoint_that_has_joined_nothing_is_no_place() -> None:
    lab = Lab()
    lone = lab.controller().new_network("A").create_endpoint("x")
    for call in (lambda: lab.trace(lone, "node1"), lambda: lab.capture(lone)):
        with pytest.raises(Unavailable, match="has joined no sandbox"):
            call()


def test_objects_of_another_lab_are_refused(lab: Lab) -> None:
    other = Lab()
    stranger = other.controller().new_network("A").create_endpoint("a")
    stranger.join(other.controller().new_sandbox("a"))
    for foreign in (stranger, stranger.sandbox, other.host("node1")):
        with pytest.raises(InvalidParameter, match="belongs to another lab"):
            lab.trace(foreign, "b")
        with pytest.raises(InvalidParameter, match="belongs to another lab"):
            lab.explain("b", foreign)
