"""Stations on macvlan, ipvlan and VLANs reach each other exactly as their modes say, and no frame leaves its VLAN."""

from __future__ import annotations

import itertools

from hypothesis import example, given, settings
from support.child_devices import HOSTS, OUTSIDERS, Parent, Topology, simulated, simulated_pings, topologies

NOBODY: dict[str, tuple[Parent, ...]] = {"h1": (), "h2": ()}
EVERY_MACVLAN = Topology(
    {
        "h1": (Parent("eth0", "macvlan", ("bridge", "bridge", "private", "vepa", "vepa")),),
        "h2": (Parent("eth0", "macvlan", ("passthru",)), Parent("eth0.10", "macvlan", ("bridge", "private"))),
    },
    {"h1": "eth0", "h2": "eth0"},
)


def expected(topology: Topology) -> set[tuple[str, str]]:
    return {
        (one.name, other.name)
        for one, other in itertools.permutations(topology.stations, 2)
        if topology.reaches(one, other)
    }


@given(topologies())
@example(EVERY_MACVLAN)
@settings(max_examples=40)
def test_who_reaches_whom_is_the_matrix_of_modes(topology: Topology) -> None:
    assert simulated_pings(topology, simulated(topology)) == expected(topology)


@given(topologies())
@settings(max_examples=25)
def test_a_switch_with_vlans_changes_nothing_for_those_on_its_trunks(topology: Topology) -> None:
    lab = simulated(topology, has_vlan_switch=True)
    assert simulated_pings(topology, lab) == expected(topology)


@given(topologies())
@example(EVERY_MACVLAN)
@settings(max_examples=25)
def test_no_frame_is_heard_in_a_vlan_it_was_not_sent_in(topology: Topology) -> None:
    lab = simulated(topology)
    # Whose addresses are in which VLAN, by what was typed.
    vlan_of = {station.address: station.vlan for station in topology.stations}
    leaks: list[str] = []

    def listen(name: str, vlan: int):  # type: ignore[no-untyped-def]
        def tap(_time_ns: int, direction: str, frame: bytes) -> None:
            if direction != "in" or frame[12:14] not in (b"\x08\x06", b"\x08\x00"):
                return
            sender = frame[28:32] if frame[12:14] == b"\x08\x06" else frame[26:30]
            address = ".".join(map(str, sender))
            if vlan_of.get(address, vlan) != vlan:
                leaks.append(f"{name} in VLAN {vlan} hears {address}")

        return tap

    for place in (*HOSTS, *OUTSIDERS):
        for device in lab.host(place).namespace.devices.values():
            if device.kind in {"nic", "vlan"}:
                device.taps += (listen(f"{place}:{device.name}", 10 if device.kind == "vlan" else 0),)
    for station in topology.stations:
        if station.parent is not None:
            namespace = lab.host(station.host).machine.namespaces[f"/var/run/netns/{station.name}"]
            namespace.devices["eth0"].taps += (listen(station.name, station.vlan),)
    simulated_pings(topology, lab)
    assert leaks == []


@given(topologies())
@settings(max_examples=15)
def test_two_runs_of_one_topology_are_alike(topology: Topology) -> None:
    def counters() -> list[tuple[str, int, int]]:
        lab = simulated(topology)
        simulated_pings(topology, lab)
        return [
            (device.name, device.rx_packets, device.tx_bytes)
            for place in (*HOSTS, *OUTSIDERS)
            for device in lab.host(place).namespace.devices.values()
        ]

    assert counters() == counters()
