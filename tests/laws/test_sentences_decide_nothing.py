"""The law of the diagnosis: no sentence of ours decides a verdict, a cause or a fix."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from string import Formatter
from types import ModuleType
from typing import Any

import pytest
from attrs import evolve, fields

from cnmsim import Lab
from cnmsim.observe.diagnosis import causes, compose_sentences, engine_errors, finding, sentences
from cnmsim.observe.diagnosis.causes.base import Assumption, Cause, Fact, Remark
from cnmsim.observe.diagnosis.engine_errors import ErrorExplanation
from cnmsim.observe.diagnosis.sentences import changes as changes_sentences
from cnmsim.observe.explain import Explanation
from cnmsim.observe.fixes import changes, commands, fix
from cnmsim.observe.fixes.changes import Change
from cnmsim.observe.trace import trace
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.trace import Trace

EXAMPLES = Path(__file__).parents[2] / "examples"
PAINS = sorted((EXAMPLES / "pains").glob("[0-9]*.py"))
#: Questions to the Compose examples, of each kind of answer.
QUESTIONS = {
    "mistakes": [
        ("web", "db:5432"), ("web", "admin:8000"), ("worker", "203.0.113.10:80"), ("client", "docker:9000"),
        ("client", "docker:8080"), ("web", "localhost:6379"),
    ],
    "shop": [("proxy", "backend:5000"), ("proxy", "db:5432"), ("db", "203.0.113.10:80"), ("client", "docker:81")],
}  # fmt: skip


def _noise(*_arguments: object) -> str:
    return "on eth0: docker network connect noise noise; use noise:1, lab.heal() (noise)"


def _noisy_hops(*arguments: Any) -> tuple[Hop, ...]:
    return tuple(evolve(hop, what=_noise(), packet=_noise(), addresses=_noise()) for hop in hops_of(*arguments))


hops_of = trace.hops_of


@pytest.fixture
def noisy_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the renderer wherever it is used."""
    for module in (sentences, finding, compose_sentences, fix, engine_errors):
        for name in ("sentence", "advice"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, _noise)


@pytest.fixture
def noisy_hops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace all text of hops that is ours; decisions are what programs print."""
    monkeypatch.setattr(trace, "hops_of", _noisy_hops)


def _load(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"law_{path.stem.replace('-', '_')}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def _outcome(answer: object) -> Any:
    """Return all of an answer that is not rendered; `None` for one that is no diagnosis."""
    if isinstance(answer, Explanation):
        fixes = tuple((each.change, each.question) for each in answer.fixes)
        return answer.trace.finding, fixes
    if isinstance(answer, ErrorExplanation):
        return answer.reason, answer.changes
    return answer.finding if isinstance(answer, Trace) else None


@pytest.mark.parametrize("path", PAINS, ids=lambda path: path.stem)
def test_no_sentence_decides_an_example(path: Path, request: pytest.FixtureRequest) -> None:
    module = _load(path)
    expected = _outcome(module.ask(module.build()))
    if expected is None:
        pytest.skip(reason="its answer is no diagnosis")
    request.getfixturevalue("noisy_sentences")
    assert _outcome(module.ask(module.build())) == expected


def _explained(name: str) -> Iterator[Explanation]:
    lab = Lab.from_compose(EXAMPLES / name)
    for source, destination in QUESTIONS[name]:
        yield lab.explain(source, destination)


def _shape(explanation: Explanation) -> tuple[object, ...]:
    """Return the outcome without the texts of hops, which a cause may quote."""
    found = explanation.trace.finding
    assert found is not None
    fixes = tuple((each.change, each.question) for each in explanation.fixes)
    remarks = tuple(type(remark) for remark in found.remarks)
    return found.verdict, type(found.cause), found.changes, remarks, fixes


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_text_of_a_hop_decides_a_compose_example(name: str, request: pytest.FixtureRequest) -> None:
    expected = [_shape(each) for each in _explained(name)]
    assert {shape[0] for shape in expected if not shape[0].is_reachable}, (
        "the questions have answers of several kinds"
    )
    assert any(shape[-1] for shape in expected), "some of them have fixes"
    request.getfixturevalue("noisy_hops")
    request.getfixturevalue("noisy_sentences")
    assert [_shape(each) for each in _explained(name)] == expected


def _family(module: ModuleType, *bases: type) -> list[type]:
    found = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, bases)]
    return [each for each in found if each not in bases]


#: Modules with causes, and all classes that need a sentence.
CAUSES = [import_module(f"{causes.__name__}.{module.name}") for module in pkgutil.iter_modules(causes.__path__)]
KINDS = [kind for module in CAUSES for kind in _family(module, Cause, Remark, Assumption, Fact)]
KINDS = list(dict.fromkeys([*KINDS, *_family(changes, Change)]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_cause_remark_and_change_has_a_sentence(kind: type) -> None:
    import_module(f"{sentences.__name__}.{kind.__module__.rpartition('.')[2]}")
    template = sentences.base.TEMPLATES.get(kind)
    if template is None:
        assert sentences.sentence.dispatch(kind) is not sentences.sentence.dispatch(object)
        return
    assert _named(template) <= {field.name for field in fields(kind)}


def _named(template: str) -> set[str]:
    """Return the fields of the value that a template names, such as `option` for `{0.option.value}`."""
    return {re.split(r"[.\[]", name)[1] for _, name, _, _ in Formatter().parse(template) if name}


def test_every_fact_and_every_task_for_people_has_words() -> None:
    assert set(changes_sentences._TASKS) == set(changes.Task)
    assert set(Fact) <= set(sentences.base.TEMPLATES)


@pytest.mark.parametrize("kind", commands._TEMPLATES, ids=lambda kind: kind.__name__)
def test_a_template_of_a_command_names_fields(kind: type) -> None:
    assert _named(commands._TEMPLATES[kind]) | {"host"} <= {field.name for field in fields(kind)}


@pytest.mark.parametrize("kind", compose_sentences._TEMPLATES, ids=lambda kind: kind.__name__)
def test_a_template_of_an_edit_of_a_compose_file_names_fields(kind: type) -> None:
    assert _named(compose_sentences._TEMPLATES[kind]) <= {field.name for field in fields(kind)}
