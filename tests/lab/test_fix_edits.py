"""Fixes of labs that were read from a file are edits of that file, and the edited file answers."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from cnmsim import Lab
from cnmsim.cli import cli
from cnmsim.errors import FileError, InvalidParameter
from cnmsim.lab.stack.default_topology import stack_lab
from cnmsim.observe.fixes.fix import Fix

_APART = """
    # The front is apart from the data.
    services:
      web: {image: nginx, networks: [pages]}
      db:
        image: postgres:17   # the data
        networks:
          data:
            aliases: [sql]
    networks: {pages: {}, data: {internal: true}}
    """

_COMPOSE: dict[str, tuple[str, str, str, list[str]]] = {
    "a service without networks keeps the default network": (
        """
        services:
          web: {image: nginx}
          db:
            image: postgres:17
            networks: [data]
        networks:
          data:
        """,
        "web",
        "db:5432",
        ["-  web: {image: nginx}", "+  web: {image: nginx, networks: [default, data]}"],
    ),
    "networks that are a mapping get a key": (
        _APART.replace("web: {image: nginx, networks: [pages]}", "web: {image: nginx, networks: {pages: {}}}"),
        "web",
        "db:5432",
        [
            "-  web: {image: nginx, networks: {pages: {}}}",
            "+  web: {image: nginx, networks: {pages: {}, data: {}}}",
        ],
    ),
    "networks that a fragment merges in are stated by the service": (
        """
        x-base: &base
          image: nginx
          networks: [pages]
        services:
          web:
            <<: *base   # as all
          db: {image: "postgres:17", networks: [data]}
        networks: {pages: {}, data: {}}
        """,
        "web",
        "db:5432",
        ["+    networks:", "+      - pages", "+      - data"],
    ),
    "a port with a variable keeps the variable": (
        """
        services:
          web:
            image: nginx
            ports:
              - 443:443
              - "${PORT:-8080}:8000"   # the shop
        """,
        "client",
        "host:8080",
        ['-      - "${PORT:-8080}:8000"   # the shop', '+      - "${PORT:-8080}:80"   # the shop'],
    ),
    "a port in the long form": (
        """
        services:
          web:
            image: nginx
            ports:
              - target: 80
                published: "8080"
                host_ip: 127.0.0.1
        """,
        "client",
        "host:8080",
        ["-        host_ip: 127.0.0.1"],
    ),
    "a program that binds loopback": (
        """
        services:
          api:
            image: python:3.12
            command: ["python", "-m", "http.server", "--bind", "127.0.0.1", "8000"]
          web: {image: nginx}
        """,
        "web",
        "api:8000",
        [
            '-    command: ["python", "-m", "http.server", "--bind", "127.0.0.1", "8000"]',
            '+    command: ["python", "-m", "http.server", "--bind", "0.0.0.0", "8000"]',
        ],
    ),
    "a wrong name in extra_hosts": (
        """
        services:
          web:
            image: nginx
            extra_hosts:
              - "db:192.168.77.77"
              - "other:192.168.77.78"
          db: {image: postgres:17}
        """,
        "web",
        "db:5432",
        ['-      - "db:192.168.77.77"'],
    ),
    "a port of the host itself as localhost": (
        """
        services:
          web: {image: nginx}
          ha: {image: homeassistant/home-assistant, network_mode: host}
        """,
        "web",
        "localhost:8123",
        [
            "-  web: {image: nginx}",
            '+  web: {image: nginx, extra_hosts: ["host.docker.internal:host-gateway"]}',
        ],
    ),
    "host.docker.internal without extra_hosts": (
        """
        services:
          web:
            image: nginx
            extra_hosts: {nas: 192.168.77.1}
          ha: {image: homeassistant/home-assistant, network_mode: host}
        """,
        "web",
        "host.docker.internal:8123",
        [
            "-    extra_hosts: {nas: 192.168.77.1}",
            "+    extra_hosts: {nas: 192.168.77.1, host.docker.internal: host-gateway}",
        ],
    ),
    "a network without traffic between its containers": (
        """
        services:
          web: {image: nginx}
          db: {image: postgres:17}
        networks:
          default:
            driver_opts:
              com.docker.network.bridge.enable_icc: "false"
        """,
        "web",
        "db:5432",
        [
            '-      com.docker.network.bridge.enable_icc: "false"',
            '+      com.docker.network.bridge.enable_icc: "true"',
        ],
    ),
    "a service without any network": (
        """
        services:
          web:
            image: nginx
            network_mode: none
        """,
        "web",
        "www.example.com:80",
        ["-    network_mode: none"],
    ),
    "an internal network": (
        """
        services:
          web: {image: nginx, networks: [inner]}
        networks:
          inner:
            internal: true
        """,
        "web",
        "www.example.com:80",
        [
            "-  web: {image: nginx, networks: [inner]}",
            "+  web: {image: nginx, networks: [inner, outside]}",
            "+  outside:",
        ],
    ),
}


def _changes(fix: Fix) -> list[str]:
    """Return the lines that the edits of a fix add and remove."""
    lines = [line for edit in fix.edits for line in edit.diff.splitlines()]
    return [line for line in lines if line[:1] in "+-" and line[:3] not in {"+++", "---"}]


@pytest.mark.parametrize("name", _COMPOSE)
def test_a_fix_is_an_edit_of_the_compose_file(name: str, tmp_path: Path) -> None:
    text, source, destination, expected = _COMPOSE[name]
    path = tmp_path / "compose.yml"
    path.write_text(dedent(text), encoding="utf-8")
    fix = Lab.from_compose(path).explain(source, destination).fixes[0]
    assert _changes(fix) == expected
    fix.write()
    question = fix.question
    assert Lab.from_compose(path).explain(question.source, question.destination, question.service)
    with pytest.raises(FileError, match="changed since it was read"):
        fix.write()


def test_the_file_that_states_the_service_is_edited(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(
        "include: [more.yml]\nservices: {web: {image: nginx, networks: [pages]}}\nnetworks: {pages: }\n"
    )
    (tmp_path / "more.yml").write_text(
        "services:\r\n  # Data.\r\n  db: {image: postgres, networks: [data]}\r\n"
        "  api:\r\n    image: nginx\r\n    networks: [data]\r\n"
        "networks: {data: }\r\n",
        newline="",
    )
    (tmp_path / "over.yml").write_text("services: {api: {environment: {A: 1}}}\n")
    lab = Lab.from_compose([tmp_path / "compose.yml", tmp_path / "over.yml"])
    fix = lab.explain("api", "web:80").fixes[0]
    assert [(Path(edit.path).name, edit.line) for edit in fix.edits] == [("more.yml", 6)]
    fix.write()
    assert b"    networks: [data, pages]\r\n" in (tmp_path / "more.yml").read_bytes()
    assert b"\r\n  # Data.\r\n" in (tmp_path / "more.yml").read_bytes()


_LAB = """\
# Two machines and a router.
nameserver: 10.0.0.50
hosts:
  node1:
    addresses: [10.0.0.15/24]
    gateway: 10.0.0.1
    docker: true
    compose:
      services:
        web: {image: nginx, ports: ["8080:80"]}
  far:
    addresses: [10.0.1.10/24]   # behind the router
    web: true
  gate:
    addresses: [10.0.0.1/24, 10.0.1.1/24]
    router: true
  client:
    addresses: [10.0.0.50/24]
