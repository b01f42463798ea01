"""A process of `cnmsim serve lab.yml` that keeps its state in a file."""

import subprocess
import sys
import time
from contextlib import contextmanager

_COMMAND = "serve lab.yml --dir dir --state state --clock paused"


@contextmanager
def serve(folder):
    """Start the process in a folder that has the lab file; the sockets are in `dir`, the state in `state`.

    At the end of the block it is killed if it still runs, also after a failure.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "cnmsim", *_COMMAND.split()],
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def until_ready(folder, process):
    """Wait until the sockets are open. Raises `AssertionError` if the process ends before."""
    while not (folder / "dir" / "ready").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
