"""The simulated programs print what the real ones print in a network namespace."""

import os
import re

import pytest
from support.linux import linux_namespace
from support.program_host import World

from cnmsim.userland import CONTAINER_PROGRAMS, HOST_PROGRAMS

pytestmark = pytest.mark.root("busybox", trial="ip link add v0 type veth peer name v1")

NAMESPACE = f"cnmsim-programs{os.getpid()}"
SETUP = [
    "ip link set lo up", "ip link add v0 type veth peer name v1", "ip link set v0 up", "ip link set v1 up",
    "ip addr add 10.9.0.1/24 dev v0", "ip -6 addr add fd00:9::1/64 dev v0 nodad",
    "ip route add default via 10.9.0.254", "ip route add 1.2.3.0/24 via 10.9.0.7 metric 5",
    "ip route add blackhole 7.0.0.0/8", "ip route add 6.6.6.6 dev v0 src 10.9.0.1",
    "sysctl -w net.ipv6.conf.v0.forwarding=1", "ip -6 addr add fd00:a::/64 dev v0 nodad",
    "ip -6 addr add fd00:b::2/127 dev v0 nodad", "ip link add v2 type veth peer name v3", "ip link set v2 up",
    "ip -6 addr add fd00:c::1/64 dev v2 nodad", "ip addr add 10.8.0.1/24 dev v2",
]  # fmt: skip
IPROUTE = [
    "ip -4 addr", "ip -o -4 addr", "ip -4 addr show dev v0", "ip route", "ip route show dev v0",
    "ip route get 10.9.0.5", "ip route get 9.9.9.9", "ip route get 10.9.0.1", "ip route show table local",
    "ip -6 route show table local root fd00::/16", "ip -6 route show table local root ff00::/8 dev v0",
    "ip -6 route show table local root ff00::/8 dev v2", "ip -6 route show table local scope host",
    "ip route show 1.2.3.0/24", "ip rule", "ip -br -4 addr", "ip link show nosuch", "ip addr add 10.9.0.1/24 dev v0",
    "ip addr del 10.9.0.7/24 dev v0", "ip route add 5.0.0.0/8 via 99.9.9.9 dev nosuch", "ip route del 5.5.5.0/24",
    "ip route add default via 10.9.0.254", "ip foo", "ip addr add 1.1.1.1/24", "ip neigh",
]  # fmt: skip
BUSYBOX = [
    "ip -4 addr", "ip -o -4 addr", "ip route", "ip route get 10.9.0.5", "ip route get 9.9.9.9", "ip link show nosuch",
    "ip addr add 10.9.0.1/24 dev v0", "ip addr del 10.9.0.7/24 dev v0", "ip route del 5.5.5.0/24", "ip neigh",
    "ip route add default via 10.9.0.254", "ip link set nosuch up", "route -n", "route", "netstat -tln",
    "netstat -rn", "netstat -rne", "netstat -re", "netstat -tlne", "route -e", "route -ne",
    "ping -c 1 -q nosuch", "ping -c 1 7.1.1.1", "wget -qO- http://127.0.0.1:9/", "nc 127.0.0.1 9",
    "sh -c nosuch", "cat /nofile", "rm /nofile", "sleep x", "ls /nofile",
]  # fmt: skip


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
        assert world.host(line).err == ""
    return world


def folded(text):
    """Remove Debian's version, which differs between machines."""
    return re.sub(r"\(Debian [^)]*\)", "", text)


@pytest.mark.parametrize("line", IPROUTE)
def test_iproute2(real, ours, line):
    expected = real(line.split())
    simulated = ours.argv(line.split(), programs=HOST_PROGRAMS)
    assert (simulated.status, simulated.out, simulated.err) == (expected.returncode, expected.stdout, expected.stderr)


@pytest.mark.parametrize("line", BUSYBOX)
def test_busybox(real, ours, line):
    expected = real(["busybox", *line.split()])
    simulated = ours.argv(line.split(), programs=CONTAINER_PROGRAMS)
    err = folded(expected.stderr).splitlines()
    assert (simulated.status, simulated.out) == (expected.returncode, expected.stdout)
    assert folded(simulated.err).splitlines() == err[: len(folded(simulated.err).splitlines())]
