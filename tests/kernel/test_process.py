"""Processes: signals, children, pipes, the sockets they own."""

from __future__ import annotations

import pytest

from cnmsim.kernel.clock import Clock, EndlessInstantError
from cnmsim.kernel.files import FileSystem, Pipe
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Process
from cnmsim.kernel.sockets import TcpSocket
from cnmsim.kernel.task import Cancelled, run_until, sleep


@pytest.fixture
def machine() -> Machine:
    machine = Machine("node1", Clock())
    machine.root.loopback.set_up()
    return machine


async def sleeper(process: Process) -> int:
    await process.sleep(1000)
    return 0


async def echo(process: Process) -> int:
    process.write(" ".join(process.argv[1:]) + "\n")
    return 0


async def server(process: Process) -> int:
    listener = process.tcp()
    listener.bind(("0.0.0.0", 80))
    listener.listen()
    while True:
        connection = await listener.accept()
        process.task(serve(connection))


async def serve(connection: TcpSocket) -> None:
    while data := await connection.recv():
        connection.send(data.upper())
    connection.close()


def test_a_program_runs_to_its_exit_status(machine: Machine) -> None:
    process = machine.spawn(echo, ["echo", "hello", "world"])
    assert process.exit_status is None
    assert run_until(machine.clock, process.exited) == 0
    assert process.stdout.getvalue() == b"hello world\n"
    assert process.stdout.is_closed
    assert machine.processes == {}


def test_process_ids_count_up_and_the_table_holds_the_living(machine: Machine) -> None:
    first, second = machine.spawn(sleeper, ["a"]), machine.spawn(sleeper, ["b"])
    assert second.pid == first.pid + 1
    assert list(machine.processes.values()) == [first, second]


def test_the_default_input_is_empty(machine: Machine) -> None:
    async def cat(process: Process) -> int:
        process.write(await process.stdin.read())
        return 0

    process = machine.spawn(cat, ["cat"])
    run_until(machine.clock, process.exited)
    assert process.stdout.getvalue() == b""


@pytest.mark.parametrize(("signal", "status"), [(9, 137), (15, 143), (2, 130)])
def test_a_signal_ends_a_process_at_once(machine: Machine, signal: int, status: int) -> None:
    process = machine.spawn(sleeper, ["sleep"])
    machine.clock.run_for(1)
    process.kill(signal)
    assert process.exit_status == status
    assert run_until(machine.clock, process.exited) == status


def test_a_killed_program_runs_its_finally_blocks(machine: Machine) -> None:
    seen: list[str] = []

    async def program(process: Process) -> int:
        try:
            await process.sleep(10)
        finally:
            seen.append("cleaned up")
        return 0

    process = machine.spawn(program, ["p"])
    machine.clock.run_for(1)
    process.kill()
    assert seen == ["cleaned up"]


def test_a_killed_program_prints_nothing_more(machine: Machine) -> None:
    async def program(process: Process) -> int:
        try:
            await process.sleep(10)
        finally:
            process.write("from beyond")
        return 0

    process = machine.spawn(program, ["p"])
    machine.clock.run_for(1)
    process.kill()
    assert process.stdout.getvalue() == b""


def test_a_handler_takes_the_place_of_the_default_effect(machine: Machine) -> None:
    async def ping(process: Process) -> int:
        def statistics() -> None:
            process.write("--- statistics ---\n")
            process.exit(0)

        process.handlers[2] = statistics
        await process.sleep(100)
        return 1

    process = machine.spawn(ping, ["ping"])
    machine.clock.run_for(1)
    process.kill(2)
    assert (process.exit_status, process.stdout.getvalue()) == (0, b"--- statistics ---\n")


def test_the_init_process_ignores_signals_it_has_no_handler_for(machine: Machine) -> None:
    process = machine.spawn(sleeper, ["sleep"], is_init=True)
    machine.clock.run_for(1)
    process.kill(15)
    assert process.is_running
    process.kill(9)
    assert process.exit_status == 137


def test_signals_ignored_by_default_do_nothing(machine: Machine) -> None:
    process = machine.spawn(sleeper, ["sleep"])
    process.kill(17)
    process.kill(28)
    assert process.is_running


def test_a_paused_process_stands_still_until_it_is_continued(machine: Machine) -> None:
    seen: list[float] = []

    async def ticker(process: Process) -> int:
        while True:
            await process.sleep(1)
            seen.append(process.clock.now)

    process = machine.spawn(ticker, ["ticker"])
    machine.clock.run(1.5)
    process.kill(19)
    assert process.is_paused
    machine.clock.run(4.5)
    process.kill(18)
    machine.clock.run(6)
    assert seen == [1, 4.5, 5.5]
    process.kill()


def test_the_kernel_acknowledges_for_a_paused_server(machine: Machine) -> None:
    process = machine.spawn(server, ["httpd"])
    machine.clock.run_for(0.1)
    process.pause()
    client = TcpSocket(machine.root)
    run_until(machine.clock, client.connect(("127.0.0.1", 80)), timeout_s=5)
    client.send(b"request")
    with pytest.raises(TimeoutError):
        run_until(machine.clock, client.recv(timeout=5))
    assert client._connection is not None
    assert client._connection.unacknowledged == 0
    process.unpause()
    assert run_until(machine.clock, client.recv(timeout=5)) == b"REQUEST"


