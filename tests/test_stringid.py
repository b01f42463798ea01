"""Random ids: what moby's stringid guarantees."""

from random import Random

from cnmsim.stringid import hex_id


class _Digits(Random):
    """Draws an id whose short form has no letter, then one that has."""

    def __init__(self) -> None:
        self.drawn = [b"\x12" * 32, b"\x12\xab" * 16]

    def randbytes(self, n: int) -> bytes:
        return self.drawn.pop(0)[:n]


def test_an_id_has_64_hexadecimal_digits():
    assert all(len(hex_id(Random(seed))) == 64 and int(hex_id(Random(seed)), 16) for seed in range(20))


def test_a_short_id_that_looks_like_a_number_is_drawn_again():
    """moby: it would be the hostname of a container (moby issue 3869)."""
    assert hex_id(_Digits()) == "12ab" * 16
