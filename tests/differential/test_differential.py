"""Random sequences of operations, played on a real dockerd and on cnmsim.

They need root, Linux and Debian's docker.io. `bench/differential.py` plays more of them, and shrinks what differs.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from known import KNOWN
from playing import Difference, compare, is_known, renumbered
from steps import draw_sequence

_SEED, _SEQUENCES, _LENGTH = 15, 4, 24


def test_a_seed_draws_the_same_sequence_again():
    assert draw_sequence(Random(3), 40) == draw_sequence(Random(3), 40)
    assert draw_sequence(Random(3), 40) != draw_sequence(Random(4), 40)


def test_ids_are_compared_by_their_place_in_a_step():
    one = [{"rc": 0, "out": "<id:4> <mac:9> <id:4>"}]
    assert renumbered(one) == renumbered([{"rc": 0, "out": "<id:7> <mac:2> <id:7>"}])
    assert renumbered(one) != renumbered([{"rc": 0, "out": "<id:7> <mac:2> <id:8>"}])
    assert renumbered(one) != renumbered([{"rc": 1, "out": "<id:4> <mac:9> <id:4>"}])


def test_a_known_difference_excuses_only_its_part():
    assert is_known("docker run -d x", "<id:0>\nno", "no")
    assert not is_known("docker run -d x", "<id:0>\nno", "yes")
    assert all(known.reason for known in KNOWN)


@pytest.mark.root("dockerd", "docker")
@pytest.mark.parametrize("number", range(_SEQUENCES))
def test_a_sequence_prints_the_same_on_dockerd_and_on_cnmsim(number, monkeypatch):
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if os.geteuid() or shutil.which("dockerd") is None:
        pytest.skip(reason="needs root and Debian's docker.io")
    difference = compare(draw_sequence(Random(f"{_SEED}/{number}"), _LENGTH))
    assert not isinstance(difference, Difference), str(difference)
