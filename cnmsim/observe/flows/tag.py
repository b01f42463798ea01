"""The tag by which a measured flow's messages are recognised wherever they are: 8 fixed bytes, flow, sequence number.

A message is its tag, repeated to the message's length. Every fragment of a datagram and every TCP segment of a
message therefore contains a whole tag, as long as it has at least 31 bytes of the message.
"""

from __future__ import annotations

from struct import Struct

from cnmsim.observe.flows.flow import TAG_LENGTH

MAGIC = b"\xf1\x0c\xcb\x5e\x97\xd0\x3a\x86"
_NUMBERS = Struct("!II")


def message(flow: int, sequence: int, size: int) -> bytes:
    """Return the message of `size` bytes with this sequence number."""
    tag = MAGIC + _NUMBERS.pack(flow, sequence)
    return (tag * (size // TAG_LENGTH + 1))[:size]


def find_tag(data: bytes) -> tuple[int, int] | None:
    """Return the flow and the sequence number of the first tag in `data`, `None` if there is none."""
    at = data.find(MAGIC)
    if at < 0 or at + TAG_LENGTH > len(data):
        return None
    return _NUMBERS.unpack_from(data, at + 8)


def leading_tag(data: bytes | bytearray) -> tuple[int, int]:
    """Return the flow and the sequence number of the tag at the head of `data`."""
    return _NUMBERS.unpack_from(data, 8)


class Datagram:
    """A flow's datagram, whose bytes are built only if it becomes a frame: a payload for `kernel/offload`.

    `content` is the pair of flow and sequence number, `size` the length in bytes.
    """

    __slots__ = ("content", "size")

    def __init__(self, flow: int, sequence: int, size: int) -> None:
        self.content = (flow, sequence)
        self.size = size

    def to_bytes(self, endpoint: int = 0) -> bytes:
        """Return the datagram's bytes, which are the same for every destination."""
        del endpoint
        return message(*self.content, self.size)
