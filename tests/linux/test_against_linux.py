"""The same set-up and the same packets in the Linux kernel and in the simulated one: the same comes of them."""

import os
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from setups import FORWARD, SETUPS
from two_worlds import LinuxWorld, Probe, SimulatedWorld


def _why_not():
    if os.geteuid() != 0:
        return "needs root"
    if not all(map(shutil.which, ("ip", "bridge", "iptables", "ip6tables"))):
        return "needs ip, bridge and iptables"
    if not os.path.exists("/proc/sys/net/bridge/bridge-nf-call-iptables"):  # noqa: PTH110
        return "needs the br_netfilter module"
    name = f"cnmsim{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"cannot make a network namespace: {made.stderr.strip()}"
    tried = subprocess.run(
        ["ip", "netns", "exec", name, "iptables", "-t", "nat", "-L", "-n"], capture_output=True, text=True, check=False
    )
    subprocess.run(["ip", "netns", "del", name], check=True)
    return f"iptables does not work here: {tried.stderr.strip()}" if tried.returncode else ""


WHY_NOT = _why_not()
pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "runs")]

DESTINATIONS = (
    "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.2.0.1", "10.2.0.2", "192.168.9.1", "192.168.9.2", "10.9.0.5",
    "fd01::1", "fd01::2", "fd01::3", "fd02::2", "fd09::1", "fd09::2", "fd99::5",
)  # fmt: skip
BIG = {"10.2.0.2": 1450, "192.168.9.2": 1450, "fd02::2": 1430, "fd09::2": 1430}


def probes(sources="habcx", destinations=DESTINATIONS):
    """Send every kind of packet from everywhere to everywhere, then packets that are too big or run out of hops."""
    found = []

    def add(*what, **more):
        found.append(Probe(len(found), *what, **more))

    for src in sources:
        for dst in destinations:
            add(src, "ping", dst)
            for port in (5000, 80, 8080):
                add(src, "udp", dst, port)
                add(src, "tcp", dst, port)
    return found


def special_probes():
    found = []

    def add(*what, **more):
        found.append(Probe(2000 + len(found), *what, **more))

    for src in "ax":
        for dst in ("10.2.0.2", "fd02::2", "10.1.0.3", "192.168.9.2", "fd09::2"):
            for kind, port in (("ping", 0), ("udp", 80)):
                add(src, kind, dst, port, ttl=1)
                add(src, kind, dst, port, ttl=2)
        for dst, size in BIG.items():
            add(src, "udp", dst, 5000, size=size, df="dont")
            add(src, "udp", dst, 80, size=3000, df="dont")
            add(src, "ping", dst, size=size, df="do")
    add("a", "ping", "10.1.0.3", size=3000)
    add("a", "ping", "fd01::3", size=3000)
    add("a", "udp", "10.2.0.2", 80, size=2000, df="do")
    return found


def differences(commands, batches):
    """Give a line for each probe of which the two kernels make something else."""
    with LinuxWorld() as linux:
        linux.run(commands)
        real = [linux.probe(batch) for batch in batches]
    ours = SimulatedWorld()
    ours.run(commands)
    simulated = [ours.probe(batch) for batch in batches]
    return [
        f"{probe}: Linux {wanted}, simulated {found[probe]}"
        for expected, found in zip(real, simulated, strict=True)
        for probe, wanted in expected.items()
        if found[probe] != wanted
    ]


@pytest.mark.parametrize("name", SETUPS)
def test_the_same_comes_of_every_packet(name):
    assert differences(SETUPS[name], [probes(), special_probes()]) == []
