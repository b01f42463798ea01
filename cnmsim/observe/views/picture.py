"""The picture of a lab as SVG, with the way of a trace on it if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cnmsim.observe.asking import LabView, directory_of
from cnmsim.observe.stations import Directory
from cnmsim.observe.views.canvas import Point, render
from cnmsim.observe.views.layout import Layout, lay_out
from cnmsim.observe.views.markup import ACCENT, BACK, BAD, GOOD, framed, safe
from cnmsim.observe.views.route import Track, track_of
from cnmsim.observe.views.scene import scene_of

if TYPE_CHECKING:
    from cnmsim.observe.trace import Trace


@frozen
class Picture:
    """A drawing of a lab. A notebook shows it; `svg()` and `save()` give it as a file of its own."""

    layout: Layout
    title: str
    track: Track | None = None

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        return self.layout.width, self.layout.height

    def svg(self, *, standalone: bool = True) -> str:
        """Give the SVG: as a file that knows light and dark by itself or, not `standalone`, to stand inside a page."""
        return render(self.layout, self.title, self._ways(), self._badges(), standalone=standalone)

    def save(self, path: str | Path) -> Path:
        """Write the SVG to a file. Raises `OSError` as any write."""
        path = Path(path)
        path.write_text(self.svg(), encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        return framed(self.svg(standalone=False))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Give HTML for notebooks, SVG for what shows pictures only, and a line for terminals."""
        del include, exclude
        return {"text/html": self._repr_html_(), "image/svg+xml": self.svg(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<Picture {self.title}: {self.layout.width:.0f} x {self.layout.height:.0f}>"

    def _ways(self) -> str:
        track = self.track
        if track is None:
            return ""
        parts = []
        ways = (
            (track.forth, ACCENT, 'stroke-width="7" stroke-opacity=".6"'),
            (track.back, BACK, 'stroke-width="2.5" stroke-dasharray="1 5"'),
        )
        for legs, colour, style in ways:
            lines = "".join(f"M{_line(leg)}" for leg in legs if len(leg) > 1)
            if lines:
                parts.append(
                    f'<path d="{lines}" fill="none" stroke="{colour}" {style} '
                    'stroke-linecap="round" stroke-linejoin="round"/>'
                )
        return "".join(parts)

    def _badges(self) -> str:
        track = self.track
        return "".join(_badge(at, text, _badge_colour(track, text)) for at, text in track.badges) if track else ""


def _badge_colour(track: Track, text: str) -> str:
    if track.lost and text == track.lost_badge:
        return BAD
    return GOOD if track.delivered_badge == text else "#b45309"


def _line(points: tuple[Point, ...]) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _badge(point: Point, text: str, colour: str) -> str:
    width = 8 + 5.6 * len(text)
    x, y = point
    return (
        f'<g><rect x="{x - width / 2:.1f}" y="{y - 7:.1f}" width="{width:.1f}" height="14" rx="7" fill="{colour}"/>'
        f'<text x="{x:.1f}" y="{y + 3.5:.1f}" font-size="9.5" font-weight="700" text-anchor="middle" fill="#fff">{safe(text)}</text></g>'
    )


def draw_directory(
    directory: Directory,
    title: str = "lab",
    trace: Trace | None = None,
    names: Mapping[tuple[str, str], str] | None = None,
) -> Picture:
    """Draw the stations of a directory and the machines they run on; `names` are networks by host and bridge."""
    layout = lay_out(scene_of(directory, names or {}))
    return Picture(layout, title, track_of(layout, trace) if trace is not None else None)


def draw(lab: LabView, trace: Trace | None = None) -> Picture:
    """Draw a lab as it is now: hosts with their sandboxes, bridges and tunnels, and the segments between them.

    With `trace` its way is drawn over it: solid what the asker sent, dotted what came back, and the numbers of the steps
    that the trace's table shows, at the devices where they happened.
    """
    names = {
        (host.name, f"br-{network.id[:12]}"): network.name
        for host in lab.hosts.values()
        if host.docker is not None
        for network in host.docker.networks.list()
    }
    return draw_directory(directory_of(lab), trace.title if trace is not None else "lab", trace, names)