"""


@pytest.mark.parametrize(
    ("run", "source", "destination", "expected"),
    [
        (
            ["iptables -I DOCKER-USER -p tcp --dport 80 -j DROP"],
            "client",
            "node1:8080",
            ['-    run: ["iptables -I DOCKER-USER -p tcp --dport 80 -j DROP"]'],
        ),
        (
            ["sysctl -w net.ipv4.ip_forward=0", "true"],
            "client",
            "node1:8080",
            [
                '-    run: ["sysctl -w net.ipv4.ip_forward=0", "true"]',
                '+    run: ["sysctl -w net.ipv4.ip_forward=1", "true"]',
            ],
        ),
    ],
)
def test_a_fix_is_an_edit_of_the_lab_file(
    run: list[str], source: str, destination: str, expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "lab.yml"
    path.write_text(_LAB.replace("    docker: true\n", f"    docker: true\n    run: {json.dumps(run)}\n"))
    explanation = Lab.from_file(path).explain(source, destination)
    assert _changes(explanation.fixes[0]) == expected


def test_a_project_inside_a_lab_file_is_edited_there(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    path.write_text(
        "hosts:\n  node1:\n    addresses: [10.0.0.15/24]\n    docker: true\n    compose:\n"
        "      services:\n        web: {image: nginx, networks: [a]}\n        db: {image: redis, networks: [b]}\n"
        "      networks: {a: , b: }\n"
    )
    fix = Lab.from_file(path).explain("web", "db:6379").fixes[0]
    assert _changes(fix)[-1] == "+        web: {image: nginx, networks: [a, b]}"


def test_a_lab_built_by_calls_has_no_edits() -> None:
    fix = Lab.from_compose(dedent(_APART)).explain("web", "db:5432").fixes[0]
    assert fix.edits == ()
    assert fix.commands
    with pytest.raises(InvalidParameter, match="no edit of a file"):
        fix.write()


def test_the_command_prints_a_diff_and_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(dedent(_APART), encoding="utf-8")
    arguments = ["fix", str(path), "web", "db:5432"]
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 0
    assert f"{path}:4\n--- {path}\n+++ {path}\n@@" in shown.output
    assert path.read_text() == dedent(_APART)
    written = CliRunner().invoke(cli, [*arguments, "--write", "--json"])
    assert written.exit_code == 0
    assert json.loads(written.output)["written"] == [str(path)]
    assert path.read_text() == dedent(_APART).replace("[pages]", "[pages, data]")
    again = CliRunner().invoke(cli, [*arguments, "--write"])
    assert again.exit_code == 0
    assert "nothing to fix" in again.output


_STACK = """\
# The shop.
services:
  web:
    image: nginx   # pages
    ports: ["8080:8000"]
    networks: [front]
  api:
    image: python:3
    command: ["python", "-m", "http.server", "--bind", '127.0.0.1', "9000"]
    networks: [front]
  db:
    image: postgres:17
    networks: [back]
