"""The frames of the control socket: one byte of kind, four of length (big-endian), the content."""

from __future__ import annotations

import struct
from enum import IntEnum

HEAD = struct.Struct("!BI")


class Frame(IntEnum):
    """The kind of a frame. A STDIN frame without content is the end of the input."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    ERROR = 4
    SIGNAL = 5
    RESULT = 6


def pack(kind: Frame, content: bytes) -> bytes:
    """Return the bytes of a frame with this kind and content."""
    return HEAD.pack(kind, len(content)) + content
