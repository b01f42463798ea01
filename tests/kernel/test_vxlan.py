"""VXLAN devices: encapsulation on the wire, replies of the neighbour proxy, drops."""

import errno

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from support.tunnels import Tunnels

from cnmsim.kernel.address import parse_ip, parse_mac
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.neighbour import NeighbourState
from cnmsim.kernel.sockets import UdpSocket
from cnmsim.kernel.vxlan import Vxlan, VxlanConfig
from cnmsim.kernel.vxlan_header import vxlan_header

MAC2, MAC3 = parse_mac("02:42:0a:00:01:02"), parse_mac("02:42:0a:00:01:03")


@pytest.fixture
def net():
    return Tunnels()


def encapsulated(frames):
    return [Ether(frame) for frame in frames if frame[12:14] != b"\x08\x06" and VXLAN in Ether(frame)]


@pytest.mark.parametrize("to", ["10.0.1.3", "fd0f::3"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_datagram_crosses_and_is_the_same_frame_inside(family, to):
    net = Tunnels(family=family)
    first, second = net.pair()
    wire, inside = net.wire("b"), net.tap(second.devices["eth0"])
    assert net.send(first, second, to) == [b"hello"]
    (outer,) = encapsulated(wire)
    assert bytes(outer[VXLAN].payload) in inside
    ip = outer.getlayer(1)
    assert (ip.src, ip.dst) == (("10.1.0.2", "10.2.0.2") if family == 4 else ("fd01::2", "fd02::2"))
    assert (ip.ttl if family == 4 else ip.hlim) == 63  # one router between
    assert (outer[VXLAN].flags, outer[VXLAN].vni, outer[UDP].dport) == (8, 42, 4789)
    assert 32768 <= outer[UDP].sport < 60999
    if family == 4:
        assert (int(ip.flags), ip.tos) == (0, 0)
    fresh = outer.copy()
    del fresh[UDP].chksum
    assert Ether(bytes(fresh))[UDP].chksum == outer[UDP].chksum != 0


def test_the_source_port_stays_with_a_flow_and_differs_between_flows(net):
    first, _ = net.pair()
    wire = net.wire()
    for port in (1000, 1000, 1001, 1002, 1003):
        socket = UdpSocket(first)
        socket.bind(("0.0.0.0", port))
        socket.sendto(b"x", ("10.0.1.3", 9))
        net.clock.run_for(1)
        socket.close()
    ports = [outer[UDP].sport for outer in encapsulated(wire) if outer[IP].src == "10.1.0.2"]
    assert ports[0] == ports[1]
    assert len(set(ports)) == 4


def test_the_local_port_range_bounds_the_source_port(net):
    first, second = net.pair()
    net.hosts["a"].sysctl_set("net.ipv4.ip_local_port_range", "40000 40010")
    wire = net.wire()
    assert net.send(first, second, "10.0.1.3")
    assert all(40000 <= outer[UDP].sport < 40010 for outer in encapsulated(wire))


def test_arp_is_answered_at_home_and_never_crosses(net):
    first, second = net.pair()
    wire = net.wire()
    assert net.send(first, second, "10.0.1.3")
    assert first.neighbours.known_mac(first.devices["eth0"], parse_ip("10.0.1.3")) == MAC3
    assert not [one for one in encapsulated(wire) if one[VXLAN].payload.type == 0x0806]
    bridge = net.overlays["a", 42].devices["br0"]
    assert bridge.fdb[MAC3].port.device is net.overlays["a", 42].devices["vxlan0"]


def test_a_question_nobody_answers_for_ends_at_the_tunnel(net):
    first, second = net.pair()
    net.send(first, second, "10.0.1.77", seconds=8)
    reasons = [reason for place, reason in net.witness.drops if place == "a-ov42"]
    assert set(reasons) == {DropReason.PROXY_UNANSWERED}
    assert net.overlays["a", 42].devices["vxlan0"].tx_dropped == 0
    assert ("c2", DropReason.NEIGHBOUR_FAILED) in net.witness.drops


def test_a_neighbour_that_is_only_stale_is_no_answer(net):
    first, second = net.pair()
    overlay = net.overlays["a", 42]
    overlay.neighbours.get(overlay.devices["vxlan0"], parse_ip("10.0.1.3"))._state = NeighbourState.STALE
    assert not net.send(first, second, "10.0.1.3", seconds=8)


def test_unknown_and_broadcast_frames_are_dropped_without_a_default_endpoint(net):
    first, _ = net.pair()
    vxlan = net.overlays["a", 42].devices["vxlan0"]
    wire = net.wire()
    for dst in (b"\xff" * 6, b"\x02\x99" + bytes(4)):
        first.devices["eth0"].transmit(dst + first.devices["eth0"].mac + b"\x88\xb5" + bytes(50))
    net.clock.run_for(1)
    assert not encapsulated(wire)
    assert vxlan.tx_dropped == 2


def test_the_default_entry_takes_floods_to_every_endpoint_it_names(net):
    first, second = net.pair()
    vxlan = net.overlays["a", 42].devices["vxlan0"]
    for last in (2, 9):
        vxlan.fdb.add(bytes(6), parse_ip(f"10.2.0.{last}"), mode="append")
    heard = net.tap(second.devices["eth0"])
    frame = b"\xff" * 6 + first.devices["eth0"].mac + b"\x88\xb5" + bytes(50)
    first.devices["eth0"].transmit(frame)
    net.clock.run_for(0.1)
    assert heard == [frame]
    assert len(vxlan.fdb.find(bytes(6)).remotes) == 2


def test_a_source_is_learnt_from_the_outer_header_and_ages(net):
    first, second = net.pair()
    overlay = net.overlays["b", 42]
    vxlan = overlay.devices["vxlan0"]
    vxlan.fdb.remove(MAC2)
    assert net.send(first, second, "10.0.1.3")
    assert vxlan.remotes == {MAC2: parse_ip("10.1.0.2")}
    assert str(vxlan.fdb.peek(MAC2)) == "02:42:0a:00:01:02 dst 10.1.0.2 self "
    net.clock.run_for(200)
    assert net.send(first, second, "10.0.1.3")
    net.clock.run_for(200)
    assert MAC2 in vxlan.remotes
    net.clock.run_for(101)
    assert not vxlan.remotes


def test_a_frame_from_another_endpoint_than_the_fixed_entry_says_is_dropped(net):
    first, second = net.pair()
    vxlan = net.overlays["b", 42].devices["vxlan0"]
    vxlan.fdb.add(MAC2, parse_ip("10.9.9.9"), mode="replace")
    assert not net.send(first, second, "10.0.1.3")
    assert ("b-ov42", DropReason.TUNNEL_ENDPOINT_MISMATCH) in net.witness.drops
    assert vxlan.rx_dropped == 1
    (event,) = [event for event in net.witness.events if event.reason is DropReason.TUNNEL_ENDPOINT_MISMATCH]
    assert event.decision == "02:42:0a:00:01:02 dst 10.9.9.9 self permanent"


def test_a_learnt_entry_moves_with_its_station(net):
    first, second = net.pair()
    vxlan = net.overlays["b", 42].devices["vxlan0"]
    vxlan.fdb.add(MAC2, parse_ip("10.9.9.9"), mode="replace", state="")
    assert net.send(first, second, "10.0.1.3")
    assert vxlan.remotes[MAC2] == parse_ip("10.1.0.2")


def test_without_learning_nothing_is_learnt(net):
    first, second = net.pair(learning=False)
    vxlan = net.overlays["b", 42].devices["vxlan0"]
    vxlan.fdb.remove(MAC2)
    assert net.send(first, second, "10.0.1.3")
    assert not vxlan.remotes


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (bytes(VXLAN(flags=8, vni=43) / Ether(dst="02:42:0a:00:01:03", src="02:42:0a:00:01:02")),
         DropReason.UNKNOWN_VNI),
        (bytes(VXLAN(flags=0, vni=42) / Ether(dst="02:42:0a:00:01:03", src="02:42:0a:00:01:02")),
         DropReason.MALFORMED),
        (bytes(VXLAN(flags=0x88, vni=42) / Ether(src="02:42:0a:00:01:02")), DropReason.MALFORMED),
        (bytes(VXLAN(flags=8, vni=42)), DropReason.MALFORMED),
        (b"", DropReason.MALFORMED),
        (bytes(VXLAN(flags=8, vni=42) / Ether(src="ff:ff:ff:ff:ff:ff")), DropReason.MALFORMED),
        (bytes(VXLAN(flags=8, vni=42) / Ether(src="02:00:00:a0:01:2a")), DropReason.TUNNEL_LOOP),
    ],
)  # fmt: skip
def test_what_is_no_frame_of_a_known_network_is_dropped_with_a_reason(net, payload, reason):
    net.pair()
    socket = UdpSocket(net.hosts["a"])
    net.clock.context = net.witness
    socket.sendto(payload, ("10.2.0.2", 4789))
    net.clock.context = None
    net.clock.run_for(3)
    assert [found for _, found in net.witness.drops] == [reason]


