"""Exceptions that end a command, a loop, a function or the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process, Program
    from cnmsim.userland.sh.state import Streams


class InterruptedShell(Exception):
    """Raised to abandon the current command of an interactive shell and return to its prompt."""


class ExitShell(Exception):
    """Raised to end the shell: by `exit`, or by a failed command under `set -e`."""

    def __init__(self, status: int) -> None:
        self.status = status

    async def outcome(self, process: Process) -> int:  # noqa: ARG002
        """Return the exit status with which the shell's process ends."""
        return self.status


class ExecProgram(ExitShell):
    """Raised to replace the shell by a program in the same process: for `exec`, or for the shell's last command."""

    def __init__(self, program: Program, words: list[str], env: dict[str, str], streams: Streams) -> None:
        super().__init__(0)
        self.program, self.words, self.env, self.streams = program, words, env, streams

    async def outcome(self, process: Process) -> int:
        """Run the program in the shell's process `process`. Return its exit status."""
        streams = self.streams
        return await process.exec(self.program, self.words, self.env, (streams.stdin, streams.stdout, streams.stderr))


class DiscardLine(ExitShell):
    """Raised after an error for which bash skips the rest of the line. A script continues with its next line."""


class ReturnFunction(ExitShell):
    """Raised by `return` to leave a function."""


class LeaveLoop(Exception):
    """Raised by `break` and `continue` to leave `levels` loops.

    For `continue`, `goes_on` is True: the outermost of these loops continues with its next iteration.
    """

    def __init__(self, levels: int, *, goes_on: bool) -> None:
        self.levels, self.goes_on = levels, goes_on

    def continues_loop(self) -> bool:
        """Return True if the innermost loop continues with its next iteration, False if the loop ends.

        If outer loops have to be left as well, raises a `LeaveLoop` for them instead.
        """
        if self.levels > 1:
            raise LeaveLoop(self.levels - 1, goes_on=self.goes_on)
        return self.goes_on
