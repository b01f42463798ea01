"""Ports of containers on internal networks, and what `localhost` means on each machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnmsim import Lab, NotFound

_FILE = """
name: shop
services:
  web: {image: nginx, networks: [data], ports: ["8080:80"]}
  api: {image: nginx, networks: [data, front], ports: ["8081:80"]}
  app: {image: alpine, command: sleep 1d, networks: [data, front]}
networks: {data: {internal: true}, front: }
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    path: Path = tmp_path_factory.mktemp("shop") / "compose.yml"
    path.write_text(_FILE, encoding="utf-8")
    return Lab.from_compose(path)


def test_a_port_on_internal_networks_only_is_the_cause_and_another_network_the_fix(lab: Lab) -> None:
    explanation = lab.explain("client", "host:8080")
    assert "web requests that port, but is on internal networks only (data)" in explanation.decided_by
    fix = explanation.fixes[0]
    assert fix.text == "add network front to service web"
    assert "+  web: {image: nginx, networks: [data, front]" in fix.edits[0].diff


def test_the_doctor_finds_ports_that_are_not_published(lab: Lab) -> None:
    faults = [fault for fault in lab.doctor().faults if fault.kind == "published-on-internal"]
    assert [fault.place for fault in faults] == ["host: container web"]
    assert "port 8080 is not published" in faults[0].text


@pytest.mark.parametrize("source", ["localhost", "host"])
def test_the_docker_host_is_localhost_and_host(lab: Lab, source: str) -> None:
    assert lab.explain(source, "localhost:8081")


def test_localhost_on_another_machine_names_the_one_that_publishes(lab: Lab) -> None:
    explanation = lab.explain("client", "localhost:8081")
    assert explanation.decided_by == (
        "localhost on client is client itself, where nothing listens on port 8081; host publishes it"
    )
    assert explanation.advice == "use host:8081"
    assert explanation.fixes[0].question.destination == "host"


def test_localhost_in_a_container_names_the_service_that_publishes(lab: Lab) -> None:
    explanation = lab.explain("app", "localhost:8081")
    assert "localhost inside app is app itself" in explanation.decided_by
    assert explanation.advice == "use api:80"


def test_a_service_of_an_inactive_profile_is_named_with_the_option() -> None:
    project = {"services": {"app": {"image": "nginx"}, "adminer": {"image": "adminer", "profiles": ["tools"]}}}
    lab = Lab.from_compose(project)
    explanation = lab.explain("app", "adminer:8080")
    assert "service adminer is not started: its profile tools is not active" in explanation.decided_by
    assert explanation.advice == "activate the profile (--profile tools)"
    with pytest.raises(NotFound, match="its profile tools is not active"):
        lab.explain("adminer", "app:80")


@pytest.mark.parametrize(("others", "advice"), [("", "use host:9696"), ("  db: {image: postgres}\n", "")])
def test_a_published_port_is_proposed_only_where_no_other_program_can_be_meant(others: str, advice: str) -> None:
    lab = Lab.from_compose('services:\n  web: {image: linuxserver/prowlarr, ports: ["9696:9696"]}\n' + others)
    explanation = lab.explain("client", "host:9000")
    assert "published there: 9696 (web)" in explanation.decided_by
    assert [str(fix.question.destination) for fix in explanation.fixes] == (["host"] if advice else [])
    assert explanation.advice.startswith(advice or "use a published port")
