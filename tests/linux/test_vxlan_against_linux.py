"""VXLAN devices of the Linux kernel and ours, programmed with the same commands: the same frames come out of them.

    e0 (c) ── p0 ┐                                      ┌ p0 ── e0 (d)
                br0 (o)  a0 (a) 10.9.0.1 ── 10.9.0.2 b0 (b)  br0 (q)
               vxlan0 ┘   made in a            made in b   └ vxlan0

Frames are sent by e0 in c, or as outer packets by a0. What e0, vxlan0 of the other side and b0 see is compared, but
for what the kernel draws at random: identification and source port, and checksums, which Linux leaves to the device.
"""

import os
import shlex
import subprocess

import pytest
from raw_frames import collect, opened
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw
from scapy.utils import mac2str

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.userland import HOST_PROGRAMS

pytestmark = pytest.mark.root("bridge", trial="ip link add vx type vxlan id 1 dstport 4789")

ME, PEER, FIXED = "02:aa:00:00:00:02", "02:aa:00:00:00:03", "02:aa:00:00:00:04"
A0, B0 = "02:bb:00:00:00:01", "02:bb:00:00:00:02"
PREFIX = f"x{os.getpid() % 100000}"
NAMESPACES = "abcdoq"


def commands(options):
    """What builds the topology, in words that both kernels' programs understand; {a} stands for namespace a."""
    yield from (f"ip netns add {{{name}}}" for name in NAMESPACES)
    yield "ip -n {a} link add a0 address " + A0 + " type veth peer name b0 netns {b}"
    yield "ip -n {b} link set b0 address " + B0
    for name, device, other, mac in (("a", "a0", "2", B0), ("b", "b0", "1", A0)):
        own = 3 - int(other)
        yield f"ip -n {{{name}}} addr add 10.9.0.{own}/24 dev {device}"
        yield f"ip -n {{{name}}} addr add fd09::{own}/64 dev {device} nodad"
        yield f"ip -n {{{name}}} link set {device} up"
        yield f"ip -n {{{name}}} neigh add 10.9.0.{other} lladdr {mac} dev {device} nud permanent"
        yield f"ip -n {{{name}}} neigh add fd09::{other} lladdr {mac} dev {device} nud permanent"
    for home, overlay, station, end in (("a", "o", "c", 1), ("b", "q", "d", 2)):
        yield f"ip -n {{{station}}} link add e0 type veth peer name p0 netns {{{overlay}}}"
        yield f"ip -n {{{home}}} link add vx0 type vxlan id 42 dstport 4789 " + options.format(end=end)
        yield f"ip -n {{{home}}} link set vx0 netns {{{overlay}}}"
        yield f"ip -n {{{overlay}}} link set vx0 name vxlan0"
        yield f"ip -n {{{overlay}}} link add br0 type bridge"
        yield f"ip -n {{{overlay}}} link set vxlan0 address 02:cc:00:00:00:0{end}"
        for port in ("vxlan0", "p0"):
            yield f"ip -n {{{overlay}}} link set {port} master br0"
        for device in ("br0", "vxlan0", "p0"):
            yield f"ip -n {{{overlay}}} link set {device} up"
        yield f"ip -n {{{station}}} link set e0 up"


def programming(other, far):
    yield f"bridge fdb add {PEER} dev vxlan0 dst {other}"
    yield f"bridge fdb add {FIXED} dev vxlan0 dst {far}"
    yield f"ip neigh add 10.0.1.3 lladdr {PEER} dev vxlan0 nud permanent"
    yield f"ip neigh add fd0f::3 lladdr {PEER} dev vxlan0 nud permanent"


def frame(inner, dst=PEER, src=ME):
    return bytes(Ether(dst=dst, src=src) / inner)


def solicitation(target, src="fd0f::2", dst="ff02::1:ff00:3", option=True):
    message = IPv6(src=src, dst=dst, hlim=255) / ICMPv6ND_NS(tgt=target)
    return frame(message / ICMPv6NDOptSrcLLAddr(lladdr=ME) if option else message, dst="33:33:ff:00:00:03")


def udp(size, **fields):
    return IP(src="10.0.1.2", dst="10.0.1.3", id=7, **fields) / UDP(sport=1, dport=2) / Raw(b"x" * size)


def arp(target, operation=1, sender="10.0.1.2"):
    dst = "ff:ff:ff:ff:ff:ff" if operation == 1 else PEER
    return frame(ARP(op=operation, hwsrc=ME, psrc=sender, pdst=target, hwdst="00:00:00:00:00:00"), dst=dst)


