"""The blocks of the README and of the pages of docs/: how they are found, run, and compared with the output that is
shown."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

ROOT = Path(__file__).parents[2]
#: A fence with its kind (`python`, `console`, `{code-cell}`), its text, and the block of output right below it.
_FENCE = re.compile(r"^```(\w+|\{code-cell\})\n(.*?)^```\n(?:\s*^```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
_NOTEBOOK = "---\nfile_format: mystnb"


@frozen
class Block:
    """A fenced block of a page; `output` is what the page says that it prints, `None` if it says nothing."""

    page: str
    kind: str
    number: int
    text: str
    output: str | None = None
    line: int = 0


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def is_notebook(path: Path) -> bool:
    """Return True for a page whose cells are run when the site is built."""
    return path.read_text(encoding="utf-8").startswith(_NOTEBOOK)


def blocks(path: Path) -> Iterator[Block]:
    """Yield the blocks of a page, each kind numbered from 0."""
    counts: dict[str, int] = {}
    text = path.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        kind, body, output = match.groups()
        kind = kind.strip("{}")
        number = counts[kind] = counts.get(kind, -1) + 1
        source = re.sub(r"\A(:\S+:.*\n)+", "", body) if kind == "code-cell" else body
        line = text.count("\n", 0, match.start(2)) + body.count("\n") - source.count("\n") + 1
        yield Block(path.relative_to(ROOT).as_posix(), kind, number, source, output, line)


def run_cell(block: Block, names: dict[str, Any]) -> str:
    """Run a block as a notebook does: return what it prints, and the value of its last expression as text."""
    tree = ast.parse(block.text)
    last = tree.body[-1] if tree.body else None
    printed = io.StringIO()
    where = f"{block.page} {block.kind} {block.number}"
    with contextlib.redirect_stdout(printed):
        if isinstance(last, ast.Expr):
            exec(compile(ast.Module(tree.body[:-1], []), where, "exec"), names)
            value = eval(compile(ast.Expression(last.value), where, "eval"), names)
            if value is not None:
                printed.write(f"{_displayed(value)}\n")
        else:
            exec(compile(tree, where, "exec"), names)
    return printed.getvalue()


def _displayed(value: Any) -> str:
    """Return the text that IPython displays; the forms for a browser are rendered too."""
    if callable(getattr(value, "_repr_html_", None)):
        value._repr_html_()
    if callable(getattr(value, "_repr_mimebundle_", None)):
        return value._repr_mimebundle_()["text/plain"]
    return repr(value)


def is_as_shown(shown: str, printed: str) -> bool:
    """Return True if a page shows what was printed; `…` stands for some text, in a line of its own for some lines."""
    parts = []
    for line in shown.rstrip().splitlines():
        text = ".*".join(re.escape(part) for part in line.rstrip().split("…"))
        parts.append(r"(?:.*\n)*?" if line.strip() == "…" else f"{text}[ ]*\n")
    return re.fullmatch("".join(parts), printed.rstrip() + "\n") is not None


def commands(block: Block) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with the output that is shown below it."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].rstrip(), ""))
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found
