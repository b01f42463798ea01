"""IPsec policies of the Linux kernel and ours: listed alike, and the same packets are stopped by them."""

import os
import shlex
import subprocess
import sys

import pytest

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.sockets import UdpSocket
from cnmsim.kernel.xfrm import xfrm_of
from cnmsim.userland import HOST_PROGRAMS

pytestmark = pytest.mark.root("iptables", trial="ip xfrm policy")

NAME = f"xf{os.getpid() % 100000}"
TEMPLATE = "tmpl src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x1000 reqid 13681891 mode transport"
ENDS = "src 10.9.0.1/32 dst 10.9.0.2/32 proto udp"
SETUP = (
    "ip link add e0 type veth peer name e1", "ip addr add 10.9.0.1/24 dev e0", "ip link set lo up",
    "ip link set e0 up", "ip link set e1 up", "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev e0 nud permanent",
)  # fmt: skip
COMMANDS = (
    f"ip xfrm policy add {ENDS} dport 4789 dir out mark 0xd0c4e3 mask 0xffffffff {TEMPLATE}",
    f"ip xfrm policy add {ENDS} dport 4789 dir out mark 0xd0c4e3 mask 0xffffffff {TEMPLATE}",
    f"ip xfrm policy add {ENDS} dport 4789 dir out mark 0x1 mask 0xf {TEMPLATE}",
    f"ip xfrm policy add {ENDS} dport 99 dir out action block",
    f"ip xfrm policy add {ENDS} dport 98 dir out priority 7 action block",
    "ip xfrm policy add src 10.9.0.0/24 dst 10.9.0.0/24 proto udp sport 5 dport 98 dir out priority 3",
    "ip xfrm policy add src 10.9.0.2/32 dst 10.9.0.1/32 dir in tmpl proto esp mode transport",
    ("ip xfrm policy add src fd00::1/128 dst fd00::2/128 proto tcp dir fwd priority 5 tmpl src fd00::1 dst fd00::2 "
    "proto esp reqid 1 mode transport"),
    "ip xfrm policy add dir out src 10.9.0.1/32 proto icmp dir fwd",
    "ip xfrm policy count",
    "ip xfrm policy",
    "ip xfrm policy list dir out",
    f"ip xfrm policy get {ENDS} dport 99 dir out",
    (f"ip xfrm policy update {ENDS} dport 4789 dir out mark 0xd0c4e3 mask 0xffffffff "
    f"{TEMPLATE.replace('0x1000', '0x2000')}"),
    f"ip xfrm policy delete {ENDS} dport 4789 dir out mark 0x1 mask 0xf",
    f"ip xfrm policy delete {ENDS} dport 4788 dir out",
    f"ip xfrm policy get {ENDS} dport 4788 dir out",
    "ip xfrm policy",
    "ip xfrm state",
    "ip xfrm state count",
    "ip xfrm state delete src 1.1.1.1 dst 2.2.2.2 proto esp spi 3",
    "ip xfrm state flush",
)  # fmt: skip
#: (source port, destination port); without a state what is to be protected is not sent at all.
DATAGRAMS = ((0, 98), (5, 98), (6, 98), (0, 99), (0, 97), (0, 4789))
MARKING = "iptables -t mangle -A OUTPUT -p udp --dport 4789 -j MARK --set-mark 0xd0c4e3"
SENDER = """
import errno, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("10.9.0.1", int(sys.argv[1])))
try:
    sock.sendto(b"x", ("10.9.0.2", int(sys.argv[2])))
    print("sent")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def within(line, *, check=False):
    run = subprocess.run(
        ["ip", "netns", "exec", NAME, *shlex.split(line)], capture_output=True, text=True, check=check
    )  # fmt: skip
    return run.returncode, run.stdout + run.stderr


@pytest.fixture
def linux():
    subprocess.run(["ip", "netns", "add", NAME], check=True)
    for line in SETUP:
        within(line, check=True)
    yield within
    subprocess.run(["ip", "netns", "del", NAME], check=True)


@pytest.fixture
def machine():
    made = Machine("m", Clock())
    for line in SETUP:
        simulated(made, line)
    return made


def simulated(machine, line):
    argv = shlex.split(line)
    process = machine.spawn(HOST_PROGRAMS[argv[0]], argv, programs=HOST_PROGRAMS)
    machine.clock.run_for(0.1)
    return process.exit_status, (process.stdout.getvalue() + process.stderr.getvalue()).decode()


def test_policies_are_listed_alike(linux, machine):
    for line in COMMANDS:
        assert (line, *simulated(machine, line)) == (line, *linux(line))


def counters():
    found = dict(line.split() for line in within("cat /proc/net/xfrm_stat")[1].splitlines())
    return {name: int(found[name]) for name in ("XfrmOutNoStates", "XfrmOutPolBlock")}


def test_the_same_packets_are_stopped(linux, machine):
    for line in (*COMMANDS[:-1], MARKING):
        assert simulated(machine, line)[0] == linux(line)[0]
    for sport, dport in DATAGRAMS:
        socket = UdpSocket(machine.root)
        socket.bind(("10.9.0.1", sport))
        try:
            socket.sendto(b"x", ("10.9.0.2", dport))
            ours = "sent"
        except OSError as error:
            ours = {1: "EPERM", 66: "EREMOTE"}[error.errno]
        socket.close()
        run = subprocess.run(
            ["ip", "netns", "exec", NAME, sys.executable, "-c", SENDER, str(sport), str(dport)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert (sport, dport, ours) == (sport, dport, run.stdout.strip())
        assert counters() == {name: xfrm_of(machine.root).counters[name] for name in counters()}
