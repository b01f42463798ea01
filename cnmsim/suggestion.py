"""Suggestions in error messages: the known name that is closest to an unknown one."""

from __future__ import annotations

from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `, did you mean web?` for the closest known name, else `; there are: web, db`, or "" if none is known.

    At most eight names are listed.
    """
    import difflib

    names = sorted({candidate for candidate in known if candidate})
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f", did you mean {close[0]}?"
    if not names:
        return ""
    return f"; there are: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
