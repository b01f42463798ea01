"""Sentences about a Compose project use the names of its file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnmsim import Lab
from cnmsim.lab.stack.default_topology import stack_lab
from cnmsim.observe.diagnosis.file_names import names_of, renamed
from cnmsim.observe.inventory import inventory, inventory_text
from cnmsim.observe.trace.tracer import directory_of
from cnmsim.observe.views import walk_html
from cnmsim.testing import assert_isolated, assert_reachable
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
    assert texts[3].splitlines()[-2:] == ["", "7 checked, 6 violated"]
    assert ["app-2", "data", "5432", "no", "answered"] in [line.split() for line in texts[3].splitlines()]
    assert texts[4] == "app-1 → data:53/udp"


_FOLDER = Path(__file__).parents[1] / "lab" / "compose_files"
_PROJECT = "zqproject"


def _outputs(lab: Lab, question: str) -> Iterator[tuple[str, str]]:
    """Yield (kind of output, text) for what can be asked of a lab, with one question of its file."""
    source, destination = question.split()[:2]
    walk, matrix = lab.trace(source, destination), lab.reachability()
    explanation = lab.explain(source, destination)
    yield "explain", f"{explanation}{explanation!r}{explanation._repr_html_()}"
    yield "explain --json", json.dumps(explanation.to_json())
    yield "trace", f"{walk.text(verbose=True)}{walk.summary()}{walk!r}{walk._repr_html_()}"
    yield "trace as a diagram", walk.to_mermaid()
    yield "stepper", walk_html(walk)
    yield "topology", lab.to_mermaid() + lab.to_dot() + lab.draw()._repr_html_()
    yield "ls", inventory_text(lab)
    yield "ls --json", json.dumps(inventory(lab))
    yield "doctor", str([(fault.place, fault.text, fault.advice) for fault in lab.doctor().faults])
    yield "reachability", f"{matrix}{matrix._repr_html_()}"
    yield "a failed assertion", _failure(lambda: assert_isolated(lab, source, source, ["icmp"]))
    yield "a failed assertion", _failure(lambda: assert_reachable(lab, source, "198.18.0.99:1", timeout_s=0.1))
    with lab.capture() as capture:
        lab.trace(source, destination)
    yield "capture", f"{capture}{capture._repr_html_()}"
    yield "views", f"{lab.lookup(source, 'localhost')}{lab.routes(source)}{lab.rules(source)!r}"


def _failure(assertion: Callable[[], object]) -> str:
    try:
        assertion()
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", sorted(path.name for path in _FOLDER.iterdir()))
def test_no_output_about_a_compose_file_contains_a_name_of_the_engine(name: str) -> None:
    asked = yaml.safe_load((_FOLDER / name / "questions.yaml").read_text(encoding="utf-8"))
    files = [_FOLDER / name / file for file in asked.get("files", ["compose.yaml"])]
    lab = Lab.from_compose(files, _PROJECT, profiles=asked.get("profiles", ()))
    assert [kind for kind, text in _outputs(lab, asked["questions"][0]) if _PROJECT in text] == []


_STACK = """\
services:
  web: {image: nginx, networks: [front], ports: ["8080:80"], deploy: {replicas: 2}}
  api: {image: "python:3.12", command: python -m http.server 9000, networks: [front, back]}
  db: {image: postgres, networks: [back], ports: [{target: 5432, published: 5432, mode: host}]}
  idle: {image: nginx, networks: [back], deploy: {replicas: 0}}
  stuck: {image: nginx, networks: [back], deploy: {placement: {constraints: [node.labels.a == b]}}}
networks: {front: , back: {driver_opts: {encrypted: ""}}}
"""


@pytest.mark.parametrize(
    "question", ["web.1 api:9000", "api web:80", "client node1:8080", "web.2 db:5432", "api idle:80", "api stuck:80"]
)
def test_no_output_about_a_stack_contains_a_name_of_the_engine(question: str, tmp_path: Path) -> None:
    path = tmp_path / "stack.yml"
    path.write_text(_STACK, encoding="utf-8")
    lab = stack_lab([path], managers=1, workers=1, env={}, name=_PROJECT)
    texts = {kind: re.sub(r"docker service ps --no-trunc \S+", "", text) for kind, text in _outputs(lab, question)}
    assert [kind for kind, text in texts.items() if _PROJECT in text] == []


def test_only_the_commands_of_a_fix_use_the_names_of_the_engine() -> None:
    fix = Lab.from_compose(_FILE).explain("app", "db:6379").fixes[0].to_json()
    assert "2internal" in str(fix.pop("commands"))
    assert "2internal" not in str(fix)


def test_a_capture_accepts_the_names_of_the_file() -> None:
    capture = Lab.from_compose(_FILE).capture("app:eth0")
    capture.stop()
    assert [point.name for point in capture.points] == ["2internal-app-1:eth0"]
