"""The path of a trace in a layout: the node of each hop, and the lines between these nodes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.views.badges import Badge, Kind, ranges, spread
from cnmsim.observe.views.layout import Layout, Point
from cnmsim.observe.views.scene import Key

if TYPE_CHECKING:
    import networkx as nx

    from cnmsim.observe.trace.hops import Hop
    from cnmsim.observe.trace.trace import Trace

#: Steps that happen in the host's own stack although their events name a device: routing, packet filter rules, NAT.
_IN_STACK = frozenset({Step.ROUTED, Step.HOOK, Step.TRANSLATED})
#: Reasons for drops that happen at the device itself, before or after the packet passes the stack.
_AT_DEVICE = frozenset(
    {
        DropReason.LINK_DOWN, DropReason.NO_CARRIER, DropReason.LINK_LOSS, DropReason.NOT_FOR_US,
        DropReason.NO_BRIDGE_PORT,
        DropReason.NEIGHBOUR_FAILED, DropReason.NEIGHBOUR_QUEUE_FULL, DropReason.NO_VLAN, DropReason.KEPT_APART,
        DropReason.LAYER_3_ONLY, DropReason.PORT_SECURITY,
    }
)  # fmt: skip


@frozen
class Waypoint:
    """A hop with its position in the picture, `at` (`None` if it is not in the picture).

    `leg` is the line to it from the previous hop of the same packet. `is_reply` is True if the packet goes to the
    source. `number` is the hop's step number in the trace's table, 0 if the table leaves it out. `badge` is where to
    draw that number.
    """

    hop: Hop
    at: Point | None
    leg: tuple[Point, ...] = ()
    is_reply: bool = False
    number: int = 0
    #: The position at which its step number is drawn.
    badge: Point | None = None


@frozen
class Track:
    """The path of a trace in a picture: a waypoint for each hop, and the badges with step numbers."""

    waypoints: tuple[Waypoint, ...]
    badges: tuple[Badge, ...] = ()

    @property
    def forth(self) -> tuple[tuple[Point, ...], ...]:
        """The lines of the packets that go out from the source."""
        return self._legs(is_reply=False)

    @property
    def back(self) -> tuple[tuple[Point, ...], ...]:
        """The lines of the replies to the source."""
        return self._legs(is_reply=True)

    def _legs(self, *, is_reply: bool) -> tuple[tuple[Point, ...], ...]:
        """Return the legs in one direction, sorted by packet, so that consecutive legs follow each other."""
        walked = [waypoint for waypoint in self.waypoints if waypoint.is_reply is is_reply and len(waypoint.leg) > 1]
        return tuple(waypoint.leg for waypoint in sorted(walked, key=lambda waypoint: waypoint.hop.message))


@define
class _Walker:
    """Finds the nodes of hops in a layout, and paths between nodes.

    `hosts` maps each packet's number to the machine where its last hop was. `last_host` is the machine of the last
    hop, whatever its packet. `known` holds the paths found so far.
    """

    layout: Layout
    graph: nx.Graph[Key] = field(init=False)
    hosts: dict[int, str] = field(factory=dict)
    last_host: str = ""
    known: dict[tuple[Key, Key], list[Key]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        import networkx as nx

        self.graph = nx.Graph()
        for one, other, points in self.layout.edges:
            length = sum(abs(ax - bx) + abs(ay - by) for (ax, ay), (bx, by) in itertools.pairwise(points))
            self.graph.add_edge(one, other, points=points, first=one, length=length + 1)

    def find(self, hop: Hop) -> Key | None:
        """Return the node of a hop, or `None` if it is not in the picture.

        If several nodes have the hop's place and device, the one on the machine of the packet's previous hop is
        preferred.
        """
        places = self.layout.places
        by_host = {key[0]: key for key in places if key[1] == hop.place and key[2] == hop.device}
        by_host |= {key[0]: key for key in places if key[1] == hop.place and key[2] == "" and key[0] not in by_host}
        here = self.hosts.get(hop.message, self.last_host)
        place = by_host.get(here) or next(iter(by_host.values()), None)
        if place is not None and place[0] != place[1]:
            self.hosts[hop.message] = self.last_host = place[0]
        elif place is not None:
            self.hosts[hop.message] = self.last_host = place[1]
            inside = (*place[:2], f"stack {place[2]}")
            if _is_in_stack(hop) and inside in places:
                return inside
        if place is not None and hop.step is Step.DELIVERED:
            # The packet is now at the socket, no longer at the device on which it arrived.
            return (*place[:2], "") if (*place[:2], "") in places else place
        return place

    def onto(self, one: Key, bar: Key) -> Key:
        """Follow the path from the node `one` to a network's line, `bar`, and return the first node on that line.

        Return the bar's own node if there is no path.
        """
        return next((node for node in self._nodes(one, bar) if self.layout.is_on(bar, node)), bar)

    def _nodes(self, one: Key, other: Key) -> list[Key]:
        import networkx as nx

        if (one, other) not in self.known:
            try:
                self.known[one, other] = nx.shortest_path(self.graph, one, other, weight="length")
            except (nx.NetworkXNoPath, nx.NodeNotFound):
                self.known[one, other] = []
        return self.known[one, other]

    def way(self, one: Key, other: Key) -> tuple[Point, ...]:
        """Return the points of the shortest path along the drawn lines from one node to another.

        Return () if there is no path.
        """
        nodes = self._nodes(one, other)
        points: list[Point] = []
        for here, there in itertools.pairwise(nodes):
            edge = self.graph.edges[here, there]
            points += edge["points"] if edge["first"] == here else edge["points"][::-1]
        return tuple(point for at, point in enumerate(points) if at == 0 or point != points[at - 1])


def _is_in_stack(hop: Hop) -> bool:
    if hop.step is Step.DROPPED:
        return hop.reason not in _AT_DEVICE
    return hop.step in _IN_STACK


def track_of(layout: Layout, trace: Trace) -> Track:
    """Compute the path of a trace in a layout."""
    walker = _Walker(layout)
    shown = {id(hop): number for number, hop in enumerate(trace.shown(), 1)}
    asker = trace.hops[0].place if trace.hops else ""
    senders: dict[int, str] = {}
    last: dict[int, Key] = {}
    waypoints = []
    for hop in trace.hops:
        senders.setdefault(hop.message, hop.place)
        key = walker.find(hop)
        if hop.step is Step.SENT:
            last.pop(hop.message, None)
        before = last.get(hop.message)
        if key in layout.bars_of and before is not None:
            # A hop at a bridge is drawn where the frame enters the bridge's bar.
            key = walker.onto(before, key)
        leg: tuple[Point, ...] = ()
        if key is not None and not hop.layer4.is_link:
            leg = walker.way(before, key) if before is not None and before != key else ()
            last[hop.message] = key
        at = layout.places[key] if key is not None else None
        badge = layout.badges.get(key, at) if key is not None else None
        waypoints.append(Waypoint(hop, at, leg, senders[hop.message] != asker, shown.get(id(hop), 0), badge))
    ways = tuple(waypoints)
    lost = _lost(ways, trace)
    return Track(ways, _badges(ways, lost, layout))


def _badges(waypoints: tuple[Waypoint, ...], lost: Waypoint | None, layout: Layout) -> tuple[Badge, ...]:
    numbers: dict[Point, list[int]] = {}
    places: dict[Point, Point] = {}
    for waypoint in waypoints:
        if waypoint.number and waypoint.badge is not None and waypoint.at is not None:
            numbers.setdefault(waypoint.badge, []).append(waypoint.number)
            places.setdefault(waypoint.badge, waypoint.at)
    delivered = next(
        (waypoint for waypoint in reversed(waypoints) if _is_taken(waypoint) and waypoint.badge in numbers), None
    )
    badges = []
    for point, seen in numbers.items():
        kind = Kind.DELIVERED if delivered is not None and point == delivered.badge else Kind.STEP
        if lost is not None and point == lost.badge and lost.at is not None:
            reason = lost.hop.reason.value if lost.hop.reason else lost.hop.what
            badges.append(Badge(lost.at, ranges(seen), Kind.LOST, lost.at, reason))
        else:
            badges.append(Badge(point, ranges(seen), kind, places[point]))
    return spread(badges, layout.boxes, layout.width)


def _is_taken(way: Waypoint) -> bool:
    return way.hop.step is Step.DELIVERED and not way.is_reply and not way.hop.layer4.is_dns


def _lost(waypoints: tuple[Waypoint, ...], trace: Trace) -> Waypoint | None:
    """Return the waypoint at which to draw the loss of a packet.

    It is the waypoint of the drop that decided the verdict or, without such a drop, of the last drop in the trace's
    table. Return `None` if no drop is both in the table and in the picture.
    """
    losses = [
        waypoint for waypoint in waypoints if waypoint.hop.is_drop and waypoint.number and waypoint.at is not None
    ]
    decided = trace.finding.hop if trace.finding is not None else None
    return next((waypoint for waypoint in losses if waypoint.hop == decided), losses[-1] if losses else None)