def test_outer_packets_that_are_too_long_are_fragmented_and_made_whole(net):
    for host, device in (("a", "eth0"), ("b", "eth0")):
        net.hosts[host].devices[device].set_mtu(1400)
    first, second = net.pair()
    wire = net.wire("b")
    # Without DF on the inner packet no error is sent: the outer packet is fragmented.
    assert net.send(first, second, "10.0.1.3", b"x" * 1422, dont_fragment=False) == [b"x" * 1422]
    pieces = [Ether(frame)[IP] for frame in wire if frame[12:14] == b"\x08\x00"]
    assert [(int(piece.flags), piece.frag > 0) for piece in pieces] == [(1, False), (0, True)]


def test_a_frame_too_long_for_the_tunnels_path_is_answered_to_its_sender(net):
    net.hosts["a"].devices["eth0"].set_mtu(1400)
    first, second = net.pair()
    assert not net.send(first, second, "10.0.1.3", b"x" * 1400)
    assert ("a-ov42", DropReason.FRAGMENTATION_NEEDED) in net.witness.drops
    assert first.mtu_of(parse_ip("10.0.1.3")) == 1350
    assert net.send(first, second, "10.0.1.3", b"x" * 1400) == [b"x" * 1400]
    assert not net.send(first, second, "fd0f::3", b"x" * 1400)
    assert first.mtu_of(parse_ip("fd0f::3")) == 1350


