"""Fixes are changes that were seen to work on a copy; the lab itself stays as it is."""

from __future__ import annotations

from typing import Any

import pytest
from house import lan, run

from cnmsim import Lab
from cnmsim.observe.diagnosis.verdict import Verdict


def _run(lab: Lab, name: str, image: str = "nginx", command: str | None = None, **options: Any) -> None:
    engine = lab.host("node1").docker
    network = options.get("network")
    if network and network not in {"none", "host"} and not engine.networks.list([network]):
        engine.networks.create(network, **options.pop("made", {}))
    run(lab, name, image, command, **options)


def _loopback(lab: Lab) -> tuple[str, ...]:
    _run(lab, "web", command="httpd -f -p 127.0.0.1:8000", network="app")
    _run(lab, "ask", "alpine", "sleep 1d", network="app")
    return "ask", "web", "tcp/8000"


def _apart(lab: Lab) -> tuple[str, ...]:
    _run(lab, "db", "postgres", network="back", made={"internal": True})
    _run(lab, "ask", "alpine", "sleep 1d", network="front")
    return "ask", "db", "tcp/5432"


def _for_the_host_alone(lab: Lab) -> tuple[str, ...]:
    _run(lab, "web", ports={"80/tcp": ("127.0.0.1", 8080)})
    return "client", "node1", "tcp/8080"


def _wrong_container_port(lab: Lab) -> tuple[str, ...]:
    _run(lab, "web", ports={"8000/tcp": 8080})
    return "client", "node1", "tcp/8080"


def _not_published(lab: Lab) -> tuple[str, ...]:
    _run(lab, "web")
    return "client", "172.17.0.2", "tcp/80"


def _default_bridge(lab: Lab) -> tuple[str, ...]:
    _run(lab, "web")
    _run(lab, "ask", "alpine", "sleep 1d")
    return "ask", "web", "tcp/80"


def _on_none(lab: Lab) -> tuple[str, ...]:
    _run(lab, "ask", "alpine", "sleep 1d", network="none")
    return "ask", "203.0.113.10", "tcp/80"


def _no_icc(lab: Lab) -> tuple[str, ...]:
    _run(lab, "web", network="quiet", made={"options": {"com.docker.network.bridge.enable_icc": "false"}})
    _run(lab, "ask", "alpine", "sleep 1d", network="quiet")
    return "ask", "web", "tcp/80"


def _internal(lab: Lab) -> tuple[str, ...]:
    _run(lab, "ask", "alpine", "sleep 1d", network="back", made={"internal": True})
    return "ask", "203.0.113.10", "tcp/80"


def _localhost(lab: Lab) -> tuple[str, ...]:
    _run(lab, "web")
    _run(lab, "ask", "alpine", "sleep 1d", network="front")
    return "ask", "localhost", "tcp/80"


def _operators_rule(lab: Lab) -> tuple[str, ...]:
    _run(lab, "ask", "alpine", "sleep 1d")
    lab.host("node1").iptables("-I DOCKER-USER -d 203.0.113.0/24 -j DROP")
    return "ask", "203.0.113.10", "tcp/80"


def _host_firewall(lab: Lab) -> tuple[str, ...]:
    _run(lab, "ask", "alpine", "sleep 1d")
    lab.host("node1").start("nc -lk -p 7000")
    lab.host("node1").iptables("-A INPUT -i docker0 -p tcp --dport 7000 -j DROP")
    return "ask", "172.17.0.1", "tcp/7000"


def _no_forwarding(lab: Lab) -> tuple[str, ...]:
    _run(lab, "ask", "alpine", "sleep 1d")
    lab.host("node1").exec("sysctl -w net.ipv4.ip_forward=0")
    return "ask", "203.0.113.10", "icmp"


def _other_port(lab: Lab) -> tuple[str, ...]:
    _run(lab, "web", network="app")
    _run(lab, "ask", "alpine", "sleep 1d", network="app")
    return "ask", "web", "tcp/8080"


