"""A capture dissects what it holds in a fresh interpreter, whatever was imported before."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
from cnmsim import Lab
lab = Lab()
left = lab.add_host("left", "10.0.0.1/24")
lab.add_host("right", "10.0.0.2/24")
capture = lab.capture("left:eth0")
left.exec("ping -c 1 10.0.0.2")
print([packet.summary() for packet in capture.packets][-1])
"""


def test_packets_are_dissected_in_a_fresh_interpreter() -> None:
    result = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert "ICMP 10.0.0.2 > 10.0.0.1 echo-reply" in result.stdout
