"""The layout of one machine: sandboxes above network bars, the host's own stack below, and NICs on the edge.

Each interface of a sandbox has a line to the bar of its network. If there are several rows of sandboxes, the lines
from the upper rows run in a channel beside their column, so that they cross bars but no box. A machine with nothing
but its own stack may hang below a segment; its NICs are then at the top.
"""

from __future__ import annotations

import math

from cnmsim.observe.views.layout import NIC_H, PAD, STACK_H, STACK_LANE, Bar, Box, Layout, Point, Wire
from cnmsim.observe.views.scene import Bus, Key, MachineScene, Plug, Sandbox

BOX_W, LINE, BOX_HEAD = 142.0, 14.0, 22.0
GAP, LANE = 14.0, 5.0
BUS_STEP, TITLE, NIC_GAP = 36.0, 26.0, 20.0
_NAME_LETTER, _DETAIL_LETTER, _LONGEST = 7.6, 6.1, 24
_PORT_LINES = 3
_VTEP_W, _LETTER = 70.0, 6.2
#: Stands for a network's number at a line of text about the host's own stack, or about a published port.
ON_STACK, PUBLISHED = -2, -3


class MachineBox:
    """The layout of one machine, `scene`.

    Its size is known at once; `place` sets its position later, when the sizes of all machines are known.
    """

    def __init__(
        self, layout: Layout, scene: MachineScene, *, is_alone: bool = False, is_hanging: bool = False
    ) -> None:
        self.layout, self.scene, self.is_hanging = layout, scene, is_hanging
        count = len(scene.sandboxes)
        self.columns = min(count, _columns(count, is_alone=is_alone))
        #: The last row is next to the bars, and may have fewer sandboxes than the others.
        self.rows = rows = [scene.sandboxes[at : at + self.columns] for at in range(0, count, self.columns or 1)]
        self.lanes = [
            sum(len(row[column].plugs) for row in rows[:-1] if column < len(row)) for column in range(self.columns)
        ]
        self.gutter = _gutter(scene)
        tunnels = sum(bus.tunnel is not None or bus.parent is not None for bus in scene.buses)
        self.margin = _VTEP_W + 12 + 8 * tunnels if tunnels else 0.0
        boxes = sum(BOX_W + GAP + LANE * lanes for lanes in self.lanes)
        nics = sum(_nic_width(item.label) + 10 for item in scene.interfaces)
        self.width = max(
            self.gutter + boxes + self.margin + 2 * PAD,
            nics + 2 * PAD + (120.0 if scene.buses else 34.0 if scene.is_plain else 0.0),
            len(scene.name) * 9.0 + len(scene.role) * 6.6 + 10 + 2 * PAD,
            self._inset()
            + len(_stack_text(scene)) * _LETTER
            + 10
            + 2 * PAD
            + sum(_guest_width(guest) + 6 for guest in scene.guests),
            130.0,
        )
        self.row_heights = [max(box_height(sandbox) for sandbox in row) + self._fan(row) for row in rows]
        if is_hanging:
            self.height = NIC_H / 2 + NIC_GAP + STACK_H + TITLE + 2
        else:
            self.height = (
                TITLE + sum(self.row_heights) + (18.0 if scene.buses else 0.0) + BUS_STEP * len(scene.buses)
                + STACK_H + NIC_GAP + NIC_H / 2 + 4
            )  # fmt: skip

    @property
    def first_nic(self) -> float:
        """The distance between the machine's left side and the cable of its first NIC."""
        widths = [_nic_width(item.label) for item in self.scene.interfaces]
        occupied = sum(widths) + 10 * (len(widths) - 1) + PAD + (34 if self.scene.is_plain else 0)
        return self.width - occupied + widths[0] / 2 if widths else self.width

    def _fan(self, row: tuple[Sandbox, ...]) -> float:
        """Return the height of the space below a row of sandboxes in which the lines of their interfaces diverge."""
        return 30.0 + 3.0 * max(len(sandbox.plugs) for sandbox in row) if row is not self.rows[-1] else 16.0

    def place(self, x: float, edge: float, *, level: float | None = None) -> None:
        """Place the machine with its left side at `x` and its NICs at height `edge`.

        `level` is the height at which the top of the machine's frame is drawn, such as that of a taller machine
        beside it; `None` means directly above the content.
        """
        scene = self.scene
        kind, sign = ("hanging", 1) if self.is_hanging else ("machine", -1)
        top = edge if self.is_hanging else edge - self.height
        roof = top if level is None else level
        role = f"{scene.name}\n{scene.role}"
        self.layout.boxes.append(Box(kind, x, roof, self.width, top + self.height - roof, ((role, -1),), scene.name))
        stack_y = edge + sign * (NIC_GAP + NIC_H / 2) - (0 if self.is_hanging else STACK_H)
        self._stack(x, stack_y)
        self._interfaces(x, edge, stack_y)
        bars_y = stack_y - BUS_STEP * len(scene.buses) + 6
        bars = {bus.key: bars_y + BUS_STEP * number for number, bus in enumerate(scene.buses)}
        used = {plug.bus for sandbox in scene.sandboxes for plug in sandbox.plugs}
        for number, bus in enumerate(scene.buses):
            self._bus(bus, number, x, bars[bus.key], stack_y, is_idle=bus.key not in used)
        self._sandboxes(x, top + TITLE, bars, stack_y)

    def _stack(self, x: float, y: float) -> None:
        scene, text = self.scene, _stack_text(self.scene)
        self.layout.boxes.append(
            Box(
                "stack up" if self.is_hanging else "stack",
                x + PAD,
                y,
                self.width - 2 * PAD,
                STACK_H,
                ((text, -1),),
                text,
                self._inset(),
            )
        )
        at = x + PAD + self._inset() + len(text) * _LETTER + 8
        for guest in scene.guests:
            width = _guest_width(guest)
            self.layout.boxes.append(
                Box("guest", at, y + 2, width, 17, ((guest, -1),), f"{guest}, in the host's own network")
            )
            at += width + 6
        lane = STACK_H - STACK_LANE if self.is_hanging else STACK_LANE
        middle = (x + self.width - PAD - 16, y + lane)
        self.layout.places[scene.key] = middle
        self.layout.put_on(scene.key, middle[0], scene.key)

    def _inset(self) -> float:
        """Return the indent of the text in the box of the host's stack; it leaves room for the lines from bridges."""
        feet = sum(bus.is_routed for bus in self.scene.buses)
        return self.gutter + 5.0 * len(self.scene.buses) if feet else 10.0

    def _enter_stack(self, x: float, name: str) -> Key:
        """Add a node to the layout where a line enters the host's own stack, at `x`, and return its key."""
        layout, key = self.layout, self.scene.key
        place: Key = (*key[:2], f"stack {name}")
        layout.places[place] = (x, layout.places[key][1])
        layout.put_on(key, x, place)
        return place

    def _interfaces(self, x: float, edge: float, stack_y: float) -> None:
        at = x + self.width - PAD - (34 if self.scene.is_plain else 0)
        sign = 1 if self.is_hanging else -1
        for item in reversed(self.scene.interfaces):
            width = _nic_width(item.label)
            at -= width
            centre = (at + width / 2, edge)
            self.layout.boxes.append(Box("nic", at, edge - NIC_H / 2, width, NIC_H, ((item.label, -1),), item.label))
            self.layout.places[item.key] = centre
            inside = (centre[0], stack_y if self.is_hanging else stack_y + STACK_H)
            self.layout.wires.append(Wire((inside, (centre[0], edge + sign * NIC_H / 2)), "stack"))
            self.layout.badges[item.key] = (centre[0], edge + sign * (NIC_H / 2 + NIC_GAP / 2))
            entry = self._enter_stack(centre[0], item.key[2])
            self.layout.join(entry, item.key, self.layout.places[entry], centre)
            at -= 10

    def _colour(self, bus: Bus) -> int:
        return self.layout.networks.index(bus.name)

    def _bus(self, bus: Bus, number: int, x: float, y: float, stack_y: float, *, is_idle: bool) -> None:
        layout = self.layout
        begin, end = x + PAD + self.gutter - 12, x + self.width - PAD - self.margin + 4
        layout.bars.append(Bar(begin, y, end - begin, bus.name, bus.detail, self._colour(bus), is_idle))
        layout.bars_of.add(bus.key)
        middle = begin + 22 + 5.0 * len(self.scene.buses)
        layout.places[bus.key] = (middle, y)
        layout.put_on(bus.key, middle, bus.key)
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
            Box("vtep", end, y - 9, _VTEP_W, 18, ((text, self._colour(bus)),), f"{bus.tunnel[2]}, VNI {bus.vni}")
        )
        centre = (end + _VTEP_W / 2, y)
        layout.places[bus.tunnel] = centre
        layout.put_on(bus.key, centre[0], bus.tunnel)
        side = end + _VTEP_W + 6 + 8.0 * number
        layout.badges[bus.tunnel] = (centre[0], y - 17)
        layout.wires.append(Wire(((end + _VTEP_W, y), (side, y), (side, stack_y)), "tunnel", self._colour(bus)))
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
        lines = (
            [(sandbox.name, -1)]
            + [
                (_plug_text(plug), networks.get(plug.bus, ON_STACK) if plug.bus else ON_STACK)
                for plug in sandbox.plugs
            ]
            + [(text, PUBLISHED) for text in _port_lines(sandbox)]
        )
        layout.boxes.append(Box(sandbox.kind, x, base - height, BOX_W, height, tuple(lines), sandbox.title))
        inside = (x + BOX_W / 2, base - 5)
        layout.places[sandbox.key] = inside
        layout.put_on(sandbox.key, inside[0], sandbox.key)
        layout.badges[sandbox.key] = (x + BOX_W - 18, base - height - 2)
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
    """Return the height of a sandbox's box: one line for its name, and one for each interface and published port."""
    return BOX_HEAD + LINE * (max(1, len(sandbox.plugs)) + len(_port_lines(sandbox))) + 8


