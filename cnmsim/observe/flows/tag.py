"""The tag that identifies the messages of measured flows: 8 fixed bytes, flow number, sequence number.

A message is its tag, repeated up to the message's length. Every fragment of a datagram and every TCP segment of a
message therefore contains a whole tag, as long as it has at least 31 bytes of the message.
"""

from __future__ import annotations

from struct import Struct

from cnmsim.observe.flows.flow import TAG_LENGTH

MAGIC = b"\xf1\x0c\xcb\x5e\x97\xd0\x3a\x86"
_NUMBERS = Struct("!II")


def message(flow: int, sequence: int, size: int) -> bytes:
    """Return the content of a message, `size` bytes, for the flow and sequence number."""
    tag = MAGIC + _NUMBERS.pack(flow, sequence)
    return (tag * (size // TAG_LENGTH + 1))[:size]


def find_tag(data: bytes) -> tuple[int, int] | None:
    """Return the flow and the sequence number of the first tag in `data`, `None` if there is none."""
    at = data.find(MAGIC)
    if at < 0 or at + TAG_LENGTH > len(data):
        return None
    return _NUMBERS.unpack_from(data, at + 8)


def leading_tag(data: bytes | bytearray) -> tuple[int, int]:
    """Return the flow and the sequence number of the tag with which `data` must begin; this is not checked."""
    return _NUMBERS.unpack_from(data, 8)


class Datagram:
    """A datagram of a flow as a payload for `kernel/offload`: its bytes are built only if it is sent as a frame.

    `content` is the pair of flow and sequence number, `size` the length in bytes.
    """

    __slots__ = ("content", "size")

    def __init__(self, flow: int, sequence: int, size: int) -> None:
        self.content = (flow, sequence)
        self.size = size

    def to_bytes(self, endpoint: int = 0) -> bytes:
        """Return the bytes of the datagram. `endpoint` is ignored: they are the same for every destination."""
        del endpoint
        return message(*self.content, self.size)
