"""`ip link` of VLAN, macvlan, ipvlan and dummy devices, as iproute2 6.15 prints it on Linux 6.12."""

import pytest
from support.program_host import World

QUEUES = (
    "addrgenmode eui64 numtxqueues 1 gso_max_size 65536 gso_max_segs 65535 tso_max_size 524280 tso_max_segs 65535 "
    "gro_max_size 65536 gso_ipv4_max_size 65536 gro_ipv4_max_size 65536 \n"
)
SETUP = [
    "ip link add p0 address 02:00:00:00:00:aa type veth peer name q0",
    "ip link set p0 up",
    "ip link set q0 up",
    "ip link add d0 address 02:00:00:00:00:dd type dummy",
    "ip link set d0 up",
    "ip link add link p0 name p0.10 type vlan id 10",
    "ip link set p0.10 up",
    "ip link add iv0 link p0 type ipvlan mode l2",
    "ip link add mv0 link d0 address 02:00:00:00:00:01 type macvlan mode bridge",
]


@pytest.fixture
def world():
    world = World()
    for line in SETUP:
        assert world.host(line).err == ""
    return world


def link(head: str, mac: str, limits: str, kind: str) -> str:
    hardware = f"    link/ether 02:00:00:00:00:{mac} brd ff:ff:ff:ff:ff:ff promiscuity 0 allmulti 0 {limits} "
    return f"{head} mode DEFAULT group default qlen 1000\n{hardware}\n    {kind} {QUEUES}"


SHOWN = [
    ("ip -d link show p0.10", link(
        "6: p0.10@p0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP", "aa",
        "minmtu 0 maxmtu 65535", "vlan protocol 802.1Q id 10 <REORDER_HDR>")),
    ("ip -d link show iv0", link(
        "7: iv0@p0: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN", "aa",
        "minmtu 68 maxmtu 65535", "ipvlan  mode l2 bridge")),
    ("ip -d link show mv0", link(
        "8: mv0@d0: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN", "01",
        "minmtu 68 maxmtu 0", "macvlan mode bridge bcqueuelen 1000 usedbcqueuelen 1000")),
    ("ip -d link show d0", link(
        "5: d0: <BROADCAST,NOARP,UP,LOWER_UP> mtu 1500 qdisc noqueue state UNKNOWN", "dd",
        "minmtu 0 maxmtu 0", "dummy")),
    ("ip -br link show type vlan",
     "p0.10@p0         UP             02:00:00:00:00:aa <BROADCAST,MULTICAST,UP,LOWER_UP> \n"),
    ("ip -br link show type dummy",
     "d0               UNKNOWN        02:00:00:00:00:dd <BROADCAST,NOARP,UP,LOWER_UP> \n"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "out"), SHOWN, ids=[line for line, _ in SHOWN])
def test_children_are_shown_with_what_is_theirs(world, line, out):
    result = world.host(line)
    assert (result.status, result.out, result.err) == (0, out, "")


REFUSED = [
    ("ip link add link p0 name v2 type vlan id 10", 2, "Error: 8021q: VLAN device already exists.\n"),
    ("ip link add link p0 name v2 type vlan id 4095", 2, "Error: 8021q: Invalid VLAN id.\n"),
    ("ip link add link p0 name v2 type vlan id 70000", 255, 'Error: argument "70000" is wrong: id is invalid\n'),
    ("ip link add link p0 name v2 type vlan id x", 255, 'Error: argument "x" is wrong: id is invalid\n'),
    ("ip link add link p0 name v2 type vlan", 2, "Error: 8021q: VLAN properties not specified.\n"),
    ("ip link add name v2 type vlan id 5", 2, "Error: 8021q: link not specified.\n"),
    ("ip link add link p0 name p0.10 type vlan id 11", 2, "RTNETLINK answers: File exists\n"),
    ("ip link set p0.10 mtu 1600", 2, "RTNETLINK answers: Numerical result out of range\n"),
    (
        "ip link add iv2 link p0 type ipvlan mode l4",
        255,
        'Error: argument of "mode" must be either "l2", "l3" or "l3s"\n',
    ),
    ("ip link add mv1 link p0 type macvlan mode bridge", 2, "RTNETLINK answers: Device or resource busy\n"),
    (
        "ip link add mv1 link d0 type macvlan mode hub",
        255,
        'Error: argument of "mode" must be "private", "vepa", "bridge", "passthru" or "source", not "hub"\n',
    ),
    ("ip link add mv1 link d0 type macvlan mode passthru", 2, "RTNETLINK answers: Invalid argument\n"),
    ("ip link add mv1 type macvlan mode bridge", 2, "RTNETLINK answers: Invalid argument\n"),
    ("ip link add iv1 link d0 type ipvlan", 2, "RTNETLINK answers: Device or resource busy\n"),
    ("ip link add l0 link lo type ipvlan", 2, "RTNETLINK answers: Invalid argument\n"),
    ("ip link add l0 link lo type macvlan", 2, "RTNETLINK answers: Invalid argument\n"),
    ("ip link set iv0 address 02:00:00:00:00:01", 2, "RTNETLINK answers: Operation not supported\n"),
    ("ip link set iv0 type macvlan mode bridge", 2, "RTNETLINK answers: Operation not supported\n"),
    ("ip link set mv0 mtu 1600", 2, None),
]


