"""Upper devices: VLANs, macvlan and ipvlan children; the bytes on the wire and the drop reasons."""

from __future__ import annotations

import errno

import pytest
from support.wiring import Net

from cnmsim.kernel.address import Prefix, parse_ip
from cnmsim.kernel.device import Nic
from cnmsim.kernel.dummy import Dummy
from cnmsim.kernel.events import DropReason
from cnmsim.kernel.ipvlan import Ipvlan, IpvlanFlag, IpvlanMode
from cnmsim.kernel.macvlan import Macvlan, MacvlanMode
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.route import Route
from cnmsim.kernel.vlan import Vlan
from cnmsim.underlay.segment import Segment
from cnmsim.underlay.trunk import Link


class Wire(Net):
    """The host of `Net` with eth0 (10.0.0.1) on a wire, and the machine `far` (10.0.0.9) at its other end."""

    def __init__(self) -> None:
        super().__init__()
        self.far = self.namespace("far")
        self.eth0 = self.nic(self.host, 1)
        self.far_eth0 = self.nic(self.far, 9)
        self.link = Link("wire", self.clock, self.eth0, self.far_eth0)
        self.frames: list[bytes] = []
        self.link.taps += (lambda _time, _direction, frame: self.frames.append(frame),)

    def reaches(self, namespace: NetworkNamespace, to: str, **options: object) -> bool:
        return any("reply" in answer for answer in self.ping(namespace, to, **options))

    def nic(self, namespace: NetworkNamespace, number: int) -> Nic:
        nic = Nic("eth0", bytes((2, 0, 0, 0, 0, number)), self.clock)
        namespace.add_device(nic)
        namespace.add_address(nic, f"10.0.0.{number}/24")
        namespace.add_address(nic, f"fd00::{number}/64")
        nic.set_up()
        return nic

    def child(self, device: Macvlan | Ipvlan | Vlan, number: int, *, subnet: str = "10.0.0") -> NetworkNamespace:
        namespace = self.namespace(f"c{number}")
        self.host.add_device(device)
        self.host.move_device(device, namespace, "eth0")
        namespace.add_address(device, f"{subnet}.{number}/24")
        namespace.add_address(device, f"fd00::{number:x}/64")
        device.set_up()
        return namespace

    def macvlan(self, number: int, mode: MacvlanMode = MacvlanMode.BRIDGE) -> NetworkNamespace:
        return self.child(Macvlan("m", bytes((2, 0, 0, 0, 1, number)), self.eth0, mode), number)

    def ipvlan(
        self, number: int, mode: IpvlanMode = IpvlanMode.L2, flag: IpvlanFlag = IpvlanFlag.BRIDGE
    ) -> NetworkNamespace:
        return self.child(Ipvlan("i", self.eth0, mode, flag), number)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def vlan(wire: Wire, namespace: NetworkNamespace, vid: int, address: str) -> Vlan:
    device = Vlan(f"eth0.{vid}", namespace.devices["eth0"], vid)
    namespace.add_device(device)
    namespace.add_address(device, address)
    device.set_up()
    return device


@pytest.mark.parametrize("to", ["10.10.0.2", "fd10::2"])
def test_a_tag_stands_between_the_addresses_and_the_type(wire: Wire, to: str) -> None:
    for namespace, number in ((wire.host, 1), (wire.far, 2)):
        device = vlan(wire, namespace, 10, f"10.10.0.{number}/24")
        namespace.add_address(device, f"fd10::{number}/64")
    assert wire.reaches(wire.host, to)
    assert {frame[12:16] for frame in wire.frames} == {b"\x81\x00\x00\x0a"}
    assert {frame[16:18] for frame in wire.frames} <= {b"\x08\x00", b"\x08\x06", b"\x86\xdd"}


def test_a_full_packet_and_its_tag_fit_on_the_wire(wire: Wire) -> None:
    vlan(wire, wire.host, 10, "10.10.0.1/24")
    vlan(wire, wire.far, 10, "10.10.0.2/24")
    assert wire.reaches(wire.host, "10.10.0.2", size=1472, may_fragment=False)
    assert max(map(len, wire.frames)) == 1518


def test_a_frame_of_a_vlan_nobody_has_is_dropped_with_that_reason(wire: Wire) -> None:
    vlan(wire, wire.host, 10, "10.10.0.1/24")
    wire.host.neighbours.set_permanent(wire.host.devices["eth0.10"], b"\x0a\x0a\0\2", wire.far_eth0.mac)
    assert not wire.reaches(wire.host, "10.10.0.2")
    assert ("far", DropReason.NO_VLAN) in wire.witness.drops


