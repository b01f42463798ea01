"""A machine: its processes, its namespaces, its files."""

from __future__ import annotations

import pytest

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Process
from cnmsim.kernel.sockets import UdpSocket
from cnmsim.kernel.task import run_until


async def program(process: Process) -> int:
    process.write(f"{process.hostname} {process.namespace.name}")
    return 0


def test_what_is_not_given_to_a_process_is_the_machines_own() -> None:
    machine = Machine("node1", Clock())
    process = machine.spawn(program, ["p"])
    run_until(machine.clock, process.exited)
    assert process.stdout.getvalue() == b"node1 node1"
    assert process.files.base is machine.files


def test_a_process_runs_in_the_namespace_it_is_given() -> None:
    machine = Machine("node1", Clock())
    namespace = machine.new_namespace("web")
    process = machine.spawn(program, ["p"], namespace=namespace, hostname="3f2a")
    run_until(machine.clock, process.exited)
    assert process.stdout.getvalue() == b"3f2a web"


def test_namespaces_do_not_share_ports_or_loopback() -> None:
    machine = Machine("node1", Clock())
    other = machine.new_namespace("web")
    for namespace in (machine.root, other):
        namespace.loopback.set_up()
        UdpSocket(namespace).bind(("0.0.0.0", 53))
    client = UdpSocket(other)
    client.sendto(b"x", ("127.0.0.1", 53))
    machine.clock.run()
    assert [n.sockets.listeners()[0].recv_queue > 0 for n in (machine.root, other)] == [False, True]


def test_a_destroyed_namespace_has_no_sockets() -> None:
    machine = Machine("node1", Clock())
    namespace = machine.new_namespace("web")
    socket = UdpSocket(namespace)
    socket.bind(("0.0.0.0", 53))
    namespace.destroy()
    assert socket.is_closed
    assert namespace.sockets.listeners() == []


@pytest.mark.parametrize("name", ["node1", "node2"])
def test_randomness_is_the_machines_own_and_seeded(name: str) -> None:
    first, second = Machine(name, Clock(7)), Machine(name, Clock(7))
    assert first.random.random() == second.random.random()
    assert Machine("other", Clock(7)).random.random() != first.random.random()


def test_a_namespace_begins_with_the_ipv4_settings_of_the_first():
    machine = Machine("host", Clock())
    machine.root.sysctl_set("net.ipv4.ip_forward", "1")
    machine.root.sysctl_set("net.ipv4.conf.default.rp_filter", "2")
    machine.root.sysctl_set("net.ipv6.conf.all.forwarding", "1")
    machine.root.sysctl_set("net.ipv4.ip_default_ttl", "32")
    made = machine.new_namespace("made")
    assert made.forwards4
    assert made.sysctl_get("net.ipv4.conf.default.rp_filter") == "2"
    assert not made.forwards6
    assert made.sysctl_get("net.ipv4.ip_default_ttl") == "64"