def test_the_sockets_of_a_process_end_with_it(machine: Machine) -> None:
    process = machine.spawn(server, ["httpd"])
    client = TcpSocket(machine.root)
    machine.clock.run_for(0.1)
    run_until(machine.clock, client.connect(("127.0.0.1", 80)))
    machine.clock.run_for(0.1)
    process.kill()
    assert run_until(machine.clock, client.recv()) == b""
    assert machine.root.sockets.listeners() == []
    with pytest.raises(ConnectionRefusedError):
        run_until(machine.clock, TcpSocket(machine.root).connect(("127.0.0.1", 80)))


def test_a_daemon_goes_on_with_the_sockets_below_the_first_process(machine: Machine) -> None:
    async def wait(process: Process) -> int:
        await process.sleep(60)
        return 0

    async def begin(process: Process) -> int:
        listener = process.tcp()
        listener.bind(("127.0.0.1", 80))
        listener.listen()
        process.daemonise(wait, listener)
        return 0

    init = machine.spawn(wait, ["init"], is_init=True)
    begun = machine.spawn(begin, ["daemon", "-x"], pid_namespace=init.pid_namespace)
    machine.clock.run(1)
    assert begun.exit_status == 0
    (daemon,) = init.children
    assert (daemon.argv, daemon.parent, [socket.owner for socket in daemon.sockets]) == (
        ["daemon", "-x"],
        init,
        [daemon],
    )
    assert [each.pid for each in machine.root.sockets.listeners()] == [daemon.pid]
    daemon.kill()
    assert (machine.root.sockets.listeners(), init.children) == ([], [])


def test_children_outlive_their_parent_and_inherit_from_it(machine: Machine) -> None:
    started: list[Process] = []

    async def parent(process: Process) -> int:
        process.env["KEY"] = "value"
        started.append(process.start(sleeper, ["child"]))
        await process.sleep(100)
        return 0

    files = FileSystem()
    process = machine.spawn(parent, ["parent"], files=files, hostname="web")
    machine.clock.run_for(1)
    child = started[0]
    assert (child.parent, process.children) == (process, [child])
    process.kill()
    assert child.is_running
    assert (child.files.base, child.hostname, child.env, child.parent) == (files, "web", {"KEY": "value"}, None)
    assert child.stdout is process.stdout


def test_a_parent_waits_for_its_child(machine: Machine) -> None:
    async def parent(process: Process) -> int:
        return 10 + await process.start(echo, ["echo", "from the child"]).exited

    process = machine.spawn(parent, ["sh"])
    assert run_until(machine.clock, process.exited) == 10
    assert process.stdout.getvalue() == b"from the child\n"


def test_an_error_that_escapes_a_program_is_loud_and_names_it(machine: Machine) -> None:
    async def buggy(process: Process) -> int:
        raise OSError(5, "Input/output error")

    process = machine.spawn(buggy, ["buggy", "-x"])
    with pytest.raises(OSError, match="Input/output error") as caught:
        machine.clock.run()
    assert caught.value.__notes__ == [f"in program ['buggy', '-x'] of buggy (pid {process.pid}) on node1"]
    assert process.exit_status == 1


def test_writing_to_a_pipe_nobody_reads_ends_the_process(machine: Machine) -> None:
    async def yes(process: Process) -> int:
        while True:
            process.write("y\n")
            await process.sleep(1)

    pipe = Pipe(machine.clock)
    process = machine.spawn(yes, ["yes"], stdout=pipe)
    machine.clock.run_for(2.5)
    pipe.close_reader()
    machine.clock.run_for(1)
    assert process.exit_status == 141
    machine.clock.run()
    assert pipe.getvalue() == b"y\n" * 3


def test_on_exit_is_told_once(machine: Machine) -> None:
    ended: list[int | None] = []
    process = machine.spawn(sleeper, ["sleep"], on_exit=lambda p: ended.append(p.exit_status))
    process.kill()
    process.kill()
    machine.clock.run()
    assert ended == [137]


def test_a_killed_thread_does_not_outlive_its_process(machine: Machine) -> None:
    async def program(process: Process) -> int:
        thread = process.task(sleeper(process))
        threads.append(thread)
        await process.sleep(1)
        return 3

    threads: list[object] = []
    process = machine.spawn(program, ["p"])
    assert run_until(machine.clock, process.exited) == 3
    assert isinstance(threads[0].error, Cancelled)  # type: ignore[attr-defined]


def test_what_a_program_names_itself_is_in_its_label(machine: Machine) -> None:
    process = machine.spawn(sleeper, ["/bin/sleep", "1d"])
    assert process.label == f"sleep (pid {process.pid})"


def test_program_that_never_lets_time_pass_is_named_and_ends(monkeypatch):
    monkeypatch.setattr("cnmsim.kernel.clock._LARGEST_INSTANT", 1000)
    clock = Clock()
    machine = Machine("one", clock)

    async def spin(process):
        while True:
            await sleep(clock, 0)

    process = machine.spawn(spin, ["spin", "-x"])
    with pytest.raises(
        EndlessInstantError, match=r"program \['spin', '-x'\] of spin \(pid \d+\) on one does not let"
    ):
        clock.run(5)
    assert process.exit_status == 1
    clock.run(5)
    assert clock.now == 5
