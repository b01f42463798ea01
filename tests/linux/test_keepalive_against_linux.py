"""Keepalives of the Linux kernel and of ours: how many probes a silent peer gets, and when it is given up."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Veth
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.sockets import TcpSocket
from cnmsim.kernel.task import run_until
from cnmsim.userland import HOST_PROGRAMS

PREFIX = f"k{os.getpid() % 100000}"
IDLE_S, INTERVAL_S, PROBES = 2, 1, 3
#: So long the peer answers; then it takes all and says nothing.
ALIVE_S = 4.6
COUNT = "iptables -A INPUT -i e0 -p tcp"
SILENCE = "iptables -A INPUT -i e0 -p tcp -j DROP"
SERVE = "import socket; s = socket.create_server(('', 80)); print('up', flush=True); c, _ = s.accept(); c.recv(1)"
KEEP = f"""
import socket, sys, time
c = socket.create_connection(("10.0.0.2", 80))
c.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
times = ((socket.TCP_KEEPIDLE, {IDLE_S}), (socket.TCP_KEEPINTVL, {INTERVAL_S}), (socket.TCP_KEEPCNT, {PROBES}))
for option, value in times:
    c.setsockopt(socket.IPPROTO_TCP, option, value)
begun = time.monotonic()
print("connected", flush=True)
try:
    c.recv(1)
except OSError as error:
    print(time.monotonic() - begun, error.errno)
"""


def counted(listing):
    """Give the packets of the two rules: all, and those that were dropped."""
    return [int(found) for found in re.findall(r"(?m)^-A .* -c (\d+) ", listing)]


def of_linux():
    def run(command):
        return subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout

    def start(name, program):
        words = ["ip", "netns", "exec", PREFIX + name, sys.executable, "-S", "-E", "-c", program]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    made, started = [], []
    try:
        for name in "ab":
            run(f"ip netns add {PREFIX}{name}")
            made.append(name)
        run(f"ip -n {PREFIX}a link add e0 type veth peer name e0 netns {PREFIX}b")
        for name, address in (("a", "10.0.0.1"), ("b", "10.0.0.2")):
            run(f"ip -n {PREFIX}{name} addr add {address}/24 dev e0")
            run(f"ip -n {PREFIX}{name} link set e0 up")
        server = start("b", SERVE)
        started.append(server)
        server.stdout.readline()
        client = start("a", KEEP)
        started.append(client)
        client.stdout.readline()
        run(f"ip netns exec {PREFIX}b {COUNT}")
        with pytest.raises(subprocess.TimeoutExpired):
            client.wait(ALIVE_S)
        run(f"ip netns exec {PREFIX}b {SILENCE}")
        took, number = client.communicate(timeout=30)[0].split()
        rules = counted(run(f"ip netns exec {PREFIX}b iptables -S INPUT -v"))
    finally:
        for process in started:
            process.kill()
            process.communicate()
        for name in made:
            run(f"ip netns del {PREFIX}{name}")
    return float(took), int(number), rules


def of_ours():
    clock = Clock(1)
    a, b = Machine("a", clock), Machine("b", clock)

    def run(machine, command):
        words = command.split()
        process = machine.spawn(HOST_PROGRAMS[words[0]], words, programs=HOST_PROGRAMS)
        clock.run_for(0.01, stop=lambda: not process.is_running)
        assert process.exit_status == 0, (command, process.stderr.getvalue())
        return process.stdout.getvalue().decode()

    ends = Veth.pair(clock, "e0", "e0", bytes((2, 0, 0, 0, 0, 1)), bytes((2, 0, 0, 0, 0, 2)))
    for machine, end, address in zip((a, b), ends, ("10.0.0.1", "10.0.0.2"), strict=True):
        machine.root.add_device(end)
        end.set_up()
        run(machine, f"ip addr add {address}/24 dev e0")
    server, client = TcpSocket(b.root, 4), TcpSocket(a.root, 4)
    server.bind(("0.0.0.0", 80))
    server.listen()
    run_until(clock, client.connect(("10.0.0.2", 80)))
    client.set_keepalive(idle_s=IDLE_S, interval_s=INTERVAL_S, probes=PROBES)
    begun = clock.now
    run(b, COUNT)
    clock.run_for(ALIVE_S)
    run(b, SILENCE)
    with pytest.raises(OSError) as raised:
        run_until(clock, client.recv(1))
    took = clock.now - begun
    return took, raised.value.errno, counted(run(b, "iptables -S INPUT -v"))


@pytest.mark.root("iptables", trial="ip link add type veth; iptables -S")
def test_a_peer_that_falls_silent_gets_as_many_probes_and_is_given_up_when_linux_does():
    expected, found = of_linux(), of_ours()
    # Two probes while it answers, three without an answer, then the reset.
    assert found[1:] == expected[1:]
    assert found[2] == [2 + PROBES + 1, PROBES + 1]
    assert found[0] == pytest.approx(expected[0], abs=0.5)