def test_vlans_stand_on_vlans(wire: Wire) -> None:
    for namespace, number in ((wire.host, 1), (wire.far, 2)):
        outer = vlan(wire, namespace, 10, f"10.10.0.{number}/24")
        outer.set_mtu(1496)
        inner = Vlan("inner", outer, 20)
        namespace.add_device(inner)
        namespace.add_address(inner, f"10.20.0.{number}/24")
        inner.set_up()
    assert wire.reaches(wire.host, "10.20.0.2")
    assert all(frame[12:20] == b"\x81\x00\x00\x0a\x81\x00\x00\x14" for frame in wire.frames)


@pytest.mark.parametrize("vid", [-1, 4095, 5000])
def test_impossible_vlans_are_refused(wire: Wire, vid: int) -> None:
    with pytest.raises(OSError, match="Numerical result") as refused:
        Vlan("x", wire.eth0, vid)
    assert refused.value.errno == errno.ERANGE


@pytest.mark.parametrize("to", ["10.0.0.12", "fd00::c", "10.0.0.9", "fd00::9"])
def test_macvlan_children_reach_each_other_and_the_wire(wire: Wire, to: str) -> None:
    one = wire.macvlan(11)
    wire.macvlan(12)
    assert wire.reaches(one, to)


@pytest.mark.parametrize("to", ["10.0.0.12", "fd00::c", "10.0.0.9", "fd00::9"])
def test_ipvlan_children_reach_each_other_and_the_wire(wire: Wire, to: str) -> None:
    one = wire.ipvlan(11)
    wire.ipvlan(12)
    assert wire.reaches(one, to)


def test_frames_between_siblings_stay_off_the_wire(wire: Wire) -> None:
    one = wire.macvlan(11)
    wire.macvlan(12)
    wire.ping(one, "10.0.0.12")
    assert all(frame[:6] == b"\xff" * 6 for frame in wire.frames)


def test_captures_on_the_parent_see_what_siblings_say_to_each_other(wire: Wire) -> None:
    one = wire.macvlan(11)
    wire.macvlan(12)
    seen: list[bytes] = []
    wire.eth0.taps += (lambda _time, direction, frame: seen.append(frame) if direction == "in" else None,)
    wire.ping(one, "10.0.0.12")
    assert {frame[:6] for frame in seen} == {bytes((2, 0, 0, 0, 1, 11)), bytes((2, 0, 0, 0, 1, 12))}


def test_children_of_a_parent_that_is_down_have_no_carrier(wire: Wire) -> None:
    one = wire.macvlan(11)
    wire.macvlan(12)
    assert wire.reaches(one, "10.0.0.12")
    wire.eth0.set_down()
    assert not one.devices["eth0"].has_carrier
    assert not wire.reaches(one, "10.0.0.12")
    assert ("host", DropReason.LINK_DOWN) in wire.witness.drops


def test_ipvlan_siblings_do_not_hear_each_other_while_their_parent_is_down(wire: Wire) -> None:
    one = wire.ipvlan(11)
    wire.ipvlan(12)
    assert wire.reaches(one, "10.0.0.12")
    wire.eth0.set_down()
    assert not wire.reaches(one, "10.0.0.12")
    assert ("c11", DropReason.NO_CARRIER) in wire.witness.drops
    wire.eth0.set_up()
    assert wire.reaches(one, "10.0.0.12")


def test_a_mac_can_be_up_once_on_a_parent(wire: Wire) -> None:
    mac = bytes((2, 0, 0, 0, 1, 11))
    wire.macvlan(11)
    twin = Macvlan("twin", mac, wire.eth0, MacvlanMode.BRIDGE)
    wire.host.add_device(twin)
    with pytest.raises(OSError, match="in use") as refused:
        twin.set_up()
    assert refused.value.errno == errno.EADDRINUSE
    with pytest.raises(OSError, match="in use"):
        Macvlan("own", mac, wire.eth0).set_mac(wire.eth0.mac)


def test_a_passthru_child_takes_what_comes_in_for_its_parent(wire: Wire) -> None:
    child = wire.macvlan(11, MacvlanMode.PASSTHRU)
    assert wire.reaches(wire.far, "10.0.0.11")
    assert not wire.reaches(wire.far, "10.0.0.1")
    child.devices["eth0"].set_mac(b"\x02\0\0\0\0\x55")
    assert wire.eth0.mac == b"\x02\0\0\0\0\x55"


