"""Sizes of values in the two encodings of gossip: memberlist's msgpack and NetworkDB's protobuf.

The sizes determine how many messages fit into a packet. Source: hashicorp/go-msgpack `codec/msgpack.go` (v0.5.3: the
old format, which encodes byte strings as raw strings), protobuf's wire format, memberlist `util.go`
(compressPayload: LZW).
"""

from __future__ import annotations

_TEXT_IN_ONE = 32
#: LZW starts with nine-bit codes for eight-bit bytes.
_UNSEEN = 1.125
#: The size of what memberlist adds to compressed content: type, two names, algorithm and length.
_COMPRESSED_HEADER = 15


def packed_map(*names: str) -> int:
    """Return the size of a msgpack map with the keys `names`, without the values."""
    return 1 + sum(packed_text(len(name)) for name in names)


def packed_text(length: int) -> int:
    """Return the size in msgpack of a text or byte string of `length` bytes."""
    return (1 if length < _TEXT_IN_ONE else 3) + length


def packed_number(value: int) -> int:
    """Return the size of an unsigned integer in msgpack."""
    return 1 if value < 1 << 7 else 2 if value < 1 << 8 else 3 if value < 1 << 16 else 5


def varint(value: int) -> int:
    """Return the size of an integer in protobuf's varint encoding."""
    return (value.bit_length() + 6) // 7 or 1


def bytes_field(length: int) -> int:
    """Return the size of a protobuf field, with its tag, for a text, byte string or message of `length` bytes."""
    return 1 + varint(length) + length


def text_field(length: int) -> int:
    """Return the size of a protobuf field for a text of `length` bytes; 0 for an empty text, which is omitted."""
    return bytes_field(length) if length else 0


def number_field(value: int) -> int:
    """Return the size of a protobuf integer field; 0 if the value is 0, which is omitted."""
    return 1 + varint(value) if value else 0


def compressed(length: int, share: float, learnt: int) -> int:
    """Estimate the size of a message on a stream after memberlist's LZW compression, accurate to a tenth.

    `length` is the size before compression. `learnt` is about the number of bytes after which the compressor has seen
    the repeated parts of the content; from then on each byte adds only `share` bytes.
    """
    once = (_UNSEEN - share) * length * learnt / (length + learnt)
    return _COMPRESSED_HEADER + round(share * length + once)
