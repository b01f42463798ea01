"""The bridge as a switch: learning, ageing, flooding, hairpin, and the neighbours behind it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wiring import Net

from cnmsim.kernel.address import format_mac, parse_ip, parse_mac
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Veth
from cnmsim.kernel.events import DropReason
from cnmsim.kernel.neighbour import NeighbourState

UNKNOWN = parse_mac("02:ff:ff:ff:ff:ff")


@pytest.fixture
def net():
    return Net()


def heard(device):
    frames = []
    device.taps = (lambda _t, way, frame: frames.append(frame) if way == "in" else None,)
    return frames


def test_an_unknown_destination_is_flooded_and_a_known_one_is_not(net):
    c2, c3, c4 = net.container(2), net.container(3), net.container(4)
    third = heard(c4.devices["eth0"])
    frame = UNKNOWN + c2.devices["eth0"].mac + b"\x88\xb5" + bytes(50)
    c2.devices["eth0"].transmit(frame)
    net.clock.run_ready()
    assert third == [frame]
    net.ping(c2, "10.1.0.3")
    third.clear()
    net.ping(c2, "10.1.0.3")
    assert not third
    assert c3.devices["eth0"].mac in net.bridge.fdb


def test_without_flood_a_port_sends_group_frames_but_none_to_unknown_addresses(net):
    c2, c3 = net.container(2), net.container(3)
    received = heard(c3.devices["eth0"])
    net.bridge.ports[c3.devices["eth0"].peer].flood = False
    sender = c2.devices["eth0"]
    unicast, multicast, broadcast = (
        destination + sender.mac + b"\x88\xb5" + bytes(50)
        for destination in (UNKNOWN, parse_mac("01:00:5e:01:01:01"), b"\xff" * 6)
    )
    for frame in (unicast, multicast, broadcast):
        sender.transmit(frame)
    net.clock.run_ready()
    assert received == [multicast, broadcast]


def test_what_was_learnt_is_forgotten_after_the_ageing_time(net):
    c2, c4 = net.container(2), net.container(4)
    net.container(3)
    net.ping(c2, "10.1.0.3")
    third = heard(c4.devices["eth0"])
    net.clock.run_for(301)
    mac = c2.neighbours.known_mac(c2.devices["eth0"], parse_ip("10.1.0.3"))
    c2.devices["eth0"].transmit(mac + c2.devices["eth0"].mac + b"\x88\xb5" + bytes(50))
    net.clock.run_ready()
    assert len(third) == 1


def test_a_frame_leaves_by_the_port_it_came_from_only_with_hairpin(net):
    c2 = net.container(2)
    eth0 = c2.devices["eth0"]
    frame = eth0.mac + eth0.mac + b"\x88\xb5" + bytes(50)
    back = heard(eth0)
    net.clock.context = net.witness
    eth0.transmit(frame)
    net.clock.run_ready()
    assert not back
    assert ("host", DropReason.NO_BRIDGE_PORT) in net.witness.drops
    (port,) = net.bridge.ports.values()
    port.hairpin = True
    eth0.transmit(frame)
    net.clock.run_ready()
    assert back == [frame]


def test_a_bridge_without_ports_has_no_carrier(net):
    assert not net.bridge.has_carrier
    c2 = net.container(2)
    assert net.bridge.has_carrier
    c2.destroy()
    assert not net.bridge.has_carrier
    assert not net.bridge.ports
    assert list(net.host.devices) == ["lo", "br0"]


def test_a_neighbour_goes_stale_and_is_asked_again_in_unicast(net):
    c2, c3 = net.container(2), net.container(3)
    net.ping(c2, "10.1.0.3")
    (entry,) = [e for e in c2.neighbours.entries() if e.address == parse_ip("10.1.0.3")]
    assert entry.state is NeighbourState.REACHABLE
    net.clock.run_for(31)
    assert entry.state is NeighbourState.STALE
    asked = heard(c3.devices["eth0"])
    net.ping(c2, "10.1.0.3")
    # c3's own entry became stale as well and is probed at the same time; the frames it receives for that are replies.
    questions = [frame for frame in asked if frame[12:14] == b"\x08\x06" and frame[21] == 1]
    assert [frame[:6] for frame in questions] == [c3.devices["eth0"].mac]
    assert entry.state is NeighbourState.REACHABLE


def test_a_port_cannot_have_two_masters_nor_be_a_bridge(net):
    net.container(2)
    (port,) = net.bridge.ports
    with pytest.raises(OSError, match="busy"):
        net.bridge.add_port(port)
    with pytest.raises(OSError, match="symbolic"):
        net.bridge.add_port(net.bridge)


def test_names_are_unique_and_at_most_fifteen_characters(net):
    a, b = Veth.pair(net.clock, "br0", "x" * 16, bytes(6), bytes(6))
    with pytest.raises(OSError, match="exists"):
        net.host.add_device(a)
    with pytest.raises(OSError, match="out of range"):
        net.host.add_device(b)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 4), st.binary(max_size=90)), max_size=12))
def test_any_frame_is_delivered_dropped_with_a_reason_or_forgotten_by_nobody(frames):
    net = Net()
    containers = {number: net.container(number) for number in (2, 3, 4)}
    net.clock.context = net.witness
    for number, data in frames:
        containers[number].devices["eth0"].transmit(data)
    net.clock.run_for(60)
    net.clock.context = None
    assert all(reason is not None for _, reason in net.witness.drops)
    assert net.clock.next_event_ns() is None


def free_bridge(net):
    bridge = Bridge("br1", parse_mac("02:ff:00:00:00:01"), net.clock, has_fixed_mac=False)
    net.host.add_device(bridge)
    bridge.set_up()
    net.host.add_address(bridge, "10.2.0.1/24")
    return bridge


def plug(net, bridge, number, port_mac):
    namespace = net.namespace(f"d{number}")
    port, eth0 = Veth.pair(net.clock, f"port{number}", "eth0", parse_mac(port_mac), bytes((2, 0, 0, 9, 0, number)))
    net.host.add_device(port)
    namespace.add_device(eth0)
    port.set_up()
    eth0.set_up()
    bridge.add_port(port)
    namespace.add_address(eth0, f"10.2.0.{number}/24")
    return namespace, port


def test_a_bridge_that_nobody_gave_an_address_has_the_lowest_of_its_ports(net):
    bridge = free_bridge(net)
    assert format_mac(bridge.mac) == "02:ff:00:00:00:01"
    _, first = plug(net, bridge, 2, "02:55:00:00:00:02")
    assert bridge.mac == first.mac
    _, lower = plug(net, bridge, 3, "02:44:00:00:00:03")
    _, higher = plug(net, bridge, 4, "02:66:00:00:00:04")
    assert bridge.mac == lower.mac
    bridge.remove_port(higher)
    assert bridge.mac == lower.mac
    bridge.remove_port(lower)
    assert bridge.mac == first.mac
    first.set_mac(parse_mac("02:77:00:00:00:07"))
    assert format_mac(bridge.mac) == "02:77:00:00:00:07"
    bridge.remove_port(first)
    assert bridge.mac == bytes(6)
    bridge.set_mac(parse_mac("02:88:00:00:00:08"))
    bridge.add_port(lower)
    assert format_mac(bridge.mac) == "02:88:00:00:00:08"


def test_who_knew_a_bridge_by_a_port_s_address_loses_it_when_a_lower_one_comes(net):
    bridge = free_bridge(net)
    behind_it, _ = plug(net, bridge, 2, "02:55:00:00:00:02")
    elsewhere, _ = plug(net, bridge, 3, "02:66:00:00:00:03")
    for namespace in (behind_it, elsewhere):
        assert net.ping(namespace, "10.2.0.1")
    plug(net, bridge, 4, "02:44:00:00:00:04")
    assert net.ping(behind_it, "10.2.0.1")  # the destination MAC is still that of the receiving port
    assert not net.ping(elsewhere, "10.2.0.1")
    net.clock.run_for(60)
    net.ping(elsewhere, "10.2.0.1")
    net.clock.run_for(10)
    assert net.ping(elsewhere, "10.2.0.1")


def test_a_port_number_is_given_again(net):
    bridge = free_bridge(net)
    ports = [plug(net, bridge, number, f"02:44:00:00:00:{number:02x}")[1] for number in (2, 3, 4)]
    bridge.remove_port(ports[1])
    assert bridge.add_port(ports[1]).number == 2
    assert [bridge.ports[port].number for port in ports] == [1, 2, 3]
