"""The page that steps through a trace: one self-contained HTML file with packet headers beside the picture.

The page consists of the picture's SVG, the steps as JSON, and `stepper.js`, which the notebook widget also uses.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from cnmsim.errors import InvalidParameter
from cnmsim.observe.trace.table import decided_by, format_time, what_of
from cnmsim.observe.views.headers import headers_of
from cnmsim.observe.views.lanes import lane
from cnmsim.observe.views.markup import safe
from cnmsim.observe.views.picture import Picture, draw_directory
from cnmsim.observe.views.walks import badge

if TYPE_CHECKING:
    from cnmsim.observe.trace.trace import Trace


@cache
def asset(name: str) -> str:
    """Return the text of a file in this package, such as `stepper.js`."""
    return files("cnmsim.observe.views").joinpath(name).read_text(encoding="utf-8")


def picture_of(trace: Trace) -> Picture:
    """Draw the lab in which a trace was recorded, with the path of the trace.

    Raises `InvalidParameter` if the trace belongs to no lab.
    """
    if trace.directory is None:
        raise InvalidParameter("this trace belongs to no lab: make one with lab.trace()")
    return draw_directory(trace.directory, trace.title, trace)


def walk_data(trace: Trace) -> dict[str, Any]:
    """Return the data of a trace for `stepper.js`: title, finding, picture, and all steps with positions and headers.

    Raises `InvalidParameter` if the trace belongs to no lab.
    """
    picture = picture_of(trace)
    assert picture.track is not None
    steps = []
    waypoints = picture.track.waypoints
    hops = trace.in_file_names(way.hop for way in waypoints)
    for event, way, hop in zip(trace.events, waypoints, hops, strict=True):
        steps.append(
            {
                "number": way.number, "plain": hop.is_plain, "time": format_time(hop.time_ns), "place": hop.place,
                "device": hop.device, "step": hop.step.value, "what": what_of(hop), "decided": decided_by(hop),
                "decision": hop.decision, "addresses": hop.addresses, "message": hop.message, "packet": hop.packet,
                "loss": hop.is_drop, "answer": way.is_reply, "at": list(way.at) if way.at else None,
                "leg": [[round(x, 1), round(y, 1)] for x, y in lane(way.leg)],
                "headers": [
                    {"protocol": header.protocol, "depth": header.depth, "fields": list(map(list, header.fields))}
                    for header in (headers_of(event.data, is_frame=event.is_frame) if event.data else ())
                ],
            }
        )  # fmt: skip
    verdict, colour = badge(trace)
    return {
        "title": trace.title,
        "verdict": verdict,
        "colour": colour,
        "finding": "\n".join(trace.conclusion_lines()).partition(": ")[2],
        "svg": evolve(picture, track=None).svg(standalone=False),
        "steps": steps,
    }


def walk_html(trace: Trace) -> str:
    """Return the page that steps through a trace, as HTML.

    Raises `InvalidParameter` if the trace belongs to no lab.
    """
    data = walk_data(trace)
    # Inside a script element only `</` and `<!--` can end the script or change how the HTML is parsed.
    encoded = json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    script = asset("stepper.js").replace("export function", "function").replace("export default", "const widget =")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{safe(trace.title)}</title><style>{asset('stepper.css')}</style></head>"
        '<body class="cnm-page"><div id="walk"></div>'
        f'<script type="application/json" id="data">{encoded}</script>'
        f'<script type="module">\n{script}\n'
        'mount(document.getElementById("walk"), JSON.parse(document.getElementById("data").textContent));\n'
        "</script></body></html>\n"
    )


def save_walk(trace: Trace, path: str | Path) -> Path:
    """Write an HTML page that shows a trace step by step to the file `path`. Return the path.

    Raises `OSError` if the file cannot be written, and `InvalidParameter` if the trace belongs to no lab.
    """
    path = Path(path)
    path.write_text(walk_html(trace), encoding="utf-8")
    return path
