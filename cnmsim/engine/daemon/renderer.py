"""Who shows an engine's objects in a notebook. Drawing stands above the engine, so it is put in charge by `lab`."""

from __future__ import annotations

from collections.abc import Callable

#: Gives the HTML of an object, `None` for one it has no picture of.
Renderer = Callable[[object], str | None]

_renderer: list[Renderer] = []


def set_renderer(renderer: Renderer) -> None:
    """Let `renderer` show engines' objects from now on."""
    _renderer[:] = [renderer]


def html_of(what: object) -> str | None:
    """Give the HTML that a notebook shows for `what`; `None` where nobody is in charge: its `repr` is shown then."""
    return _renderer[0](what) if _renderer else None
