"""Waiting for other processes and threads without an assumption about the speed of the machine."""

import time

#: A limit in seconds of real time that only a hang reaches.
PATIENCE_S = 600


def eventually(check):
    """Wait until `check()` is true. Raises `AssertionError` after `PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_ready(directory, process):
    """Wait until the sockets of a server are open. Raises `AssertionError` if its process ends before."""
    until_there(directory / "ready", process)


def until_there(path, process):
    """Wait until a file exists that a process makes. Raises `AssertionError` if the process ends before."""
    while not path.exists():
        assert process.poll() is None, f"the process ended with {process.returncode}, without {path}"
        time.sleep(0.02)
