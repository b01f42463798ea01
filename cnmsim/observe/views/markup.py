"""Functions that build HTML and SVG fragments. They escape all texts, and suit light and dark backgrounds.

Text has the colour `currentColor`; everything else has a middle tone or is translucent, so that a fragment adapts to
the page around it. No fragment needs a script, a font or an external file.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape

#: Colours of networks: middle tones that contrast with both white and black.
PALETTE = (
    "#3b82f6", "#0f9d76", "#db2777", "#0891b2", "#84920d", "#92633a", "#5b7083", "#e2637a", "#4d7c0f", "#3f78b8",
)  # fmt: skip
#: ACCENT and BACK are for lines (contrast 3:1 on white and on black); GOOD, BAD and STEP are for backgrounds of
#: white text (4.5:1; WCAG 2.2 §1.4.3 and §1.4.11).
ACCENT, BACK = "#d97706", "#8b5cf6"
GOOD, BAD, STEP = "#15803d", "#dc2626", "#b45309"
SANS = "ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"

#: Characters that XML 1.0 §2.2 does not allow, even escaped.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

_OPTION = re.compile(r"(?<!\S)--?[a-z][\w-]*")

_INK = "color:var(--jp-content-font-color1,var(--vscode-editor-foreground,inherit))"
#: Tables are smaller in print, where they cannot scroll.
_ON_PAPER = (
    "<style>@media print{.cnm-card{overflow:visible!important}.cnm-card table *{font-size:8.5px!important}"
    ".cnm-card td,.cnm-card th{min-width:0!important;padding-right:7px!important;overflow-wrap:break-word}}</style>"
)
#: Opacity of secondary text: 4.5:1 on any page whose own text has 7:1.
SOFT = "opacity:.75"
CELL = f"padding:2px 14px 2px 0;text-align:left;vertical-align:top;font:12px/1.45 {MONO};border:0"
TABLE = '<table style="border-collapse:collapse;border:0;margin:4px 0">'
#: Backgrounds of rows, visible on white and on black: the decisive row, rows on the path to it, delivered, dropped.
DECIDED, LED, WELL, LOST = "rgba(217,119,6,.30)", "rgba(217,119,6,.13)", "rgba(22,163,74,.22)", "rgba(220,38,38,.24)"


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@cache
def deep(colour: str) -> str:
    """Darken a colour until white text on it has a contrast ratio of at least 4.5."""
    while contrast(colour, "#ffffff") < 4.5:
        colour = "#" + "".join(f"{int(int(colour[at : at + 2], 16) * 0.96):02x}" for at in (1, 3, 5))
    return colour


def safe(text: object) -> str:
    """Escape a text for use in HTML and SVG, also in attributes. Characters that XML does not allow become `�`."""
    return escape(_FORBIDDEN.sub("\ufffd", str(text)), quote=True)


def words(text: object) -> str:
    """Escape a text for HTML, and prevent line breaks at the hyphens of options such as `--dport`."""
    return _OPTION.sub(r'<span style="white-space:nowrap">\g<0></span>', safe(text))


def short(text: str, length: int) -> str:
    """Truncate a text to `length` characters; an ellipsis shows that something was cut."""
    return text if len(text) <= length else text[: max(1, length - 1)] + "…"


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], marks: Iterable[str] = (), *,
    numbers: Iterable[int] = (), rigid: Iterable[int] = (),
) -> str:  # fmt: skip
    """Return an HTML table of texts. A column that is empty in all rows is left out.

    `marks` are the CSS backgrounds of the rows, "" for none. `numbers` are the indices of columns to align right, and
    `rigid` those of columns that do not wrap.
    """
    grid = [list(map(str, row)) for row in rows]
    shown = [at for at, header in enumerate(headers) if not grid or any(row[at] for row in grid)]
    right, firm = set(numbers), set(rigid)

    def style(at: int) -> str:
        return (";text-align:right" if at in right else "") + (";white-space:nowrap" if at in firm | right else "")

    colours = iter(marks)
    body = []
    for row in grid:
        colour = next(colours, "") or "transparent"
        cells = "".join(f'<td style="{CELL};white-space:pre-wrap{style(at)}">{words(row[at])}</td>' for at in shown)
        body.append(f'<tr style="background:{colour};border:0">{cells}</tr>')
    return headed_table(((headers[at], style(at)) for at in shown), body)


def headed_table(headers: Iterable[tuple[str, str]], rows: Iterable[str]) -> str:
    """Return an HTML table. `headers` are pairs of a text and additional CSS; `rows` are HTML."""
    cells = (f'<th style="{CELL}{style};{SOFT};font-weight:600">{safe(header)}</th>' for header, style in headers)
    head = f'<thead><tr style="background:transparent">{"".join(cells)}</tr></thead>'
    return f"{TABLE}{head}<tbody>{''.join(rows)}</tbody></table>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return an HTML table of (label, value) pairs. Pairs whose value is empty are left out."""
    rows = "".join(
        '<tr style="background:transparent;border:0">'
        f'<th style="{CELL};font-family:inherit;font-weight:400;{SOFT};white-space:nowrap">{safe(label)}</th>'
        f'<td style="{CELL};white-space:pre-wrap;overflow-wrap:anywhere">{safe(value)}</td></tr>'
        for label, value in pairs
        if value
    )
    return f"{TABLE}<tbody>{rows}</tbody></table>" if rows else ""


