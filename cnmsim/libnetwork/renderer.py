"""Rendering of controllers, engines and their objects as HTML in notebooks.

The code that renders is in a higher layer: the package `lab` registers it here.
"""

from __future__ import annotations

from collections.abc import Callable

#: A function that returns the HTML of an object, or `None` if it cannot render the object.
Renderer = Callable[[object], str | None]

_renderer: list[Renderer] = []


def set_renderer(renderer: Renderer) -> None:
    """Register the function that renders objects of controllers and engines as HTML."""
    _renderer[:] = [renderer]


def html_of(what: object) -> str | None:
    """Return the HTML of an object for a notebook.

    If no renderer is registered, return `None`; the notebook then shows the object's `repr`.
    """
    return _renderer[0](what) if _renderer else None
