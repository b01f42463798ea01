"""Sizes of encoded numbers and texts, against the specifications of MessagePack and protobuf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.libnetwork.networkdb.encoding import bytes_field, packed_number, packed_text, text_field, varint


@pytest.mark.parametrize(
    ("value", "size"),
    [(0, 1), (127, 1), (128, 2), (255, 2), (256, 3), (65535, 3), (65536, 5), (0xFFFFFFFF, 5)],
)
def test_unsigned_integers_of_messagepack(value: int, size: int) -> None:  # positive fixint, uint 8, 16 and 32
    assert packed_number(value) == size


@pytest.mark.parametrize(("length", "size"), [(0, 1), (31, 32), (32, 35), (255, 258), (65535, 65538)])
def test_texts_of_messagepack(length: int, size: int) -> None:  # fixraw and raw 16: memberlist writes no str 8
    assert packed_text(length) == size


@given(st.integers(0, (1 << 64) - 1))
def test_varint_has_seven_bits_in_an_octet(value: int) -> None:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(value & 0x7F)
    assert varint(sum(octet << 7 * at for at, octet in enumerate(octets))) == len(octets)


def test_fields_of_protobuf_have_a_tag_and_a_length() -> None:
    assert [bytes_field(length) for length in (0, 127, 128)] == [2, 129, 131]
    assert [text_field(length) for length in (0, 1, 128)] == [0, 3, 131]
