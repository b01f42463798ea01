"""Functions on how a program was started: its name, working directory and input, and the programs it can run."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from cnmsim.kernel.task import Future

if TYPE_CHECKING:
    from cnmsim.kernel.files import Pipe
    from cnmsim.kernel.process import Process, Program


class ExitProgram(Exception):
    """Raised to end a program with an exit status, after the program has printed its messages."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def invoked_name(process: Process) -> str:
    """Return the name by which a program was started, without its folder, e.g. `sh` for `/bin/sh`."""
    return posixpath.basename(process.argv[0])


async def finish(process: Process, status: int) -> int:
    """Return `status`, the exit status of a program whose coroutine has returned.

    If SIGPIPE has killed the process in the meantime, this does not return: it waits until the scheduler cancels the
    coroutine in its next step.
    """
    if not process.is_running:
        await Future[int](process.clock)
    return status


def absolute_path(process: Process, path: str) -> str:
    """Return `path` as a normalized absolute path. A relative path starts at the process's working directory."""
    return resolve_self(process, posixpath.normpath(posixpath.join(process.env.get("PWD", "/"), path)))


def resolve_self(process: Process, path: str) -> str:
    """Replace /proc/self at the beginning of `path` by /proc/PID, where PID is the id of `process`."""
    if path != "/proc/self" and not path.startswith("/proc/self/"):
        return path
    return f"/proc/{process.local_pid}{path.removeprefix('/proc/self')}"


def find_program(process: Process, name: str) -> Program | None:
    """Return the simulated program called `name`, or `None` if there is none.

    `name` is a plain name, or a path in one of the usual program folders, such as `/usr/bin/curl`.
    """
    folder, _, base = name.rpartition("/")
    if folder and folder not in ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"):
        return None
    return process.programs.get(base)


async def read_all(pipe: Pipe) -> bytes:
    """Read from a pipe until its writing end is closed. Return everything that was read."""
    chunks: list[bytes] = []
    while chunk := await pipe.read():
        chunks.append(chunk)
    return b"".join(chunks)
