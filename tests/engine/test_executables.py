"""Interpreters of scripts: execve(2), "Interpreter scripts", and env(1)."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cnmsim.engine.containers.executables import find_program, script_interpreter
from cnmsim.kernel.files import FileSystem

PROGRAMS = cast("Any", {"sh": "the shell", "python3": "Python"})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("#!/bin/sh", ["/bin/sh"]), ("#! /bin/sh -e -x", ["/bin/sh", "-e -x"]), ("#!/usr/bin/env sh", ["sh"]),
        ("#!/usr/bin/env -S sh -e -x", ["sh", "-e", "-x"]), ("#!/usr/bin/env", None), ("#!", None), ("", None),
        ("/bin/sh", None), ("#!/bin/nosuch", None),
    ],
)  # fmt: skip
def test_the_interpreter_of_a_script(line: str, words: list[str] | None) -> None:
    result = cast("Any", script_interpreter(f"{line}\necho x\n".encode(), PROGRAMS))
    assert result == (None if words is None else ("the shell", words))


def test_an_interpreter_gets_its_argument_then_the_script_then_the_scripts_arguments() -> None:
    # execve(2): "interpreter [optional-arg] pathname arg..."
    files = FileSystem()
    files.write("/etc/run", b"#!/bin/sh -e\n")
    files.file("/etc/run").mode = 0o755
    for name in ("run", "/etc/run"):
        assert cast("Any", find_program([name, "a", "b"], {"PATH": "/bin:/etc"}, files, PROGRAMS)) == (
            "the shell", ["sh", "-e", "/etc/run", "a", "b"],
        )  # fmt: skip
