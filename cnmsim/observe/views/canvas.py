"""Rendering of a layout as SVG."""

from __future__ import annotations

from cnmsim.observe.views.layout import NIC_H, STACK_H, Bar, Box, Layout, Point, Wire
from cnmsim.observe.views.machines import LINE, PUBLISHED
from cnmsim.observe.views.markup import MONO, PALETTE, SANS, deep, safe, short

__all__ = ["LEGEND_H", "Point", "render"]

#: The height of the legend below a picture.
LEGEND_H = 22

#: A standalone SVG file follows the viewer's light or dark colour scheme, and is black on white in print.
FILE_STYLE = (
    "<style>svg{color:#1f2328;background:#fff}@media (prefers-color-scheme:dark)"
    "{svg{color:#e6edf3;background:#0d1117}}@media print{svg{color:#000;background:#fff}}</style>"
)
#: A printed page does not scroll, so the picture shrinks to fit.
_ON_PAPER = "<style>@media print{svg.cnm-lab{width:100%!important}}</style>"
#: The background behind the wires.
_GROUND = ("machine", "hanging")
#: The smallest scale, as a fraction, of a picture in a page; on a narrower page the picture scrolls sideways.
_LEAST = 0.76
_DASHES = {"tunnel": ' stroke-dasharray="4 3"', "stack": ' stroke-opacity=".55"', "riser": ' stroke-opacity=".55"'}


def colour_of(number: int) -> str:
    """Return the colour of the network with this number; `currentColor` for a negative number, i.e. no network."""
    return PALETTE[number % len(PALETTE)] if number >= 0 else "currentColor"


def render(
    layout: Layout, title: str, under: str = "", over: str = "", legend: str = "", *, standalone: bool = True
) -> str:  # fmt: skip
    """Render a layout as SVG.

    `under` is SVG to draw above the lines and bars but below the boxes, `over` is SVG above the boxes, and `legend`
    SVG at the bottom. With `standalone` the result is a file of its own with light and dark colours; otherwise it
    inherits the text colour of the page around it.
    """
    width, height = round(layout.width), round(layout.height) + (LEGEND_H if legend else 0)
    least = f"max(100%,{round(width * _LEAST)}px)"
    fluid = f' class="cnm-lab" style="width:min({width}px,{least});max-width:none;height:auto"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="{safe(SANS)}" font-size="12" role="img" fill="currentColor"'
        f"{'' if standalone else fluid}><title>{safe(title)}</title><desc>{safe(layout.summary)}</desc>"
    )
    parts = [head, FILE_STYLE if standalone else _ON_PAPER]
    parts += [_DRAW[box.kind](box) for box in layout.boxes if box.kind in _GROUND]
    parts += [_wire(wire) for wire in layout.wires]
    parts += [_bar(bar) for bar in layout.bars]
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour_of(at)}"/>' for (x, y), at in layout.dots]
    parts.append(f'<g class="cnm-ways">{under}</g>')
    parts += [_DRAW[box.kind](box) for box in layout.boxes if box.kind not in _GROUND]
    return "".join([*parts, over, legend, "</svg>"])


def _wire(wire: Wire) -> str:
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in wire.points)
    opacity = "" if wire.colour >= 0 else ' stroke-opacity=".6"'
    return (
        f'<path d="M{line}" fill="none" stroke="{colour_of(wire.colour)}" stroke-width="1.6"'
        f"{_DASHES.get(wire.style, opacity)}/>"
    )


def _bar(bar: Bar) -> str:
    opacity = "" if bar.colour >= 0 and not bar.is_idle else ' fill-opacity=".55"'
    rect = (
        f'<rect x="{bar.x:.1f}" y="{bar.y - 2.5:.1f}" width="{bar.width:.1f}" height="5" rx="2.5" '
        f'fill="{colour_of(bar.colour)}"{opacity}/>'
    )
    if bar.is_named_above:
        return rect + _text(bar.x + 8, bar.y - 6, bar.label, 24, 'font-weight="600"')
    x = bar.x - 8
    name = _text(x, bar.y + (0 if bar.detail else 4), bar.label, 24, 'text-anchor="end" font-weight="600"')
    if not bar.detail:
        return rect + name
    style = f'text-anchor="end" font-size="10" opacity=".75" font-family="{safe(MONO)}"'
    return rect + name + _text(x, bar.y + 12, bar.detail, 26, style)


