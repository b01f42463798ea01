"""Base class for results that notebooks show as HTML and terminals as text."""

from __future__ import annotations

import textwrap
from importlib import import_module
from typing import Any

from cnmsim.suggestion import suggests_attributes


def views() -> Any:
    """Return the package `cnmsim.observe.views`.

    Importing it is deferred to the first call: a result that is printed as text needs no drawing code.
    """
    return import_module("cnmsim.observe.views")


def wrapped(text: str, width: int, first: str = "", rest: str = "    ") -> list[str]:
    """Wrap a text into lines of at most `width` columns (40 if `width` is less). Words are not broken.

    `first` is put before the first line, `rest` before the others.
    """
    return textwrap.wrap(
        text, max(40, width), initial_indent=first, subsequent_indent=rest, break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


@suggests_attributes
class Displayable:
    """A result with a text and an HTML form; IPython shows the one that its front end supports."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Return the result as HTML, rendered by `views.html` according to its type."""
        html: str = import_module("cnmsim.observe.views.html").html_of(self)
        return html

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return HTML for notebooks and text for terminals. IPython's `include` and `exclude` are ignored."""
        del include, exclude
        return {"text/html": self._repr_html_(), "text/plain": str(self)}
