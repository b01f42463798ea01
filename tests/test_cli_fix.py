"""`cnmsim fix` without a question, and of a file that the engine refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cnmsim.cli import cli

_DOCTOR = """\
services:
  db:
    image: postgres:17
    environment: {POSTGRES_PASSWORD: x}
    ports: ["5432:5432"]
  cache:
    image: redis
    ports: ["6379:6379"]
  web:
    image: nginx
    ports: ["443:443"]
"""
_TWICE = """\
services:
  a: {image: nginx, ports: ["8080:80"]}
  b: {image: nginx, ports: ["8080:80"]}
"""


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "compose.yml"
    path.write_text(_DOCTOR, encoding="utf-8")
    return path


def test_fix_without_a_question_shows_the_fixes_of_the_doctor_and_writes_nothing(file: Path) -> None:
    result = _run("fix", str(file))
    assert result.exit_code == 1  # nothing fixes port 443 of web
    assert '-    ports: ["5432:5432"]\n+    ports: ["127.0.0.1:5432:5432"]' in result.stdout
    assert "warning [nobody-listens] host: container web" in result.stdout
    assert "advice (not tried): " in result.stdout
    assert file.read_text() == _DOCTOR


def test_fix_writes_the_fixes_of_all_warnings_one_after_another(file: Path) -> None:
    result = _run("fix", str(file), "--write")
    assert (result.exit_code, f"written: {file}" in result.stderr) == (1, True)
    fixed = file.read_text()
    assert '"127.0.0.1:5432:5432"' in fixed
    assert '"127.0.0.1:6379:6379"' in fixed
    file.write_text(fixed.replace("443:443", "8080:80"))
    again = _run("fix", str(file), "--write", "--json")
    assert (again.exit_code, json.loads(again.stdout)) == (0, [])


def test_fix_refuses_half_a_question(file: Path) -> None:
    result = _run("fix", str(file), "web")
    assert (result.exit_code, "from web to where? Add DST[:PORT]" in result.stderr) == (2, True)


def test_every_command_shows_the_fix_of_a_refused_file(file: Path) -> None:
    file.write_text(_TWICE)
    for arguments in (("trace", str(file), "a", "b:80"), ("doctor", str(file)), ("ls", str(file)),
                      ("serve", str(file), "--dir", str(file.parent / "served"))):  # fmt: skip
        result = _run(*arguments)
        assert result.exit_code == 2
        assert f"cnmsim: {file}:3: services.b.ports[0]: " in result.stderr
        assert "port is already allocated\nfix: publish another port of the host, 8081\n" in result.stderr
        assert '+  b: {image: nginx, ports: ["8081:80"]}' in result.stderr
    assert file.read_text() == _TWICE


def test_fix_writes_the_fix_of_a_refused_file(file: Path) -> None:
    file.write_text(_TWICE)
    assert _run("fix", str(file)).exit_code == 0
    assert file.read_text() == _TWICE
    shown = json.loads(_run("fix", str(file), "--json", "--write").stdout)
    assert shown["written"] == [str(file)]
    assert file.read_text() == _TWICE.replace('b: {image: nginx, ports: ["8080', 'b: {image: nginx, ports: ["8081')
    assert _run("fix", str(file)).exit_code == 0


def test_a_first_step_is_printed_where_no_fix_works(tmp_path: Path) -> None:
    path = tmp_path / "stack.yml"
    path.write_text(
        "services:\n"
        "  web: {image: nginx, networks: [front]}\n"
        "  db: {image: postgres, networks: [back], deploy: {placement: {constraints: [node.labels.disk == ssd]}}}\n"
        "networks: {front: , back: }\n",
        encoding="utf-8",
    )
    shown = CliRunner().invoke(cli, ["fix", "--stack", "--managers", "1", str(path), "web", "db:5432"])
    assert shown.exit_code == 1
    assert "no fix that was tried works\nfirst step: add network back to service web; after that:" in shown.stdout
