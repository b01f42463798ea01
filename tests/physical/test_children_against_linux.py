"""macvlan, ipvlan and VLANs in the Linux kernel and in the simulated one: the same stations reach each other."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from support.child_devices import FLAGS, Linux, Parent, Topology, needs, simulated, simulated_pings, topologies


def compare(topology: Topology) -> None:
    with Linux(topology) as linux:
        real = linux.pings()
    assert simulated_pings(topology, simulated(topology)) == real


def one_host(parent: Parent, *, has_hairpin: bool = False) -> Topology:
    """One host with children on its eth0, a second one, and an outsider; none of them in a VLAN."""
    return Topology({"h1": (parent,), "h2": ()}, {"h1": "eth0", "h2": "eth0"}, ("o1",), has_hairpin)


@needs("macvlan")
@pytest.mark.parametrize(
    "modes",
    [
        ("bridge", "bridge"), ("private", "private"), ("vepa", "vepa"), ("bridge", "private"), ("bridge", "vepa"),
        ("private", "vepa"), ("passthru",),
    ],
    ids="-".join,
)  # fmt: skip
def test_macvlan_modes_are_linux_s(modes: tuple[str, ...]) -> None:
    compare(one_host(Parent("eth0", "macvlan", modes)))


@needs("macvlan")
@pytest.mark.parametrize(
    "modes", [("vepa", "vepa"), ("bridge", "vepa"), ("private", "private"), ("bridge", "bridge")], ids="-".join
)
def test_a_switch_that_reflects_frames_does_what_it_does_for_linux(modes: tuple[str, ...]) -> None:
    compare(one_host(Parent("eth0", "macvlan", modes), has_hairpin=True))


@needs("macvlan", "ipvlan", "vlan")
@given(topologies(any_own=True))
@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_mixture_is_linux_s(topology: Topology) -> None:
    compare(topology)


@needs("ipvlan")
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
def test_ipvlan_modes_are_linux_s(mode: str, flag: str) -> None:
    compare(one_host(Parent("eth0", "ipvlan", (mode, mode), flag)))
