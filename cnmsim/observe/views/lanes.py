"""The lines that show a path in a picture.

As in road traffic, each direction is drawn at its right-hand side, so that both directions are visible.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

from cnmsim.observe.views.layout import Point

#: The distance in pixels between the path's line and the middle of the wire.
OFFSET = 2.6
_ARROW_EVERY, _ARROW_FROM = 260.0, 24.0
_SIZE = 4.6


def chained(legs: Iterable[tuple[Point, ...]]) -> list[tuple[Point, ...]]:
    """Join consecutive legs (pieces) of a path into polylines. A leg that occurred before is left out."""
    chains: list[tuple[Point, ...]] = []
    seen: set[tuple[Point, ...]] = set()
    goes_on = False
    for leg in legs:
        if leg in seen:
            goes_on = False
            continue
        seen.add(leg)
        if goes_on and chains[-1][-1] == leg[0]:
            chains[-1] += leg[1:]
        else:
            chains.append(leg)
        goes_on = True
    return chains


def lane(points: Sequence[Point], offset: float = OFFSET) -> tuple[Point, ...]:
    """Shift a polyline of horizontal and vertical pieces by `offset` pixels to the right of its direction."""
    line = _without_stops(points)
    if len(line) < 2:
        return tuple(line)
    shifts = [_right_of(one, other, offset) for one, other in itertools.pairwise(line)]
    shifted = [_moved(line[0], shifts[0])]
    for at, (before, after) in enumerate(itertools.pairwise(shifts), 1):
        is_reversal = before[0] == -after[0] and before[1] == -after[1]
        if is_reversal or before == after:
            shifted += [_moved(line[at], before), _moved(line[at], after)]
        else:
            shifted.append(_moved(line[at], (before[0] + after[0], before[1] + after[1])))
    shifted.append(_moved(line[-1], shifts[-1]))
    return tuple(shifted)


def arrows(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Return the position and direction of each arrow head to draw on a polyline.

    A piece of the polyline gets one arrow head, or several if it is long. Very short pieces get none.
    """
    heads = []
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        length = math.hypot(bx - ax, by - ay)
        if length < _ARROW_FROM:
            continue
        count = max(1, round(length / _ARROW_EVERY))
        direction = ((bx - ax) / length, (by - ay) / length)
        for number in range(count):
            share = (number + 0.42) / count
            heads.append(((ax + (bx - ax) * share, ay + (by - ay) * share), direction))
    return heads


def arrow_path(at: Point, direction: Point) -> str:
    """Return the SVG path data of an arrow head."""
    (x, y), (dx, dy) = at, direction
    tip = (x + dx * _SIZE, y + dy * _SIZE)
    corners = [(x - dx * _SIZE + side * dy * _SIZE, y - dy * _SIZE - side * dx * _SIZE) for side in (1, -1)]
    return "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in (tip, *corners)) + "Z"


def _without_stops(points: Sequence[Point]) -> list[Point]:
    return [point for at, point in enumerate(points) if at == 0 or point != points[at - 1]]


def _right_of(one: Point, other: Point, offset: float) -> Point:
    dx, dy = other[0] - one[0], other[1] - one[1]
    length = math.hypot(dx, dy)
    return (-dy / length * offset, dx / length * offset)


def _moved(point: Point, shift: Point) -> Point:
    return (point[0] + shift[0], point[1] + shift[1])
