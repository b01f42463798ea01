"""A host beyond a router that does not answer ARP, in the Linux kernel and in ours: connections to it fail after the
same time."""

import os
import shlex
import subprocess
import sys
import time

import pytest

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Veth
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.sockets import TcpSocket
from cnmsim.kernel.task import run_until
from cnmsim.userland import HOST_PROGRAMS

PREFIX = f"d{os.getpid() % 100000}"
NAMESPACES = ("client", "router", "beyond")
CABLES = (("client", "e0", "router", "e0"), ("router", "e1", "beyond", "e0"))
COMMANDS = (
    ("client", "ip addr add 10.1.0.2/24 dev e0"),
    ("router", "ip addr add 10.1.0.1/24 dev e0"),
    ("router", "ip addr add 10.2.0.1/24 dev e1"),
    ("client", "ip route add default via 10.1.0.1"),
    ("router", "sysctl -w net.ipv4.ip_forward=1"),
)
DEAD = "10.2.0.77"
#: Between two tries, in seconds. A second one that met what the first left behind would fail too soon.
PAUSES = (0.5, 2.0, 0.0)
TRY = f"""
import os, socket, time
for pause in {(*PAUSES, 0.0)}:
    begun = time.monotonic()
    with socket.socket() as client:
        client.settimeout(20)
        try:
            client.connect(({DEAD!r}, 80))
        except OSError as error:
            print(time.monotonic() - begun, error.errno)
    time.sleep(pause)
"""


def of_linux():
    def run(command):
        return subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout

    made = []
    try:
        for name in NAMESPACES:
            run(f"ip netns add {PREFIX}{name}")
            made.append(name)
            run(f"ip -n {PREFIX}{name} link set lo up")
        for one, device, other, peer in CABLES:
            run(f"ip -n {PREFIX}{one} link add {device} type veth peer name {peer} netns {PREFIX}{other}")
            run(f"ip -n {PREFIX}{one} link set {device} up")
            run(f"ip -n {PREFIX}{other} link set {peer} up")
        for name, command in COMMANDS:
            run(f"ip netns exec {PREFIX}{name} {command}")
        # From Linux 6.5 on the first SYNs follow each other by the second; ours come after 1, 2, 4 s.
        run(f"ip netns exec {PREFIX}client sysctl -e -w net.ipv4.tcp_syn_linear_timeouts=0")
        time.sleep(0.5)
        said = run(f"ip netns exec {PREFIX}client {sys.executable} -S -E -c {shlex.quote(TRY)}")
    finally:
        for name in made:
            run(f"ip netns del {PREFIX}{name}")
    return [(float(took), int(number)) for took, number in map(str.split, said.splitlines())]


def of_ours():
    clock = Clock(1)
    machines = {name: Machine(name, clock) for name in NAMESPACES}
    for number, (one, device, other, peer) in enumerate(CABLES):
        ends = Veth.pair(clock, device, peer, bytes((2, 0, 0, 0, 1, number)), bytes((2, 0, 0, 0, 2, number)))
        for name, end in zip((one, other), ends, strict=True):
            machines[name].root.add_device(end)
            end.set_up()
    for name, command in COMMANDS:
        words = command.split()
        process = machines[name].spawn(HOST_PROGRAMS[words[0]], words, programs=HOST_PROGRAMS)
        clock.run_for(0.01, stop=lambda process=process: not process.is_running)
        assert process.exit_status == 0, (command, process.stderr.getvalue())
    found = []
    for pause in (*PAUSES, 0.0):
        begun = clock.now
        client = TcpSocket(machines["client"].root, 4)
        try:
            run_until(clock, client.connect((DEAD, 80), timeout=20))
        except OSError as error:
            found.append((clock.now - begun, error.errno))
        client.close()
        clock.run_for(pause)
    return found


@pytest.mark.root(trial="ip link add type veth")
def test_every_connection_to_a_dead_host_fails_when_linux_says_so():
    expected, found = of_linux(), of_ours()
    assert [number for _, number in found] == [number for _, number in expected]
    assert [took for took, _ in found] == pytest.approx([took for took, _ in expected], abs=0.25)
