"""Sentences about a Compose project use the names of its file."""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.observe.diagnosis.file_names import names_of, renamed
from cnmsim.observe.inventory import inventory_text
from cnmsim.observe.trace.tracer import directory_of
from cnmsim.testing.policy import check_policy

_FILE = """
name: 2internal
services:
  app: {image: nginx, networks: [pages]}
  own: {image: nginx, container_name: mine, networks: [pages]}
  client: {image: nginx, networks: [pages]}
  many: {image: nginx, networks: [pages], deploy: {replicas: 2}}
  db: {image: redis, networks: [data]}
networks: {pages: , data: {internal: true}, other: {name: plain}}
"""


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab.from_compose(_FILE)


def test_containers_and_networks_have_the_names_of_the_file(lab: Lab) -> None:
    assert names_of(directory_of(lab)) == {
        "2internal-app-1": "app",
        "2internal-client-1": "client",
        "2internal-db-1": "db",
        "2internal-many-1": "many-1",
        "2internal-many-2": "many-2",
        "2internal_data": "data",
        "2internal_pages": "pages",
        "mine": "mine",
    }


@pytest.mark.parametrize("destination", ["db:6379", "mine:81", "www.example.com:80", "client:9", "nothing:1"])
def test_no_sentence_contains_a_name_that_is_not_in_the_file(lab: Lab, destination: str) -> None:
    explanation = lab.explain("app", destination)
    texts = [str(explanation), explanation.trace.summary(), *(fix.text for fix in explanation.fixes)]
    assert [text for text in texts if "2internal" in text] == []


def test_names_of_two_projects_that_are_the_same_stay_those_of_the_engine() -> None:
    lab = Lab()
    for name, address in (("one", "10.0.0.1/24"), ("two", "10.0.0.2/24")):
        lab.add_host(name, address, docker=True)
        lab.up({"services": {"web": {"image": "nginx"}, name: {"image": "nginx"}}}, host=name, project=f"p{name}")
    assert set(names_of(directory_of(lab)).values()) == set()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a-b-1", "b"),
        ("a-b-1 eth0", "b eth0"),
        ("-A FORWARD -j a-b-1", "-A FORWARD -j a-b-1"),
        (("x", "a-b-1"), ("x", "b")),
        (7, 7),
    ],
)
def test_only_whole_names_are_replaced(value: Any, expected: Any) -> None:
    assert renamed(value, {"a-b-1": "b"}) == expected


def test_without_names_a_value_stays_the_same_object() -> None:
    value = ("x",)
    assert renamed(value, {}) is value


def test_lists_walks_and_policies_use_the_names_of_the_file() -> None:
    project = {
        "name": "shop",
        "services": {
            "app": {"image": "nginx", "scale": 2},
            "done": {"image": "alpine", "command": "true"},
            "data": {"image": "postgres:17", "ports": ["5432:5432"]},
        },
    }
    lab = Lab.from_compose(project)
    texts = [
        inventory_text(lab),
        str(lab.doctor()),
        str(lab.trace("app-2", "data:5432")),
        str(check_policy(lab, {"allow": [], "names": {"app-1": ["data"]}})),
        lab.trace("app", "data:53/udp").title,
    ]
    assert [text for text in texts if "shop" in text] == []
    assert "app-2" in texts[0] and "done" in texts[0]
    assert "container data" in texts[1]
    assert "app-2 reaches data:5432" in texts[3]
    assert texts[4] == "app-1 → data:53/udp"