def _stopped(lab: Lab) -> tuple[str, ...]:
    _run(lab, "web", network="app")
    _run(lab, "ask", "alpine", "sleep 1d", network="app")
    lab.container("web").stop()
    return "ask", "web", "tcp/80"


@pytest.mark.parametrize(
    ("make", "commands"),
    [
        (_loopback, ("docker rm -f web; docker run … --name web (its program told to listen on 0.0.0.0) …",)),
        (_apart, ("docker network connect back ask",)),
        (_for_the_host_alone, ("docker rm -f web; docker run … --name web -p 8080:80 …",)),
        (_wrong_container_port, ("docker rm -f web; docker run … --name web -p 8080:80 …",)),
        (_not_published, ("docker rm -f web; docker run … --name web -p 80:80 …",)),
        (
            _default_bridge,
            ("docker network create app", "docker network connect app web", "docker network connect app ask"),
        ),
        (_on_none, ("docker rm -f ask; docker run … --name ask --network bridge …",)),
        (
            _no_icc,
            ("docker network rm quiet; docker network create … -o com.docker.network.bridge.enable_icc=true quiet",),
        ),
        (_internal, ("docker network create outside", "docker network connect outside ask")),
        (
            _localhost,
            ("docker network create app", "docker network connect app web", "docker network connect app ask"),
        ),
        (_operators_rule, ("iptables -t filter -D DOCKER-USER -d 203.0.113.0/24 -j DROP",)),
        (_host_firewall, ("iptables -I INPUT -i docker0 -p tcp --dport 7000 -j ACCEPT",)),
        (_no_forwarding, ("sysctl -w net.ipv4.ip_forward=1",)),
        (_other_port, ()),
        (_stopped, ("docker start web",)),
    ],
)
def test_a_fix_works_in_a_copy_and_then_in_the_lab_itself(make: Any, commands: tuple[str, ...]) -> None:
    lab = lan()
    question = make(lab)
    answer = lab.explain(*question)
    assert not answer.reachable
    fix = answer.fixes[0]
    assert tuple(command.partition("$ ")[2] or command for command in fix.commands) == commands
    assert fix.apply().verdict is Verdict.ANSWERED
    assert lab.explain(*question).verdict is answer.verdict, "the lab is as it was"
    assert fix.apply(lab).verdict is Verdict.ANSWERED
    asked = fix.question
    assert lab.explain(asked.source, asked.destination, asked.service).reachable


def test_what_is_reachable_needs_no_fix() -> None:
    lab = lan()
    _run(lab, "web", ports={"80/tcp": 8080})
    assert lab.explain("client", "node1", "tcp/8080").fixes == ()


def test_what_cannot_be_put_right_by_what_is_known_here_has_no_fix() -> None:
    lab = lan()
    answer = lab.explain("client", "203.0.113.77", "tcp/80")
    assert not answer.reachable
    assert answer.fixes == ()


def test_what_would_not_help_is_not_offered() -> None:
    lab = lan()
    _run(lab, "once", "alpine", "true", network="app")
    _run(lab, "ask", "alpine", "sleep 1d", network="app")
    answer = lab.explain("ask", "once", "tcp/80")
    assert answer.advice == "docker start once, or see in the logs of once why it ended"
    assert answer.fixes == (), "once ends again as soon as it is started"


def test_docker_s_own_rules_are_not_deleted() -> None:
    lab = lan()
    _run(lab, "web", ports={"80/tcp": 8080})
    answer = lab.explain("client", "172.17.0.2", "tcp/80")
    assert [fix.question.destination for fix in answer.fixes] == ["node1"]
    assert not any("-D" in command for fix in answer.fixes for command in fix.commands)


def test_trace_and_explain_show_one_fix() -> None:
    lab = Lab.from_compose({"services": {"web": {"image": "nginx"}}})
    shown = {lab.trace("client", "host:80").fix_text(), lab.explain("client", "host:80").trace.fix_text()}
    assert len(shown) == 1
    ((label, text),) = shown
    assert (label, text.splitlines()[0]) == ("fix", 'publish port 80 of web as 80 (ports: "80:80")')