def test_the_packet_filter_of_the_host_sees_the_outer_packets(net):
    first, second = net.pair()
    net.hosts["b"].netfilter.iptables(4).append("filter", "INPUT", "-p udp --dport 4789 -j DROP")
    assert not net.send(first, second, "10.0.1.3")
    assert ("b", DropReason.NETFILTER_DROP) in net.witness.drops


def test_the_port_is_held_while_a_device_is_up(net):
    net.pair()
    host = net.hosts["a"]
    with pytest.raises(OSError, match="Address already in use"):
        UdpSocket(host).bind(("0.0.0.0", 4789))
    assert [(one.local_port, one.pid) for one in host.sockets.listeners()] == [(4789, 0)]
    other = net.overlay("a", 43)
    net.overlays["a", 42].devices["vxlan0"].set_down()
    assert host.sockets.udp_ports.is_bound(bytes(4), 4789)
    other.set_down()
    assert not host.sockets.listeners()
    UdpSocket(host).bind(("0.0.0.0", 4789))
    with pytest.raises(OSError, match="Address already in use") as raised:
        other.set_up()
    assert raised.value.errno == errno.EADDRINUSE
    assert not other.is_up


def test_a_network_identifier_is_unique_where_the_device_was_made(net):
    net.overlay("a", 42)
    with pytest.raises(OSError, match="VNI") as raised:
        Vxlan.create(net.hosts["a"], "vx", bytes(6), VxlanConfig(42))
    assert raised.value.errno == errno.EEXIST
    Vxlan.create(net.hosts["a"], "vx", bytes(6), VxlanConfig(42, port=8472))
    Vxlan.create(net.hosts["a"], "vx6", bytes(6), VxlanConfig(42, family=6))
    Vxlan.create(net.hosts["b"], "vx", bytes(6), VxlanConfig(42))
    net.overlays["a", 42].destroy()
    Vxlan.create(net.hosts["a"], "vy", bytes(6), VxlanConfig(42))
    with pytest.raises(OSError, match="range"):
        Vxlan.create(net.hosts["a"], "vz", bytes(6), VxlanConfig(1 << 24))
    with pytest.raises(OSError, match="exists"):
        Vxlan.create(net.hosts["a"], "vy", bytes(6), VxlanConfig(44))
    Vxlan.create(net.hosts["a"], "vz", bytes(6), VxlanConfig(44))


