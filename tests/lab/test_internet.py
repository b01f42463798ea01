"""The host `internet` of a Compose project answers for every public name and address, as an assumption."""

from __future__ import annotations

import re

import pytest

from cnmsim import Lab
from cnmsim.observe.diagnosis.verdict import Verdict
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


@pytest.fixture(scope="module")
def dual() -> Lab:
    """A project with and without IPv6 on its networks, and a card with a name of its own."""
    lan = {
        "driver": "macvlan",
        "driver_opts": {"parent": "enp3s0"},
        "ipam": {"config": [{"subnet": "192.168.1.0/24"}]},
    }
    services = {
        "six": {"image": "nginx", "networks": ["new"], "ports": ["8080:80"]},
        "four": {"image": "nginx", "networks": ["old"]},
        "lan": {"image": "nginx", "networks": ["lan"]},
    }
    return Lab.from_compose(
        {"services": services, "networks": {"new": {"enable_ipv6": True}, "old": None, "lan": lan}}
    )


@pytest.mark.parametrize(
    ("source", "destination", "family", "verdict"),
    [
        ("six", "github.com:443", 6, Verdict.ANSWERED),
        ("six", "[2606:4700:4700::1111]:53/udp", 0, Verdict.ANSWERED),
        ("six", "2606:4700:4700::1111", 0, Verdict.ANSWERED),
        ("client", "github.com:443", 6, Verdict.ANSWERED),
        ("four", "github.com:443", 6, Verdict.UNREACHABLE),
        ("four", "github.com:443", 0, Verdict.ANSWERED),
        ("six", "[fd99::1]:443", 0, Verdict.UNREACHABLE),
        ("client", "host:8080", 6, Verdict.ANSWERED),
    ],
)
def test_public_ipv6_answers_where_a_network_has_ipv6(
    dual: Lab, source: str, destination: str, family: int, verdict: Verdict
) -> None:
    assert dual.trace(source, destination, family=family).verdict is verdict


def test_a_name_without_an_address_of_the_ip_version_is_known(dual: Lab) -> None:
    explanation = dual.explain("six", "www.example.com:80", family=6)
    assert "the name exists, but has no address of that IP version" in explanation.decided_by


def test_machines_on_the_lan_take_no_address_that_the_engine_gives_out_first(dual: Lab) -> None:
    assert dual.doctor().of("duplicate-address") == ()
    shown = " ".join(host.exec("ip -br -4 address").output for host in dual.hosts.values())
    assert sorted(re.findall(r"192\.168\.1\.\d+", shown)) == ["192.168.1.252", "192.168.1.253", "192.168.1.254"]


def test_offline_nothing_public_answers() -> None:
    lab = Lab.from_compose(_PROJECT, offline=True)
    assert lab.trace("web", "github.com:443").verdict is Verdict.NAME_NOT_FOUND
    assert lab.trace("web", "8.8.8.8:443").verdict is Verdict.UNREACHABLE
    assert lab.trace("web", "www.example.com:80")
    for destination in ("github.com:443", "8.8.8.8:443"):
        assert "leave out --offline" in lab.trace("web", destination).summary()
    assert "--offline" not in lab.trace("web", "172.31.9.9:80").summary()


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
