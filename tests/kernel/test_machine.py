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


def test_file_systems_of_the_kernel_are_mounted_once_with_linuxs_modes() -> None:
    files = Machine("m", Clock()).files
    assert [mount.path for mount in files.mounts()].count("/sys") == 1
    modes = {"/dev": 0o755, "/dev/shm": 0o1777, "/dev/mqueue": 0o1777, "/dev/pts": 0o755, "/sys": 0o555}
    assert {path: files.inode(path).mode for path in modes} == modes


def test_the_first_namespaces_have_the_kernels_inode_numbers() -> None:
    machine = Machine("m", Clock())
    process = machine.spawn(program, ["init"])
    #: include/linux/proc_ns.h: PROC_TIME_INIT_INO to PROC_IPC_INIT_INO.
    fixed = {"time": 0xEFFFFFFA, "cgroup": 0xEFFFFFFB, "pid": 0xEFFFFFFC, "user": 0xEFFFFFFD, "uts": 0xEFFFFFFE}
    fixed["ipc"] = 0xEFFFFFFF
    links = {name: machine.files.readlink(f"/proc/{process.pid}/ns/{name}") for name in fixed}
    assert links == {name: f"{name}:[{number}]" for name, number in fixed.items()}