def card(title: str, kind: str, *parts: str) -> str:
    """Return the HTML of a framed card with a title and a kind such as "host". `parts` are HTML."""
    body = "".join(parts)
    return (
        f'{_ON_PAPER}<div class="cnm-card" style="{_INK};font:13px/1.45 {SANS};'
        "border:1px solid rgba(128,128,128,.45);border-radius:8px;padding:8px 14px 10px;margin:4px 0;"
        'display:inline-block;max-width:100%;overflow-x:auto;box-sizing:border-box">'
        f'<div style="margin-bottom:4px"><b style="font-size:14px">{safe(title)}</b> '
        f'<span style="{SOFT}">{safe(kind)}</span></div>{body}</div>'
    )


def heading(text: str) -> str:
    """Return the HTML of a small heading inside a card."""
    return f'<div style="margin-top:10px"><b>{safe(text)}</b></div>'


def note(text: str) -> str:
    """Return the HTML of a remark, e.g. which rows are omitted, or why nothing is shown."""
    return f'<div style="{SOFT};margin-top:4px">{safe(text)}</div>'


def folded(title: str, text: str) -> str:
    """Return the HTML of a preformatted text that is hidden until the reader clicks its title."""
    return (
        f'<details style="margin-top:6px"><summary style="cursor:pointer">{safe(title)}</summary>'
        f'<pre style="font:12px/1.4 {MONO};overflow-x:auto;background:transparent;color:inherit;margin:4px 0">'
        f"{safe(text)}</pre></details>"
    )


def _first_line_and_block(text: str) -> str:
    first, _, rest = text.partition("\n")
    if not rest:
        return safe(first)
    block = f"font:12px/1.4 {MONO};white-space:pre-wrap;background:transparent;color:inherit;margin:2px 0"
    return f'{safe(first)}<pre style="{block}">{safe(rest)}</pre>'


def banner(word: str, text: str, colour: str, *more: tuple[str, str]) -> str:
    """Return the HTML of a finding: a verdict, its explanation and further facts.

    `word` is the verdict, shown on a background of `colour` with the sentence `text` beside it. `more` are (label,
    text) pairs for the lines below. The first line of such a text follows its label; others, as those of a fix that
    edits a file, are preformatted below it.
    """
    mark = "✓" if colour == GOOD else "✕" if colour == BAD else "!"
    lines = "".join(
        f'<div style="margin-top:3px"><b style="{SOFT}">{safe(label)}</b> {_first_line_and_block(value)}</div>'
        for label, value in more
        if value
    )
    return (
        f'<div style="border-left:4px solid {colour};padding:3px 0 4px 10px;margin:4px 0 6px;max-width:72em">'
        f'<b style="background:{colour};color:#fff;border-radius:9px;padding:1px 9px;white-space:nowrap">'
        f"{mark} {safe(word)}</b> {safe(text)}{lines}</div>"
    )


def framed(svg: str, standalone: str = "", title: str = "") -> str:
    """Wrap an inline SVG so that it inherits the page's text colour and scrolls sideways if needed.

    GitHub removes inline SVG and styles from notebooks. `standalone` is the same picture as an SVG file, which is
    shown only there; `title` is its text alternative.
    """
    image = ""
    if standalone:
        data = base64.b64encode(standalone.encode()).decode()
        image = f'<div style="display:none"><img alt="{safe(title)}" src="data:image/svg+xml;base64,{data}"/></div>'
    return f'<div style="{_INK};overflow-x:auto;max-width:100%">{svg}</div>{image}'
