"""Running a command to its end and capturing its output, as `subprocess.run` does on a real machine."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from cnmsim.errors import NotFound
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.files import Pipe
from cnmsim.kernel.process import SIGKILL, Process

#: The exit status of a command that exceeded its time (coreutils `timeout`).
TIMED_OUT = 124
#: The exit status of a command that does not exist (POSIX shell, 2.8.2).
NOT_FOUND = 127


@frozen
class ExecResult:
    """The result of a command: its exit status and its output.

    `output` contains stdout and stderr together, in the order of printing.
    """

    status: int
    output: str

    def __str__(self) -> str:
        return self.output

    @property
    def succeeded(self) -> bool:
        """Whether the exit status is 0."""
        return self.status == 0


def run_command(clock: Clock, spawn: Callable[[Pipe], Process], timeout_s: float) -> ExecResult:
    """Start a command with `spawn(output)`, and advance virtual time until it ends. Return its status and output.

    A command that still runs after `timeout_s` seconds is killed with its descendants and has the status 124. If
    `spawn` raises `NotFound`, the status is 127 and the output is the error's message.
    """
    printed = Pipe(clock)
    try:
        process = spawn(printed)
    except NotFound as error:
        return ExecResult(NOT_FOUND, f"{error.message}\n")
    clock.run_for(timeout_s, stop=lambda: not process.is_running)
    status = process.exit_status
    if status is None:
        _kill(process)
        status = TIMED_OUT
    return ExecResult(status, printed.getvalue().decode(errors="replace"))


def words(command: str | list[str]) -> list[str]:
    """Return the argument vector for a command: `["sh", "-c", command]` for a string, a copy of a list."""
    if not isinstance(command, (str, list, tuple)):
        raise TypeError(f"{command!r} is no command: write a text, or a list of words")
    return ["sh", "-c", command] if isinstance(command, str) else list(command)


def _kill(process: Process) -> None:
    """Kill a process and its descendants."""
    for child in tuple(process.children):
        _kill(child)
    process.kill(SIGKILL)
