"""The examples of flows show what their first lines promise."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "flows"


def run(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py")), capsys.readouterr().out


def test_the_mesh_spreads_connections_evenly_over_five_replicas(capsys):
    left, output = run("mesh_spreads_clients", capsys)
    assert sorted(left["report"].receivers.values()) == [60] * 5
    assert output.count("█" * 30) == 5


def test_a_lossy_tunnel_loses_datagrams_and_delays_tcp(capsys):
    _, output = run("lossy_vxlan", capsys)
    assert "lost on the link" in output
    assert "TCP segments dropped and sent again" in output


def test_the_queue_of_a_shaped_link_grows_and_drains(capsys):
    left, _ = run("shaped_link", capsys)
    queue = left["wan"].queue_bytes
    assert queue.index(max(queue)) in range(40, 60)
    assert left["report"].sent == left["report"].delivered


def test_connections_through_another_node_survive_the_loss_of_the_leader(capsys):
    left, output = run("manager_fails_under_load", capsys)
    assert len(left["answered"]) == 300
    assert output.splitlines()[-1] == "the leader is now another node"
    assert "░" in output
    assert output.splitlines()[-2].endswith("█" * 30)