def test_private_ipvlan_siblings_are_kept_apart_with_that_reason(wire: Wire) -> None:
    one = wire.ipvlan(11, flag=IpvlanFlag.PRIVATE)
    wire.ipvlan(12, flag=IpvlanFlag.PRIVATE)
    assert not wire.reaches(one, "10.0.0.12")
    assert any(reason is DropReason.KEPT_APART for _, reason in wire.witness.drops)


def test_nothing_but_unicast_ip_leaves_a_routed_child(wire: Wire) -> None:
    one = wire.child(Ipvlan("i", wire.eth0, IpvlanMode.L3), 11, subnet="10.7.0")
    one.add_route(default_by(one))
    wire.ping(one, "10.7.0.255")
    assert ("c11", DropReason.LAYER_3_ONLY) in wire.witness.drops
    assert wire.frames == []


def default_by(namespace: NetworkNamespace) -> Route:
    return Route(Prefix.parse("0.0.0.0/0"), namespace.devices["eth0"], scope="link")


@pytest.mark.parametrize("mode", [IpvlanMode.L3, IpvlanMode.L3S])
def test_the_parent_s_filter_sees_what_leaves_and_only_l3s_shows_it_what_comes(wire: Wire, mode: IpvlanMode) -> None:
    one = wire.child(Ipvlan("i", wire.eth0, mode), 11, subnet="10.7.0")
    one.add_route(default_by(one))
    wire.far.add_route(Route(Prefix.parse("10.7.0.0/24"), gateway=parse_ip("10.0.0.1")))
    assert wire.reaches(one, "10.0.0.9")
    tables = wire.host.netfilter.iptables(4)
    tables.append("filter", "INPUT", "-s 10.0.0.9 -p icmp -j DROP")
    assert wire.reaches(one, "10.0.0.9") == (mode is IpvlanMode.L3)
    tables.delete("filter", "INPUT", "-s 10.0.0.9 -p icmp -j DROP")
    tables.append("filter", "OUTPUT", "-d 10.0.0.9 -p icmp -j DROP")
    assert not wire.reaches(one, "10.0.0.9")


def test_a_bridge_can_be_a_parent(wire: Wire) -> None:
    container = wire.container(2)
    child = wire.child(Macvlan("m", b"\2\0\0\0\1\x21", wire.bridge, MacvlanMode.BRIDGE), 33, subnet="10.1.0")
    assert wire.reaches(container, "10.1.0.33")
    assert wire.reaches(child, "10.1.0.2")
    assert not wire.reaches(child, "10.1.0.1")
    assert wire.reaches(container, "10.1.0.1")


def test_children_on_a_dummy_reach_each_other_only(wire: Wire) -> None:
    dummy = Dummy("d0", b"\2\0\0\0\2\1", wire.clock)
    wire.host.add_device(dummy)
    dummy.set_up()
    for number in (11, 12):
        wire.child(Macvlan("m", bytes((2, 0, 0, 0, 1, number)), dummy, MacvlanMode.BRIDGE), number)
    one = next(device.namespace for device in dummy.upper_devices.all)  # type: ignore[union-attr]
    assert one is not None
    assert wire.reaches(one, "10.0.0.12")
    assert not wire.reaches(one, "10.0.0.9")
    assert wire.frames == []


def test_a_namespace_that_ends_takes_its_child_off_the_parent(wire: Wire) -> None:
    one, two = wire.macvlan(11), wire.macvlan(12)
    assert wire.eth0.upper_devices is not None
    one.destroy()
    assert len(wire.eth0.upper_devices.all) == 1
    two.destroy()
    assert wire.eth0.upper_devices.port is None
    wire.ipvlan(13)


def test_a_switch_learns_every_child_s_address_behind_one_port() -> None:
    net = Net()
    segment = Segment("lan", net.clock)
    wire = Wire.__new__(Wire)
    wire.__dict__.update(net.__dict__)
    wire.eth0 = wire.nic(net.host, 1)
    others = [net.namespace(f"n{number}") for number in (8, 9)]
    segment.attach(wire.eth0)
    for number, namespace in zip((8, 9), others, strict=True):
        segment.attach(wire.nic(namespace, number))
    wire.macvlan(11)
    assert wire.reaches(others[1], "10.0.0.11")
    heard: list[bytes] = []
    others[0].devices["eth0"].taps += (lambda _time, _direction, frame: heard.append(frame),)
    assert wire.reaches(others[1], "10.0.0.11")
    assert heard == []
