"""Whole walks on real engines, as they are printed; what is drawn at random is written as x."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnmsim import Lab

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def lab() -> Lab:
    lab = Lab(nameserver="203.0.113.10")
    node1 = lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
    lab.add_host("client", "10.0.0.50/24", gateway="10.0.0.1")
    lab.add_router("router", "10.0.0.1/24", "203.0.113.1/24")
    lab.add_host("server", "203.0.113.10/24", gateway="203.0.113.1", names={"www.example.com": "203.0.113.10"})
    engine = node1.docker
    engine.networks.create("front")
    engine.networks.create("back", internal=True)
    engine.containers.run("nginx", name="web", network="front", ports={"80/tcp": 8080}, detach=True)
    engine.containers.run("postgres", name="db", network="back", detach=True)
    lab.settle()
    return lab


def _without_chance(text: str) -> str:
    text = re.sub(r"\bbr-[0-9a-f]{12}\b", "br-xxxxxxxxxxxx", text)
    text = re.sub(r"\bveth[0-9a-f]{7}\b", "vethxxxxxxx", text)
    text = re.sub(r"(?<=:)[3-6]\d{4}\b", "xxxxx", text)
    return re.sub(r"pid \d+", lambda found: "pid " + "x" * (len(found[0]) - 4), text)


@pytest.mark.parametrize(
    ("name", "source", "destination"),
    [
        ("published-port", "client", "node1:8080"),
        ("out-through-nat", "web", "server"),
        ("networks-apart", "web", "node1:db:5432"),
        ("no-such-name", "web", "db:5432"),
        ("internal", "db", "203.0.113.10:80"),
    ],
)
def test_a_walk_is_printed_as_the_golden_text(lab: Lab, name: str, source: str, destination: str) -> None:
    text = _without_chance(lab.trace(source, destination).text())
    assert text + "\n" == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
