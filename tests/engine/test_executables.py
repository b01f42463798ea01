"""Interpreters of scripts: execve(2), "Interpreter scripts", and env(1)."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cnmsim.engine.containers.executables import script_interpreter

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
