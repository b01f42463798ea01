"""The host `internet` of a Compose project answers for every public name and address, as an assumption."""

from __future__ import annotations

import pytest

from cnmsim import Lab
from cnmsim.observe import Verdict
from cnmsim.underlay.nameserver import is_public_name

_PROJECT = {
    "services": {
        "web": {"image": "nginx"},
        "worker": {"image": "alpine", "command": "sleep 1d", "networks": ["inner"]},
    },
    "networks": {"inner": {"internal": True}},
}


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab.from_compose(_PROJECT)


@pytest.mark.parametrize(
    ("destination", "verdict", "assumption"),
    [
        ("github.com:443", Verdict.ANSWERED, "github.com exists and answers"),
        ("https://API.stripe.com/v1", Verdict.ANSWERED, "api.stripe.com exists"),
        ("8.8.8.8", Verdict.ANSWERED, "8.8.8.8 exists"),
        ("8.8.8.8:53/udp", Verdict.ANSWERED, "8.8.8.8 exists"),
        ("1.2.3.4:123/udp", Verdict.DELIVERED, "1.2.3.4 exists"),
        ("www.example.com:80", Verdict.ANSWERED, ""),
        ("192.168.77.9:80", Verdict.UNREACHABLE, ""),
        ("dbb:80", Verdict.NAME_NOT_FOUND, ""),
        ("db.internal:80", Verdict.NAME_NOT_FOUND, ""),
    ],
)
def test_what_is_public_answers_and_the_verdict_names_the_assumption(
    lab: Lab, destination: str, verdict: Verdict, assumption: str
) -> None:
    found = lab.trace("web", destination).finding
    assert found is not None
    assert found.verdict is verdict
    assert assumption.lower() in " ".join(found.assumption_texts).lower()
    assert bool(found.assumptions) is bool(assumption)


def test_the_path_ends_at_the_internet_without_its_redirection(lab: Lab) -> None:
    summary = lab.trace("web", "github.com:443").summary()
    assert "path: web → host → router → internet\n" in summary
    assert "REDIRECT" not in summary


def test_an_internal_network_does_not_reach_it(lab: Lab) -> None:
    assert not lab.trace("worker", "github.com:443")
    assert not lab.trace("worker", "8.8.8.8:443")


def test_offline_nothing_public_answers() -> None:
    lab = Lab.from_compose(_PROJECT, offline=True)
    assert lab.trace("web", "github.com:443").verdict is Verdict.NAME_NOT_FOUND
    assert lab.trace("web", "8.8.8.8:443").verdict is Verdict.UNREACHABLE
    assert lab.trace("web", "www.example.com:80")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("github.com", True), ("ghcr.io.", True), ("A.B.DEV", True), ("com", False), ("db", False),
        ("db.local", False),
        ("db.shop_default", False), ("printer.lan", False), ("-a.com", False), ("a..com", False), ("1.2.3.4", False),
    ],
)  # fmt: skip
def test_a_public_name_has_a_public_top_level_domain(name: str, expected: bool) -> None:
    assert is_public_name(name) is expected
