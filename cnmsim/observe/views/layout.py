"""Where everything of a scene goes: machines side by side, sandboxes over network bars over NICs, segments below.

A network is a horizontal bar. Each interface of a sandbox drops a line to its bar, those of upper rows through the
channel beside their column, so that lines cross bars but no box. A dot is a junction, a crossing without one is none.
"""

from __future__ import annotations

import itertools
import math

from attrs import define, field, frozen

from cnmsim.observe.views.scene import Bus, Key, MachineScene, Plug, Sandbox, Scene

Point = tuple[float, float]

BOX_W, LINE, BOX_HEAD = 142.0, 14.0, 22.0
GAP, PAD, GUTTER, LANE = 14.0, 14.0, 164.0, 5.0
BUS_STEP, STACK_H, NIC_H, SEGMENT_STEP = 36.0, 28.0, 22.0, 40.0
MACHINE_GAP, TITLE = 36.0, 26.0
_LETTER = 6.3


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


@frozen
class Bar:
    """A network or a segment as a horizontal bar, with its label left of it; `colour` is the network's number, -1 a wire."""

    x: float
    y: float
    width: float
    label: str
    detail: str
    colour: int


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
    _on_bar: dict[Key, list[tuple[float, Key]]] = field(factory=dict)

    def join(self, one: Key, other: Key, *points: Point) -> None:
        """Say that a frame can go from one place to the other along `points`."""
        self.edges.append((one, other, points))

    def put_on(self, bar: Key, x: float, place: Key) -> None:
        """Put a place on a bar at `x`; `finish` joins the places of a bar in their order."""
        self._on_bar.setdefault(bar, []).append((x, place))

    def finish(self) -> None:
        """Join what hangs on each bar along it."""
        for placed in self._on_bar.values():
            placed.sort()
            for (_, one), (_, other) in itertools.pairwise(placed):
                self.join(one, other, self.places[one], self.places[other])


def lay_out(scene: Scene) -> Layout:
    """Find a place for everything."""
    layout = Layout(networks=scene.networks)
    left = PAD + max([90.0, *(len(text) * _LETTER + 16 for _, text in scene.segments)])
    sizes = [_Machine(layout, machine) for machine in scene.machines]
    floor = PAD + max([60.0, *(each.height for each in sizes)])
    x = left
    for each in sizes:
        each.place(x, floor)
        x += each.width + MACHINE_GAP
    bottom = _segments(layout, scene, left, floor)
    layout.width = max(x - MACHINE_GAP + PAD, left + 120)
    layout.height = bottom + PAD
    layout.finish()
    return layout


def _segments(layout: Layout, scene: Scene, left: float, floor: float) -> float:
    plugs = [item for machine in scene.machines for item in machine.interfaces]
    heights: dict[str, float] = {}
    ends: dict[str, float] = {}
    for number, (name, label) in enumerate(scene.segments):
        y = floor + 34 + number * SEGMENT_STEP
        heights[name] = y
        xs = [layout.places[item.key][0] for item in plugs if item.segment == name] or [left + 60]
        begin, end = min(xs) - 26, max(xs) + 26
        ends[name] = end
        layout.bars.append(Bar(begin, y, end - begin, label, "", -1))
        place = (name, name, "")
        layout.places[place] = (begin + 8, y)
        layout.put_on(place, begin + 8, place)
    for item in plugs:
        if item.segment in heights:
            x, y = layout.places[item.key]
            at = (x, heights[item.segment])
            junction = (item.segment, *item.key[1:])
            layout.places[junction] = at
            layout.put_on((item.segment, item.segment, ""), x, junction)
            layout.wires.append(Wire(((x, y + NIC_H / 2), at), "cable"))
            layout.dots.append((at, -1))
            layout.join(item.key, junction, (x, y), at)
    for number, (one, other) in enumerate(scene.trunks):
        x = min(ends[one], ends[other]) - 8 - 6 * number
        points = ((x, heights[one]), (x, heights[other]))
        layout.wires.append(Wire(points, "cable"))
        layout.dots += [(point, -1) for point in points]
        for name, point in zip((one, other), points, strict=True):
            key = (name, f"trunk {one} {other}", "")
            layout.places[key] = point
            layout.put_on((name, name, ""), x, key)
        layout.join((one, f"trunk {one} {other}", ""), (other, f"trunk {one} {other}", ""), *points)
    return floor + 34 + max(0, len(scene.segments) - 1) * SEGMENT_STEP + (10 if scene.segments else 0)


