"""How a program was called: its name, its working directory, and the other programs it can start."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from cnmsim.kernel.task import Future

if TYPE_CHECKING:
    from cnmsim.kernel.files import Pipe
    from cnmsim.kernel.process import Process, Program


def invoked_name(process: Process) -> str:
    """Give the name under which a program was called, without its folder."""
    return posixpath.basename(process.argv[0])


async def finish(process: Process, status: int) -> int:
    """Give the exit status of a program that is through.

    If it ended itself in this very step (SIGPIPE on its last line), its cancellation is on the way: wait for that.
    """
    if not process.is_running:
        await Future[int](process.clock)
    return status


def absolute_path(process: Process, path: str) -> str:
    """Give a path as the process means it: relative to its working directory."""
    return posixpath.normpath(posixpath.join(process.env.get("PWD", "/"), path))


def find_program(process: Process, name: str) -> Program | None:
    """Give the program of that name, or of that path below a folder of programs."""
    folder, _, base = name.rpartition("/")
    if folder and folder not in ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"):
        return None
    return process.programs.get(base)


async def read_all(pipe: Pipe) -> bytes:
    """Read to the end of a pipe."""
    chunks: list[bytes] = []
    while chunk := await pipe.read():
        chunks.append(chunk)
    return b"".join(chunks)
