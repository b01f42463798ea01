"""Every case of `ipvs_cases` as Linux 6.12 with ipvsadm 1.31 answered it; `record_ipvs.sh` asks again."""

import json
from pathlib import Path

import pytest
from ipvs_cases import CASES
from ipvs_world import comparable, simulate

RECORDED = json.loads(Path(__file__).with_name("recorded").joinpath("ipvs-6.12.json").read_text())
#: How far an expiry may be off, in seconds: programs take time on Linux, and none here.
_TOLERANCE_S = 4


@pytest.mark.parametrize("title", CASES)
def test_as_linux(title):
    for (text, result), (asked, recorded) in zip(simulate(title), RECORDED[title], strict=True):
        assert text == asked
        here, expiries = comparable(text, result)
        there, recorded_expiries = comparable(text, recorded)
        assert here == there, text
        assert expiries == pytest.approx(recorded_expiries, abs=_TOLERANCE_S), text
