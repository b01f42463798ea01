"""Badges on a picture: the numbers of the trace's steps at each device, and the reasons of drops.

Badges are moved so that they do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from attrs import evolve, frozen

from cnmsim.observe.views.layout import Box, Point
from cnmsim.observe.views.markup import BAD, GOOD, STEP, safe, short

HEIGHT = 14.0
_DIGIT, _LETTER, _GAP, _CROSS = 6.4, 5.9, 2.0, 14.0
_RANGES, _REASON = 3, 34


class Kind(Enum):
    """The kind of event that a badge marks: it determines the colour."""

    STEP = "step"
    DELIVERED = "delivered"
    LOST = "lost"


_COLOURS = {Kind.STEP: STEP, Kind.DELIVERED: GOOD, Kind.LOST: BAD}


@frozen
class Badge:
    """A small label with step numbers, drawn on a picture with its centre at `at`.

    `text` holds the step numbers; `kind` determines the colour. `reason` is why a packet was dropped, "" if none was.
    `place` is the position of the device or network stack to which the badge refers.
    """

    at: Point
    text: str
    kind: Kind
    place: Point
    reason: str = ""

    @property
    def width(self) -> float:
        """The badge's width in pixels."""
        cross = _CROSS + 4 if self.kind is Kind.LOST else 0.0
        return max(15.0, 8 + _DIGIT * len(self.text) + _LETTER * (len(self.label) - len(self.text)) + cross)

    @property
    def label(self) -> str:
        """The text on the badge: the step numbers, and the reason of a drop if there is one."""
        return f"{self.text} {short(self.reason, _REASON)}" if self.reason else self.text

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """The left, top, right and bottom coordinates."""
        x, y = self.at
        return (x - self.width / 2, y - HEIGHT / 2, x + self.width / 2, y + HEIGHT / 2)

    def svg(self) -> str:
        """Return the badge as SVG."""
        left, top, _, _ = self.corners
        colour = _COLOURS[self.kind]
        size = f'width="{self.width:.1f}" height="{HEIGHT:g}"'
        shape = f'<rect x="{left:.1f}" y="{top:.1f}" {size} rx="7" fill="{colour}"/>'
        text_x = self.at[0]
        if self.kind is Kind.LOST:
            text_x += _CROSS / 2 - 1
            shape += _cross(left + 10, self.at[1], 3.2, 2)
        return (
            f'<g class="cnm-badge {self.kind.value}">{shape}<text x="{text_x:.1f}" y="{self.at[1] + 3.5:.1f}" '
            f'font-size="9.5" font-weight="700" text-anchor="middle" fill="#fff">{safe(self.label)}</text></g>'
        )


def loss_mark(badge: Badge) -> str:
    """Return the SVG of a stop sign at `badge.place`, the device where the packet was dropped."""
    x, y = badge.place
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="{BAD}" stroke="#fff" stroke-width="1.5"/>'
    return circle + _cross(x, y, 3.6, 2.2)


def _cross(x: float, y: float, size: float, width: float) -> str:
    left, right, top, length = x - size, x + size, y - size, 2 * size
    strokes = f"M{left:.1f} {top:.1f}l{length:g} {length:g}M{right:.1f} {top:.1f}l{-length:g} {length:g}"
    return f'<path d="{strokes}" stroke="#fff" stroke-width="{width:g}" stroke-linecap="round"/>'


def spread(badges: Sequence[Badge], boxes: Iterable[Box], width: float) -> tuple[Badge, ...]:
    """Move badges that overlap to free spots nearby, and return them in the same order.

    The spots are outside the `boxes` and within the picture's `width`.
    """
    occupied = [(box.x, box.y + 5, box.x + box.width, box.y + box.height) for box in boxes if box.kind in _KEPT_FREE]
    placed: dict[int, Badge] = {}
    order = sorted(
        range(len(badges)),
        key=lambda at: (badges[at].kind is not Kind.LOST, badges[at].kind is not Kind.DELIVERED, at),
    )
    for at in order:
        badge = badges[at]
        others = [other.corners for other in placed.values()]
        spots = [_inside(evolve(badge, at=point), width) for point in _spots(badge)]
        free = (spot for spot in spots if not _hits(spot, others) and (spot is spots[0] or not _hits(spot, occupied)))
        placed[at] = next(free, None) or next((spot for spot in spots if not _hits(spot, others)), spots[0])
    return tuple(placed[at] for at in range(len(badges)))


_KEPT_FREE = frozenset({"nic", "vtep", "container", "docker"})


def _spots(badge: Badge) -> list[Point]:
    x, y = badge.at
    down, side = HEIGHT + _GAP, badge.width / 2 + 10
    if badge.kind is Kind.LOST:
        # The badge is put beside or below the stop sign, so as not to hide it.
        px, py = badge.place
        near = badge.width / 2 + 11
        return [
            (px + near, py),
            (px - near, py),
            (px, py + 17),
            (px, py - 17),
            (px + near, py + down),
            (px + near, py - down),
        ]
    steps = [(0.0, 0.0)]
    for far in (1, 2, 3):
        steps += [(0.0, -far * down), (0.0, far * down), (far * side, 0.0), (-far * side, 0.0)]
        steps += [(far * side, -down), (-far * side, -down), (far * side, down), (-far * side, down)]
    return [(x + dx, y + dy) for dx, dy in steps]


def _inside(badge: Badge, width: float) -> Badge:
    half = badge.width / 2 + 2
    x, y = badge.at
    return evolve(badge, at=(min(max(x, half), max(half, width - half)), max(y, HEIGHT / 2 + 1)))


def _hits(badge: Badge, others: Iterable[tuple[float, float, float, float]]) -> bool:
    left, top, right, bottom = badge.corners
    return any(left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in others)


def ranges(numbers: Sequence[int]) -> str:
    """Format step numbers briefly, e.g. `1-3,7`. If there are many ranges, only the first are written, then `…`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [str(one) if one == two else f"{one}-{two}" for one, two in runs]
    return ",".join(texts[:_RANGES]) + (",…" if len(texts) > _RANGES else "")