def inner_frames():
    """Frames of a container."""
    yield "known unicast", frame(udp(20))
    yield "with DSCP and ECN", frame(udp(20, tos=0xB9))
    yield "congestion experienced", frame(udp(20, tos=3))
    yield "IPv6 traffic class", frame(IPv6(src="fd0f::2", dst="fd0f::3", tc=0xB9) / UDP() / Raw(b"x"))
    yield "another Ethernet type", bytes(Ether(dst=PEER, src=ME, type=0x88B5) / Raw(b"x" * 60))
    yield "unknown unicast", frame(udp(20), dst="02:aa:00:00:00:99")
    yield "broadcast", frame(udp(20), dst="ff:ff:ff:ff:ff:ff")
    yield "ARP request", arp("10.0.1.3")
    yield "ARP request for a stranger", arp("10.0.1.99")
    yield "ARP request for the loopback", arp("127.0.0.1")
    yield "gratuitous ARP", arp("10.0.1.2")
    yield "ARP probe", arp("10.0.1.3", sender="0.0.0.0")
    yield "ARP reply", arp("10.0.1.3", 2)
    yield "solicitation", solicitation("fd0f::3")
    yield "solicitation without option", solicitation("fd0f::3", option=False)
    yield "solicitation for a stranger", solicitation("fd0f::99")
    yield "address probe", solicitation("fd0f::3", src="::", option=False)
    yield "advertisement", frame(IPv6(src="fd0f::2", dst="fd0f::3", hlim=255) / ICMPv6ND_NA(tgt="fd0f::2"))
    yield "fits", frame(udp(1500 - 50 - 28))
    yield "too long, may be fragmented", frame(udp(1500 - 28))
    yield "too long, with DF", frame(udp(1500 - 28, flags="DF"))
    yield "too long, IPv6", frame(IPv6(src="fd0f::2", dst="fd0f::3") / UDP() / Raw(b"x" * 1440))
    yield (
        "too long, an ICMP error",
        frame(IP(src="10.0.1.2", dst="10.0.1.3", flags="DF") / ICMP(type=3, code=1) / Raw(b"x" * 1450)),
    )
    yield (
        "too long, packet too big",
        frame(IPv6(src="fd0f::2", dst="fd0f::3") / ICMPv6PacketTooBig() / Raw(b"x" * 1440)),
    )


def outer(payload, family=4, **fields):
    ip = IP(src="10.9.0.1", dst="10.9.0.2", **fields) if family == 4 else IPv6(src="fd09::1", dst="fd09::2", **fields)
    return bytes(Ether(dst=B0, src=A0) / ip / UDP(sport=40000, dport=4789) / payload)


def outer_frames(family):
    """What arrives at the other end: good, of no network, malformed, from a wrong endpoint."""
    good = Ether(dst="02:aa:00:00:00:77", src="02:aa:00:00:00:88") / udp(20)
    fixed = Ether(dst="02:aa:00:00:00:77", src=FIXED) / udp(20)
    own = Ether(dst="02:aa:00:00:00:77", src="02:cc:00:00:00:02") / udp(20)
    group = Ether(dst="02:aa:00:00:00:77", src="03:aa:00:00:00:01") / udp(20)
    marked = Ether(dst="02:aa:00:00:00:77", src="02:aa:00:00:00:88") / udp(20, tos=2)
    yield "good", outer(VXLAN(flags=8, vni=42) / good, family)
    yield "of no network", outer(VXLAN(flags=8, vni=43) / good, family)
    yield "without the VNI flag", outer(VXLAN(flags=0, vni=42) / good, family)
    yield "with a flag we do not know", outer(VXLAN(flags=0x48, vni=42) / good, family)
    yield "with reserved bits", outer(VXLAN(flags=8, vni=42, reserved2=1) / good, family)
    yield "header only", outer(VXLAN(flags=8, vni=42), family)
    yield "header cut short", outer(Raw(b"\x08\0\0"), family)
    yield "from a wrong endpoint", outer(VXLAN(flags=8, vni=42) / fixed, family)
    yield "with the device's own address", outer(VXLAN(flags=8, vni=42) / own, family)
    yield "from a group", outer(VXLAN(flags=8, vni=42) / group, family)
    broken = bytearray(outer(VXLAN(flags=8, vni=42) / good, family))
    broken[-1] ^= 1
    yield "with a wrong checksum", bytes(broken)
    congested = {"tos": 3} if family == 4 else {"tc": 3}
    yield "congested, the inner packet takes no mark", outer(VXLAN(flags=8, vni=42) / good, family, **congested)
    yield "congested, the inner packet is marked", outer(VXLAN(flags=8, vni=42) / marked, family, **congested)


WATCHED = {"b": "b0", "c": "e0", "q": "vxlan0"}


