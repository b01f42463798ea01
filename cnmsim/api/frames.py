"""The frames of the control socket: one byte of kind, four of length, the content."""

from __future__ import annotations

import struct
from enum import IntEnum

HEAD = struct.Struct("!BI")


class Frame(IntEnum):
    """The kind of a frame's content. An empty STDIN frame is the end of the input."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    ERROR = 4
    SIGNAL = 5
    RESULT = 6


def pack(kind: Frame, content: bytes) -> bytes:
    """Return an encoded frame."""
    return HEAD.pack(kind, len(content)) + content
