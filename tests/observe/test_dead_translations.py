"""Rules that send packets to an address which nothing has, and the matches of the rules that drop packets."""

from __future__ import annotations

from pathlib import Path

from cnmsim import Lab

_LAB = """\
hosts:
  node1:
    addresses: [10.0.0.15/24]
    docker: true
    compose:
      services: {web: {image: nginx, ports: ["8080:80"]}}
    run:
      - RULE
  client: {addresses: [10.0.0.50/24]}
"""


def _lab(folder: Path, rule: str) -> Lab:
    path = folder / "lab.yml"
    path.write_text(_LAB.replace("RULE", rule), encoding="utf-8")
    return Lab.from_file(path)


def test_a_translation_to_a_container_that_is_gone_is_the_cause(tmp_path: Path) -> None:
    lab = _lab(tmp_path, "iptables -t nat -I PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 172.18.0.77:80")
    found = lab.explain("client", "node1:8080")
    assert "and no machine or container has the address 172.18.0.77" in found.decided_by
    (fix,) = found.fixes
    assert "PREROUTING" in fix.text
    assert fix.apply().reachable


def test_the_answer_says_what_the_rule_of_an_operator_matches(tmp_path: Path) -> None:
    rule = "iptables -I DOCKER-USER -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -m comment --comment 'no web' -j DROP"
    text = str(_lab(tmp_path, rule).trace("client", "node1:8080").summary())
    assert "rule 1 of filter DOCKER-USER (DROP -s 10.0.0.0/8 -p tcp --dport 80)" in " ".join(text.split())


def test_long_matches_are_left_out(tmp_path: Path) -> None:
    rule = (
        "iptables -I DOCKER-USER -p tcp -m multiport --dports 80,81,82,83,84,85,86 -m conntrack --ctstate NEW -j DROP"
    )
    text = str(_lab(tmp_path, rule).trace("client", "node1:8080").summary())
    assert "rule 1 of filter DOCKER-USER (DROP)" in " ".join(text.split())
