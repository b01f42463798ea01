"""`ip link` of VLANs, macvlan and ipvlan children and dummies as they come, change and go: word for word what Linux
prints.

`recorded/` holds sessions of iproute2 6.15 on Linux 6.12 (User Mode Linux): lines `$ NAMESPACE COMMAND` and what each
printed. The session of macvlan is held against the kernel of this machine, too, where root allows.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.child_devices import needs

from cnmsim import Lab

RECORDED = Path(__file__).parent / "recorded"
NAMESPACES = ("h", "o", "c1", "c2")


def session(name: str) -> Iterator[tuple[str, str, str]]:
    """Return namespace, command and output of each step."""
    for step in re.split(r"(?m)^\$ ", (RECORDED / f"{name}.txt").read_text())[1:]:
        line, _, output = step.partition("\n")
        namespace, _, command = line.partition(" ")
        yield namespace, command, output


def comparable(text: str) -> str:
    """Remove what depends on the machine: indexes, ids of namespaces, numbers of queues and segment sizes."""
    text = re.sub(r" (link-netnsid|link-netns|numtxqueues|numrxqueues|tso_max_size) \S+", "", text)
    return re.sub(r"(?m)^\d+: |@if\d+|[ \t]+$", "", re.sub(r" +", " ", text))


def simulated() -> Callable[[str, str], str]:
    lab = Lab()
    host = lab.add_host("host", "10.9.9.9/24")
    for name in NAMESPACES:
        host.exec(f"ip netns add {name}")
    return lambda namespace, command: host.exec(f"ip netns exec {namespace} sh -c '{command}'").output


def differences(name: str, run: Callable[[str, str], str], *, repeats: int = 0) -> list[str]:
    """Return the steps that print something else. A command that only lists is run again up to `repeats` times, 0.25
    s apart: Linux reports the state of a link some time after it has changed (net/core/link_watch.c).
    """
    differing = []
    for namespace, command, recorded in session(name):
        expected, printed = comparable(recorded), comparable(run(namespace, command))
        for _ in range(repeats if re.search(r" show\b| -br", command) else 0):
            if printed == expected:
                break
            time.sleep(0.25)
            printed = comparable(run(namespace, command))
        if printed != expected:
            differing.append(f"{namespace}# {command}\n{printed}instead of\n{expected}")
    return differing


@pytest.mark.parametrize("name", ["ipvlan-vlan-dummy", "macvlan"])
def test_every_step_prints_what_linux_printed(name: str) -> None:
    steps = list(session(name))
    assert len(steps) > 50
    assert sum(bool(output) for *_, output in steps) > 30
    assert differences(name, simulated()) == []


@needs("macvlan")
def test_the_kernel_of_this_machine_prints_what_was_recorded() -> None:
    prefix = f"cnmsim{os.getpid()}-"

    def run(namespace: str, command: str) -> str:
        for name in NAMESPACES:
            command = re.sub(rf"\bnetns {name}\b", f"netns {prefix}{name}", command)
        argv = ["ip", "netns", "exec", prefix + namespace, "sh", "-c", command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    for name in NAMESPACES:
        subprocess.run(["ip", "netns", "add", prefix + name], check=True)
    try:
        assert differences("macvlan", run, repeats=40) == []
    finally:
        for name in NAMESPACES:
            subprocess.run(["ip", "netns", "del", prefix + name], check=True)
