"""macvlan, ipvlan and VLANs in the Linux kernel and in the simulated one: the same stations reach each other."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from children import FLAGS, Linux, Parent, Topology, simulated, simulated_pings, topologies
from hypothesis import HealthCheck, Phase, given, settings


def why_not(kind: str) -> str:
    """Say why this machine's kernel cannot be asked about a kind of device; "" if it can."""
    if os.geteuid() != 0:
        return "needs root"
    if not all(map(shutil.which, ("ip", "ping"))):
        return "needs ip and ping"
    name = f"cnmsim{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"cannot make a network namespace: {made.stderr.strip()}"
    try:
        subprocess.run(["ip", "-n", name, "link", "add", "v0", "type", "veth", "peer", "name", "v1"], check=True)
        words = f"link add link v0 name x type {kind}" + (" id 10" if kind == "vlan" else "")
        tried = subprocess.run(["ip", "-n", name, *words.split()], capture_output=True, text=True, check=False)
        return f"the kernel has no {kind}: {tried.stderr.strip()}" if tried.returncode else ""
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def needs(*kinds: str) -> None:
    for kind in kinds:
        if reason := why_not(kind):
            pytest.skip(reason=reason)


def compare(topology: Topology) -> None:
    with Linux(topology) as linux:
        real = linux.pings()
    assert simulated_pings(topology, simulated(topology)) == real


def one_host(parent: Parent, *, has_hairpin: bool = False) -> Topology:
    """One host with children on its eth0, a second one, and an outsider; none of them in a VLAN."""
    return Topology({"h1": (parent,), "h2": ()}, {"h1": "eth0", "h2": "eth0"}, ("o1",), has_hairpin)


@pytest.mark.root
@pytest.mark.parametrize(
    "modes",
    [
        ("bridge", "bridge"), ("private", "private"), ("vepa", "vepa"), ("bridge", "private"), ("bridge", "vepa"),
        ("private", "vepa"), ("passthru",),
    ],
    ids="-".join,
)  # fmt: skip
def test_macvlan_modes_are_linux_s(modes: tuple[str, ...]) -> None:
    needs("macvlan")
    compare(one_host(Parent("eth0", "macvlan", modes)))


@pytest.mark.root
@pytest.mark.parametrize(
    "modes", [("vepa", "vepa"), ("bridge", "vepa"), ("private", "private"), ("bridge", "bridge")], ids="-".join
)
def test_a_switch_that_reflects_frames_does_what_it_does_for_linux(modes: tuple[str, ...]) -> None:
    needs("macvlan")
    compare(one_host(Parent("eth0", "macvlan", modes), has_hairpin=True))


@pytest.mark.root
@given(topologies(any_own=True))
@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_mixture_is_linux_s(topology: Topology) -> None:
    needs("macvlan", "ipvlan", "vlan")
    compare(topology)


@pytest.mark.root
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
def test_ipvlan_modes_are_linux_s(mode: str, flag: str) -> None:
    needs("ipvlan")
    compare(one_host(Parent("eth0", "ipvlan", (mode, mode), flag)))
