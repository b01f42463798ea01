"""Attributes of the profile whose value depends on the engine release."""

from __future__ import annotations

from typing import TypeVar

from attrs import field

_T = TypeVar("_T")


def per_release(*, v26: _T, v28: _T | None = None, v29: _T | None = None) -> _T:
    """Return an attrs field of `Profile` with the value `v26` in 26.1.5, `v28` in 28.5.2 and `v29` in 29.7.2.

    `None` for `v28` or `v29` means that the value is that of the release before.
    """
    v28 = v26 if v28 is None else v28
    return field(default=v26, metadata={"v28": v28, "v29": v28 if v29 is None else v29})
