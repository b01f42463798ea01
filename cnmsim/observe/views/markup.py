"""Small pieces of HTML and SVG that are safe with any name and readable on light and dark grounds.

Ink is `currentColor`, everything else a middle tone or translucent, so that a piece takes the colours of the page it
stands in. Nothing needs a script, a font or a file from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape

#: Colours of networks: middle tones that stand out on white and on black.
PALETTE = (
    "#3b82f6",
    "#0f9d76",
    "#db2777",
    "#0891b2",
    "#84920d",
    "#92633a",
    "#5b7083",
    "#e2637a",
    "#4d7c0f",
    "#3f78b8",
)
#: For lines (3:1 on white and on black grounds), and for grounds of white text (4.5:1; WCAG 2.2 §1.4.3 and §1.4.11).
ACCENT, BACK = "#d97706", "#8b5cf6"
GOOD, BAD, STEP = "#15803d", "#dc2626", "#b45309"
SANS = "ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"

#: What XML 1.0 §2.2 does not allow as a character, however it is written.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

_INK = "color:var(--jp-content-font-color1,var(--vscode-editor-foreground,inherit))"
_CELL = f"padding:2px 10px 2px 0;text-align:left;vertical-align:top;font:12px {MONO};border:0"


def luminance(colour: str) -> float:
    """Give the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Give the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@cache
def deep(colour: str) -> str:
    """Darken a colour until white text on it has a contrast of 4.5."""
    while contrast(colour, "#ffffff") < 4.5:
        colour = "#" + "".join(f"{int(int(colour[at : at + 2], 16) * 0.96):02x}" for at in (1, 3, 5))
    return colour


def safe(text: object) -> str:
    """Escape a text for HTML, SVG and their attributes; characters that XML has no place for become `�`."""
    return escape(_FORBIDDEN.sub("\ufffd", str(text)), quote=True)


def short(text: str, length: int) -> str:
    """Cut a text to `length` characters, with an ellipsis where something is gone."""
    return text if len(text) <= length else text[: max(1, length - 1)] + "…"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], marks: Iterable[str] = ()) -> str:
    """Give an HTML table of texts. `marks` are CSS backgrounds of the rows, "" for none."""
    head = "".join(f'<th style="{_CELL};opacity:.65;font-weight:600">{safe(header)}</th>' for header in headers)
    colours = iter(marks)
    body = []
    for row in rows:
        colour = next(colours, "") or "transparent"
        cells = "".join(f'<td style="{_CELL};white-space:pre-wrap">{safe(cell)}</td>' for cell in row)
        body.append(f'<tr style="background:{colour};border:0">{cells}</tr>')
    return (
        '<table style="border-collapse:collapse;border:0;margin:4px 0"><thead>'
        f'<tr style="background:transparent">{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Give labelled values, those that are empty left out."""
    return "".join(
        f'<div style="margin:1px 0"><span style="opacity:.65;display:inline-block;min-width:7.5em;margin-right:.6em">{safe(label)}</span>'
        f'<span style="font:12px {MONO}">{safe(value)}</span></div>'
        for label, value in pairs
        if value
    )


def card(title: str, kind: str, *parts: str) -> str:
    """Give a framed piece with a title and what kind of thing it is; `parts` are HTML."""
    body = "".join(parts)
    return (
        f'<div style="{_INK};font:13px {SANS};border:1px solid rgba(128,128,128,.35);border-radius:8px;'
        'padding:8px 12px;margin:4px 0;display:inline-block;max-width:100%;overflow-x:auto;box-sizing:border-box">'
        f'<div style="margin-bottom:4px"><b>{safe(title)}</b> <span style="opacity:.6">{safe(kind)}</span></div>{body}</div>'
    )


def heading(text: str) -> str:
    """Give a small heading inside a card."""
    return f'<div style="margin-top:8px;font-weight:600;opacity:.8">{safe(text)}</div>'


def framed(svg: str) -> str:
    """Put an inline SVG where it takes the ink of the page and scrolls sideways if it must."""
    return f'<div style="{_INK};overflow-x:auto;max-width:100%">{svg}</div>'
