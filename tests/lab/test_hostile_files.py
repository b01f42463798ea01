"""Whatever a file holds, the command answers with a sentence, and a terminal prints it and obeys nothing."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from support.patience import PATIENCE_S

from cnmsim.bounded_read import read_bytes
from cnmsim.cli import cli
from cnmsim.errors import FileError
from cnmsim.lab.yamlfile import parse_yaml
from cnmsim.printable import printable

CONTROL = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"]


def ls(path):
    return CliRunner().invoke(cli, ["ls", str(path)], color=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services:\n  a:\n    image: x\n    x-y: " + "[" * 2000 + "]" * 2000, "yaml: nested too deeply"),
        ("services:\n  a:\n    image: x\n    x-y: " + "[" * 150 + "]" * 150,
         ":4: yaml: nested too deeply (more than 100 levels)"),
        ("services:\n  a:\n    image: x\n    x-y: " + "{a: " * 150 + "}" * 150,
         ":4: yaml: nested too deeply (more than 100 levels)"),
        ("services:\n  a:\n    image: x\n    mem_limit: " + "9" * 5000, ":4: yaml: cannot read '999"),
        ("hosts: 0x" + "9" * 5000, ":1: yaml: cannot read '0x999"),
        ("services: {a: {image: x, ports: ['8\u0664:80']}}", "Invalid hostPort: 8\u0664"),
        ("services: {a: {image: x, ports: ['\u00b2:80']}}", "Invalid hostPort: \u00b2"),
    ],
)  # fmt: skip
def test_nesting_and_numbers_without_end_are_refused(tmp_path, text, message):
    (tmp_path / "file.yml").write_text(text)
    done = ls(tmp_path / "file.yml")
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_file_without_end_is_refused_before_it_fills_the_memory(tmp_path):
    command = [sys.executable, "-m", "cnmsim", "ls", "/dev/zero"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    text = "cnmsim: /dev/zero: File too large (at most 16 MiB are read)\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", text)
    (tmp_path / "compose.yml").write_text("services: {a: {image: x, env_file: /dev/zero}}")
    done = ls(tmp_path / "compose.yml")
    assert (done.exit_code, "File too large" in done.stderr) == (2, True)


def test_a_regular_file_may_be_as_large_as_the_reader_admits(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(17 << 20)
    assert len(read_bytes(path, 20 << 20)) == 17 << 20
    with pytest.raises(OSError, match="File too large"):
        read_bytes(path)
    read, write = os.pipe()
    os.write(write, b"text")
    os.close(write)
    assert read_bytes(type(path)(f"/dev/fd/{read}"), 20 << 20) == b"text"
    os.close(read)


@pytest.mark.parametrize(
    "text",
    [
        'services:\n  "a\\e[31mb": {image: x}\n',
        'services:\n  a: {image: x, "\\e]0;title\\a": 1}\n',
        'services:\n  a: {image: x, network_mode: "\\e[2J\\u009b31m"}\n',
        'services:\n  a: {image: x, depends_on: ["\\e[1A\\rok"]}\n',
        'hosts:\n  a: {addresses: ["\\e[8m"]}\n',
        'hosts:\n  "a\\b\\b": {addresses: [10.0.0.1/24]}\n',
        'hosts:\n  a: {addresses: [10.0.0.1/24], "\\u202e": 1}\n',
    ],
)
def test_control_characters_of_a_file_are_shown_and_not_obeyed(tmp_path, text):
    (tmp_path / "file.yml").write_text(text)
    done = ls(tmp_path / "file.yml")
    assert done.exit_code == 2
    assert not any(char in done.output for char in [*CONTROL, "\u202e"])


def test_what_a_lab_shows_of_its_file_is_escaped_as_json_is(tmp_path):
    image = "x\u009b31m"
    (tmp_path / "compose.yml").write_text(
        json.dumps({"services": {"a": {"image": "x", "hostname": "h", "command": image}}})
    )
    for words in (["ls"], ["ls", "--json"], ["doctor"], ["doctor", "--json"]):
        done = CliRunner().invoke(cli, [words[0], str(tmp_path / "compose.yml"), *words[1:]], color=True)
        assert not any(char in done.output for char in CONTROL)
        if "--json" in words:
            json.loads(done.stdout)


@given(st.text())
def test_printable_text_has_no_control_character_and_loses_nothing(text):
    shown = printable(text)
    assert not any(char in shown for char in CONTROL)
    shown.encode()
    if "\\" not in text:
        assert json.loads(json.dumps(shown, ensure_ascii=False).replace("\\\\u", "\\u")) == text


@given(
    st.recursive(
        st.text() | st.integers() | st.booleans(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
    st.text(alphabet="[]{}:,&*!|>'\"%@`-? \n\ta0\u0664\x00\x1b\ufeff", max_size=60),
)
def test_no_text_makes_the_parser_fail_but_with_a_file_error(value, noise):
    for text in (json.dumps(value) + noise, noise):
        try:
            parse_yaml(text, "file")
        except FileError as error:
            assert error.path == "file"
