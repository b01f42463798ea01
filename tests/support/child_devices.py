"""Topologies of macvlan, ipvlan and VLAN devices, written as the `ip` commands that make them, and who reaches whom
there.

Hosts h1 and h2 and the outsiders o1 (untagged) and o2 (VLAN 10) share one wire. All stations have an address in
10.99.0.0/24, whatever their VLAN, but for the children of routed ipvlan parents, which have one in 10.88.H.0/24.
Nobody answers ARP for an address of another interface.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterable
from typing import Self

import pytest
from attrs import define, field, frozen
from hypothesis import strategies as st

from cnmsim import Lab

HOSTS = ("h1", "h2")
OUTSIDERS = ("o1", "o2")
TAGGED = "eth0.10"
VLAN_OF = {"eth0": 0, TAGGED: 10}
MACVLAN, IPVLAN = "macvlan", "ipvlan"
PING = ("ping", "-c", "2", "-i", "0.5", "-W", "1")
FLAGS = ("bridge", "private", "vepa")


@frozen
class Parent:
    """A parent interface of a host and the modes of the children on it; with `flag` for ipvlan."""

    device: str
    kind: str
    modes: tuple[str, ...]
    flag: str = ""

    @property
    def is_routed(self) -> bool:
        return self.kind == IPVLAN and self.modes[0] in {"l3", "l3s"}


@frozen
class Station:
    """Someone with an address: the child number `number` on `parent`, or where that is `None` a host itself."""

    name: str
    host: str
    vlan: int
    address: str
    parent: Parent | None = None
    number: int = 0

    @property
    def mode(self) -> str:
        assert self.parent is not None
        return self.parent.modes[self.number]


@define
class Topology:
    """What is on the wire. `own` names the interface each host has its own address on."""

    parents: dict[str, tuple[Parent, ...]]
    own: dict[str, str]
    outsiders: tuple[str, ...] = OUTSIDERS
    has_hairpin: bool = False
    stations: list[Station] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.stations = [Station(h, h, VLAN_OF[self.own[h]], f"10.99.0.{n}") for n, h in enumerate(HOSTS, 1)]
        outside = (Station("o1", "o1", 0, "10.99.0.101"), Station("o2", "o2", 10, "10.99.0.102"))
        self.stations += [station for station in outside if station.name in self.outsiders]
        for number, host in enumerate(HOSTS, 1):
            last = 10 * number
            for parent in self.parents[host]:
                for child in range(len(parent.modes)):
                    last += 1
                    address = f"10.88.{number}.{last}" if parent.is_routed else f"10.99.0.{last}"
                    name = f"{host}c{last}"
                    self.stations.append(Station(name, host, VLAN_OF[parent.device], address, parent, child))

    def commands(self) -> Iterable[tuple[str, str]]:
        """Return what is typed where; a child is a namespace on its host, with `eth0` in it."""
        for place in (*HOSTS, *self.outsiders):
            yield place, "link set eth0 up"
            devices = {self.own.get(place, "eth0"), *(p.device for p in self.parents.get(place, ()))}
            if TAGGED in devices or place == "o2":
                yield place, f"link add link eth0 name {TAGGED} type vlan id 10"
                yield place, f"link set {TAGGED} up"
        for station in self.stations:
            if station.parent is None:
                device = TAGGED if station.vlan else "eth0"
                yield station.name, f"addr add {station.address}/24 dev {device}"
            else:
                yield from self._child(station)
        for station in self.stations:
            yield from self._routes(station)

    def _child(self, station: Station) -> Iterable[tuple[str, str]]:
        parent = station.parent
        assert parent is not None
        words = f"mode {station.mode}" + (f" {parent.flag}" if parent.flag else "")
        yield station.host, f"link add link {parent.device} name child type {parent.kind} {words}"
        yield station.host, f"link set child netns {station.name}"
        yield station.name, "link set child name eth0"
        yield station.name, "link set lo up"
        yield station.name, f"addr add {station.address}/24 dev eth0"
        yield station.name, "link set eth0 up"
        if parent.is_routed:
            yield station.name, "route add default dev eth0"

    def _routes(self, station: Station) -> Iterable[tuple[str, str]]:
        for number, host in enumerate(HOSTS, 1):
            has_routed = any(parent.is_routed for parent in self.parents[host])
            is_routed = station.parent is not None and station.parent.is_routed
            if has_routed and not is_routed and station.name != host:
                yield station.name, f"route add 10.88.{number}.0/24 via 10.99.0.{number}"

    def reaches(self, one: Station, other: Station) -> bool:
        """Tell by the matrix of modes whether one station can ping the other."""
        if one.vlan != other.vlan:
            return False
        if one.parent is not None and other.parent is not None and one.host == other.host:
            return self._siblings(one, other)
        if one.host == other.host:  # a parent and its child
            return False
        return all(self._can_go_out(each) for each in (one, other))

    @staticmethod
    def _siblings(one: Station, other: Station) -> bool:
        assert one.parent is not None
        if one.parent.kind == IPVLAN:
            return one.parent.flag == "bridge"
        return one.mode == other.mode == "bridge"  # the wire reflects nothing

    def _can_go_out(self, station: Station) -> bool:
        host = station.host
        if station.parent is None:
            # A passthru child takes everything that comes in for the host's own address.
            device = self.own.get(host)
            return not any(p.device == device and "passthru" in p.modes for p in self.parents.get(host, ()))
        return True


@st.composite
def parents(draw: st.DrawFn, device: str) -> Parent | None:
    """Draw what is on one parent interface, or nothing."""
    kind = draw(st.sampled_from(("none", MACVLAN, MACVLAN, "passthru", IPVLAN, IPVLAN)))
    if kind == "none":
        return None
    if kind == "passthru":
        return Parent(device, MACVLAN, ("passthru",))
    if kind == MACVLAN:
        modes = draw(st.lists(st.sampled_from(("bridge", "bridge", "private", "vepa")), min_size=1, max_size=3))
        return Parent(device, MACVLAN, tuple(modes))
    mode = draw(st.sampled_from(("l2", "l2", "l3", "l3s")))
    count = draw(st.integers(1, 3))
    return Parent(device, IPVLAN, (mode,) * count, draw(st.sampled_from(FLAGS)))


@st.composite
def topologies(draw: st.DrawFn, devices: tuple[str, ...] = ("eth0", TAGGED), *, any_own: bool = False) -> Topology:
    """Draw a topology that keeps to what Linux allows: one kind a parent, one mode an ipvlan parent.

    With `any_own` a host may have its own address on another interface than its routed children have for a parent.
    """
    found: dict[str, tuple[Parent, ...]] = {}
    for host in HOSTS:
        drawn = [draw(parents(device)) for device in devices]
        routed = False
        kept: list[Parent] = []
        for parent in drawn:
            if parent is None or (parent.is_routed and routed):  # one routed parent a host: its subnet is one
                continue
            routed = routed or parent.is_routed
            kept.append(parent)
        found[host] = tuple(kept)
    own = {host: draw(st.sampled_from(devices)) for host in HOSTS}
    if not any_own:
        own |= {host: parent.device for host in HOSTS for parent in found[host] if parent.is_routed}
    return Topology(found, own)


def simulated(topology: Topology, *, has_vlan_switch: bool = False) -> Lab:
    """Make a topology in cnmsim: on a plain switch, or on one that knows the VLANs and gives o2 an access port."""
    lab = Lab()
    lab.add_segment("wire", *(f"172.16.{n}.0/24" for n in range(4)))
    places = (*HOSTS, *topology.outsiders)
    for number, name in enumerate(places):
        lab.add_host(name, f"172.16.{number}.1/24")
        lab.host(name).exec("ip addr flush dev eth0")
        lab.host(name).exec("sysctl -w net.ipv4.conf.all.arp_ignore=1")
    if has_vlan_switch:
        for name in places:
            lab.link(name, "wire", trunk=[10])
    if topology.has_hairpin:
        for name in HOSTS:
            lab.link(name, "wire", hairpin=True)
    for station in topology.stations:
        if station.parent is not None:
            lab.host(station.host).exec(f"ip netns add {station.name}")
    for place, words in topology.commands():
        host = place if place in lab.hosts else next(s.host for s in topology.stations if s.name == place)
        inside = f"ip netns exec {place} " if place != host else ""
        done = lab.host(host).exec(f"{inside}ip {words}")
        assert done.succeeded, f"{place}: ip {words}: {done.output}"
    return lab


def simulated_pings(topology: Topology, lab: Lab) -> set[tuple[str, str]]:
    """Ping everyone from everyone at once, twice; the pairs that worked when all knew their neighbours."""
    _ping_all(topology, lab)
    return _ping_all(topology, lab)


def _ping_all(topology: Topology, lab: Lab) -> set[tuple[str, str]]:
    running = {}
    for one, other in itertools.permutations(topology.stations, 2):
        inside = ["ip", "netns", "exec", one.name] if one.parent is not None else []
        process = lab.host(one.host).spawn([*inside, *PING, other.address])
        running[one.name, other.name] = process
    lab.run(3)
    return {pair for pair, process in running.items() if process.exit_status == 0}


class Linux:
    """A topology in namespaces of the Linux kernel, on a bridge."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.prefix = f"cnmsim{os.getpid()}-"
        self.places = [*HOSTS, *topology.outsiders, *(s.name for s in topology.stations if s.parent is not None)]

    def _run(self, *argv: str) -> str:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout

    def _ip(self, place: str, words: str) -> None:
        for name in self.places:
            words = words.replace(f"netns {name}", f"netns {self.prefix}{name}")
        self._run("ip", "-n", self.prefix + place, *words.split())

    def __enter__(self) -> Self:
        for name in ("wire", *self.places):
            self._run("ip", "netns", "add", self.prefix + name)
            self._sysctl(name, "net/ipv4/conf/all/arp_ignore", "1")
            for key in ("all", "default"):
                self._sysctl(name, f"net/ipv4/conf/{key}/rp_filter", "0")
                self._sysctl(name, f"net/ipv6/conf/{key}/disable_ipv6", "1")
        self._ip("wire", "link add br0 type bridge")
        self._ip("wire", "link set br0 up")
        for name in (*HOSTS, *self.topology.outsiders):
            self._run("ip", "-n", self.prefix + "wire", "link", "add", name, "type", "veth", "peer", "name", "eth0",
                      "netns", self.prefix + name)  # fmt: skip
            self._ip("wire", f"link set {name} master br0 up")
            if self.topology.has_hairpin and name in HOSTS:
                self._ip("wire", f"link set {name} type bridge_slave hairpin on")
            self._ip(name, "link set lo up")
        for place, words in self.topology.commands():
            self._ip(place, words)
        return self

    def _sysctl(self, place: str, key: str, value: str) -> None:
        self._run("ip", "netns", "exec", self.prefix + place, "sh", "-c", f"echo {value} > /proc/sys/{key}")

    def __exit__(self, *_: object) -> None:
        for name in ("wire", *self.places):
            subprocess.run(["ip", "netns", "del", self.prefix + name], check=False, capture_output=True)

    def pings(self) -> set[tuple[str, str]]:
        """Ping everyone from everyone, twice; the pairs that worked when all knew their neighbours."""
        self._ping_all()
        return self._ping_all()

    def _ping_all(self) -> set[tuple[str, str]]:
        running = {
            (one.name, other.name): subprocess.Popen(
                [
                    "ip",
                    "netns",
                    "exec",
                    self.prefix + one.name,
                    "ping",
                    "-c",
                    "2",
                    "-i",
                    "0.5",
                    "-W",
                    "1",
                    other.address,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for one, other in itertools.permutations(self.topology.stations, 2)
        }
        return {pair for pair, process in running.items() if process.wait() == 0}


def needs(*kinds: str) -> pytest.MarkDecorator:
    """Mark a test that compares child devices of these kinds with the kernel's."""
    children = [f"ip link add link v0 name x{kind} type {kind}{' id 10' * (kind == 'vlan')}" for kind in kinds]
    return pytest.mark.root("ping", trial="; ".join(("ip link add v0 type veth peer name v1", *children)))
