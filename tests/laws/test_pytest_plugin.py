"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

INNER = """
import pytest
from cnmsim.testing.pytest_plugin import last_trace

def two_hosts(lab):
    lab.add_host("one", "10.0.0.1/24")
    lab.add_host("two", "10.0.0.2/24")

def test_the_fixture_remembers_its_last_trace(lab):
    two_hosts(lab)
    walk = lab.trace("one", "10.0.0.2")
    assert last_trace(lab) is walk
    assert lab.explain("one", "two").trace is last_trace(lab)

@pytest.mark.cnmsim(engine="26.1.5", seed=7)
def test_the_marker_says_what_lab_is_built(lab):
    assert (lab.engine, lab.clock.seed) == ("26.1.5", 7)

def test_a_connection_to_a_closed_port(lab):
    two_hosts(lab)
    assert lab.trace("one", "10.0.0.2:80")
"""


def pytest_run(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_it.py").write_text(INNER, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "cnmsim.testing.pytest_plugin", "-p", "no:cacheprovider"]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": root}
    return subprocess.run(
        [*command, "--strict-markers", *options, "test_it.py"],
        cwd=directory, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


def test_the_fixture_is_a_lab_that_remembers_its_last_trace(tmp_path):
    done = pytest_run(tmp_path, "-k", "fixture or marker")
    assert "2 passed" in done.stdout, done.stdout


def test_a_failed_test_reports_the_walk_of_its_last_probe(tmp_path):
    done = pytest_run(tmp_path, "-k", "closed_port")
    assert done.returncode == 1
    assert "cnmsim: one → 10.0.0.2:80 (tcp)" in done.stdout
    assert "REFUSED: " in done.stdout


def test_the_plugin_alone_imports_nothing_heavy():
    code = (
        "import sys, cnmsim.testing.pytest_plugin\n"
        "print([name for name in ('scapy', 'networkx', 'hypothesis', 'dns', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
