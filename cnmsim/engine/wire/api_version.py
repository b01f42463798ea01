"""Versions of the Engine API, as `1.45`."""

from __future__ import annotations

from attrs import frozen

from cnmsim.errors import InvalidParameter


@frozen(order=True)
class ApiVersion:
    """One version of the API."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> ApiVersion:
        """Parse `1.45` or `v1.45`. Raises `InvalidParameter`."""
        major, dot, minor = text.removeprefix("v").partition(".")
        if not (dot and major.isdigit() and minor.isdigit()):
            raise InvalidParameter(f"invalid API version: {text}")
        return cls(int(major), int(minor))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    def at_least(self, text: str) -> bool:
        """Return True for that version and later ones."""
        return self >= ApiVersion.parse(text)
