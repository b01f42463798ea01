"""The gallery: every example shows its symptom, names the cause, and its fix works; no page is older than its
example."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery"] = module
    spec.loader.exec_module(module)
    return module


gallery = _gallery()
EXAMPLES = gallery.examples()


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_says_the_cause_and_its_fix_works(path: Path) -> None:
    module = gallery.load(path)
    answer, _fix, after = gallery.play(module)
    before, later = (" ".join(str(found).split()) for found in (answer, after))  # answers are wrapped
    for text in module.SAYS:
        assert text in before
    for text in module.THEN:
        assert text in later
    assert not all(text in before for text in module.THEN), "it must be ill before it is mended"


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_a_page_is_what_its_example_says_today(path: Path) -> None:
    written = (gallery.PAGES / f"{path.stem}.md").read_text(encoding="utf-8")
    assert written == gallery.page(path), "run python docs/gallery.py"


def test_every_pain_has_a_page() -> None:
    numbers = {int(path.name[:2]) for path in EXAMPLES}
    assert numbers == set(range(1, 48))
    listed = (gallery.PAGES / "index.md").read_text(encoding="utf-8")
    for path in EXAMPLES:
        assert f"({path.stem}.md)" in listed
