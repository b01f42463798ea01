"""The layout of a whole picture: rows of machines that fit the page's width, and the segments between the rows.

Machines with containers stand above the segments of their row; routers and clients hang below the segments of the
last row. A segment that several rows share has a vertical line at the left edge of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import define, field

from cnmsim.observe.views.layout import NIC_H, PAD, Bar, Layout, Wire
from cnmsim.observe.views.machines import MachineBox
from cnmsim.observe.views.scene import Interface, Key, MachineScene, Scene

#: The largest width of a row of several machines, in pixels.
_ROW_WIDTH = 1300.0
_MACHINE_GAP, _SEGMENT_STEP, _CABLE, _LANE = 28.0, 32.0, 34.0, 9.0
_ROW_GAP = 26.0
_LETTER, _LONGEST, _TOLD = 7.4, 24, 12
#: Machines next to each other whose tops differ by less than this number of pixels are aligned.
_LEVEL = 90.0


@define
class _Row:
    """A row of a picture: the machines that stand above its segments and those that hang below them."""

    standing: list[MachineBox] = field(factory=list)
    hanging: list[MachineBox] = field(factory=list)

    def interfaces(self) -> list[Interface]:
        return [item for machine in (*self.standing, *self.hanging) for item in machine.scene.interfaces]


def lay_out(scene: Scene) -> Layout:
    """Compute the layout of a scene: rows of machines, and the segments and cables between them."""
    layout = Layout(networks=scene.networks, summary="; ".join(map(_description, scene.machines)))
    full = [MachineBox(layout, machine) for machine in scene.machines if not machine.is_plain]
    if len(_fill_rows(full)) == len(full):
        # Each machine has its own row, so it may be wide.
        full = [MachineBox(layout, box.scene, is_alone=True) for box in full]
    plain = [MachineBox(layout, machine, is_hanging=bool(full)) for machine in scene.machines if machine.is_plain]
    rows = [_Row(standing=boxes) for boxes in _fill_rows(full or plain)] or [_Row()]
    if full:
        first, *more = _fill_rows(plain) or [[]]
        rows[-1].hanging = first
        rows += [_Row(hanging=boxes) for boxes in more]
    _Cabling(layout, scene, rows).place()
    layout.finish()
    return layout


def _description(machine: MachineScene) -> str:
    """Describe a machine for the text alternative of the picture: its name, its role and its first containers."""
    names = [sandbox.name for sandbox in machine.sandboxes if sandbox.kind == "container"] + list(machine.guests)
    shown = ", ".join(names[:_TOLD]) + (f" and {len(names) - _TOLD} more" if len(names) > _TOLD else "")
    role = f" ({machine.role})" if machine.role else ""
    return f"{machine.name}{role}{f' with {shown}' if shown else ''}"


def _fill_rows(machines: Iterable[MachineBox]) -> list[list[MachineBox]]:
    """Distribute machines over rows in their order: each row gets as many as fit into the width of the page."""
    rows: list[list[MachineBox]] = []
    room = 0.0
    for machine in machines:
        if rows and machine.width <= room:
            rows[-1].append(machine)
        else:
            rows.append([machine])
            room = _ROW_WIDTH
        room -= machine.width + _MACHINE_GAP
    return rows


class _Cabling:
    """Positions the rows of machines one below the other, and draws the segments and cables between them."""

    def __init__(self, layout: Layout, scene: Scene, rows: list[_Row]) -> None:
        self.layout, self.scene, self.rows = layout, scene, rows
        self.labels = dict(scene.segments)
        self.members = [self._segments_of(row) for row in rows]
        self._place_empty_segments()
        self.shared = [name for name in self.labels if sum(name in names for names in self.members) > 1]
        longest = max((min(len(label), _LONGEST) for label in self.labels.values()), default=0) * _LETTER + 14
        #: Segment names are written on the bars if the machines are wide enough that no cable crosses the names.
        self.is_on_bar = bool(rows[0].standing) and all(
            row.standing[0].first_nic > longest for row in rows if row.standing
        )
        self.edge = PAD + (longest if self.labels and not self.is_on_bar else 0)
        self.hang_from = self.edge + (longest if self.is_on_bar else 0)
        lanes = len(self.shared) + len(scene.trunks)
        self.left = self.edge + _LANE * lanes + (12 if self.labels else 0)
        #: For each segment in several rows: the x position of its vertical line, and the y position and key of its
        #: last bar so far.
        self.risers: dict[str, tuple[float, float, Key]] = {}
        self.right = self.left

    def _segments_of(self, row: _Row) -> list[str]:
        used = {item.segment for item in row.interfaces()}
        return [name for name in self.labels if name in used]

    def _place_empty_segments(self) -> None:
        """Assign each segment without machines to the row of another segment to which a cable leads.

        Also make sure that the two ends of each cable between segments (trunk) are both in one row.
        """
        trunks = self.scene.trunks
        for _ in self.labels:
            for one, other in (*trunks, *((two, one) for one, two in trunks)):
                seats = [names for names in self.members if one in names]
                if seats and not any(other in names for names in self.members):
                    seats[-1].append(other)
        for one, other in trunks:
            if not any(one in names and other in names for names in self.members):
                next((names for names in self.members if one in names), self.members[-1]).append(other)
        for name in self.labels:
            if not any(name in names for names in self.members):
                self.members[-1].append(name)
        for names in self.members:
            names[:] = [name for name in self.labels if name in names]

    def place(self) -> None:
        """Set the position of each row, one below the other, and then the size of the picture."""
        y = PAD
        for number, row in enumerate(self.rows):
            y = self._row(number, row, y) + _ROW_GAP
        self.layout.width = max(self.right, self.left + 120) + PAD
        self.layout.height = y - _ROW_GAP + PAD

    def _row(self, number: int, row: _Row, top: float) -> float:
        floor = top + max((machine.height for machine in row.standing), default=0.0)
        x = self.left
        for machine in row.standing:
            machine.place(x, floor, level=top if floor - machine.height - top < _LEVEL else None)
            x += machine.width + _MACHINE_GAP
        self.right = max(self.right, x - _MACHINE_GAP)
        names = self.members[number]
        first = floor + _CABLE if row.standing else top + 10
        bottom = first + _SEGMENT_STEP * max(0, len(names) - 1)
        heights = {name: first + _SEGMENT_STEP * at for at, name in enumerate(names)}
        self._hang(row.hanging, bottom + _CABLE)
        self._segments(number, row, heights)
        if row.hanging:
            return bottom + _CABLE + max(machine.height for machine in row.hanging)
        return bottom + 8 if names else floor + NIC_H / 2

    def _hang(self, machines: Sequence[MachineBox], ceiling: float) -> None:
        """Place machines below the segments, each as near as possible to the other machines on its segments.

        `ceiling` is the height of their upper edge.
        """
        preferred = sorted(
            ((self._middle(machine) - machine.width / 2, at, machine) for at, machine in enumerate(machines)),
            key=lambda item: item[:2],
        )
        spots: list[float] = []
        leftmost = max(self.left, self.hang_from)
        x = leftmost
        for preferred_x, _, machine in preferred:
            spots.append(max(x, preferred_x))
            x = spots[-1] + machine.width + _MACHINE_GAP
        # A machine that exceeds the right edge is moved left, and pushes the machines on its left.
        limit = max(self.right, leftmost + sum(machine.width + _MACHINE_GAP for machine in machines) - _MACHINE_GAP)
        for at in reversed(range(len(spots))):
            machine = preferred[at][2]
            spots[at] = min(spots[at], limit - machine.width)
            limit = spots[at] - _MACHINE_GAP
        for spot, (_, _, machine) in zip(spots, preferred, strict=True):
            machine.place(spot, ceiling)
            self.right = max(self.right, spot + machine.width)

    def _middle(self, machine: MachineBox) -> float:
        """Return the mean x position of the NICs placed so far that are on the same segments as `machine`.

        Return the left edge if there are none.
        """
        segments = {item.segment for item in machine.scene.interfaces if item.segment}
        places = self.layout.places
        xs = [
            places[item.key][0]
            for other in self.scene.machines
            for item in other.interfaces
            if item.segment in segments and item.key in places
        ]
        return sum(xs) / len(xs) if xs else self.left

    def _segments(self, number: int, row: _Row, heights: dict[str, float]) -> None:
        layout = self.layout
        plugs = [item for item in row.interfaces() if item.segment in heights]
        for name, y in heights.items():
            xs = [layout.places[item.key][0] for item in plugs if item.segment == name]
            lane = self.edge + _LANE * self.shared.index(name) if name in self.shared else self.edge
            end = max([self.left + 60, *(x + 26 for x in xs)])
            layout.bars.append(Bar(lane, y, end - lane, self.labels[name], "", -1, is_named_above=self.is_on_bar))
            bar, place = self._bar(number, name), (name, name, "")
            if place not in layout.places:
                layout.places[place] = (lane + 4, y)
                layout.put_on(bar, lane + 4, place)
            if name in self.shared:
                self._riser(name, number, lane, y)
        for item in plugs:
            x, y = layout.places[item.key]
            at = (x, heights[item.segment])
            junction = (item.segment, *item.key[1:])
            layout.places[junction] = at
            layout.put_on(self._bar(number, item.segment), x, junction)
            edge = NIC_H / 2 if at[1] > y else -NIC_H / 2
            layout.wires.append(Wire(((x, y + edge), at), "cable"))
            layout.dots.append((at, -1))
            layout.join(item.key, junction, (x, y), at)
        for lane_number, trunk in enumerate(self.scene.trunks):
            if all(name in heights for name in trunk):
                self._trunk(number, lane_number, trunk, heights)

    @staticmethod
    def _bar(number: int, name: str) -> Key:
        return (name, f"bar {number}", "")

    def _riser(self, name: str, number: int, x: float, y: float) -> None:
        key: Key = (name, f"riser {number}", "")
        self.layout.places[key] = (x, y)
        self.layout.put_on(self._bar(number, name), x, key)
        if name in self.risers:
            _, before, last = self.risers[name]
            self.layout.wires.append(Wire(((x, before), (x, y)), "riser"))
            self.layout.join(last, key, (x, before), (x, y))
        self.risers[name] = (x, y, key)

    def _trunk(self, number: int, at: int, trunk: tuple[str, str], heights: dict[str, float]) -> None:
        layout, (one, other) = self.layout, trunk
        x = self.edge + _LANE * (len(self.shared) + at) + 6
        points = ((x, heights[one]), (x, heights[other]))
        layout.wires.append(Wire(points, "cable"))
        layout.dots += [(point, -1) for point in points]
        keys: list[Key] = [(name, f"trunk {one} {other} {number}", "") for name in trunk]
        for name, key, point in zip(trunk, keys, points, strict=True):
            layout.places[key] = point
            layout.put_on(self._bar(number, name), x, key)
        layout.join(keys[0], keys[1], *points)
