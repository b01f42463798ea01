"""A layout as SVG text."""

from __future__ import annotations

from cnmsim.observe.views.layout import NIC_H, Bar, Box, Layout, Point, Wire
from cnmsim.observe.views.markup import MONO, PALETTE, SANS, safe, short

__all__ = ["Point", "render"]

#: A file of its own follows the reader's light or dark, and is black on paper.
_STYLE = (
    "<style>svg{color:#1f2328;background:#fff}@media (prefers-color-scheme:dark)"
    "{svg{color:#e6edf3;background:#0d1117}}@media print{svg{color:#000;background:#fff}}</style>"
)
_DASHES = {"tunnel": ' stroke-dasharray="4 3"', "stack": ' stroke-opacity=".55"'}


def colour_of(number: int) -> str:
    """Give the colour of the network with that number; a wire, or nothing in particular, takes the ink."""
    return PALETTE[number % len(PALETTE)] if number >= 0 else "currentColor"


def render(layout: Layout, title: str, under: str = "", over: str = "", *, standalone: bool = True) -> str:
    """Draw lines and bars, then `under`, then boxes, then `over`. Not `standalone`, it takes the ink of the page around it."""
    width, height = round(layout.width), round(layout.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="{safe(SANS)}" font-size="12" role="img" fill="currentColor"'
        + (
            ""
            if standalone
            else f' style="width:min({width}px,max(100%,{round(width * 0.62)}px));max-width:none;height:auto"'
        )
        + f"><title>{safe(title)}</title>",
    ]
    if standalone:
        parts.append(_STYLE)
    parts += [_box(box) for box in layout.boxes if box.kind == "machine"]
    parts += [_wire(wire) for wire in layout.wires]
    parts += [_bar(bar) for bar in layout.bars]
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour_of(at)}"/>' for (x, y), at in layout.dots]
    parts.append(f'<g class="cnm-ways">{under}</g>')
    parts += [_box(box) for box in layout.boxes if box.kind != "machine"]
    return "".join([*parts, over, "</svg>"])


def _wire(wire: Wire) -> str:
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in wire.points)
    opacity = "" if wire.colour >= 0 else ' stroke-opacity=".6"'
    return (
        f'<path d="M{line}" fill="none" stroke="{colour_of(wire.colour)}" stroke-width="1.6"'
        f"{_DASHES.get(wire.style, opacity)}/>"
    )


def _bar(bar: Bar) -> str:
    colour = colour_of(bar.colour)
    rect = (
        f'<rect x="{bar.x:.1f}" y="{bar.y - 2.5:.1f}" width="{bar.width:.1f}" height="5" rx="2.5" fill="{colour}"'
        f"{'' if bar.colour >= 0 else ' fill-opacity=' + chr(34) + '.55' + chr(34)}/>"
    )
    x = bar.x - 8
    name = f'<text x="{x:.1f}" y="{bar.y + (0 if bar.detail else 4):.1f}" text-anchor="end" font-weight="600">{safe(short(bar.label, 24))}<title>{safe(bar.label)}</title></text>'
    if not bar.detail:
        return rect + name
    detail = f'<text x="{x:.1f}" y="{bar.y + 12:.1f}" text-anchor="end" font-size="10" opacity=".7" font-family="{safe(MONO)}">{safe(short(bar.detail, 26))}<title>{safe(bar.detail)}</title></text>'
    return rect + name + detail


def _rect(box: Box, fill: str, stroke: str, radius: float = 6) -> str:
    return (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{radius:g}" '
        f"{fill} {stroke}><title>{safe(box.title)}</title></rect>"
    )


def _box(box: Box) -> str:
    return _DRAW[box.kind](box)


_FRAME = 'stroke="currentColor" stroke-opacity=".45"'


def _machine(box: Box) -> str:
    name, _, role = box.lines[0][0].partition("\n")
    room = int(box.width / 8) - len(role)
    return (
        _rect(box, 'fill="currentColor" fill-opacity=".04"', _FRAME, 10)
        + f'<text x="{box.x + 14:.1f}" y="{box.y + 18:.1f}" font-size="13" font-weight="700">{safe(short(name, max(6, room)))}'
        f'<tspan font-weight="400" font-size="11" opacity=".65" dx="6">{safe(role)}</tspan></text>'
    )


def _stack(box: Box) -> str:
    room = int(box.width / 5.6)
    return _rect(box, 'fill="currentColor" fill-opacity=".07"', 'stroke="none"') + (
        f'<text x="{box.x + 10:.1f}" y="{box.y + 18:.1f}" font-size="11" opacity=".75">{safe(short(box.lines[0][0], room))}</text>'
    )


def _nic(box: Box) -> str:
    # The page shows through a translucent box; an opaque one of the page's own colour is not to be had in plain SVG.
    return _rect(box, 'fill="#64748b"', 'stroke="none"', 4) + (
        f'<text x="{box.x + box.width / 2:.1f}" y="{box.y + NIC_H / 2 + 4:.1f}" text-anchor="middle" font-size="10" '
        f'fill="#fff" font-family="{safe(MONO)}">{safe(box.lines[0][0])}</text>'
    )


def _vtep(box: Box) -> str:
    text, colour = box.lines[0]
    return _rect(box, f'fill="{colour_of(colour)}"', 'stroke="none"', 4) + (
        f'<text x="{box.x + box.width / 2:.1f}" y="{box.y + 13:.1f}" text-anchor="middle" font-size="10" '
        f'font-weight="600" fill="#fff">{safe(text)}</text>'
    )


def _sandbox(box: Box) -> str:
    dashes = "" if box.kind == "container" else ' stroke-dasharray="3 3"'
    name, plugs = box.lines[0][0], box.lines[1:]
    parts = [
        _rect(box, 'fill="currentColor" fill-opacity=".06"', _FRAME + dashes),
        f'<text x="{box.x + 9:.1f}" y="{box.y + 16:.1f}" font-weight="600">{safe(short(name, 19))}</text>',
    ]
    for number, (text, colour) in enumerate(plugs):
        y = box.y + 31 + 14 * number
        parts.append(
            f'<circle cx="{box.x + 12:.1f}" cy="{y - 3.5:.1f}" r="3" fill="{colour_of(colour)}"/>'
            f'<text x="{box.x + 20:.1f}" y="{y:.1f}" font-size="10" font-family="{safe(MONO)}">{safe(short(text, 20))}</text>'
        )
    if not plugs:
        parts.append(
            f'<text x="{box.x + 9:.1f}" y="{box.y + 31:.1f}" font-size="10" opacity=".6">loopback only</text>'
        )
    return "".join(parts)


_DRAW = {
    "machine": _machine, "stack": _stack, "nic": _nic, "vtep": _vtep, "container": _sandbox, "docker": _sandbox,
}  # fmt: skip
