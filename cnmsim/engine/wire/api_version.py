"""Versions of the Engine API: `1.45` and the like."""

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
        """Read `1.45` or `v1.45`. Raises `InvalidParameter`."""
        major, dot, minor = text.removeprefix("v").partition(".")
        if not (dot and major.isdigit() and minor.isdigit()):
            raise InvalidParameter(f"invalid API version: {text}")
        return cls(int(major), int(minor))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    def at_least(self, text: str) -> bool:
        """Tell whether it is that version or a later one."""
        return self >= ApiVersion.parse(text)
