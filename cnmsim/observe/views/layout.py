"""The layout of a picture: boxes, bars and wires to draw, and the places of hops, joined by lines.

A network or segment is a horizontal bar. A dot marks a junction; lines that cross without a dot are not joined.
"""

from __future__ import annotations

import itertools

from attrs import define, field, frozen

from cnmsim.observe.views.scene import Key

Point = tuple[float, float]

PAD, NIC_H = 14.0, 22.0
#: The host's own stack has its text in one half and the path of packets in the other.
STACK_H, STACK_LANE = 36.0, 26.0


@frozen
class Box:
    """A rectangle to draw: kind, position, size, texts, and for each text line the network's number or -1."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    lines: tuple[tuple[str, int], ...] = ()
    title: str = ""
    #: The distance of its text from its left side.
    inset: float = 10.0


@frozen
class Bar:
    """A network or a segment as a horizontal bar, with its label on the left.

    `colour` is the network's number, -1 for a segment. `is_idle` is true if nothing is attached to it,
    `is_named_above` if its label stands on it.
    """

    x: float
    y: float
    width: float
    label: str
    detail: str
    colour: int
    is_idle: bool = False
    is_named_above: bool = False


@frozen
class Wire:
    """A line to draw between two places. `style` is "veth", "tunnel", "stack" or "cable"."""

    points: tuple[Point, ...]
    style: str
    colour: int = -1


@define
class Layout:
    """A finished layout: things to draw, the position of each place of a hop, and the lines between places."""

    width: float = 0.0
    height: float = 0.0
    boxes: list[Box] = field(factory=list)
    bars: list[Bar] = field(factory=list)
    wires: list[Wire] = field(factory=list)
    dots: list[tuple[Point, int]] = field(factory=list)
    places: dict[Key, Point] = field(factory=dict)
    #: Where the step numbers of a place are written, if not at the place itself.
    badges: dict[Key, Point] = field(factory=dict)
    edges: list[tuple[Key, Key, tuple[Point, ...]]] = field(factory=list)
    networks: tuple[str, ...] = ()
    #: The text alternative of the picture.
    summary: str = ""
    #: The places of networks, which have bars.
    bars_of: set[Key] = field(factory=set)
    _on_bar: dict[Key, list[tuple[float, Key]]] = field(factory=dict)

    def join(self, one: Key, other: Key, *points: Point) -> None:
        """Record a line along `points` by which a frame can pass from one place to the other."""
        self.edges.append((one, other, points))

    def put_on(self, bar: Key, x: float, place: Key) -> None:
        """Put a place on a bar at `x`; `finish` joins the places of a bar in their order."""
        self._on_bar.setdefault(bar, []).append((x, place))

    def is_on(self, bar: Key, place: Key) -> bool:
        """Return True if a place is on a bar."""
        return any(key == place for _, key in self._on_bar.get(bar, ()))

    def finish(self) -> None:
        """Join the places on each bar along it."""
        for placed in self._on_bar.values():
            placed.sort()
            for (_, one), (_, other) in itertools.pairwise(placed):
                self.join(one, other, self.places[one], self.places[other])
