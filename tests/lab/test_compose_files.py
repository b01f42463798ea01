"""Compose files of real shape, each with five questions and what Docker would answer.

`compose_files/NAME/questions.yaml` has a line for each question: the source, the destination, `-4` or `-6` if only
that IP version is asked for, and the answer. The answer is `yes`, `assumed` (yes, if the image's program does what it
is known for), `open` (the packets arrive; what listens is not known), or `no` with the kind of the cause. Answers are
decided from what Docker does, never copied from output.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import fields, has

from cnmsim import Explanation, Lab
from cnmsim.observe.diagnosis.verdict import Verdict

FOLDER = Path(__file__).parent / "compose_files"


def kinds(cause: Any) -> Iterator[str]:
    """Yield the kinds of a cause and of the causes in it."""
    if isinstance(cause, Enum):
        yield cause.name
    elif has(type(cause)):
        yield type(cause).__name__
        for attribute in fields(type(cause)):
            yield from kinds(getattr(cause, attribute.name))


def answer(explanation: Explanation, kind: str) -> str:
    """Return the answer in the words of `questions.yaml`, with `kind` if that is the cause's."""
    finding = explanation.finding
    if explanation.verdict is Verdict.PATH_OPEN:
        return "open"
    if explanation.reachable:
        return "assumed" if finding.assumptions else "yes"
    found = list(kinds(finding.cause))
    return f"no {kind if kind in found else ' '.join(found)}"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_a_compose_file_is_answered_as_docker_would(name: str) -> None:
    folder = FOLDER / name
    asked = yaml.safe_load((folder / "questions.yaml").read_text(encoding="utf-8"))
    files = [folder / file for file in asked.get("files", ["compose.yaml"])]
    lab = Lab.from_compose(files, profiles=asked.get("profiles", ()))
    expected, found = [], []
    for question in asked["questions"]:
        source, destination, *words = question.split()
        family = {"-4": 4, "-6": 6}.get(words[0], 0)
        kind = words[-1]
        expected.append(question)
        shown = f"{source} {destination} " + (f"-{family} " if family else "")
        found.append(shown + answer(lab.explain(source, destination, family=family), kind))
    assert len(expected) == 5
    assert found == expected
