"""A bridge of the Linux kernel and ours, to which the same things are done: the same MAC address, and the same
neighbours hear it."""

import os
import shlex
import subprocess

import pytest

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.userland import HOST_PROGRAMS

pytestmark = pytest.mark.root("bridge", "ping", trial="ip link add name br0 type bridge")
PREFIX = f"m{os.getpid() % 100000}"
NAMESPACES = ("b", "n1", "n2", "n3")


def plug(number, mac):
    """Put a port with that MAC address on the bridge, and a neighbour 10.2.0.1N behind it."""
    return [
        f"ip -n {{b}} link add p{number} address {mac} type veth peer name e{number} netns {{n{number}}}",
        f"ip -n {{b}} link set p{number} master br0",
        f"ip -n {{b}} link set p{number} up",
        f"ip -n {{n{number}}} link set e{number} up",
        f"ip -n {{n{number}}} addr add 10.2.0.1{number}/24 dev e{number}",
    ]


SHOWN = "ip -n {b} -br link show br0"
STEPS = [
    "ip -n {b} link add br0 type bridge",
    "ip -n {b} addr add 10.2.0.1/24 dev br0",
    "ip -n {b} link set br0 up",
    *plug(1, "02:55:00:00:00:01"),
    SHOWN,
    *plug(2, "02:66:00:00:00:02"),
    SHOWN,
    "ip netns exec {n1} ping -c 1 -W 1 10.2.0.1",
    "ip netns exec {n2} ping -c 1 -W 1 10.2.0.1",
    *plug(3, "02:44:00:00:00:03"),
    SHOWN,
    "ip netns exec {n1} ping -c 1 -W 1 10.2.0.1",  # it knows the bridge by the address of the port it comes in by
    "ip netns exec {n2} ping -c 1 -W 1 10.2.0.1",  # and this one by another port's
    "ip -n {b} link set p2 address 02:22:00:00:00:02",
    SHOWN,
    "ip -n {b} link set p3 nomaster",
    "ip -n {b} link set p2 nomaster",
    SHOWN,
    "ip -n {b} link set br0 address 02:77:00:00:00:07",
    "ip -n {b} link set p2 master br0",
    SHOWN,
    "ip -n {b} link set p1 nomaster",
    "ip -n {b} link set p2 nomaster",
    SHOWN,
]


def answers(run):
    """Do all steps, and give what those that show something said."""
    said = []
    for step in STEPS:
        status, out = run(step.format(**{name: f"{PREFIX}{name}" for name in NAMESPACES}))
        if step == SHOWN:
            said.append(out.split()[2])
        elif " ping " in step:
            said.append(status)
        else:
            assert status == 0, (step, out)
    return said


def of_linux():
    def run(command):
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout or done.stderr

    try:
        for name in NAMESPACES:
            run(f"ip netns add {PREFIX}{name}")
        return answers(run)
    finally:
        for name in NAMESPACES:
            run(f"ip netns del {PREFIX}{name}")


def of_ours():
    clock = Clock(1)
    machine = Machine("host", clock)

    def run(command):
        argv = shlex.split(command)
        process = machine.spawn(HOST_PROGRAMS[argv[0]], argv, programs=HOST_PROGRAMS)
        clock.run_for(5, stop=lambda: not process.is_running)
        return process.exit_status, process.stdout.getvalue().decode() or process.stderr.getvalue().decode()

    for name in NAMESPACES:
        run(f"ip netns add {PREFIX}{name}")
    return answers(run)


def test_a_bridge_takes_the_address_linux_takes():
    assert of_ours() == of_linux()