networks: {front: , back: }
"""


def test_a_fix_of_a_stack_is_an_edit_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "shop.yml"
    path.write_text(_STACK)
    lab = stack_lab([path], managers=1, workers=0, env={})
    expected = {
        ("web", "db:5432"): ["-    networks: [front]", "+    networks: [front, back]"],
        ("client", "node1:8080"): ['-    ports: ["8080:8000"]', '+    ports: ["8080:80"]'],
        ("web", "api:9000"): [
            """-    command: ["python", "-m", "http.server", "--bind", '127.0.0.1', "9000"]""",
            """+    command: ["python", "-m", "http.server", "--bind", '0.0.0.0', "9000"]""",
        ],
    }
    found = {(one, other): _changes(lab.explain(one, other).fixes[0]) for one, other in expected}
    assert found == expected


def test_stacks_and_nodes_of_a_lab_file_are_edited_there(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    path.write_text(
        "hosts:\n  node1: {addresses: [10.1.0.11/24], docker: true}\n"
        "  node2: {addresses: [10.1.0.12/24], docker: true}\n"
        "swarm:\n  managers: [node1]\n  workers: [node2]\n  nodes:\n    node2: {availability: drain}\n"
        "stacks:\n  shop:\n    services:\n      web: {image: nginx}\n"
        "      idle: {image: redis, deploy: {replicas: 0}}\n"
        "      far: {image: redis, deploy: {placement: {constraints: [node.hostname == node2]}}}\n"
    )
    lab = Lab.from_file(path)
    assert _changes(lab.explain("web", "idle:6379").fixes[0])[-1].endswith("deploy: {replicas: 1}}")
    assert _changes(lab.explain("web", "far:6379").fixes[0])[-1] == "+    node2: {availability: active}"
