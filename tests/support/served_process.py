"""A process of `cnmsim serve lab.yml` that keeps its state in a file."""

import subprocess
import sys
import time

_COMMAND = "serve lab.yml --dir dir --state state --clock paused"


def serve(folder):
    """Start the process in a folder that has the lab file; the sockets are in `dir`, the state in `state`."""
    return subprocess.Popen(
        [sys.executable, "-m", "cnmsim", *_COMMAND.split()],
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def until_ready(folder, process):
    """Wait until the sockets are open. Raises `AssertionError` if the process ends before."""
    while not (folder / "dir" / "ready").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
