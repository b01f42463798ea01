"""Answers that a notebook shows as HTML and a terminal as text."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def views() -> Any:
    """Return the package that draws, loaded by name: an answer imports no pictures, and needs none to print."""
    return import_module("cnmsim.observe.views")


class Displayable:
    """An answer that prints as text and has HTML, of which IPython takes one."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Return the HTML, which `views.html` renders by the type of the answer."""
        html: str = import_module("cnmsim.observe.views.html").html_of(self)
        return html

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return HTML for notebooks and text for terminals."""
        del include, exclude
        return {"text/html": self._repr_html_(), "text/plain": str(self)}
