"""Start, list and kill the processes of a container."""

from __future__ import annotations

from collections.abc import Callable

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.streams import StandardStreams
from cnmsim.engine.context import EngineContext
from cnmsim.engine.standins.standin import container_programs
from cnmsim.kernel.credentials import Credentials
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.pid_namespace import PidNamespace
from cnmsim.kernel.process import SIGKILL, Process, Program

# Ids that the threads of runc take in the container's PID namespace before the process begins: the first child of the
# first process has id 7.
_RUNTIME_THREADS = 5


def spawn_process(
    context: EngineContext,
    container: Container,
    program: Program,
    argv: list[str],
    *,
    namespace: NetworkNamespace,
    env: dict[str, str],
    credentials: Credentials,
    streams: StandardStreams,
    on_exit: Callable[[Process], None],
    pid_namespace: PidNamespace | None = None,
) -> Process:
    """Start a process of a container with the standard streams `streams`, the container's files and its host name.

    Ctrl-C at the streams' terminal interrupts the process. `on_exit` is called when the process has ended. If
    `pid_namespace` is `None`, the process is the first one of a new PID namespace.
    """
    process = context.machine.spawn(
        program,
        argv,
        namespace=namespace,
        files=container.files,
        hostname=context.machine.name if container.host_config["UTSMode"] == "host" else container.hostname,
        env=env,
        credentials=credentials,
        stdin=streams.stdin,
        stdout=streams.stdout,
        stderr=streams.stderr,
        programs=container_programs(context, container),
        on_exit=on_exit,
        is_init=pid_namespace is None,
        pid_namespace=pid_namespace,
        cgroup=container.cgroup,
    )
    process.pid_namespace.skip(_RUNTIME_THREADS)
    streams.on_interrupt = process.interrupt
    return process


def processes_of(container: Container) -> list[Process]:
    """Return all processes of a container: the first one, those of execs, and their descendants."""
    roots = [container.process, *(execution.process for execution in container.execs.values())]
    processes: list[Process] = []
    waiting = [process for process in roots if process is not None and process.is_running]
    while waiting:
        process = waiting.pop(0)
        if process not in processes:
            processes.append(process)
            waiting += process.children
    return processes


def kill_descendants(process: Process) -> None:
    """Kill the descendants of a process."""
    for child in tuple(process.children):
        kill_descendants(child)
        child.kill(SIGKILL)
