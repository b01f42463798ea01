"""Where everything of a picture is: boxes, bars and wires to draw, and the places that packets pass, joined by lines.

A network is a horizontal bar, and so is a segment. A dot is a junction, a crossing without one is none.
"""

from __future__ import annotations

import itertools

from attrs import define, field, frozen

from cnmsim.observe.views.scene import Key

Point = tuple[float, float]

PAD, NIC_H = 14.0, 22.0
#: The host's own stack has its text in one half and the way of packets in the other.
STACK_H, STACK_LANE = 36.0, 26.0


@frozen
class Box:
    """A rectangle to draw: kind of thing, position, size, texts, and for each text line the network's number or -1."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    lines: tuple[tuple[str, int], ...] = ()
    title: str = ""
    #: Where its text begins, from its left side.
    inset: float = 10.0


@frozen
class Bar:
    """A network or a segment as a horizontal bar, with its label left of it; `colour` is the network's number, -1 a wire.

    `is_idle` tells that nothing is plugged into it, `is_named_above` that its label stands on it.
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
    """The finished layout: what to draw, where each place of a hop is, and which places are joined by which line."""

    width: float = 0.0
    height: float = 0.0
    boxes: list[Box] = field(factory=list)
    bars: list[Bar] = field(factory=list)
    wires: list[Wire] = field(factory=list)
    dots: list[tuple[Point, int]] = field(factory=list)
    places: dict[Key, Point] = field(factory=dict)
    #: Where the numbers of a place's steps are written, if not at the place itself.
    badges: dict[Key, Point] = field(factory=dict)
    edges: list[tuple[Key, Key, tuple[Point, ...]]] = field(factory=list)
    networks: tuple[str, ...] = ()
    #: What is in the picture, for those who do not see it.
    summary: str = ""
    #: The places of networks, which have bars.
    bars_of: set[Key] = field(factory=set)
    _on_bar: dict[Key, list[tuple[float, Key]]] = field(factory=dict)

    def join(self, one: Key, other: Key, *points: Point) -> None:
        """Say that a frame can go from one place to the other along `points`."""
        self.edges.append((one, other, points))

    def put_on(self, bar: Key, x: float, place: Key) -> None:
        """Put a place on a bar at `x`; `finish` joins the places of a bar in their order."""
        self._on_bar.setdefault(bar, []).append((x, place))

    def is_on(self, bar: Key, place: Key) -> bool:
        """Tell whether a place is on a bar."""
        return any(key == place for _, key in self._on_bar.get(bar, ()))

    def finish(self) -> None:
        """Join what hangs on each bar along it."""
        for placed in self._on_bar.values():
            placed.sort()
            for (_, one), (_, other) in itertools.pairwise(placed):
                self.join(one, other, self.places[one], self.places[other])
