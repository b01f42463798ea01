"""The processes of a container."""

from __future__ import annotations

from cnmsim.engine.containers.container import Container
from cnmsim.kernel.process import SIGKILL, Process


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
