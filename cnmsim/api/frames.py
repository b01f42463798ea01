"""The frames of the control socket: one byte of kind, four of length, the content."""

from __future__ import annotations

import struct
from enum import IntEnum

HEAD = struct.Struct("!BI")


class Frame(IntEnum):
    """What a frame carries. STDIN with no content is the end of the input."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    ERROR = 4
    SIGNAL = 5
    RESULT = 6


def pack(kind: Frame, content: bytes) -> bytes:
    """Make a frame."""
    return HEAD.pack(kind, len(content)) + content
