"""The examples of the container network model run, and print what their comments promise."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "cnm"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "two_networks",
            (
                "<Sandbox b eth0 172.18.0.3/16 eth1 172.19.0.2/16>",
                "a reaches c: False",
                "with ip_forward=0: False",
                "with ip_forward=1: True",
                "devices: lo eth0",
            ),
        ),
        ("overlay_without_swarm", ("answered by web1 web2", "on the wire: ESP")),
        ("hub_driver", ("<Network net hub 10.50.0.0/24>", "1 packets received")),
    ],
)
def test_an_example_prints_its_point(script: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / f"{script}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert all(word in printed for word in words), printed