def _text(x: float, y: float, text: str, length: int, style: str) -> str:
    cut = short(text, length)
    title = f"<title>{safe(text)}</title>" if cut != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{safe(cut)}{title}</text>'


def _rect(box: Box, fill: str, stroke: str, radius: float = 6) -> str:
    return (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{radius:g}" '
        f"{fill} {stroke}><title>{safe(box.title)}</title></rect>"
    )


_FRAME = 'stroke="currentColor" stroke-opacity=".45"'


def _machine(box: Box) -> str:
    y = box.y + 18 if box.kind == "machine" else box.y + box.height - 10
    name, _, role = box.lines[0][0].partition("\n")
    room = int((box.width - 28 - len(role) * 6.6) / 8.6)
    return (
        _rect(box, 'fill="currentColor" fill-opacity=".04"', _FRAME, 10)
        + f'<text x="{box.x + 14:.1f}" y="{y:.1f}" font-size="13" font-weight="700">{safe(short(name, max(6, room)))}'
        f'<tspan font-weight="400" font-size="11" opacity=".75" dx="7">{safe(role)}</tspan></text>'
    )


def _stack(box: Box) -> str:
    room = int((box.width - box.inset - 10) / 6.1)
    y = box.y + (14 if box.kind == "stack" else STACK_H - 8)
    return _rect(box, 'fill="currentColor" fill-opacity=".07"', 'stroke="none"') + _text(
        box.x + box.inset, y, box.lines[0][0], room, 'font-size="11" opacity=".8"'
    )


def _guest(box: Box) -> str:
    return _rect(box, 'fill="currentColor" fill-opacity=".06"', _FRAME) + _text(
        box.x + 7, box.y + 12.5, box.lines[0][0], 24, 'font-size="11" font-weight="600"'
    )


def _nic(box: Box) -> str:
    # A translucent box lets the page's own background show through: plain SVG cannot fill a box with that colour.
    return _rect(box, 'fill="#64748b"', 'stroke="none"', 4) + (
        f'<text x="{box.x + box.width / 2:.1f}" y="{box.y + NIC_H / 2 + 3.8:.1f}" '
        'text-anchor="middle" font-size="10" '
        f'fill="#fff" font-family="{safe(MONO)}">{safe(box.lines[0][0])}</text>'
    )


def _vtep(box: Box) -> str:
    text, number = box.lines[0]
    colour = colour_of(number)
    return _rect(box, f'fill="{deep(colour)}"', f'stroke="{colour}"', 4) + (
        f'<text x="{box.x + box.width / 2:.1f}" y="{box.y + 12.6:.1f}" text-anchor="middle" font-size="10" '
        f'font-weight="600" fill="#fff">{safe(text)}</text>'
    )


def _sandbox(box: Box) -> str:
    dashes = "" if box.kind == "container" else ' stroke-dasharray="3 3"'
    name, lines = box.lines[0][0], box.lines[1:]
    parts = [
        _rect(box, 'fill="currentColor" fill-opacity=".06"', _FRAME + dashes),
        f'<text x="{box.x + 9:.1f}" y="{box.y + 16:.1f}" font-weight="600">{safe(short(name, 17))}</text>',
    ]
    y = box.y + 31
    if not any(number != PUBLISHED for _, number in lines):
        parts.append(f'<text x="{box.x + 9:.1f}" y="{y:.1f}" font-size="10" opacity=".75">loopback only</text>')
        y += LINE
    for text, number in lines:
        parts.append(_mark(box.x + 12, y - 3.5, number))
        parts.append(_text(box.x + 20, y, text, 20, f'font-size="10" font-family="{safe(MONO)}"'))
        y += LINE
    return "".join(parts)


def _mark(x: float, y: float, number: int) -> str:
    """Return the SVG symbol before a line of text, at `x` and `y`.

    It is a dot in the colour of the network `number`, or an arrow for a published port.
    """
    if number == PUBLISHED:
        line = f"M{x - 3.5:.1f} {y - 3:.1f}L{x + 2.5:.1f} {y:.1f}L{x - 3.5:.1f} {y + 3:.1f}"
        return f'<path d="{line}" fill="none" stroke="currentColor"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour_of(number)}"/>'


_DRAW = {
    "machine": _machine, "hanging": _machine, "stack": _stack, "stack up": _stack, "guest": _guest,
    "nic": _nic, "vtep": _vtep, "container": _sandbox, "docker": _sandbox,
}  # fmt: skip
