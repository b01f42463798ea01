"""Suggestions in error messages: the known name that is closest to an unknown one."""

from __future__ import annotations

from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message about `name`, which is not one of `known`.

    If one of `known` is similar, it is `, did you mean web?`; otherwise `; there are: web, db` (at most eight names),
    or "" if `known` is empty.
    """
    import difflib

    names = sorted({candidate for candidate in known if candidate})
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f", did you mean {close[0]}?"
    if not names:
        return ""
    return f"; there are: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
