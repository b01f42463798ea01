"""FILE may be omitted, and trace, explain and fix have one set of options."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cnmsim.cli import cli

FILE = """\
services:
  web: {image: nginx}
  app: {image: alpine, command: sleep 1d}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "compose.yml").write_text(FILE, encoding="utf-8")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


@pytest.mark.parametrize("place", ["", "below"])
def test_without_file_the_compose_file_of_the_folder_or_one_above_is_used(folder, monkeypatch, place):
    monkeypatch.chdir(folder / place)
    assert _run("trace", "app", "web:80").output.startswith("yes, answered")
    assert _run("trace", "--timeout", "2", "-v", "app", "web:80").exit_code == 0
    assert _run("exec", "app", "--", "echo", "hello").output == "hello\n"
    assert "web" in _run("ls").output


def test_a_file_that_is_named_is_used(folder):
    (folder / "other.yml").write_text(FILE.replace("app", "job"), encoding="utf-8")
    assert _run("trace", "other.yml", "job", "web:80").exit_code == 0
    missing = _run("trace", "missing.yml", "job", "web:80")
    assert missing.exit_code == 2
    assert "'missing.yml' does not exist" in missing.output


def test_without_any_file_a_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = _run("doctor")
    assert result.exit_code == 2
    assert "no FILE, and no compose.yaml in this folder or in one above" in result.output


def test_trace_explain_and_fix_have_the_same_options_of_a_question():
    wanted = {"--tcp", "--udp", "--icmp", "-4", "-6", "--timeout", "--json", "-v", "-f", "-p", "--profile"}
    for name in ("trace", "explain", "fix"):
        command = cli.commands[name]
        options = {text for item in command.params if isinstance(item, click.Option) for text in item.opts}
        assert wanted <= options, name


@pytest.mark.parametrize("command", ["trace", "explain", "fix"])
def test_every_question_can_be_asked_by_udp_and_shows_its_walk(folder, command):
    result = _run(command, "app", "web:80", "--udp", "-v")
    assert "UDP" in result.output
    assert "refused" in result.output.lower()
