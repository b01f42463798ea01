"""The kernel of this machine as an oracle: network namespaces to ask it in, and why it cannot be asked."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


@functools.cache
def reason_not_to(*programs: str, trial: str = "true", version: tuple[str, str] | None = None) -> str:
    """Return why the kernel cannot be asked with `programs`, or "" if it can.

    `trial` is a shell line that must succeed in a network namespace of its own. `version` is a command, and what its
    first line must begin with: texts are compared with that release of a program only.
    """
    if os.name != "posix" or os.geteuid() != 0:
        return "needs root"
    if missing := [program for program in ("unshare", "ip", *programs) if shutil.which(program) is None]:
        return f"needs {', '.join(missing)}"
    if version is not None:
        command, expected = version
        printed = subprocess.run(command.split(), capture_output=True, text=True, check=False).stdout.strip()
        if not printed.startswith(expected):
            return f"needs {expected}, not {printed}"
    done = subprocess.run(["unshare", "-n", "sh", "-ec", trial], capture_output=True, text=True, check=False)
    return f"`{trial}` fails here: {done.stderr.strip()}" if done.returncode else ""


@contextmanager
def linux_namespace(
    name: str, setup: Iterable[str]
) -> Iterator[Callable[[list[str]], subprocess.CompletedProcess[str]]]:
    """Make a network namespace, run the lines of `setup` there, and return what runs a command in it.

    Its devices send no router solicitations: what answers one adds a neighbour at a time of its own.
    """
    subprocess.run(["ip", "netns", "add", name], check=True)
    inside = ["ip", "netns", "exec", name]
    try:
        for devices in ("all", "default"):
            subprocess.run([*inside, "sysctl", "-qw", f"net.ipv6.conf.{devices}.router_solicitations=0"], check=True)
        for line in setup:
            subprocess.run([*inside, *line.split()], check=True)
        yield lambda argv: subprocess.run([*inside, *argv], capture_output=True, text=True, check=False, timeout=30)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)
