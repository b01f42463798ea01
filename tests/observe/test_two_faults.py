"""Fixes of two and three independent faults: no change helps alone, all together do, as tried on a fork."""

from __future__ import annotations

import pytest

from cnmsim import Lab

_APART_AND_LOOPBACK = """\
services:
  web: {image: "python:3.12", command: python -m http.server 8000 -b 127.0.0.1, networks: [front]}
  api: {image: alpine, command: sleep 1d, networks: [back]}
networks: {front: {}, back: {}}
"""
_NO_NETWORK_AND_LOOPBACK = """\
services:
  web: {image: nginx, network_mode: none}
  api: {image: "python:3.12", command: python -m http.server 8000 -b 127.0.0.1, networks: [back]}
networks: {back: {}}
"""
_THREE = """\
services:
  web: {image: nginx, networks: [front], extra_hosts: ["api:10.9.9.9"]}
  api: {image: "python:3.12", command: python -m http.server 8000 -b 127.0.0.1, networks: [back]}
networks: {front: {}, back: {}}
"""
_LOOPBACK_AND_OTHER_PORT = """\
services:
  web: {image: nginx, ports: ["127.0.0.1:8080:8081"]}
"""
_ENDED = """\
services:
  web: {image: nginx, networks: [front]}
  api: {image: alpine, command: "true", networks: [back]}
networks: {front: {}, back: {}}
"""
_BIND = "bind the program in {} to 0.0.0.0 instead of 127.0.0.1"


@pytest.mark.parametrize(
    ("text", "source", "destination", "fix"),
    [
        (_APART_AND_LOOPBACK, "api", "web:8000", f"add network front to service api; {_BIND.format('web')}"),
        (
            _NO_NETWORK_AND_LOOPBACK,
            "web",
            "api:8000",
            f"remove network_mode from service web; add network back to service web; {_BIND.format('api')}",
        ),
        (
            _THREE,
            "web",
            "api:8000",
            "remove that name from the extra_hosts of service web; add network back to service web; "
            + _BIND.format("api"),
        ),
        (_LOOPBACK_AND_OTHER_PORT, "client", "host:8080", 'publish port 80 of web as 8080 (ports: "8080:80")'),
    ],
)
def test_changes_that_help_only_together_are_one_fix(text: str, source: str, destination: str, fix: str) -> None:
    explanation = Lab.from_compose(text).explain(source, destination)
    found = explanation.fixes[0]
    assert found.was_tried
    assert found.text == fix
    assert found.apply().reachable
    assert f"\nfix: {fix}" in "\n".join(explanation.parts(1000))
    assert explanation.to_json()["fix"] == explanation.trace.to_json()["fix"] == fix
    assert f"\nfix: {fix}" in explanation.trace.summary(1000)


def test_a_fault_that_no_change_mends_has_advice() -> None:
    """The container is started again, and ends again: only its logs tell why."""
    explanation = Lab.from_compose(_ENDED).explain("web", "api:80")
    assert not explanation.fixes
    assert "\nadvice (not tried): see in the logs of api why it ended\n" in str(explanation)


def test_two_rules_that_drop_one_after_the_other_are_one_fix() -> None:
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.20/24")
    node.docker.containers.run("nginx", name="web", ports={"80/tcp": 8080}, detach=True)
    node.exec("iptables -t raw -I PREROUTING -p tcp --dport 8080 -j DROP")
    node.exec("iptables -I DOCKER-USER -j DROP")
    (fix,) = lab.explain("client", "node1:8080").fixes
    assert fix.commands == (
        "node1$ iptables -t raw -D PREROUTING -p tcp -m tcp --dport 8080 -j DROP",
        "node1$ iptables -t filter -D DOCKER-USER -j DROP",
    )
