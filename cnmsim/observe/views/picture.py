"""The picture of a lab as SVG, optionally with the path of a trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cnmsim.observe.directory import Directory
from cnmsim.observe.trace.tracer import LabView, directory_of
from cnmsim.observe.views.badges import Kind, loss_mark
from cnmsim.observe.views.cabling import lay_out
from cnmsim.observe.views.canvas import LEGEND_H, Point, render
from cnmsim.observe.views.lanes import arrow_path, arrows, chained, lane
from cnmsim.observe.views.layout import PAD, Layout
from cnmsim.observe.views.markup import ACCENT, BACK, BAD, GOOD, STEP, framed
from cnmsim.observe.views.route import Track, track_of
from cnmsim.observe.views.scene import scene_of

if TYPE_CHECKING:
    from cnmsim.observe.trace.trace import Trace


@frozen
class Picture:
    """A picture of a lab. A notebook displays it; `svg()` and `save()` export it.

    `track` is the path of a trace that is drawn on it, `None` for none.
    """

    layout: Layout
    title: str
    track: Track | None = None

    @property
    def size(self) -> tuple[float, float]:
        """The width and height in pixels."""
        return self.layout.width, self.layout.height + (LEGEND_H if self.track is not None else 0)

    def svg(self, *, standalone: bool = True) -> str:
        """Return the SVG.

        With `standalone` it is a file of its own with light and dark colours; otherwise it is for embedding in a
        page.
        """
        return render(self.layout, self.title, self._ways(), self._badges(), self._legend(), standalone=standalone)

    def save(self, path: str | Path) -> Path:
        """Write the SVG to the file `path` and return the path. Raises `OSError` if the file cannot be written."""
        path = Path(path)
        path.write_text(self.svg(), encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        return framed(self.svg(standalone=False), self.svg(), self.title)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return HTML for notebooks, SVG for image viewers, and one line of text for terminals."""
        del include, exclude
        return {"text/html": self._repr_html_(), "image/svg+xml": self.svg(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        width, height = self.size
        return f"<Picture {self.title}: {width:.0f} x {height:.0f}>"

    def _ways(self) -> str:
        track = self.track
        if track is None:
            return ""
        parts = []
        for legs, colour, style in ((track.forth, ACCENT, ""), (track.back, BACK, _DASHED)):
            lanes = [lane(leg) for leg in chained(legs)]
            line = "".join(f"M{_line(points)}" for points in lanes if len(points) > 1)
            heads = "".join(arrow_path(*head) for points in lanes for head in arrows(points))
            if line:
                parts.append(
                    f'<path d="{line}" fill="none" stroke="{colour}" stroke-width="3"{style} '
                    'stroke-linejoin="round"/>'
                    f'<path d="{heads}" fill="{colour}"/>'
                )
        return "".join(parts)

    def _badges(self) -> str:
        badges = self.track.badges if self.track is not None else ()
        marks = [loss_mark(badge) for badge in badges if badge.kind is Kind.LOST]
        return "".join([*marks, *(badge.svg() for badge in badges)])

    def _legend(self) -> str:
        if self.track is None:
            return ""
        y = self.layout.height + 4
        kinds = {badge.kind for badge in self.track.badges}
        entries = [(_sample(y, ACCENT, ""), "sent")]
        if self.track.back:
            entries.append((_sample(y, BACK, _DASHED), "came back"))
        entries += [
            (f'<rect x="0" y="{y - 7:.1f}" width="24" height="14" rx="7" fill="{colour}"/>', text)
            for kind, colour, text in _BADGES if kind in kinds
        ]  # fmt: skip
        parts, x = [], PAD
        for sample, text in entries:
            parts.append(
                f'<g transform="translate({x:.1f} 0)">{sample}'
                f'<text x="30" y="{y + 4:.1f}" font-size="11" opacity=".8">{text}</text></g>'
            )
            x += 30 + 6.6 * len(text) + 18
        return f'<g class="cnm-legend">{"".join(parts)}</g>'


_DASHED = ' stroke-dasharray="6 3"'
_BADGES = ((Kind.STEP, STEP, "steps of the table"), (Kind.DELIVERED, GOOD, "delivered"), (Kind.LOST, BAD, "lost"))


def _sample(y: float, colour: str, style: str) -> str:
    head = arrow_path((18, y), (1, 0))
    return f'<path d="M0 {y:.1f}H24" stroke="{colour}" stroke-width="3"{style}/><path d="{head}" fill="{colour}"/>'


def _line(points: tuple[Point, ...]) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def draw_directory(directory: Directory, title: str = "lab", trace: Trace | None = None) -> Picture:
    """Draw the locations of a directory and their machines. With `trace`, draw the path of its packets too."""
    layout = lay_out(scene_of(directory))
    return Picture(layout, title, track_of(layout, trace) if trace is not None else None)


def draw(lab: LabView, trace: Trace | None = None) -> Picture:
    """Draw the present state of a lab.

    It shows the hosts with their sandboxes, bridges and tunnels, and the segments between hosts.

    With `trace`, the path of its packets is drawn too: a solid line for packets from the source, a dashed line for
    replies. The step numbers of the trace's table are shown at the devices where the steps happened.
    """
    return draw_directory(directory_of(lab), trace.title if trace is not None else "lab", trace)
