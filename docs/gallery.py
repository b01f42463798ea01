"""Write the pages of the gallery: `python docs/gallery.py` runs every example in examples/pains and writes docs/gallery/*.md.

An example has a docstring (title, then the symptom), `build()` which gives the lab, `ask(lab)` which gives what cnmsim says, and
perhaps `fix(lab)`: without it, the first fix of the explanation is taken. `SAYS` must be in the answer, `THEN` in that after the fix.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples" / "pains"
PAGES = HERE / "gallery"
#: Lines of a walk that a page shows.
_LINES = 24


def examples() -> list[Path]:
    """List the examples in order."""
    return sorted(EXAMPLES.glob("[0-9]*.py"))


def load(path: Path) -> ModuleType:
    """Import an example by its path; its number makes its name no module name."""
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    spec = importlib.util.spec_from_file_location(f"pain_{path.stem.replace('-', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def play(module: ModuleType) -> tuple[Any, str, Any]:
    """Run an example: what cnmsim says, the fix in words, and what it says after the fix."""
    lab = module.build()
    answer = module.ask(lab)
    if not hasattr(module, "fix"):
        fix = answer.fixes[0]
        assert fix.was_tried
        typed = "\n".join(fix.commands)
        text = fix.text if fix.text.startswith(("docker ", "on ", "sysctl ")) else fix.text[:1].upper() + fix.text[1:]
        return answer, f"{text}\n\n```console\n{typed}\n```", fix.apply()
    after = module.fix(lab)
    if after is None:
        lab.settle()
        after = module.ask(lab)
    source = inspect.getsource(module.fix)
    body = re.sub(r'    """.*?"""\n', "", source, count=1, flags=re.DOTALL).rstrip()
    return answer, f"{inspect.getdoc(module.fix)}\n\n```python\n{body}\n```", after


def page(path: Path) -> str:
    """Give the page of an example, made by running it."""
    module = load(path)
    answer, fix, after = play(module)
    title, _, symptom = inspect.cleandoc(module.__doc__ or "").partition("\n\n")
    parts = [
        f"# {int(path.name[:2])}. {title.rstrip('.')}",
        symptom,
        f"## The lab\n\n```python\n{inspect.getsource(module.build).rstrip()}\n\n\n{inspect.getsource(module.ask).rstrip()}\n```",
        f"## What cnmsim says\n\n```text\n{answer}\n```",
    ]
    trace = getattr(answer, "trace", None)
    if trace is not None:
        parts.append("## The walk\n\n```text\n" + "\n".join(_excerpt(trace.text(width=120))) + "\n```")
    parts += [f"## The fix\n\n{fix}", f"After it:\n\n```text\n{_short(after)}\n```"]
    source = f"examples/pains/{path.name}"
    return "\n\n".join([*parts, f"[{source}](../../{source})"]) + "\n"


def _excerpt(walk: str) -> list[str]:
    """Give the head of a walk and, of the rest, what comes after the questions for names, up to a page's worth of its end."""
    lines = re.sub(r"(?m)^(FIX|NOTE): .*\n?(    .*\n?)*", "", walk).splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith("── ")), 0)
    asking = [
        number
        for number, line in enumerate(lines)
        if line.startswith("── ") and not line.startswith(("── DNS", "── resolver"))
    ]
    start = max(asking[0] if asking else begin, len(lines) - _LINES)
    left_out = [f"… {start - begin} lines"] if start > begin else []
    return [*lines[:begin], *left_out, *lines[start:]]


def _short(answer: Any) -> str:
    """Give the lines of an answer that tell what it is."""
    return "\n".join(line for line in str(answer).splitlines() if not line.startswith("fact: "))


def index(pages: dict[Path, str]) -> str:
    """Give the table of contents."""
    rows = [
        f"| [{path.name[:2]}]({path.stem}.md) | {text.splitlines()[0].partition('. ')[2]} |"
        for path, text in pages.items()
    ]
    return "\n".join(
        [
            "# What people suffer from",
            "",
            "Each page is a lab with a symptom, what cnmsim says of it, and a fix that was seen to work. The pages are written by",
            "`python docs/gallery.py`, and a test holds that they are what the examples say today.",
            "",
            "| | |",
            "| --- | --- |",
            *rows,
            "",
            "```{toctree}",
            ":hidden:",
            ":glob:",
            "[0-9]*",
            "```",
            "",
        ]
    )


def main() -> None:
    """Write all pages."""
    PAGES.mkdir(exist_ok=True)
    pages = {path: page(path) for path in examples()}
    for path, text in pages.items():
        (PAGES / f"{path.stem}.md").write_text(text, encoding="utf-8")
    (PAGES / "index.md").write_text(index(pages), encoding="utf-8")


if __name__ == "__main__":
    main()
