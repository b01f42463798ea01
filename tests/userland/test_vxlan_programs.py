"""`ip link … type vxlan` and `bridge fdb` on VXLAN devices print what iproute2 6.15 prints on Linux."""

import pytest
from support.program_host import World

QUEUES = (
    "addrgenmode eui64 numtxqueues 1 gso_max_size 65536 gso_max_segs 65535 tso_max_size 65536 tso_max_segs 65535 "
    "gro_max_size 65536 gso_ipv4_max_size 65536 gro_ipv4_max_size 65536 "
)
DETAILS = f"    vxlan id 42 srcport 0 0 dstport 4789 ttl auto ageing 300 proxy l2miss l3miss {QUEUES}"


@pytest.fixture
def world():
    return World()


def test_a_device_is_made_shown_and_moved(world):
    assert world.host("ip link add vxlan0 type vxlan id 42 dstport 4789 proxy l2miss l3miss").status == 0
    assert world.host("ip -d link show type vxlan").out.splitlines()[-1] == DETAILS
    assert world.host("ss -Huln").out == ""
    assert world.host("ip link set vxlan0 up").status == 0
    assert world.host("ss -Huln").out.split()[:4] == ["UNCONN", "0", "0", "0.0.0.0:4789"]
    assert (
        "vxlan0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UNKNOWN" in world.host("ip link").out
    )
    world.host("ip netns add ov")
    assert world.host("ip link set vxlan0 netns ov").status == 0
    assert "vxlan0@if3: <BROADCAST,MULTICAST> mtu 1500" in world.host("ip -n ov link show vxlan0").out
    assert world.host("ip -n ov link set vxlan0 up").status == 0
    assert "4789" in world.host("ss -Huln").out


def test_a_device_on_another_one_has_room_for_the_outer_headers(world):
    line = "ip link add vxlan1 type vxlan id 43 dstport 4789 nolearning local 10.0.0.1 dev eth0 remote 10.0.0.2 ttl 5"
    assert world.host(line).status == 0
    shown = world.host("ip -d link show vxlan1").out
    assert "mtu 1450" in shown
    assert shown.splitlines()[-1] == (
        "    vxlan id 43 remote 10.0.0.2 local 10.0.0.1 dev eth0 srcport 0 0 dstport 4789 ttl 5 ageing 300 "
        "nolearning " + QUEUES
    )
    shown = world.host("bridge fdb show dev vxlan1").out
    assert shown == "00:00:00:00:00:00 dst 10.0.0.2 via eth0 self permanent\n"


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        ("dstport 4789", 1, "vxlan: missing virtual network identifier\n"),
        ("id abc dstport 4789", 255, 'Error: argument "abc" is wrong: invalid id\n'),
        ("id 16777216", 255, 'Error: argument "16777216" is wrong: invalid id\n'),
        ("id 5 local 300.1.1.1", 1, 'Error: any valid address is expected rather than "300.1.1.1".\n'),
        ("id 5 local 1.2.3.4 remote fd00::1", 1, 'Error: inet address is expected rather than "fd00::1".\n'),
        ("id 5 remote 239.1.1.1", 255, 'Error: argument "239.1.1.1" is wrong: invalid remote address\n'),
        ("id 5 dstport 99999", 255, 'Error: argument "99999" is wrong: dst port\n'),
        ("id 5 ttl 300", 255, 'Error: argument "300" is wrong: TTL must be <= 255\n'),
        ("id 7 dstport 4789", 2, "Error: A VXLAN device with the specified VNI already exists.\n"),
    ],
)
def test_what_cannot_be_made_is_refused(world, words, status, complaint):
    assert world.host("ip link add vx7 type vxlan id 7 dstport 4789").status == 0
    result = world.host(f"ip link add vx9 type vxlan {words}")
    assert (result.status, result.err) == (status, complaint)
    assert "vx9" not in world.host("ip link").out


def test_names_and_ports_that_are_taken(world):
    assert world.host("ip link add vx7 type vxlan id 7 dstport 4789").status == 0
    result = world.host("ip link add vx7 type vxlan id 8 dstport 4789")
    assert (result.status, result.err) == (2, "RTNETLINK answers: File exists\n")
    world.start(world.one, "nc -u -l -p 4789")
    result = world.host("ip link set vx7 up")
    assert (result.status, result.err) == (2, "RTNETLINK answers: Address already in use\n")


def test_the_forwarding_table_is_changed_and_listed(world):
    world.host("ip link add vxlan0 type vxlan id 42 dstport 4789")
    fdb = "bridge fdb {} 02:00:00:00:00:0{} dev vxlan0{}"
    assert world.host(fdb.format("add", 7, " dst 10.9.0.2")).status == 0
    assert world.host(fdb.format("add", 7, " dst 10.9.0.3")).err == "RTNETLINK answers: File exists\n"
    assert world.host(fdb.format("append", 7, " dst 10.9.0.3")).status == 0
    assert world.host(fdb.format("replace", 7, " dst 10.9.0.4")).status == 0
    assert world.host(fdb.format("add", 8, " dst 10.9.0.2 self static")).status == 0
    assert world.host(fdb.format("add", 9, " dst 10.9.0.2 dynamic")).status == 0
    assert world.host(fdb.format("add", 1, "")).err == "RTNETLINK answers: Invalid argument\n"
    assert world.host(fdb.format("add", 1, " dst fd00::1")).err == (
        "RTNETLINK answers: Address family not supported by protocol\n"
    )
    for last in (5, 6):
        assert world.host(f"bridge fdb append 00:00:00:00:00:00 dev vxlan0 dst 10.9.0.{last}").status == 0
    result = world.host("bridge fdb replace 00:00:00:00:00:00 dev vxlan0 dst 10.9.0.6")
    assert result.err == "Error: Cannot replace non-unicast fdb entries.\n"
    assert sorted(world.host("bridge fdb show dev vxlan0").out.splitlines()) == [
        "00:00:00:00:00:00 dst 10.9.0.5 self permanent",
        "00:00:00:00:00:00 dst 10.9.0.6 self permanent",
        "02:00:00:00:00:07 dst 10.9.0.4 self permanent",
        "02:00:00:00:00:08 dst 10.9.0.2 self static",
        "02:00:00:00:00:09 dst 10.9.0.2 self ",
    ]
    assert "02:00:00:00:00:07 dev vxlan0 dst 10.9.0.4 self permanent" in world.host("bridge fdb").out
    assert world.host(fdb.format("del", 7, " dst 10.9.0.99")).status == 0
    assert world.host(fdb.format("del", 7, "")).status == 0
    gone = world.host(fdb.format("del", 7, ""))
    assert gone.err == "RTNETLINK answers: No such file or directory\n"
    assert world.host("bridge fdb del 00:00:00:00:00:00 dev vxlan0 dst 10.9.0.5").status == 0
    assert world.host("bridge fdb show dev vxlan0").out.count("00:00:00:00:00:00") == 1


def test_a_vxlan_port_of_a_bridge_has_entries_in_both_tables(world):
    for line in ("ip link add vxlan0 type vxlan id 42 dstport 4789", "ip link add br0 type bridge",
                 "ip link set vxlan0 master br0", "bridge fdb add 02:00:00:00:00:0b dev vxlan0 master",
                 "bridge fdb add 02:00:00:00:00:0c dev vxlan0 dst 10.9.0.2"):  # fmt: skip
        assert world.host(line).status == 0
    shown = world.host("bridge fdb show dev vxlan0").out.splitlines()
    assert "02:00:00:00:00:0b master br0 permanent" in shown
    assert "02:00:00:00:00:0c dst 10.9.0.2 self permanent" in shown
