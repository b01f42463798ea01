"""How a program was started: its name, working directory and input, and the other programs that it can run."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.task import Future

if TYPE_CHECKING:
    from cnmsim.kernel.files import Pipe
    from cnmsim.kernel.process import Process, Program


def invoked_name(process: Process) -> str:
    """Return the name by which a program was started, without its folder: `sh` for `/bin/sh`."""
    return posixpath.basename(process.argv[0])


async def finish(process: Process, status: int) -> int:
    """Return `status`, the exit status of a program whose coroutine has returned.

    A process that has already ended itself (by SIGPIPE while it wrote its last line) is cancelled in the next
    scheduler step. In that case wait for the cancellation instead of returning.
    """
    if not process.is_running:
        await Future[int](process.clock)
    return status


def absolute_path(process: Process, path: str) -> str:
    """Return the normalized absolute path. A relative `path` starts at the process's working directory."""
    return resolve_self(process, posixpath.normpath(posixpath.join(process.env.get("PWD", "/"), path)))


def resolve_self(process: Process, path: str) -> str:
    """Return `path` with /proc/self replaced by the directory of the process that reads it."""
    if path != "/proc/self" and not path.startswith("/proc/self/"):
        return path
    return f"/proc/{process.local_pid}{path.removeprefix('/proc/self')}"


def find_program(process: Process, name: str) -> Program | None:
    """Return the program called `name`, or `None` if there is none.

    `name` is a plain name, or a path whose folder is one of the usual program folders, such as `/usr/bin/curl`.
    """
    folder, _, base = name.rpartition("/")
    if folder and folder not in ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"):
        return None
    return process.programs.get(base)


def time_of_day_s(process: Process) -> int:
    """Return the lab's time of day in whole seconds since 1970.

    Computed with integers, because a float would round up at the end of a second.
    """
    return process.clock.epoch_s + process.clock.now_ns // NS_PER_S


async def read_all(pipe: Pipe) -> bytes:
    """Read a pipe until its writer closes it."""
    chunks: list[bytes] = []
    while chunk := await pipe.read():
        chunks.append(chunk)
    return b"".join(chunks)