class _Machine:
    """One machine while it is laid out: first its size, then, when that of the others is known, its place."""

    def __init__(self, layout: Layout, scene: MachineScene) -> None:
        self.layout, self.scene = layout, scene
        count = len(scene.sandboxes)
        self.columns = min(count, max(4, math.ceil(math.sqrt(count * 1.5)))) if count else 0
        #: The last row is the one next to the bars; it may be the short one.
        self.rows = rows = [scene.sandboxes[at : at + self.columns] for at in range(0, count, self.columns or 1)]
        self.lanes = [
            sum(len(row[column].plugs) for row in rows[:-1] if column < len(row)) for column in range(self.columns)
        ]
        self.gutter = GUTTER if scene.buses else 0.0
        tunnels = sum(bus.tunnel is not None or bus.parent is not None for bus in scene.buses)
        self.margin = 74.0 + 8 * tunnels if tunnels else 0.0
        boxes = sum(BOX_W + GAP + LANE * lanes for lanes in self.lanes)
        nics = sum(_nic_width(item.label) + 10 for item in scene.interfaces)
        title = len(f"{scene.name} {scene.role}") * 8.0
        self.width = max(
            self.gutter + boxes + self.margin + 2 * PAD,
            nics + 2 * PAD + (120.0 if scene.buses else 0.0),
            title + 2 * PAD,
            130.0,
        )
        self.row_heights = [max(box_height(each) for each in row) + self._fan(row) for row in rows]
        self.height = (
            TITLE + sum(self.row_heights) + (18.0 if scene.buses else 0.0) + BUS_STEP * len(scene.buses)
            + STACK_H + 20 + NIC_H / 2 + PAD
        )  # fmt: skip

    def _fan(self, row: tuple[Sandbox, ...]) -> float:
        """Give the height in which the lines of a row turn into their channels."""
        return 30.0 + 3.0 * max(len(each.plugs) for each in row) if row is not self.rows[-1] else 16.0

    def place(self, x: float, floor: float) -> None:
        """Put it with its left edge at `x` and its NICs at `floor`."""
        layout, scene = self.layout, self.scene
        top = floor - self.height
        role = f"{scene.name}\n{scene.role}"
        layout.boxes.append(Box("machine", x, top, self.width, self.height, ((role, -1),), scene.name))
        stack_y = floor - 20 - NIC_H / 2 - STACK_H
        self._stack(x, stack_y)
        self._interfaces(x, floor, stack_y)
        bars_y = stack_y - BUS_STEP * len(scene.buses) + 6
        bars = {bus.key: bars_y + BUS_STEP * number for number, bus in enumerate(scene.buses)}
        for number, bus in enumerate(scene.buses):
            self._bus(bus, number, x, bars[bus.key], stack_y)
        self._sandboxes(x, top + TITLE, bars, stack_y)

    def _stack(self, x: float, y: float) -> None:
        scene = self.scene
        guests = f" + {', '.join(scene.guests)}" if scene.guests else ""
        text = f"routes, iptables, sockets{guests}" if scene.role else f"routes, sockets{guests}"
        self.layout.boxes.append(Box("stack", x + PAD, y, self.width - 2 * PAD, STACK_H, ((text, -1),), text))
        middle = (x + self.width - PAD - 24, y + STACK_H / 2)
        self.layout.places[scene.key] = middle
        self.layout.put_on(scene.key, middle[0], scene.key)

    def _enter_stack(self, x: float, name: str) -> Key:
        """Make the place at `x` where something comes into the host's own stack."""
        layout, key = self.layout, self.scene.key
        place: Key = (*key[:2], f"stack {name}")
        layout.places[place] = (x, layout.places[key][1])
        layout.put_on(key, x, place)
        return place

    def _interfaces(self, x: float, floor: float, stack_y: float) -> None:
        at = x + self.width - PAD
        for item in reversed(self.scene.interfaces):
            width = _nic_width(item.label)
            at -= width
            centre = (at + width / 2, floor)
            self.layout.boxes.append(Box("nic", at, floor - NIC_H / 2, width, NIC_H, ((item.label, -1),), item.label))
            self.layout.places[item.key] = centre
            inside = (centre[0], stack_y + STACK_H)
            self.layout.wires.append(Wire((inside, (centre[0], floor - NIC_H / 2)), "stack"))
            self.layout.badges[item.key] = (centre[0], floor - NIC_H / 2 - 7)
            entry = self._enter_stack(centre[0], item.key[2])
            self.layout.join(entry, item.key, self.layout.places[entry], centre)
            at -= 10

    def _colour(self, bus: Bus) -> int:
        return self.layout.networks.index(bus.name)

    def _bus(self, bus: Bus, number: int, x: float, y: float, stack_y: float) -> None:
        layout = self.layout
        begin, end = x + PAD + self.gutter - 12, x + self.width - PAD - self.margin + 4
        detail = f"{bus.detail}"
        layout.bars.append(Bar(begin, y, end - begin, bus.name, detail, self._colour(bus)))
        layout.places[bus.key] = (begin + 58, y)
        layout.put_on(bus.key, begin + 58, bus.key)
        if bus.is_routed:
            down = begin + 8 + 5.0 * number
            foot: Key = (*bus.key[:2], f"{bus.key[2]} foot")
            layout.places[foot] = (down, y)
            layout.put_on(bus.key, down, foot)
            layout.wires.append(Wire(((down, y), (down, stack_y)), "stack", self._colour(bus)))
            layout.dots.append(((down, y), self._colour(bus)))
            entry = self._enter_stack(down, bus.key[2])
            layout.join(foot, entry, (down, y), layout.places[entry])
        if bus.tunnel is not None:
            self._tunnel(bus, number, end, y, stack_y)
        elif bus.parent is not None and bus.parent in layout.places:
            where = layout.places[bus.parent]
            side = end + 6 + 8.0 * number
            points = ((end, y), (side, y), (side, where[1] - 16), (where[0], where[1] - 16), where)
            layout.wires.append(Wire(points, "tunnel", self._colour(bus)))
            last: Key = (*bus.key[:2], f"{bus.key[2]} end")
            layout.places[last] = (end, y)
            layout.put_on(bus.key, end, last)
            layout.join(last, bus.parent, *points)

    def _tunnel(self, bus: Bus, number: int, end: float, y: float, stack_y: float) -> None:
        layout = self.layout
        assert bus.tunnel is not None
        text = f"VTEP {bus.vni}"
        layout.boxes.append(
            Box("vtep", end, y - 9, 62, 18, ((text, self._colour(bus)),), f"{bus.tunnel[2]}, VNI {bus.vni}")
        )
        centre = (end + 31, y)
        layout.places[bus.tunnel] = centre
        layout.put_on(bus.key, centre[0], bus.tunnel)
        side = end + 68 + 8.0 * number
        layout.badges[bus.tunnel] = (centre[0], y - 15)
        layout.wires.append(Wire(((end + 62, y), (side, y), (side, stack_y)), "tunnel", self._colour(bus)))
        entry = self._enter_stack(side, f"{bus.tunnel[1]} {bus.tunnel[2]}")
        layout.join(bus.tunnel, entry, centre, (side, y), layout.places[entry])

    def _sandboxes(self, x: float, top: float, bars: dict[Key, float], stack_y: float) -> None:
        used = [0] * self.columns
        y = top
        for row, height in zip(self.rows, self.row_heights, strict=True):
            is_last = row is self.rows[-1]
            base = y + height - self._fan(row)
            at = x + PAD + self.gutter
            for column, sandbox in enumerate(row):
                self._sandbox(
                    sandbox,
                    at,
                    base,
                    channel=None if is_last else at + BOX_W + 6,
                    used=used,
                    column=column,
                    bars=bars,
                    stack_y=stack_y,
                )
                at += BOX_W + GAP + LANE * self.lanes[column]
            y += height

    def _sandbox(
        self, sandbox: Sandbox, x: float, base: float, *, channel: float | None, used: list[int], column: int,
        bars: dict[Key, float], stack_y: float,
    ) -> None:  # fmt: skip
        layout = self.layout
        height = box_height(sandbox)
        networks = {bus.key: self._colour(bus) for bus in self.scene.buses}
        lines = [(sandbox.name, -1)] + [
            (_plug_text(plug), networks.get(plug.bus, -2) if plug.bus else -2) for plug in sandbox.plugs
        ]
        layout.boxes.append(Box(sandbox.kind, x, base - height, BOX_W, height, tuple(lines), sandbox.title))
        inside = (x + BOX_W / 2, base - 3)
        layout.places[sandbox.key] = inside
        layout.put_on(sandbox.key, inside[0], sandbox.key)
        layout.badges[sandbox.key] = (x + BOX_W - 12, base - height)
        step = BOX_W / (len(sandbox.plugs) + 1)
        for number, plug in enumerate(sandbox.plugs):
            tab = (x + step * (number + 1), base)
            if channel is None:
                way = [tab]
            else:
                lane = channel + LANE * used[column]
                used[column] += 1
                turn = base + 6 + 3.0 * (len(sandbox.plugs) - number)
                way = [tab, (tab[0], turn), (lane, turn)]
            self._plug(sandbox, plug, way, bars, networks, stack_y)
            layout.badges[plug.key] = (tab[0], base + 8 + 14 * (number % 2))

    def _plug(
        self, sandbox: Sandbox, plug: Plug, way: list[Point], bars: dict[Key, float],
        networks: dict[Key, int], stack_y: float,
    ) -> None:  # fmt: skip
        layout = self.layout
        tab = way[0]
        layout.places[plug.key] = tab
        entry: Key = (*plug.key[:2], f"inside {plug.key[2]}")
        layout.places[entry] = (tab[0], layout.places[sandbox.key][1])
        layout.put_on(sandbox.key, tab[0], entry)
        layout.join(entry, plug.key, layout.places[entry], tab)
        if plug.bus is not None:
            end = (way[-1][0], bars[plug.bus])
            colour = networks[plug.bus]
            junction = plug.far or (*plug.bus[:2], f"{plug.bus[2]} of {plug.key[1]} {plug.key[2]}")
            layout.places[junction] = end
            layout.put_on(plug.bus, end[0], junction)
            layout.wires.append(Wire((*way, end), "veth", colour))
            layout.dots += [(end, colour), (tab, colour)]
            layout.join(plug.key, junction, *way, end)
        elif plug.far is not None:
            end = (way[-1][0], stack_y)
            layout.places.setdefault(plug.far, end)
            layout.wires.append(Wire((*way, end), "veth"))
            layout.dots.append((tab, -1))
            layout.join(plug.key, plug.far, *way, end)
            entry = self._enter_stack(end[0], plug.far[2])
            layout.join(plug.far, entry, end, layout.places[entry])


def box_height(sandbox: Sandbox) -> float:
    """Give the height of a sandbox's box: a line for its name and one for each interface."""
    return BOX_HEAD + LINE * max(1, len(sandbox.plugs)) + 4


def _plug_text(plug: Plug) -> str:
    return f"{plug.key[2]} {plug.addresses.partition('/')[0] or 'no address'}"


def _nic_width(label: str) -> float:
    return 14 + len(label) * 6.1
