"""The shell's interpreter, one `Shell` per process. Pipelines and subshells run in processes of their own."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.files import Pipe
from cnmsim.kernel.process import SIGINT, SIGPIPE, SIGQUIT
from cnmsim.userland.invocation import finish
from cnmsim.userland.libc.signals import signal_description
from cnmsim.userland.sh.arithmetic import ShellArithmeticError
from cnmsim.userland.sh.conditional import Conditional, ConditionalError
from cnmsim.userland.sh.expand import ExpansionError, expand_pattern, expand_text, expand_words, matches
from cnmsim.userland.sh.parser import parse
from cnmsim.userland.sh.redirect import redirected
from cnmsim.userland.sh.state import ShellState, Streams
from cnmsim.userland.sh.syntax import (
    AndOr,
    Case,
    Command,
    For,
    Function,
    Group,
    If,
    Loop,
    Pipeline,
    Sequence,
    ShellSyntaxError,
    Simple,
    Test,
)

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process, Program

#: A builtin command. It receives the shell, the words of the command and its streams, and returns the exit status.
Builtin = Callable[["Shell", list[str], Streams], Awaitable[int]]

_SPECIAL_BUILTINS = frozenset(
    [
        ":",
        ".",
        "break",
        "continue",
        "eval",
        "exec",
        "exit",
        "export",
        "readonly",
        "return",
        "set",
        "shift",
        "trap",
        "unset",
    ]
)

_BIN = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
# A loop that hardly waits would keep virtual time from advancing. The first _FREE_ROUNDS quick iterations in a row
# are free. After that each iteration takes at least the time below: one that starts programs, one that runs only
# builtins.
_FREE_ROUNDS = 1000
_PROGRAM_ROUND_NS = 1_000_000
_BUILTIN_ROUND_NS = 20_000


class InterruptedShell(Exception):
    """Raised to abandon the current command of an interactive shell and return to its prompt."""


class ExitShell(Exception):
    """Raised to end the shell: by `exit`, or by a failed command under `set -e`."""

    def __init__(self, status: int) -> None:
        self.status = status

    async def outcome(self, process: Process) -> int:  # noqa: ARG002
        """Return the exit status of the shell's process."""
        return self.status


class ExecProgram(ExitShell):
    """Raised to replace the shell by a program in the same process: by `exec`, or for the last command."""

    def __init__(self, program: Program, words: list[str], env: dict[str, str], streams: Streams) -> None:
        super().__init__(0)
        self.program, self.words, self.env, self.streams = program, words, env, streams

    async def outcome(self, process: Process) -> int:
        """Run the program in the shell's process. Return its exit status."""
        streams = self.streams
        return await process.exec(self.program, self.words, self.env, (streams.stdin, streams.stdout, streams.stderr))


class ReturnFunction(ExitShell):
    """Raised by `return` to leave a function."""


class LeaveLoop(Exception):
    """Raised by `break` and `continue` to leave `levels` loops.

    For `continue`, `goes_on` is True: the outermost of these loops continues with its next iteration.
    """

    def __init__(self, levels: int, *, goes_on: bool) -> None:
        self.levels, self.goes_on = levels, goes_on


