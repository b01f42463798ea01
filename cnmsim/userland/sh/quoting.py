"""Functions that quote a text as bash does, so that a shell would read the original text back."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def quoted(text: str) -> str:
    """Quote a text as bash's `${NAME@Q}` does."""
    if _CONTROL.search(text):
        return _dollar_quoted(text)
    return "'" + text.replace("'", "'\\''") + "'"


def _dollar_quoted(text: str) -> str:
    names = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v", "\x1b": "\\E"}
    names |= {"'": "\\'", "\\": "\\\\"}
    shown = (names.get(c) or (f"\\{ord(c):03o}" if ord(c) < 32 or ord(c) == 127 else c) for c in text)
    return f"$'{''.join(shown)}'"


def double_quoted(text: str) -> str:
    """Quote a text as bash's `declare -p` does."""
    if _CONTROL.search(text):
        return _dollar_quoted(text)
    return '"' + re.sub(r'(["$`\\])', r"\\\1", text) + '"'


def backslash_quoted(text: str) -> str:
    """Quote a text as bash's `printf %q` does."""
    if not text:
        return "''"
    if _CONTROL.search(text):
        return _dollar_quoted(text)
    return re.sub(r"([^A-Za-z0-9_./:=@%+-])", r"\\\1", text)
