"""What a notebook shows of an answer: its HTML; a terminal its text."""

from __future__ import annotations

from typing import Any


class Shown:
    """An answer that prints as text and has HTML. IPython takes the one or the other."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        raise NotImplementedError

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Give HTML for notebooks and text for terminals."""
        del include, exclude
        return {"text/html": self._repr_html_(), "text/plain": str(self)}