def test_the_device_goes_with_the_namespace_it_was_made_in(net):
    vxlan = net.overlay("a", 42)
    assert vxlan.peer_index == vxlan.index
    net.hosts["a"].destroy()
    assert vxlan.namespace is None
    assert "vxlan0" not in net.overlays["a", 42].devices


def test_exclusive_replace_and_append(net):
    fdb = net.overlay("a", 42).fdb
    fdb.add(MAC2, b"\1\1\1\1")
    with pytest.raises(OSError, match="exists"):
        fdb.add(MAC2, b"\2\2\2\2")
    assert fdb.peek(MAC2).remotes == [b"\1\1\1\1"]
    fdb.add(MAC2, b"\2\2\2\2", mode="replace")
    assert fdb.peek(MAC2).remotes == [b"\2\2\2\2"]
    fdb.add(MAC2, b"\3\3\3\3", mode="append")
    assert fdb.peek(MAC2).remotes == [b"\2\2\2\2"]
    fdb.remove(MAC2, b"\7\7\7\7")
    fdb.remove(MAC2, b"\2\2\2\2")
    with pytest.raises(OSError, match="No such file"):
        fdb.remove(MAC2)
    with pytest.raises(OSError, match="family"):
        fdb.add(MAC2, bytes(16))
    with pytest.raises(OSError, match="non-unicast"):
        fdb.add(bytes(6), b"\1\1\1\1", mode="replace")


def test_a_learnt_entry_stands_in_the_way_of_an_exclusive_one(net):
    first, second = net.pair()
    vxlan = net.overlays["b", 42].devices["vxlan0"]
    vxlan.fdb.remove(MAC2)
    assert net.send(first, second, "10.0.1.3")
    with pytest.raises(OSError, match="exists"):
        vxlan.fdb.add(MAC2, parse_ip("10.1.0.2"))
    vxlan.set_down()
    assert not vxlan.remotes


def test_an_endpoint_that_cannot_be_reached_or_is_this_host(net):
    first, second = net.pair()
    vxlan = net.overlays["a", 42].devices["vxlan0"]
    vxlan.fdb.add(MAC3, net.vtep("a"), mode="replace")
    wire = net.wire()
    assert not net.send(first, second, "10.0.1.3")
    assert not encapsulated(wire)
    host = net.hosts["a"]
    host.remove_route(host.routes4.lookup(parse_ip("9.9.9.9")))
    vxlan.fdb.add(MAC3, parse_ip("10.2.0.2"), mode="replace")
    assert not net.send(first, second, "10.0.1.3")
    assert ("a-ov42", DropReason.NO_ROUTE) in net.witness.drops


def test_a_trace_shows_inner_and_outer_packet(net):
    first, second = net.pair()
    assert net.send(first, second, "10.0.1.3")
    steps = [(event.place, event.step) for event in net.witness.events]
    way = [("a-ov42", Step.ENCAPSULATED), ("a", Step.ROUTED), ("router", Step.ROUTED), ("b-ov42", Step.DECAPSULATED)]
    assert [step for step in steps if step in way] == way
    outer, inner = (event for event in net.witness.events if event.step in (Step.ENCAPSULATED, Step.DECAPSULATED))
    assert IP(outer.data).dst == "10.2.0.2"
    assert Ether(inner.data)[IP].dst == "10.0.1.3"
    assert outer.decision == "02:42:0a:00:01:03 dst 10.2.0.2 self permanent"
    assert ("c3", Step.DELIVERED) in steps


def test_traced_and_untraced_frames_are_the_same_bytes():
    wires = []
    for traced in (True, False):
        net = Tunnels()
        first, second = net.pair()
        wires.append(net.wire())
        for _ in range(4):
            assert net.send(first, second, "10.0.1.3", traced=traced)
    assert wires[0] == wires[1]


def test_the_header_is_scapys():
    for vni in (0, 1, 4097, (1 << 24) - 1):
        assert vxlan_header(vni) == bytes(VXLAN(flags=8, vni=vni))


def test_a_device_learns_and_has_checksums_and_nothing_else_unless_asked():
    # vxlan_nl2conf: without an attribute only VXLAN_F_LEARN is set; iproute2 sets the checksum of IPv4.
    config = VxlanConfig(42)
    switches = ("learning", "proxy", "l2miss", "l3miss", "udp_checksum")
    assert [name for name in switches if getattr(config, name)] == ["learning", "udp_checksum"]
