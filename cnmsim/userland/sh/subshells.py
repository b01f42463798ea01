"""Subshells: the processes of `( … )` and of the commands in pipelines, command and process substitutions."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING

from cnmsim.kernel.files import Pipe
from cnmsim.kernel.inode import File
from cnmsim.kernel.process import SIGINT, SIGPIPE
from cnmsim.userland.invocation import finish, read_all
from cnmsim.userland.libc.signals import signal_description
from cnmsim.userland.sh.leaving import ExitShell, LeaveLoop
from cnmsim.userland.sh.loop_time import LoopTime
from cnmsim.userland.sh.state import Streams, standard_streams
from cnmsim.userland.sh.text_shell import TextShell

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnmsim.kernel.process import Process
    from cnmsim.userland.sh.syntax import AndOr, Command, ProcessSubstitution, Sequence

#: The descriptor of bash's first process substitution; the others get the numbers below.
_FIRST_SUBSTITUTION = 63


class SubshellStarter(TextShell):
    """A shell that can start subshells, e.g. for substitutions, and wait for them."""

    def __init__(self, process: Process, *, name: str, arguments: list[str] | None) -> None:
        super().__init__(process, name=name, arguments=arguments)
        #: The numbers of the files that stand for `<(…)` and `>(…)` of the current command.
        self.substituted_files: list[int] = []
        #: The pipes into the commands of `>(…)`, and their processes.
        self.outputs: list[tuple[Pipe, Process]] = []
        #: The exit status of the last `$(…)` of the current command.
        self.substitution_status = 0
        self.loop_time = LoopTime(process)

    @abstractmethod
    def clone(self, process: Process) -> SubshellStarter:
        """Return a copy of this shell that runs as a subshell in the process `process`."""

    @abstractmethod
    async def run_node(self, node: Command | Sequence | AndOr, streams: Streams) -> int:
        """Run the command or commands `node` as the last ones of a subshell. Return the exit status.

        The last command may replace the shell, i.e. run in the shell's own process.
        """

    async def substitute(self, source: str) -> str:
        """Run the commands `source` of a `$(…)` in a subshell. Return their output without trailing newlines."""
        output = Pipe(self.process.clock)
        child = self._subshell_of(source, output)
        child.exited.add_done_callback(closer(output))
        written = await read_all(output)
        self.substitution_status = await child.exited
        if self.is_bash:
            self.status = self.substitution_status
        return written.decode(errors="surrogateescape").rstrip("\n")

    def _subshell_of(self, source: str, output: Pipe, stdin: Pipe | None = None) -> Process:
        self.loop_time.has_started_program = True

        async def main(process: Process) -> int:
            shell = self.clone(process)
            streams = Streams(process.stdin, output, process.stderr)
            contents = re.fullmatch(r"\s*<\s*([^\s;&|<>()]+)\s*", source)
            if contents is not None and shell.is_bash:  # `$(< FILE)` is the content of the file
                source_text = f"cat < {contents[1]}"
                return await finish(process, await shell.run_text(source_text, streams))
            try:
                status = await shell.run_text(source, streams, is_last=True)
            except ExitShell as leaving:
                status = await leaving.outcome(process)
            return await finish(process, await shell.run_exit_trap(status))

        inputs = {} if stdin is None else {"stdin": stdin}
        return self.process.start(main, list(self.process.argv), env=self.environment, stdout=output, **inputs)

    def connect_process(self, part: ProcessSubstitution) -> Pipe:
        """Start the commands of a process substitution.

        Return the pipe to read their output or to write their input.
        """
        pipe = Pipe(self.process.clock)
        if part.is_output:
            child = self._subshell_of(part.source, self.process.stdout, pipe)
            child.exited.add_done_callback(reader_closer(pipe))
            self.outputs.append((pipe, child))
        else:
            child = self._subshell_of(part.source, pipe)
            child.exited.add_done_callback(closer(pipe))
        self.last_background = str(child.local_pid)
        return pipe

    async def substitute_process(self, part: ProcessSubstitution) -> str:
        """Start the commands of a process substitution, `<(…)` or `>(…)`.

        Return the path of the file by which the commands' output is read, or their input is written. The output of
        `<(…)` is complete before the command that reads it starts.
        """
        open_files = self.process.machine.open_files
        number = next(fd for fd in range(_FIRST_SUBSTITUTION, 2, -1) if fd not in open_files)
        pipe = self.connect_process(part)
        if part.is_output:
            open_files[number] = _PipeFile(pipe)
        else:
            open_files[number] = File(await read_all(pipe), 0o500)
        self.substituted_files.append(number)
        return f"/dev/fd/{number}"

    async def close_substitutions(self) -> None:
        """Close the files of process substitutions. Wait for the commands of each `>(…)` to end."""
        for number in self.substituted_files:
            self.process.machine.open_files.pop(number, None)
        self.substituted_files.clear()
        while self.outputs:
            pipe, child = self.outputs.pop()
            pipe.close()
            await child.exited

    def start_subshell(
        self, node: Command | Sequence | AndOr, streams: Streams, ignored: frozenset[int] = frozenset()
    ) -> Process:
        """Start a subshell that runs the commands `node`. Return its process.

        `ignored` are the numbers of signals that the subshell ignores in addition to those that this shell ignores.
        """
        self.loop_time.has_started_program = True

        async def main(process: Process) -> int:
            shell = self.clone(process)
            inner = standard_streams(process)
            inner.others = dict(streams.others)
            try:
                status = await shell.run_node(node, inner)
            except ExitShell as leaving:
                status = await leaving.outcome(process)
            except LeaveLoop:
                status = 0
            return await finish(process, await shell.run_exit_trap(status))

        return self.process.start(
            main,
            list(self.process.argv),
            env=self.environment,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            ignored_signals=self.process.ignored_signals | ignored,
        )

    async def wait_for(self, child: Process, streams: Streams) -> int:
        """Wait until a child process ends. Return its exit status.

        If a signal ended the child, the signal's description is printed as in ash.
        """
        status = await child.exited
        self.report_signal(child, streams)
        return status

    def report_signal(self, child: Process, streams: Streams) -> None:
        """Print the description of the signal that ended a child, if any.

        Nothing is printed for SIGINT and SIGPIPE.
        """
        if child.term_signal and child.term_signal not in (SIGINT, SIGPIPE):
            self.put(streams.stderr, f"{signal_description(child.term_signal)}\n")


class _PipeFile(File):
    """The file of a process substitution `>(…)`. Data written to it goes into a pipe."""

    mtime_ns = 0

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.mode, self.uid, self.gid = 0o200, 0, 0

    @property
    def content(self) -> bytes:
        """Always b"", because the file can only be written."""
        return b""

    @content.setter
    def content(self, written: bytes) -> None:
        self._pipe.write(written)


def closer(pipe: Pipe) -> Callable[[object], None]:
    """Return a callback that closes the writing end of a pipe."""
    return lambda _: pipe.close()


def reader_closer(pipe: Pipe) -> Callable[[object], None]:
    """Return a callback that closes the reading end of a pipe."""
    return lambda _: pipe.close_reader()