@pytest.mark.parametrize(("line", "status", "err"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_the_kernel_refuses_is_worded_as_it_words_it(world, line, status, err):
    before = world.host("ip link").out
    result = world.host(line)
    assert result.status == status
    assert err is None or result.err == err
    assert world.host("ip link").out == before


def test_a_bridge_takes_no_parent_and_a_port_no_children(world):
    assert world.host("ip link add br0 type bridge").err == ""
    assert world.host("ip link set p0 master br0").err == "RTNETLINK answers: Device or resource busy\n"
    assert world.host("ip link set q0 master br0").err == ""
    assert world.host("ip link add x link q0 type macvlan").err == "RTNETLINK answers: Device or resource busy\n"


def test_one_address_is_not_for_two_ipvlan_siblings(world):
    world.host("ip link add iv1 link p0 type ipvlan mode l2")
    assert world.host("ip addr add 10.9.0.1/24 dev iv0").err == ""
    refused = world.host("ip addr add 10.9.0.1/24 dev iv1")
    assert (refused.status, refused.err) == (2, "Error: Address already assigned to an ipvlan device.\n")


def test_siblings_of_one_mac_have_link_local_addresses_of_their_own(world):
    world.host("ip link add iv1 link p0 type ipvlan mode l2")
    for name in ("iv0", "iv1"):
        world.host(f"ip link set {name} up")
    assert "inet6 fe80::200:0:100:aa/64 scope link" in world.host("ip addr show iv0").out
    assert "inet6 fe80::200:0:200:aa/64 scope link" in world.host("ip addr show iv1").out


def test_a_vlan_goes_up_and_down_with_its_interface(world):
    world.host("ip link set p0 down")
    assert "state DOWN" in world.host("ip link show p0.10").out
    assert world.host("ip link set p0.10 up").err == "RTNETLINK answers: Network is down\n"
    world.host("ip link set p0 up")
    assert "state UP" in world.host("ip link show p0.10").out


def test_children_follow_what_their_parent_is_given(world):
    world.host("ip link set p0 address 02:00:00:00:00:bb")
    assert "link/ether 02:00:00:00:00:bb" in world.host("ip link show iv0").out
    assert "link/ether 02:00:00:00:00:bb" in world.host("ip link show p0.10").out
    world.host("ip link set d0 mtu 1400")
    assert "mtu 1400" in world.host("ip link show mv0").out
    world.host("ip link set mv0 up")
    world.host("ip link set d0 down")  # a dummy always has carrier
    assert "<BROADCAST,MULTICAST,UP,LOWER_UP,M-DOWN>" in world.host("ip link show mv0").out


def test_modes_can_be_changed_but_not_to_passthru(world):
    assert world.host("ip link set mv0 type macvlan mode private").err == ""
    assert "macvlan mode private" in world.host("ip -d link show mv0").out
    assert world.host("ip link set mv0 type macvlan mode passthru").status == 2
    assert world.host("ip link set iv0 type ipvlan mode l3").err == ""
    world.host("ip link set iv0 up")
    assert "<BROADCAST,MULTICAST,NOARP,UP,LOWER_UP>" in world.host("ip link show iv0").out


def test_a_deleted_parent_takes_its_children_along(world):
    world.host("ip netns add ns1")
    world.host("ip link set iv0 netns ns1")
    assert "iv0@if4" in world.host("ip netns exec ns1 ip link").out
    world.host("ip link del p0")
    assert "iv0" not in world.host("ip netns exec ns1 ip link").out
    assert "p0.10" not in world.host("ip link").out


def test_arping_is_nothing_for_routed_children(world):
    world.host("ip link set iv0 type ipvlan mode l3")
    world.host("ip link set iv0 up")
    result = world.run("arping -I iv0 -c 1 10.9.0.1")
    assert (result.status, result.err) == (2, "arping: interface iv0 is not ARPable\n")
