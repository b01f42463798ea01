"""How many bytes the values of messages take in the two encodings of gossip: memberlist's msgpack, NetworkDB's protobuf.

How many messages fit into a packet, and so what is told first, depends on them. Source: hashicorp/go-msgpack `codec/msgpack.go`
(v0.5.3: the old format, in which bytes are text), protobuf's wire format, memberlist `util.go` (compressPayload: LZW).
"""

from __future__ import annotations

_TEXT_IN_ONE = 32
#: LZW begins with codes of nine bits for bytes of eight.
_UNSEEN = 1.125
#: The message that holds what is compressed: its type, its two names, the algorithm and the length.
_COMPRESSED_HEADER = 15


def packed_map(*names: str) -> int:
    """Return how many bytes a msgpack map of these names takes, without their values."""
    return 1 + sum(packed_text(len(name)) for name in names)


def packed_text(length: int) -> int:
    """Return how many bytes text or bytes of such a length take in msgpack."""
    return (1 if length < _TEXT_IN_ONE else 3) + length


def packed_number(value: int) -> int:
    """Return how many bytes a number without a sign takes in msgpack."""
    return 1 if value < 1 << 7 else 2 if value < 1 << 8 else 3 if value < 1 << 16 else 5


def varint(value: int) -> int:
    """Return how many bytes a number takes in protobuf."""
    return (value.bit_length() + 6) // 7 or 1


def bytes_field(length: int) -> int:
    """Return how many bytes a field of text, bytes or another message takes in protobuf, with its tag."""
    return 1 + varint(length) + length


def text_field(length: int) -> int:
    """Return how many bytes a field of text takes in protobuf that is left out when it is empty."""
    return bytes_field(length) if length else 0


def number_field(value: int) -> int:
    """Return how many bytes a field with a number takes in protobuf that is left out when it is 0."""
    return 1 + varint(value) if value else 0


def compressed(length: int, share: float, learnt: int) -> int:
    """Return how many bytes memberlist makes of a stream's message of such a length.

    What is alike in it is told once: for each byte after some `learnt` ones only a `share` is left. That is to a
    tenth what LZW makes of it.
    """
    once = (_UNSEEN - share) * length * learnt / (length + learnt)
    return _COMPRESSED_HEADER + round(share * length + once)
