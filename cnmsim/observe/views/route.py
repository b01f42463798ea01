"""The way of a trace through a layout: where each hop is in the picture, and along which lines it got there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.kernel.events import Step
from cnmsim.observe.views.layout import Layout, Point
from cnmsim.observe.views.scene import Key

if TYPE_CHECKING:
    import networkx as nx

    from cnmsim.observe.hops import Hop
    from cnmsim.observe.trace import Trace

#: What only finds a neighbour is no part of the way.
_LINK = ("ARP ", "neighbour ", "router ")
_BADGES_AT_ONE_PLACE = 3


@frozen
class Waypoint:
    """Where a hop is (`None`: not in the picture), and the line that leads there from the hop before it of the same message."""

    hop: Hop
    at: Point | None
    leg: tuple[Point, ...] = ()
    is_answer: bool = False
    number: int = 0
    #: Where its number is written.
    badge: Point | None = None


@frozen
class Track:
    """A walk in a picture: every hop with its place, the lines walked either way, and the badges with step numbers."""

    waypoints: tuple[Waypoint, ...]
    badges: tuple[tuple[Point, str], ...] = ()
    lost: bool = False
    lost_badge: str = ""
    delivered_badge: str = ""

    @property
    def forth(self) -> tuple[tuple[Point, ...], ...]:
        """The lines walked by what the asker sent."""
        return tuple(dict.fromkeys(each.leg for each in self.waypoints if not each.is_answer and len(each.leg) > 1))

    @property
    def back(self) -> tuple[tuple[Point, ...], ...]:
        """The lines walked by what came back, where they are not the same."""
        return tuple(dict.fromkeys(each.leg for each in self.waypoints if each.is_answer and len(each.leg) > 1))


@define
class _Walker:
    """Finds places and ways; `hosts` remembers for each message on which machine it was last."""

    layout: Layout
    graph: nx.Graph[Key] = field(init=False)
    hosts: dict[int, str] = field(factory=dict)
    last_host: str = ""

    def __attrs_post_init__(self) -> None:
        import networkx as nx

        self.graph = nx.Graph()
        for one, other, points in self.layout.edges:
            length = sum(abs(ax - bx) + abs(ay - by) for (ax, ay), (bx, by) in itertools.pairwise(points))
            self.graph.add_edge(one, other, points=points, first=one, length=length + 1)

    def find(self, hop: Hop) -> Key | None:
        """Give the place of a hop: the one of that name on the machine where the message is."""
        places = self.layout.places
        by_host = {key[0]: key for key in places if key[1] == hop.place and key[2] == hop.device}
        by_host |= {key[0]: key for key in places if key[1] == hop.place and key[2] == "" and key[0] not in by_host}
        here = self.hosts.get(hop.message, self.last_host)
        found = by_host.get(here) or next(iter(by_host.values()), None)
        if found is not None and found[0] != found[1]:
            self.hosts[hop.message] = self.last_host = found[0]
        elif found is not None:
            self.hosts[hop.message] = self.last_host = found[1]
        return found

    def way(self, one: Key, other: Key) -> tuple[Point, ...]:
        """Give the points along the drawn lines from one place to the other; none if there is no way."""
        import networkx as nx

        try:
            nodes = nx.shortest_path(self.graph, one, other, weight="length")
        except (nx.NetworkXNoPath, nx.NodeNotFound):
            return ()
        points: list[Point] = []
        for here, there in itertools.pairwise(nodes):
            edge = self.graph.edges[here, there]
            points += edge["points"] if edge["first"] == here else edge["points"][::-1]
        return tuple(point for at, point in enumerate(points) if at == 0 or point != points[at - 1])


def track_of(layout: Layout, trace: Trace) -> Track:
    """Find the way of a trace in a layout."""
    walker = _Walker(layout)
    shown = {id(hop): number for number, hop in enumerate(trace.shown(), 1)}
    asker = trace.hops[0].place if trace.hops else ""
    senders: dict[int, str] = {}
    last: dict[int, Key] = {}
    waypoints = []
    for hop in trace.hops:
        senders.setdefault(hop.message, hop.place)
        key = walker.find(hop)
        leg: tuple[Point, ...] = ()
        if key is not None and not hop.packet.startswith(_LINK):
            before = last.get(hop.message)
            leg = walker.way(before, key) if before is not None and before != key else ()
            last[hop.message] = key
        at = layout.places[key] if key is not None else None
        badge = layout.badges.get(key, at) if key is not None else None
        waypoints.append(Waypoint(hop, at, leg, senders[hop.message] != asker, shown.get(id(hop), 0), badge))
    return _with_badges(tuple(waypoints))


def _with_badges(waypoints: tuple[Waypoint, ...]) -> Track:
    numbers: dict[Point, list[int]] = {}
    for each in waypoints:
        if each.number and each.badge is not None:
            numbers.setdefault(each.badge, []).append(each.number)
    texts = {point: ranges(found) for point, found in numbers.items()}
    lost = next((each for each in reversed(waypoints) if each.hop.is_loss and each.badge in texts), None)
    heard = (each for each in reversed(waypoints) if each.hop.step is Step.DELIVERED and not each.is_answer)
    taken = next((each for each in heard if each.badge in texts and not each.hop.packet.startswith("DNS ")), None)
    return Track(
        waypoints, tuple(texts.items()), lost is not None,
        texts.get(lost.badge, "") if lost is not None and lost.badge is not None else "",
        texts.get(taken.badge, "") if taken is not None and taken.badge is not None else "",
    )  # fmt: skip


def ranges(numbers: Sequence[int]) -> str:
    """Write numbers briefly: `1-3, 7`; of many ranges the first ones."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    texts = [str(one) if one == two else f"{one}-{two}" for one, two in found]
    return ",".join(texts[:_BADGES_AT_ONE_PLACE]) + (",…" if len(texts) > _BADGES_AT_ONE_PLACE else "")
