"""Who shows an engine's objects in a notebook. Drawing stands above the engine, so it is put in charge by `lab`."""

from __future__ import annotations

from collections.abc import Callable

#: Gives the HTML of an object, `None` for one it has no picture of.
Renderer = Callable[[object], str | None]

_in_charge: list[Renderer] = []


def put_in_charge(renderer: Renderer) -> None:
    """Let `renderer` show engines' objects from now on."""
    _in_charge[:] = [renderer]


def html_of(what: object) -> str | None:
    """Give the HTML that a notebook shows for `what`; `None` where nobody is in charge: its `repr` is shown then."""
    return _in_charge[0](what) if _in_charge else None
