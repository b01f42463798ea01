"""What a notebook shows of an answer: its HTML; a terminal its text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Displayable(ABC):
    """An answer that prints as text and has HTML. IPython takes the one or the other."""

    __slots__ = ()

    @abstractmethod
    def _repr_html_(self) -> str:
        """Give the HTML."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Give HTML for notebooks and text for terminals."""
        del include, exclude
        return {"text/html": self._repr_html_(), "text/plain": str(self)}
