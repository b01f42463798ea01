"""`ip … show` and `bridge … show` with selections, here and in iproute2: what is selected, and what is refused."""

import os
import re
import shlex

import pytest
from support.linux import linux_namespace
from support.program_host import World

from cnmsim.userland import HOST_PROGRAMS

NAMESPACE = f"ipsel{os.getpid() % 100000}"
SETUP = (
    "ip link set lo up", "ip link add v0 type veth peer name v1", "ip link add br0 type bridge",
    "ip link set v1 master br0", "ip link set v0 address 02:00:00:00:00:a0",
    "ip link set v1 address 02:00:00:00:00:a1", "ip link set br0 address 02:00:00:00:00:b0",
    "ip link set v0 addrgenmode none", "ip link set v1 addrgenmode none", "ip link set br0 addrgenmode none",
    "ip link set v0 up", "ip link set v1 up", "ip link set br0 up", "ip addr add 10.9.0.1/24 dev v0",
    "ip addr add 10.9.0.5/24 dev v0", "ip addr add 10.8.0.1/24 dev br0", "ip -6 addr add fd00:9::1/64 dev v0 nodad",
    "ip route add 1.2.3.0/24 via 10.9.0.7 metric 5", "ip route add default via 10.9.0.254",
    "ip route add blackhole 7.0.0.0/8", "ip neigh add 10.9.0.7 lladdr 2:0:0:0:0:7 dev v0",
    "ip neigh add 10.8.0.8 lladdr 02:00:00:00:00:08 dev br0", "bridge fdb add 02:00:00:00:00:77 dev v1 master",
    "ip rule add from 10.9.0.0/24 table 5 priority 100",
)  # fmt: skip
LINES = (
    "ip link show foo bar", "ip link show v0 foo", "ip -br link show type veth", "ip -br link show type foo",
    "ip -br link show master br0", "ip -br link show nomaster", "ip -br link show up",
    "ip -br link show group default", "ip link show group 5", "ip link show dev v0 up", "ip addr show dev v0 foo",
    "ip -4 addr show permanent", "ip -4 addr show secondary", "ip -4 addr show primary", "ip -4 addr show label v0",
    "ip -4 addr show label foo*", "ip -4 addr show dynamic", "ip -6 addr show tentative",
    "ip -6 addr show dev v0 scope global", "ip addr show scope foo", "ip -br -4 addr show up",
    "ip -br -4 addr show down", "ip addr show to 10.9.0.0/24", "ip -4 addr show to 10.9.0.1",
    "ip -br -4 addr show type bridge", "ip route show foo", "ip route show dev v0 scope link",
    "ip route show proto kernel", "ip route show proto foo", "ip route show type unicast",
    "ip route show type blackhole", "ip route show type foo", "ip route show src 10.9.0.1", "ip route show metric 5",
    "ip route show via 10.9.0.7", "ip route show root 1.2.0.0/16", "ip route show match 1.2.3.4",
    "ip route show exact 1.2.3.0/24", "ip route show to 1.2.3.0/24", "ip route show 1.2.3.0/24",
    "ip route show cache", "ip route show vrf foo", "ip -6 route show dev v0 proto kernel",
    "ip neigh show nud permanent", "ip neigh show nud reachable", "ip neigh show nud foo", "ip neigh show 10.9.0.7",
    "ip neigh show to 10.9.0.0/24", "ip neigh show dev br0", "ip neigh show proxy", "ip neigh get 10.9.0.7 dev v0",
    "ip neigh get 10.9.0.7", "ip neigh get 10.9.0.99 dev v0", "ip route get 9.9.9.9 from 10.9.0.1 oif v0",
    "ip route get 9.9.9.9 foo", "ip route get 9.9.9.9 uid 1000", "ip route get 9.9.9.9 ipproto tcp sport 1 dport 2",
    "ip route get 9.9.9.9 fibmatch", "ip route get fibmatch 9.9.9.9", "ip route get 9.9.9.9 vrf foo",
    "ip -s -s link show lo", "ip -f foo addr", "ip -family inet addr show v0", "ip -foo link", "ip -V",
    "ip rule show table main", "ip rule show priority 100", "ip rule show from 10.9.0.0/24", "ip rule show foo",
    "ip neigh add 10.9.0.9 lladdr 02:00:00:00:00:09 dev v0 nud foo", "bridge link", "bridge link show dev v1",
    "bridge link show dev foo", "bridge link show foo", "bridge link show master br0", "bridge link show master foo",
    "bridge link foo", "bridge -foo link", "bridge foo", "bridge fdb show brport v1",
    "bridge fdb show br br0 brport v1", "bridge fdb show br foo", "bridge fdb show state permanent brport v1",
    "bridge fdb show state foo", "bridge fdb show vlan 1", "bridge fdb show brport v1 dynamic", "bridge fdb foo",
    "bridge fdb get 02:00:00:00:00:77 br br0", "bridge fdb get 02:00:00:00:00:77 dev v1 master",
    "bridge fdb get 02:00:00:00:00:99 br br0", "bridge vlan add vid 10 dev v1", "bridge link set dev v1 foo on",
    "bridge link set dev v1 hairpin foo", "bridge link set dev v1 learning on", "bridge fdb add foo dev v1",
    "bridge fdb add 02:00:00:00:00:78 dev v1 foo", "bridge fdb add 02:00:00:00:00:77 dev v1 master",
)  # fmt: skip


@pytest.fixture(scope="module")
def real():
    with linux_namespace(NAMESPACE, SETUP) as run:
        yield run


@pytest.fixture(scope="module")
def ours():
    world = World()
    root = world.one.root
    root.remove_device(root.devices["eth0"])
    root._next_index = 2
    for line in SETUP[1:]:
        if "addrgenmode" not in line:
            assert world.host(line).err == ""
    for name in ("v0", "v1", "br0"):
        device = root.devices[name]
        for item in [item for item in device.addresses if item.scope == "link"]:
            root.remove_address(device, str(item))
    return world


def folded(text):
    # The loopback device of the namespace has counted earlier packets, and the kernel's neighbours have no order.
    lines = re.sub(r"^ +\d+ +\d+  ", "  N N  ", text, flags=re.MULTILINE).splitlines()
    # The real bridge has learned the MAC address of the other end of its port, from a multicast report.
    lines = [line for line in lines if not line.startswith("02:00:00:00:00:a0 ")]
    return sorted(lines) if " lladdr " in text or "permanent" in text else lines


def heads(text):
    # The real usage is longer.
    return text.splitlines()[:1] if text.startswith("Usage") else text.splitlines()


@pytest.mark.root("bridge", trial="ip link add v0 type veth peer name v1")
@pytest.mark.parametrize("line", LINES)
def test_what_iproute2_chooses(real, ours, line):
    expected = real(shlex.split(line))
    simulated = ours.argv(shlex.split(line), programs=HOST_PROGRAMS)
    assert (simulated.status, heads(simulated.err)) == (expected.returncode, heads(expected.stderr))
    assert folded(simulated.out) == folded(expected.stdout)


@pytest.mark.parametrize("option", ["-j", "-h", "-r", "-N", "-a"])
def test_options_that_would_change_what_is_shown_are_refused(ours, option):
    result = ours.host(f"ip {option} link")
    assert (result.status, result.out, result.err) == (255, "", f'Option "{option}" is unknown, try "ip -help".\n')