class LinuxKernel:
    """The topology in the kernel of this machine."""

    def __init__(self, lines):
        self.names = {name: f"{PREFIX}{name}" for name in NAMESPACES}
        for line in lines:
            subprocess.run(shlex.split(line.format(**self.names)), check=True, capture_output=True)
        for name in NAMESPACES:
            for setting in ("net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0"):
                self.within(name, f"sysctl -qw {setting}")

    def within(self, name, line):
        subprocess.run(["ip", "netns", "exec", self.names[name], *shlex.split(line)], check=True, capture_output=True)

    def exchange(self, name, device, frames):
        sender = opened(self.names[name], device)
        watching = {where: opened(self.names[where], one) for where, one in WATCHED.items()}
        found = []
        for data in frames:
            collect(watching, 0.02)
            sender.send(data)
            found.append(collect(watching, 0.05))
        for one in (sender, *watching.values()):
            one.close()
        return found

    def close(self):
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class SimulatedKernel:
    """The topology in ours."""

    def __init__(self, lines):
        self.clock = Clock()
        self.machine = Machine("m", self.clock)
        self.names = {name: name for name in NAMESPACES}
        for line in lines:
            self.run(line.format(**self.names))

    def run(self, line):
        argv = shlex.split(line)
        process = self.machine.spawn(HOST_PROGRAMS[argv[0]], argv, programs=HOST_PROGRAMS)
        self.clock.run_for(0.1)
        assert process.exit_status == 0, (line, process.stderr.getvalue())

    def within(self, name, line):
        self.run(f"ip netns exec {name} {line}")

    def device(self, name, device):
        return self.machine.namespaces[f"/var/run/netns/{name}"].devices[device]

    def exchange(self, name, device, frames):
        found = []
        for where, one in WATCHED.items():
            self.device(where, one).taps = (
                lambda _time, way, data, where=where: found[-1].append((where, way, data)),
            )
        for data in frames:
            found.append([])
            self.device(name, device).transmit(data)
            self.clock.run_for(0.05)
        return found


OURS = bytes((2, 0xAA))


def is_ours(data):
    """Whether a test sent the frame, or made a kernel send it; the namespaces have things to say of their own."""
    packet = Ether(data)
    if data[6:12] not in (mac2str(A0), mac2str(B0)):
        return data[6:8] == OURS
    if VXLAN in packet and UDP in packet and packet[UDP].dport == 4789:
        inner = packet[VXLAN].payload
        if not isinstance(inner, Ether):
            return True
        prefix = mac2str(inner.src)[:2]
        return prefix[:1] != b"\x02" or prefix == OURS or (prefix == b"\x02\xcc" and UDP in inner)
    return UDP in packet or (IP in packet and packet[IP].frag > 0) or IPv6ExtHdrFragment in packet


def plain(seen):
    """Blank what a kernel draws at random or leaves to the device."""
    kept = []
    for where, way, data in seen:
        if not is_ours(data) or (where == "c" and way == "out") or (where == "b" and way == "out"):
            continue
        packet = Ether(data)
        if where == "b":
            for layer, names in ((IP, ("id", "chksum")), (UDP, ("sport", "chksum"))):
                for name in names:
                    if layer in packet:
                        setattr(packet[layer], name, 0)
        kept.append((where, way, bytes(packet)))
    return sorted(kept)


def summary(seen):
    return [(where, way, Ether(data).summary(), data.hex()[:200]) for where, way, data in seen]


def compare(options, far, vtep, frames, sender):
    lines = [*commands(options)]
    linux = None
    try:
        linux = LinuxKernel(lines)
        ours = SimulatedKernel(lines)
        for world in (linux, ours):
            for line in programming(vtep, far):
                world.within("o", line)
            world.within("q", f"bridge fdb add {FIXED} dev vxlan0 dst {far}")
        names = [name for name, _ in frames]
        expected, found = (world.exchange(*sender, [data for _, data in frames]) for world in (linux, ours))
    finally:
        if linux is not None:
            linux.close()
    differing = []
    for name, *both in zip(names, expected, found, strict=True):
        if name.startswith("congested"):  # the kernel marks the very bytes that b0 is still to show
            both = [[one for one in seen if one[0] != "b"] for seen in both]  # noqa: PLW2901
        theirs, mine = map(plain, both)
        if theirs != mine:
            differing.append(f"{name}:\n  Linux {summary(theirs)}\n  here  {summary(mine)}")
    assert not differing, "\n".join(differing)
    return dict(zip(names, (plain(one) for one in expected), strict=True))


V4 = "proxy l2miss l3miss local 10.9.0.{end}"
V6 = "proxy l2miss l3miss local fd09::{end}"


@pytest.mark.parametrize(("options", "far", "vtep"), [(V4, "10.9.0.9", "10.9.0.2"), (V6, "fd09::9", "fd09::2")])
def test_what_goes_in_comes_out_alike(options, far, vtep):
    seen = compare(options, far, vtep, list(inner_frames()), ("c", "e0"))
    assert [where for where, _, _ in seen["known unicast"]] == ["b", "q"]
    assert [where for where, _, _ in seen["ARP request"]] == ["c"]
    assert not seen["ARP request for a stranger"]
    assert not seen["broadcast"]


@pytest.mark.parametrize("family", [4, 6])
def test_what_arrives_is_taken_or_dropped_alike(family):
    options, far = (V4, "10.9.0.9") if family == 4 else (V6, "fd09::9")
    vtep = "10.9.0.2" if family == 4 else "fd09::2"
    seen = compare(options, far, vtep, list(outer_frames(family)), ("a", "a0"))
    assert [where for where, _, _ in seen["good"]] == ["b", "q"]
    assert [where for where, _, _ in seen["of no network"]] == ["b"]
    assert [where for where, _, _ in seen["congested, the inner packet is marked"]] == ["b", "q"]
