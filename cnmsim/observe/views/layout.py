"""The layout of a picture: boxes, bars and wires to draw, and the positions of hops with the lines between them.

A network or segment is drawn as a horizontal bar. A dot marks a junction; lines that cross without a dot are not
connected.
"""

from __future__ import annotations

import itertools

from attrs import define, field, frozen

from cnmsim.observe.views.scene import Key

Point = tuple[float, float]

PAD, NIC_H = 14.0, 22.0
#: The height of the box of a host's own network stack, and the height in it at which paths of packets run.
STACK_H, STACK_LANE = 36.0, 26.0


@frozen
class Box:
    """A rectangle to draw, with its upper left corner at `x` and `y`.

    `kind` selects its style, such as "nic" or "container". `lines` are its texts, each with the number of the network
    to which it belongs (-1: none). `inset` is the distance between the left side and the texts.
    """

    kind: str
    x: float
    y: float
    width: float
    height: float
    lines: tuple[tuple[str, int], ...] = ()
    title: str = ""
    #: The distance between the box's left side and its text.
    inset: float = 10.0


@frozen
class Bar:
    """A network or a segment, drawn as a horizontal bar with its label on the left.

    `detail` is the second line of the label, "" for none. `colour` is the network's number, -1 for a segment.
    `is_idle` is True if nothing is attached, `is_named_above` if the label is written above the bar.
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
    """A line to draw along `points`. `style` is "veth", "tunnel", "stack", "cable" or "riser".

    A riser is the vertical line of a segment that several rows share. `colour` is the network's number, -1 for none.
    """

    points: tuple[Point, ...]
    style: str
    colour: int = -1


@define
class Layout:
    """A layout: the boxes, bars and wires to draw, and a graph in which the path of a trace is found.

    `places` are the nodes of the graph, with the position of each: the devices and network stacks at which a hop can
    be. `edges` are the lines between them. `dots` are junctions, each with the number of its network.
    """

    width: float = 0.0
    height: float = 0.0
    boxes: list[Box] = field(factory=list)
    bars: list[Bar] = field(factory=list)
    wires: list[Wire] = field(factory=list)
    dots: list[tuple[Point, int]] = field(factory=list)
    places: dict[Key, Point] = field(factory=dict)
    #: The positions of step numbers, for nodes where it is not the node's own position.
    badges: dict[Key, Point] = field(factory=dict)
    edges: list[tuple[Key, Key, tuple[Point, ...]]] = field(factory=list)
    networks: tuple[str, ...] = ()
    #: The text alternative of the picture.
    summary: str = ""
    #: The nodes that are networks; each is drawn as a bar.
    bars_of: set[Key] = field(factory=set)
    _on_bar: dict[Key, list[tuple[float, Key]]] = field(factory=dict)

    def join(self, one: Key, other: Key, *points: Point) -> None:
        """Add an edge between the nodes `one` and `other` to the graph, drawn as a line along `points`."""
        self.edges.append((one, other, points))

    def put_on(self, bar: Key, x: float, place: Key) -> None:
        """Put the node `place` on a bar at the position `x`. Later `finish` connects the nodes of each bar."""
        self._on_bar.setdefault(bar, []).append((x, place))

    def is_on(self, bar: Key, place: Key) -> bool:
        """Return True if the node `place` is attached to `bar`, the line at which a network is drawn."""
        return any(key == place for _, key in self._on_bar.get(bar, ()))

    def finish(self) -> None:
        """Connect the adjacent nodes on each bar, from left to right."""
        for placed in self._on_bar.values():
            placed.sort()
            for (_, one), (_, other) in itertools.pairwise(placed):
                self.join(one, other, self.places[one], self.places[other])
