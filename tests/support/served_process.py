"""Processes of tests, among them `cnmsim serve lab.yml` with its state in a file."""

import subprocess
import sys
from contextlib import contextmanager

_COMMAND = "serve lab.yml --dir dir --state state --clock paused"


@contextmanager
def started(command, **options):
    """Start a process. At the end of the block it is killed if it still runs, also after a failure."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def serve(folder):
    """Start a server in a folder that has the lab file; the sockets are in `dir`, the state in `state`."""
    command = [sys.executable, "-m", "cnmsim", *_COMMAND.split()]
    return started(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
