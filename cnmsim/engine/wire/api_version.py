"""Versions of the Engine API, as `1.45`."""

from __future__ import annotations

import re

from attrs import frozen

from cnmsim.errors import InvalidParameter

_SYNTAX = re.compile(r"[0-9.]+")
_LARGEST = (1 << 63) - 1


def _number(digits: str) -> int:
    """Convert digits to a number, at most Go's largest int (`strconv.Atoi`); "" becomes 0."""
    digits = digits.lstrip("0")
    return min(int(digits or "0"), _LARGEST) if len(digits) < 20 else _LARGEST


@frozen(order=True)
class ApiVersion:
    """One version of the API. `rest` are the numbers after the second, as in `1.45.1`."""

    major: int
    minor: int
    #: Further numbers, which no engine's version has but a request's may.
    rest: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ApiVersion:
        """Parse a version such as `1.45` or `v1.45`. Missing numbers are 0 (moby `versions.compare`).

        Raises `InvalidParameter` for any other text.
        """
        text = text.removeprefix("v")
        if not _SYNTAX.fullmatch(text):
            raise InvalidParameter(f"invalid API version: {text}")
        major, minor, *rest = [*map(_number, text.split(".")), 0][: max(2, text.count(".") + 1)]
        while rest and not rest[-1]:
            rest.pop()
        return cls(major, minor, tuple(rest))

    def __str__(self) -> str:
        return ".".join(map(str, (self.major, self.minor, *self.rest)))

    def at_least(self, text: str) -> bool:
        """Return True if this version is `text`, such as "1.45", or a later one."""
        return self >= ApiVersion.parse(text)
