"""A trace as a notebook widget (needs the extra `cnmsim[notebook]`), with the same stepper as the saved page."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from cnmsim.observe.views.steps import asset, walk_data

if TYPE_CHECKING:
    from cnmsim.observe.trace.trace import Trace


@cache
def _widget_class() -> Any:
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise ImportError("the widget needs anywidget: pip install 'cnmsim[notebook]'") from None
    return type(
        "WalkWidget",
        (anywidget.AnyWidget,),
        {
            "__doc__": "Steps through a walk.",
            "__module__": __name__,
            "_esm": asset("stepper.js"),
            "_css": asset("stepper.css"),
            "walk": traitlets.Dict().tag(sync=True),
        },
    )


def walk_widget(trace: Trace) -> Any:
    """Return a widget (anywidget) that steps through a trace. Raises `ImportError` if anywidget is not installed."""
    return _widget_class()(walk=walk_data(trace))
