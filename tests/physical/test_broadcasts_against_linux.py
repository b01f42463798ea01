"""Which stations receive a broadcast or multicast frame, and how often: macvlan children, parents and outsiders in
both kernels.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter

import pytest
from support.child_devices import FLAGS, HOSTS, Linux, Parent, Station, Topology, needs, simulated

from cnmsim.kernel.device import Device
from cnmsim.lab import Lab

#: Groups that every station receives: broadcast, and all hosts (RFC 1112).
GROUPS = (b"\xff" * 6, b"\x01\x00\x5e\x00\x00\x01")
#: An EtherType for experiments (IEEE 802), and the number of frames sent to each group.
ETHERTYPE = b"\x88\xb5"

LISTEN = """
import select, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # as a capture: before macvlan
s.bind((sys.argv[1], 3))
print("ready", flush=True)
sources = [s, sys.stdin]
while ready := select.select(sources, [], [], None if sys.stdin in sources else 0.5)[0]:
    if sys.stdin in ready:  # closed when everybody has sent; from then on half a second of silence is the end
        sources.remove(sys.stdin)
    if s in ready:
        frame, where = s.recvfrom(2000)
        if where[2] != socket.PACKET_OUTGOING and frame[12:14] == bytes.fromhex("88b5"):
            print(frame[14:].rstrip(bytes(1)).decode(), flush=True)
"""
SEND = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
mac = s.getsockname()[4]
for group, name in (("ffffffffffff", "b"), ("01005e000001", "m")):
    s.send(bytes.fromhex(group) + mac + bytes.fromhex("88b5") + f"{sys.argv[2]} {name}".encode().ljust(46, bytes(1)))
"""

Heard = dict[str, Counter[str]]


def device_of(topology: Topology, station: Station) -> str:
    return topology.own.get(station.host, "eth0") if station.parent is None else "eth0"


def on_linux(topology: Topology) -> Heard:
    """Make every station send in turn, and record the frames that each receives."""
    with Linux(topology) as linux:
        listeners = {}
        for station in topology.stations:
            argv = ["ip", "netns", "exec", linux.prefix + station.name, sys.executable, "-c", LISTEN]
            argv += [device_of(topology, station)]
            listeners[station.name] = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for process in listeners.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for station in topology.stations:
            argv = ["ip", "netns", "exec", linux.prefix + station.name, sys.executable, "-c", SEND]
            subprocess.run([*argv, device_of(topology, station), station.name], check=True)
        return {name: Counter(process.communicate()[0].splitlines()) for name, process in listeners.items()}


def device_in(lab: Lab, topology: Topology, station: Station) -> Device:
    host = lab.host(station.host)
    namespace = (
        host.namespace if station.parent is None else host.machine.namespaces[f"/var/run/netns/{station.name}"]
    )
    return namespace.devices[device_of(topology, station)]


def in_cnmsim(topology: Topology) -> Heard:
    lab = simulated(topology)
    devices = {station.name: device_in(lab, topology, station) for station in topology.stations}
    heard: Heard = {name: Counter() for name in devices}

    def listen(name: str):  # type: ignore[no-untyped-def]
        def tap(_time_ns: int, direction: str, frame: bytes) -> None:
            if direction == "in" and frame[12:14] == ETHERTYPE:
                heard[name][frame[14:].rstrip(b"\0").decode()] += 1

        return tap

    for name, device in devices.items():
        device.taps += (listen(name),)
    for name, device in devices.items():
        for group, word in zip(GROUPS, "bm", strict=True):
            device.transmit(group + device.mac + ETHERTYPE + f"{name} {word}".encode().ljust(46, b"\0"))
        lab.run(0.1)
    return heard


def one_host(*parents: Parent, has_hairpin: bool = False, own: str = "eth0") -> Topology:
    return Topology({"h1": parents, "h2": ()}, {"h1": own, "h2": "eth0"}, ("o1",), has_hairpin)


MODES = [
    ("bridge", "bridge", "bridge"), ("private", "private"), ("vepa", "vepa"), ("bridge", "private", "vepa"),
    ("bridge", "bridge", "private", "private", "vepa", "vepa"), ("passthru",),
]  # fmt: skip


@needs("macvlan")
@pytest.mark.parametrize("has_hairpin", [False, True], ids=["plain", "reflecting"])
@pytest.mark.parametrize("modes", MODES, ids="-".join)
def test_macvlan_children_hear_what_linux_s_hear(modes: tuple[str, ...], has_hairpin: bool) -> None:
    topology = one_host(Parent("eth0", "macvlan", modes), has_hairpin=has_hairpin)
    assert in_cnmsim(topology) == on_linux(topology)


@needs("ipvlan")
@pytest.mark.parametrize("flag", FLAGS)
def test_ipvlan_children_hear_what_linux_s_hear(flag: str) -> None:
    topology = one_host(Parent("eth0", "ipvlan", ("l2", "l2", "l2"), flag))
    assert in_cnmsim(topology) == on_linux(topology)


@pytest.mark.parametrize("modes", MODES, ids="-".join)
def test_a_host_hears_no_group_frame_of_its_children_and_nobody_hears_one_twice(modes: tuple[str, ...]) -> None:
    heard = in_cnmsim(one_host(Parent("eth0", "macvlan", modes)))
    children = [name for name in heard if name.startswith("h1c")]
    for child, word in itertools.product(children, "bm"):
        assert heard["h1"][f"{child} {word}"] == 0
        assert heard["h2"][f"{child} {word}"] == heard["o1"][f"{child} {word}"] == 1
    assert all(count == 1 for counter in heard.values() for count in counter.values())
    assert HOSTS == ("h1", "h2")
