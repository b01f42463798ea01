"""The keys with which a client detaches from a terminal.

Source: moby/term `ascii.go` (ToBytes), moby `daemon/{attach,exec}.go`.
"""

from __future__ import annotations

_DEFAULT = "ctrl-p,ctrl-q"
_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def parse_detach_keys(text: str) -> bytes:
    """Convert detach keys such as `ctrl-a,d` to the bytes that a terminal sends.

    `""` means the default, `ctrl-p,ctrl-q`. Raises `ValueError` for an unknown key.
    """
    keys = bytearray()
    for word in (text or _DEFAULT).split(","):
        if len(word) == 1 and word.isascii():
            keys += word.encode()
        elif word.startswith("ctrl-") and len(word) == 6 and word[5] in _CONTROL:
            keys.append(_CONTROL.index(word[5]))
        elif word == "DEL":
            keys.append(127)
        else:
            raise ValueError(f"Unknown character: '{word}'")
    return bytes(keys)
