"""JSON text as Go's `encoding/json` writes it. Source: `encoding/json/encode.go` (go1.21 to go1.26)."""

from __future__ import annotations

import json
import re

#: Characters that Go's encoder always escapes, because JavaScript takes them for ends of lines.
_LINE_ENDS = {0x2028: "\\u2028", 0x2029: "\\u2029"}
#: And those that it escapes by default, so that the text can stand in HTML.
_HTML = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"} | _LINE_ENDS
_SURROGATE = re.compile("[\ud800-\udfff]")


def encode(value: object, *, escape_html: bool = True) -> str:
    """Return `value` as compact JSON text, with non-ASCII characters unescaped.

    The keys of a dict keep their order, as the fields of a Go struct do. Go sorts the keys of a map, so convert such
    a dict by `sorted_map` first. `escape_html=False` leaves `<`, `>` and `&` unescaped, as Go does after
    `SetEscapeHTML(false)`. Surrogates become U+FFFD, as invalid UTF-8 does in Go. Raises `TypeError` for a value
    without a JSON form.
    """
    text = _SURROGATE.sub(r"\\ufffd", json.dumps(value, separators=(",", ":"), ensure_ascii=False))
    return text.translate(_HTML if escape_html else _LINE_ENDS)
