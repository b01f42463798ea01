"""The renderer of an engine's objects in notebooks. It is above the engine, therefore `lab` registers it here."""

from __future__ import annotations

from collections.abc import Callable

#: Returns the HTML of an object, `None` if it has no rendering.
Renderer = Callable[[object], str | None]

_renderer: list[Renderer] = []


def set_renderer(renderer: Renderer) -> None:
    """Register the renderer of engines' objects."""
    _renderer[:] = [renderer]


def html_of(what: object) -> str | None:
    """Return the HTML of an object for a notebook, `None` if no renderer is registered: its `repr` is shown then."""
    return _renderer[0](what) if _renderer else None