def _columns(count: int, *, is_alone: bool) -> int:
    """Return the number of sandboxes in one row of a machine that has `count` sandboxes.

    The number is larger if `is_alone`, i.e. if the machine has a row of the picture to itself.
    """
    return max(4, math.ceil(math.sqrt(count * 0.6))) if is_alone else max(2, math.ceil(math.sqrt(count * 0.8)))


def _gutter(scene: MachineScene) -> float:
    """Return the width of the column at the left of a machine for the names of its networks."""
    names = [min(len(bus.name), _LONGEST) * _NAME_LETTER for bus in scene.buses]
    details = [min(len(bus.detail), _LONGEST + 2) * _DETAIL_LETTER for bus in scene.buses]
    return max(80.0, *names, *details) + 22 if scene.buses else 0.0


def _stack_text(scene: MachineScene) -> str:
    return "routes, iptables, sockets" if scene.role else "routes, sockets"


def _guest_width(name: str) -> float:
    return min(len(name), _LONGEST) * 7.0 + 14


def _port_lines(sandbox: Sandbox) -> tuple[str, ...]:
    ports = sandbox.ports
    if len(ports) <= _PORT_LINES:
        return ports
    return (*ports[: _PORT_LINES - 1], f"and {len(ports) - _PORT_LINES + 1} more")


def _plug_text(plug: Plug) -> str:
    return f"{plug.key[2]} {plug.addresses.partition('/')[0] or 'no address'}"


def _nic_width(label: str) -> float:
    return 14 + len(label) * 6.1
