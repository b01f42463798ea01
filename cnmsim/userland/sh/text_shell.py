"""A shell that runs commands given as text, such as command strings and the commands of `trap`."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING

from cnmsim.userland.sh.leaving import ExitShell, LeaveLoop
from cnmsim.userland.sh.lexer import BadSubstitution
from cnmsim.userland.sh.parser import parse
from cnmsim.userland.sh.state import ShellState, bash_text, standard_streams
from cnmsim.userland.sh.syntax import Sequence, ShellSyntaxError

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.userland.sh.state import Streams

_QUOTES = {"quoted": "'", "double-quoted": '"'}


class TextShell(ShellState):
    """A shell that parses text and runs its commands."""

    def __init__(self, process: Process, *, name: str, arguments: list[str] | None) -> None:
        super().__init__(process, name=name, arguments=arguments)
        #: The number of the first line of the commands that run, 0 if there are no lines to count.
        self.first_line = 0

    @abstractmethod
    async def run(self, sequence: Sequence, streams: Streams, *, is_last: bool = False) -> int:
        """Run a sequence of commands. Return the exit status of the last one.

        With `is_last`, this shell has no further commands to run, so the last command may replace the shell (ash's
        EV_EXIT).
        """

    async def run_text(self, source: str, streams: Streams, *, is_last: bool = False) -> int:
        """Parse and run commands. Return the exit status of the last one.

        With `is_last`, this shell has no further commands to run, so the last program runs in the shell's own
        process. A syntax error is printed and ends the shell (`ExitShell`) with status 2.
        """
        try:
            return await self.run(self.parse(source), streams, is_last=is_last)
        except ShellSyntaxError as error:
            self.report_syntax_error(source, error, streams)
            self.status = 1 if self.is_bash and isinstance(error, BadSubstitution) else 2
            raise ExitShell(self.status) from None

    def parse(self, source: str) -> Sequence:
        """Parse a shell program, and return its syntax tree. Raises `ShellSyntaxError` for an invalid program."""
        return parse(source, is_bash=self.is_bash, has_extglob="extglob" in self.shell_options)

    def report_syntax_error(self, source: str, error: ShellSyntaxError, streams: Streams) -> None:
        """Print the message for a syntax error in `source`."""
        if not self.is_bash or isinstance(error, BadSubstitution):
            self.complain(streams, str(error) if self.is_bash else f"syntax error: {error}")
            return
        name = f"{self.name}: -c" if self.is_command_string else self.name
        first = self.first_line or 1
        lines = source.split("\n")
        quote = re.fullmatch(r"unterminated (.*) string", str(error))
        if quote is not None:
            text = f"line {first}: unexpected EOF while looking for matching `{_QUOTES[quote[1]]}'"
        elif error.is_incomplete:
            text = f"line {first + len(lines) - (not lines[-1])}: syntax error: unexpected end of file"
        else:
            number = source.count("\n", 0, error.at)
            message = bash_text(f"syntax error: {error}")
            text = f"line {first + number}: {message}\n{name}: line {first + number}: `{lines[number]}'"
        self.put(streams.stderr, f"{name}: {text}\n")

    async def run_traps(self, streams: Streams) -> None:
        """Run the `trap` commands of the signals that have arrived. They leave `$?` unchanged."""
        while self.pending_signals:
            command = self.traps.get(self.pending_signals.pop(0))
            if command:
                status = self.status
                await self.run_text(command, streams)
                self.status = status

    async def run_exit_trap(self, status: int) -> int:
        """Run the command of `trap … EXIT`, if there is one, and remove the trap. Return the shell's exit status.

        That is `status`, or the status of an `exit` in the command.
        """
        command = self.traps.pop(0, "")
        self.status = status
        if command:
            try:
                await self.run_text(command, standard_streams(self.process))
            except ExitShell as leaving:
                return await leaving.outcome(self.process)
            except LeaveLoop:
                pass
        return status
