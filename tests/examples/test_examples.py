"""Every example runs, and says what its comments promise."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from cnmsim import Lab
from cnmsim.observe.diagnosis.verdict import Verdict

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def labs() -> dict[str, Lab]:
    return {name: Lab.from_compose(EXAMPLES / name) for name in ("voting-app", "shop", "mistakes")}


@pytest.mark.parametrize(
    ("name", "source", "destination", "verdict", "words"),
    [
        ("voting-app", "vote", "redis:6379", Verdict.ANSWERED, ()),
        ("voting-app", "vote", "db:5432", Verdict.NAME_NOT_FOUND, ("vote is on front", "db on back")),
        ("voting-app", "worker", "db:5432", Verdict.ANSWERED, ()),
        ("voting-app", "client", "host:8080", Verdict.ANSWERED, ()),
        ("voting-app", "client", "host:8081", Verdict.ANSWERED, ()),
        ("voting-app", "result", "www.example.com:80", Verdict.ANSWERED, ()),
        ("shop", "client", "host:80", Verdict.ANSWERED, ()),
        ("shop", "proxy", "backend:5000", Verdict.ANSWERED, ()),
        ("shop", "app", "db:5432", Verdict.ANSWERED, ()),
        ("shop", "proxy", "db:5432", Verdict.NAME_NOT_FOUND, ("proxy is on edge", "db on back")),
        ("shop", "db", "203.0.113.10:80", Verdict.UNREACHABLE, ("internal",)),
        ("mistakes", "web", "db:5432", Verdict.NAME_NOT_FOUND, ("web is on pages", "db on data")),
        ("mistakes", "web", "admin:8000", Verdict.REFUSED, ("127.0.0.1:8000",)),
        ("mistakes", "worker", "203.0.113.10:80", Verdict.UNREACHABLE, ("internal",)),
        ("mistakes", "client", "host:9000", Verdict.REFUSED, ("published on 127.0.0.1 only",)),
        ("mistakes", "client", "host:8080", Verdict.REFUSED, (":8000; it listens on 80/tcp",)),
        ("mistakes", "web", "localhost:6379", Verdict.REFUSED, ("localhost inside web is web itself",)),
    ],
)
def test_a_compose_example_answers_as_its_comments_say(
    labs: dict[str, Lab], name: str, source: str, destination: str, verdict: Verdict, words: tuple[str, ...]
) -> None:
    walk = labs[name].trace(source, destination)
    assert walk.verdict is verdict, str(walk)
    said = str(walk.finding)
    assert all(word in said for word in words), said


def test_the_single_host_lab() -> None:
    lab = Lab.from_file(EXAMPLES / "labs" / "single.yml")
    assert "Welcome to nginx!" in lab.host("client").curl("http://10.0.0.15:8080/").output
    assert lab.trace("web", "www.example.com:80").is_reachable
    assert not lab.trace("web", "db:5432").is_reachable


def test_the_lab_of_two_sites() -> None:
    lab = Lab.from_file(EXAMPLES / "labs" / "two-sites.yml")
    walk = lab.trace("job", "web.east.example:80")
    assert walk.is_reachable, str(walk)
    assert lab.host("west").ping("172.31.1.5").output.count("ttl=62") == 1


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("first_steps", ("Welcome to nginx!", "answered")),
        (
            "firewall",
            ("INPUT closed:       answered", "DOCKER-USER closed: timeout", "-A DOCKER-USER -s 10.0.0.50/32 -j DROP"),
        ),
        ("published_port", ("172.17.0.2:80", "RemoteAddr: 10.0.0.50:", "-j DNAT --to-destination")),
        ("segmentation", ("segmentation holds",)),
        (
            "send_packets",
            (
                "port 22: refused",
                "port 8080: answered",
                "DNAT to 172.17.0.2 80",
                "forged: delivered",
                "path: 198.51.100.1 > 10.0.0.15",
                "says 10.0.0.15",
            ),
        ),
        (
            "topologies",
            (
                "loops: 2",
                "Welcome to nginx!",
                "h1-1 > leaf1 > spine1 > leaf2 > h2-1",
                "ping: False",
                "around:   h1-1 > leaf1 > spine2 > leaf2 > h2-1",
            ),
        ),
        (
            "two_vlans",
            (
                "Welcome to nginx!",
                "eth0.200@eth0",
                "by: mactainer1, node1, router, database",
                "a macvlan child of node1's eth0.100",
                "duplicate-address, noticed by laptop",
                "both claim 10.0.0.66",
            ),
        ),
    ],
)
def test_a_script_runs_and_prints_its_point(
    script: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(EXAMPLES / "scripts" / f"{script}.py"))
    printed = capsys.readouterr().out
    assert all(word in printed for word in words), printed