class Shell(ShellState):
    """A shell that runs commands. `builtins` maps the names of builtin commands to their functions."""

    def __init__(
        self,
        process: Process,
        builtins: Mapping[str, Builtin],
        *,
        name: str = "sh",
        arguments: list[str] | None = None,
    ) -> None:
        super().__init__(process, name=name, arguments=arguments)
        self.builtins = builtins
        self._conditions = 0
        self._substituted = 0
        self._quick_rounds = 0
        self._round_began_ns = 0
        self._has_started_program = False

    def clone(self, process: Process) -> Shell:
        """Return a copy of this shell, to run as a subshell in the process `process`."""
        copy = Shell(process, self.builtins, name=self.name, arguments=list(self.arguments))
        copy.main_pid = self.main_pid
        copy.variables = dict(self.variables)
        copy.exported = set(self.exported)
        copy.functions = dict(self.functions)
        copy.status = self.status
        copy.is_errexit, copy.is_nounset, copy.is_xtrace = self.is_errexit, self.is_nounset, self.is_xtrace
        copy.last_background = self.last_background
        copy.has_pipefail, copy.is_bash, copy.readonly = self.has_pipefail, self.is_bash, set(self.readonly)
        copy.line_number = self.line_number
        return copy

    async def run_text(self, source: str, streams: Streams, *, is_last: bool = False) -> int:
        """Parse and run commands. Return the exit status of the last one.

        `is_last` tells that the shell ends afterwards, so that it executes the last program in its own process. A
        syntax error ends the shell with status 2.
        """
        try:
            return await self.run(parse(source), streams, is_last=is_last)
        except ShellSyntaxError as error:
            self.complain(streams, f"syntax error: {error}")
            self.status = 2
            raise ExitShell(2) from None

    async def substitute(self, source: str) -> str:
        """Run the commands `source` of `$(…)` in a subshell. Return their output without trailing newlines."""
        output = Pipe(self.process.clock)
        child = self._subshell_of(source, output)
        chunks: list[bytes] = []
        child.exited.add_done_callback(lambda _: output.close())
        while chunk := await output.read():
            chunks.append(chunk)
        self.status = self._substituted = await child.exited
        return b"".join(chunks).decode(errors="surrogateescape").rstrip("\n")

    def _subshell_of(self, source: str, output: Pipe) -> Process:
        self._has_started_program = True

        async def main(process: Process) -> int:
            shell = self.clone(process)
            streams = Streams(process.stdin, output, process.stderr)
            try:
                status = await shell.run_text(source, streams, is_last=True)
            except ExitShell as leaving:
                status = await leaving.outcome(process)
            return await finish(process, await shell.run_exit_trap(status))

        return self.process.start(main, list(self.process.argv), env=self.environment, stdout=output)

    def _subshell(
        self, node: Command | Sequence | AndOr, streams: Streams, ignored: frozenset[int] = frozenset()
    ) -> Process:
        """Start a subshell that runs `node` and ignores the signals `ignored`."""
        self._has_started_program = True

        async def main(process: Process) -> int:
            shell = self.clone(process)
            inner = standard_streams(process)
            try:
                if isinstance(node, Sequence):
                    status = await shell.run(node, inner, is_last=True)
                elif isinstance(node, AndOr):
                    status = await shell._and_or(node, inner, is_last=True)
                else:
                    status = await shell._command(node, inner, is_last=True)
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

    async def run(self, sequence: Sequence, streams: Streams, *, is_last: bool = False) -> int:
        """Run a sequence of commands. Return the exit status of the last one.

        With `is_last`, the last command may replace the shell (ash's EV_EXIT).
        """
        status = 0
        for number, (item, is_background) in enumerate(sequence.items, 1):
            if is_background:
                idle = Pipe(self.process.clock)
                idle.close()
                # Without job control, a background command ignores the signals of the keyboard (POSIX XCU §2.11).
                child = self._subshell(item, evolve(streams, stdin=idle), frozenset((SIGINT, SIGQUIT)))
                child.in_background = True
                self.background.append(child)
                self.last_background = str(child.local_pid)
                status = self.status = 0
            else:
                ends = is_last and number == len(sequence.items)
                status = self.status = await self._and_or(item, streams, is_last=ends)
            if self.pending_signals:
                await self.run_traps(streams)
            if self.is_interrupted:
                raise InterruptedShell
        return status

    async def run_traps(self, streams: Streams) -> None:
        """Run the `trap` commands of the signals that have arrived. They do not change `$?`."""
        while self.pending_signals:
            command = self.traps.get(self.pending_signals.pop(0))
            if command:
                status = self.status
                await self.run_text(command, streams)
                self.status = status

    async def run_exit_trap(self, status: int) -> int:
        """Run the command of `trap … EXIT`, if there is one, and remove the trap.

        `status` is the status with which the shell exits. Return that, or the status of an `exit` in the command.
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

    async def _and_or(self, node: AndOr, streams: Streams, *, is_last: bool = False) -> int:
        self._conditions += bool(node.rest)
        try:
            status = await self._pipeline(node.first, streams, is_last=is_last and not node.rest)
        finally:
            self._conditions -= bool(node.rest)
        for number, (operator, pipeline) in enumerate(node.rest):
            self.status = status
            if (operator == "&&") != (status == 0):
                continue
            is_final = number == len(node.rest) - 1
            self._conditions += not is_final
            try:
                status = await self._pipeline(pipeline, streams, is_last=is_last and is_final)
            finally:
                self._conditions -= not is_final
        return status

    async def _pipeline(self, node: Pipeline, streams: Streams, *, is_last: bool = False) -> int:
        self._conditions += node.is_negated
        try:
            if len(node.commands) == 1:
                status = await self._command(node.commands[0], streams, is_last=is_last and not node.is_negated)
            else:
                status = await self._piped(node.commands, streams)
        finally:
            self._conditions -= node.is_negated
        if node.is_negated:
            return int(not status)
        self.status = status
        if status and self.is_errexit and not self._conditions and not _reports_inside(node):
            raise ExitShell(status)
        return status

    async def _piped(self, commands: tuple[Command, ...], streams: Streams) -> int:
        children: list[Process] = []
        stdin = streams.stdin
        for number, command in enumerate(commands):
            is_last = number == len(commands) - 1
            stdout = streams.stdout if is_last else Pipe(self.process.clock)
            child = self._subshell(command, Streams(stdin, stdout, streams.stderr))
            if not is_last:
                child.exited.add_done_callback(_closer(stdout))
            if number:
                child.exited.add_done_callback(_reader_closer(stdin))
            children.append(child)
            stdin = stdout
        statuses = [await child.exited for child in children]
        self.report_signal(children[-1], streams)
        failed = [status for status in statuses if status] if self.has_pipefail else []
        return failed[-1] if failed else statuses[-1]

    async def _command(self, node: Command, streams: Streams, *, is_last: bool = False) -> int:
        try:
            if isinstance(node, Simple):
                return await self._simple(node, streams, is_last=is_last)
            if isinstance(node, Function):
                self.functions[node.name] = node.body
                return 0
            inner = await redirected(self, node.redirections, streams)
            if inner is None:
                return 1
            if isinstance(node, Group):
                return await self._group(node, inner, is_last=is_last)
            if isinstance(node, If):
                return await self._if(node, inner, is_last=is_last)
            if isinstance(node, Loop):
                return await self._loop(node, inner)
            if isinstance(node, For):
                return await self._for(node, inner)
            if isinstance(node, Test):
                return await self._test(node, inner)
            return await self._case(node, inner)
        except (ExpansionError, ShellArithmeticError) as error:
            self.complain(streams, str(error))
            raise ExitShell(2) from None

    async def _group(self, node: Group, streams: Streams, *, is_last: bool) -> int:
        if node.is_subshell:
            return await self.wait_for(self._subshell(node.body, streams), streams)
        return await self.run(node.body, streams, is_last=is_last)

    async def _condition(self, sequence: Sequence, streams: Streams) -> bool:
        self._conditions += 1
        try:
            return await self.run(sequence, streams) == 0
        finally:
            self._conditions -= 1

    async def _if(self, node: If, streams: Streams, *, is_last: bool) -> int:
        for condition, body in node.branches:
            if await self._condition(condition, streams):
                return await self.run(body, streams, is_last=is_last)
        return await self.run(node.otherwise, streams, is_last=is_last) if node.otherwise is not None else 0

    async def _loop(self, node: Loop, streams: Streams) -> int:
        status, goes_on = 0, True
        while goes_on and await self._condition(node.condition, streams) != node.is_until:
            status, goes_on = await self._loop_body(node.body, streams, status)
        return status

    async def _for(self, node: For, streams: Streams) -> int:
        values = list(self.arguments) if node.words is None else await expand_words(self, node.words)
        status = 0
        for value in values:
            self.variables[node.name] = value
            status, goes_on = await self._loop_body(node.body, streams, status)
            if not goes_on:
                break
        return status

    async def _loop_body(self, body: Sequence, streams: Streams, status: int) -> tuple[int, bool]:
        """Run a loop's body once. Return the loop's exit status so far, and whether the loop continues.

        `status` is the exit status of the previous iteration.
        """
        try:
            status = await self.run(body, streams)
        except LeaveLoop as leaving:
            if not _continues_loop(leaving):
                return status, False
        await self._charge_loop_time()
        return status, True

    async def _charge_loop_time(self) -> None:
        clock = self.process.clock
        least_ns = _PROGRAM_ROUND_NS if self._has_started_program else _BUILTIN_ROUND_NS
        missing_ns = self._round_began_ns + least_ns - clock.now_ns
        self._quick_rounds = self._quick_rounds + 1 if missing_ns > 0 else 0
        if self._quick_rounds > _FREE_ROUNDS:
            await self.process.sleep(missing_ns / NS_PER_S)
        self._round_began_ns, self._has_started_program = clock.now_ns, False

    async def _test(self, node: Test, streams: Streams) -> int:
        try:
            return int(not await Conditional(self, node.words).value())
        except ConditionalError as error:
            self.complain(streams, str(error))
            return 2

    async def _case(self, node: Case, streams: Streams) -> int:
        text = await expand_text(self, node.word)
        for patterns, body in node.branches:
            for pattern in patterns:
                if matches(text, await expand_pattern(self, pattern)):
                    return await self.run(body, streams)
        return 0

    async def _simple(self, node: Simple, streams: Streams, *, is_last: bool) -> int:
        self._substituted = 0
        words = await expand_words(self, node.words)
        inner = await redirected(self, node.redirections, streams)
        if inner is None:
            return 1
        for name, _ in node.assignments:
            if name in self.readonly:
                self.complain(streams, f"{name}: is read only")
                raise ExitShell(2)
        if not words:
            for name, word in node.assignments:
                self.variables[name] = text = await expand_text(self, word)
                if self.is_xtrace:
                    self.put(streams.stderr, f"+ {name}={text}\n")
            return self._substituted
        assigned = {name: await expand_text(self, word) for name, word in node.assignments}
        if self.is_xtrace:
            shown = [f"{name}={value}" for name, value in assigned.items()] + words
            self.put(streams.stderr, f"+ {' '.join(shown)}\n")
        return await self.call(words, inner, assigned, is_last=is_last)

    async def call(
        self, words: list[str], streams: Streams, assigned: dict[str, str] | None = None, *, is_last: bool = False
    ) -> int:
        """Run a command that is a function, a builtin or a program. Return its exit status.

        `words` are the command's name and arguments, `assigned` the variables set for it, as in `A=1 env`. With
        `is_last` a program replaces the shell, unless there are traps.
        """
        name = words[0]
        if name in self.functions:
            return await self._function(name, words, streams)
        builtin = self.builtins.get(name)
        if builtin is not None:
            # Assignments before a special builtin last (POSIX XCU §2.14).
            lasts = name in _SPECIAL_BUILTINS
            before = {variable: self.variables.get(variable) for variable in assigned or ()}
            self.variables.update(assigned or {})
            try:
                return await builtin(self, words, streams)
            except BrokenPipeError:
                raise
            except OSError as error:
                if name == "echo":  # printf fails without a message
                    self.complain(streams, f"write error: {strerror(error)}")
                return 1
            finally:
                if not lasts:
                    self._restore(before)
        program = self.find(name)
        if program is None:
            return self.not_found(name, streams)
        self._has_started_program = True
        env = {**self.environment, **(assigned or {})}
        if is_last and not any(self.traps.values()):
            raise ExecProgram(program, words, env, streams)
        child = self.process.start(
            program, words, env=env, stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr
        )
        return await self.wait_for(child, streams)

    def _restore(self, before: Mapping[str, str | None]) -> None:
        for variable, value in before.items():
            if value is None:
                self.variables.pop(variable, None)
            else:
                self.variables[variable] = value

    async def wait_for(self, child: Process, streams: Streams) -> int:
        """Wait until a child ends.

        Return its exit status; print the name of the signal that ended it, as ash does.
        """
        status = await child.exited
        self.report_signal(child, streams)
        return status

    def report_signal(self, child: Process, streams: Streams) -> None:
        """Print the name of the signal that ended a child, except for SIGINT and SIGPIPE."""
        if child.term_signal and child.term_signal not in (SIGINT, SIGPIPE):
            self.put(streams.stderr, f"{signal_description(child.term_signal)}\n")

    def not_found(self, name: str, streams: Streams, *, prefix: str = "") -> int:
        """Print that a command cannot be executed. Return the exit status, 126 or 127."""
        if "/" in name and self.process.files.exists(self.resolve(name)):
            self.complain(streams, f"{prefix}{name}: Permission denied")
            return 126
        self.complain(streams, f"{prefix}{name}: not found")
        return 127

    def find(self, name: str) -> Program | None:
        """Return the program with a name or path, or `None` if there is none.

        It is one of the process's registered programs or an executable script.
        """
        programs = self.process.programs
        if "/" not in name:
            return programs.get(name)
        path = self.resolve(name)
        if posixpath.dirname(path) in _BIN and posixpath.basename(path) in programs:
            return programs[posixpath.basename(path)]
        files = self.process.files
        if files.exists(path) and not files.is_dir(path) and files.file(path).mode & 0o111:
            return _script_program(self.builtins)
        return None

    async def _function(self, name: str, words: list[str], streams: Streams) -> int:
        outer, self.arguments = self.arguments, words[1:]
        self.locals.append({})
        try:
            return await self._command(self.functions[name], streams)
        except ReturnFunction as leaving:
            return leaving.status
        finally:
            self.arguments = outer
            self._restore(self.locals.pop())


def _script_program(builtins: Mapping[str, Builtin]) -> Program:
    async def main(process: Process) -> int:
        return await run_script(process, builtins, process.argv[0], process.argv[1:])

    return main


async def run_script(process: Process, builtins: Mapping[str, Builtin], path: str, arguments: list[str]) -> int:
    """Run a script file as `sh PATH ARGUMENT…` does. Return its exit status."""
    shell = Shell(process, builtins, name=path, arguments=arguments)
    try:
        source = process.files.read(shell.resolve(path)).decode(errors="surrogateescape")
    except OSError as error:
        process.error(f"sh: can't open '{path}': {strerror(error)}\n")
        return 2
    return await shell.run_exit_trap(await _run_by_lines(shell, source))


async def _run_by_lines(shell: Shell, source: str) -> int:
    """Run a script one command at a time. Return the exit status.

    Commands before a syntax error are thus run, and error messages contain the line number.
    """
    lines = source.split("\n")
    at = 0
    while at < len(lines):
        end = at + 1
        while True:
            text = "\n".join(lines[at:end])
            shell.line_number = end
            try:
                program = parse(text)
            except ShellSyntaxError as error:
                if error.is_incomplete and end < len(lines):
                    end += 1
                    continue
                shell.process.error(f"{shell.name}: line {end}: syntax error: {error}\n")
                return 2
            break
        try:
            await shell.run(program, standard_streams(shell.process))
        except ExitShell as leaving:
            return await leaving.outcome(shell.process)
        except LeaveLoop:
            shell.status = 0
        at = end
    return shell.status


def standard_streams(process: Process) -> Streams:
    """Return the standard streams of a process."""
    return Streams(process.stdin, process.stdout, process.stderr)


def _continues_loop(leaving: LeaveLoop) -> bool:
    if leaving.levels > 1:
        raise LeaveLoop(leaving.levels - 1, goes_on=leaving.goes_on)
    return leaving.goes_on


def _reports_inside(node: Pipeline) -> bool:
    """Return True if a pipeline is one compound command, inside which `set -e` has already been applied."""
    return len(node.commands) == 1 and isinstance(node.commands[0], (If, Loop, For, Case))


def _closer(pipe: Pipe) -> Callable[[object], None]:
    return lambda _: pipe.close()


def _reader_closer(pipe: Pipe) -> Callable[[object], None]:
    return lambda _: pipe.close_reader()
