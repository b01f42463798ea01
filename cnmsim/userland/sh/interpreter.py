"""The shell's interpreter, one `Shell` per process. Pipelines and subshells run in processes of their own."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.digits import is_number
from cnmsim.kernel.cgroup import ForkRefusedError
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.files import Pipe
from cnmsim.kernel.inode import File
from cnmsim.kernel.permissions import executable
from cnmsim.kernel.process import SIGINT, SIGPIPE, SIGQUIT
from cnmsim.userland.invocation import absolute_path, finish
from cnmsim.userland.libc.signals import signal_description
from cnmsim.userland.sh.arithmetic import ShellArithmeticError, evaluate
from cnmsim.userland.sh.conditional import Conditional, ConditionalError
from cnmsim.userland.sh.expand import (
    ExpansionError,
    UnboundError,
    expand_elements,
    expand_pattern,
    expand_reference,
    expand_text,
    expand_words,
)
from cnmsim.userland.sh.lexer import BadSubstitution
from cnmsim.userland.sh.parser import parse
from cnmsim.userland.sh.pattern import matches
from cnmsim.userland.sh.read import read_line
from cnmsim.userland.sh.redirect import redirected
from cnmsim.userland.sh.state import ShellState, Streams, bash_text
from cnmsim.userland.sh.syntax import (
    AndOr,
    ArithmeticCommand,
    ArithmeticFor,
    ArrayLiteral,
    Case,
    Command,
    For,
    Function,
    Group,
    If,
    Loop,
    Pipeline,
    ProcessSubstitution,
    Sequence,
    ShellSyntaxError,
    Simple,
    Test,
    Text,
    Word,
)
from cnmsim.userland.sh.variables import SubscriptError, Variable

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

_QUOTES = {"quoted": "'", "double-quoted": '"'}
#: Builtins of bash whose arguments of the form NAME=VALUE are assignments.
_DECLARATIONS = frozenset(["declare", "typeset", "local", "export", "readonly"])
_ASSIGNMENT_WORD = re.compile(r"([A-Za-z_]\w*(?:\[.*\])?\+?)=", re.DOTALL)
#: The descriptor of bash's first process substitution; the others get the numbers below.
_FIRST_SUBSTITUTION = 63
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


class DiscardLine(ExitShell):
    """Raised by an error that makes bash abandon the commands of the line, but not a script."""


class ArrayArgument(str):
    """An argument `NAME=(…)` of a declaration builtin: its name with `=` or `+=`, and the values."""

    __slots__ = ("elements",)

    elements: list[tuple[str | None, str, bool]]


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
        #: The number of the first line of the commands that run, 0 if there are no lines to count.
        self.first_line = 0
        #: The numbers of the files that stand for `<(…)` and `>(…)` of the current command.
        self.substituted_files: list[int] = []
        #: The pipes into the commands of `>(…)`, and their processes.
        self.outputs: list[tuple[Pipe, Process]] = []
        self._conditions = 0
        self._substituted = 0
        self._quick_rounds = 0
        self._round_began_ns = 0
        self._has_started_program = False

    def clone(self, process: Process) -> Shell:
        """Return a copy of this shell, to run as a subshell in the process `process`."""
        copy = Shell(process, self.builtins, name=self.name, arguments=list(self.arguments))
        copy.main_pid = self.main_pid
        copy.variables.table = self.variables.copy_table()
        copy.seconds_since_ns, copy.shell_options = self.seconds_since_ns, set(self.shell_options)
        copy.has_no_globbing, copy.call_stack = self.has_no_globbing, list(self.call_stack)
        copy.loops, copy.is_sourcing, copy.err_trap = self.loops, self.is_sourcing, ""
        copy.is_command_string, copy.locals = self.is_command_string, [{} for _ in self.locals]
        copy.exported = set(self.exported)
        copy.functions = dict(self.functions)
        copy.status = self.status
        copy.is_errexit, copy.is_nounset, copy.is_xtrace = self.is_errexit, self.is_nounset, self.is_xtrace
        copy.last_background = self.last_background
        copy.has_pipefail, copy.is_bash, copy.readonly = self.has_pipefail, self.is_bash, set(self.readonly)
        copy.line_number, copy.first_line = self.line_number, 0
        return copy

    async def run_text(self, source: str, streams: Streams, *, is_last: bool = False) -> int:
        """Parse and run commands. Return the exit status of the last one.

        `is_last` tells that the shell ends afterwards, so that it executes the last program in its own process. A
        syntax error ends the shell with status 2.
        """
        try:
            return await self.run(self.parse(source), streams, is_last=is_last)
        except ShellSyntaxError as error:
            self.report_syntax_error(source, error, streams)
            self.status = 1 if self.is_bash and isinstance(error, BadSubstitution) else 2
            raise ExitShell(self.status) from None

    def parse(self, source: str) -> Sequence:
        """Parse a program. Raises `ShellSyntaxError`."""
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

    async def substitute(self, source: str) -> str:
        """Run the commands `source` of `$(…)` in a subshell. Return their output without trailing newlines."""
        output = Pipe(self.process.clock)
        child = self._subshell_of(source, output)
        chunks: list[bytes] = []
        child.exited.add_done_callback(lambda _: output.close())
        while chunk := await output.read():
            chunks.append(chunk)
        self._substituted = await child.exited
        if self.is_bash:
            self.status = self._substituted
        return b"".join(chunks).decode(errors="surrogateescape").rstrip("\n")

    def _subshell_of(self, source: str, output: Pipe, stdin: Pipe | None = None) -> Process:
        self._has_started_program = True

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
        """Start the commands of `<(…)` or `>(…)`. Return the other end of their output or input."""
        pipe = Pipe(self.process.clock)
        if part.is_output:
            child = self._subshell_of(part.source, self.process.stdout, pipe)
            child.exited.add_done_callback(_reader_closer(pipe))
            self.outputs.append((pipe, child))
        else:
            child = self._subshell_of(part.source, pipe)
            child.exited.add_done_callback(_closer(pipe))
        self.last_background = str(child.local_pid)
        return pipe

    async def substitute_process(self, part: ProcessSubstitution) -> str:
        """Start the commands of `<(…)` or `>(…)`. Return the path of the file that stands for their end.

        The output of `<(…)` is complete before the command that reads it starts.
        """
        open_files = self.process.machine.open_files
        number = next(fd for fd in range(_FIRST_SUBSTITUTION, 2, -1) if fd not in open_files)
        pipe = self.connect_process(part)
        if part.is_output:
            open_files[number] = _PipeFile(pipe)
        else:
            chunks: list[bytes] = []
            while chunk := await pipe.read():
                chunks.append(chunk)
            open_files[number] = File(b"".join(chunks), 0o500)
        self.substituted_files.append(number)
        return f"/dev/fd/{number}"

    async def _close_substitutions(self) -> None:
        """Close the files of process substitutions, and wait for the commands that read from them."""
        for number in self.substituted_files:
            self.process.machine.open_files.pop(number, None)
        self.substituted_files.clear()
        while self.outputs:
            pipe, child = self.outputs.pop()
            pipe.close()
            await child.exited

    def _subshell(
        self, node: Command | Sequence | AndOr, streams: Streams, ignored: frozenset[int] = frozenset()
    ) -> Process:
        """Start a subshell that runs `node` and ignores the signals `ignored`."""
        self._has_started_program = True

        async def main(process: Process) -> int:
            shell = self.clone(process)
            inner = standard_streams(process)
            inner.others = dict(streams.others)
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
        try:
            return await self._run_items(sequence, streams, is_last=is_last)
        except ForkRefusedError as error:
            name = "fork" if self.is_bash else "can't fork"
            self.complain(streams, f"{name}: {error.strerror}")
            raise (DiscardLine if self.is_interactive else ExitShell)(254 if self.is_bash else 2) from None

    async def _run_items(self, sequence: Sequence, streams: Streams, *, is_last: bool) -> int:
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
        is_last = is_last and not (node.is_negated or node.is_timed or self.err_trap)
        started_ns = self.process.clock.now_ns
        try:
            if len(node.commands) == 1:
                status = await self._command(node.commands[0], streams, is_last=is_last)
                if self.is_bash and isinstance(node.commands[0], (Simple, Group)):
                    self.variables.set_list("PIPESTATUS", [str(status)])
            else:
                status = await self._piped(node.commands, streams)
        finally:
            self._conditions -= node.is_negated
        if node.is_timed:
            milliseconds = (self.process.clock.now_ns - started_ns) // 10**6
            real = f"{milliseconds // 60000}m{milliseconds // 1000 % 60}.{milliseconds % 1000:03d}s"
            self.put(streams.stderr, f"\nreal\t{real}\nuser\t0m0.000s\nsys\t0m0.000s\n")
        if node.is_negated:
            return int(not status)
        self.status = status
        if status and not self._conditions and not _reports_inside(node):
            if self.err_trap:
                command, self.err_trap = self.err_trap, ""
                await self.run_text(command, streams)
                self.err_trap, self.status = command, status
            if self.is_errexit:
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
        if self.is_bash:
            self.variables.set_list("PIPESTATUS", list(map(str, statuses)))
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
                return await (self._select(node, inner) if node.is_select else self._for(node, inner))
            if isinstance(node, ArithmeticFor):
                return await self._arithmetic_for(node, inner)
            if isinstance(node, ArithmeticCommand):
                return await self._arithmetic(node, inner)
            if isinstance(node, Test):
                return await self._test(node, inner)
            return await self._case(node, inner)
        except ShellArithmeticError as error:
            self.complain(streams, error.bash_text if self.is_bash else str(error))
            raise (DiscardLine(1) if self.is_bash else ExitShell(2)) from None
        except SubscriptError as error:
            self.complain(streams, str(error))
            raise DiscardLine(1) from None
        except ExpansionError as error:
            self.complain(streams, str(error))
            if not self.is_bash:
                raise ExitShell(2) from None
            is_required = isinstance(error, UnboundError) or "not set" in str(error) or self._is_required(node)
            raise (ExitShell(127 if self.is_command_string else 1) if is_required else DiscardLine(1)) from None

    def _is_required(self, node: Command) -> bool:
        """Return True if a simple command has an expansion `${NAME?}`, after whose failure bash exits."""
        words = node.words + tuple(word for _, word in node.assignments) if isinstance(node, Simple) else ()
        return any(getattr(part, "operator", "").endswith("?") for word in words for part in word)

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

    async def _select(self, node: For, streams: Streams) -> int:
        """Run bash's `select`: print the menu and read answers until the input ends."""
        values = list(self.arguments) if node.words is None else await expand_words(self, node.words)
        menu = "".join(f"{number}) {value}\n" for number, value in enumerate(values, 1))
        status, goes_on, shows_menu = 0, True, True
        while goes_on:
            self.put(streams.stderr, (menu if shows_menu else "") + self.variables.get("PS3", "#? "))
            line = await read_line(streams.stdin)
            if not line:
                self.put(streams.stdout, "\n")
                return 1
            answer = line.decode(errors="surrogateescape").strip()
            shows_menu = not answer
            if answer:
                self.variables["REPLY"] = answer
                is_valid = is_number(answer) and 0 < int(answer) <= len(values)
                self.variables[node.name] = values[int(answer) - 1] if is_valid else ""
                status, goes_on = await self._loop_body(node.body, streams, status)
        return status

    async def _evaluate(self, expression: Word) -> int:
        return evaluate(await expand_text(self, expression), self.variables)

    async def _arithmetic(self, node: ArithmeticCommand, streams: Streams) -> int:
        try:
            return int(not await self._evaluate(node.expression))
        except ShellArithmeticError as error:
            self.complain(streams, f"((: {error.bash_text}")
            return 1

    async def _arithmetic_for(self, node: ArithmeticFor, streams: Streams) -> int:
        status = 0
        try:
            await self._evaluate(node.first)
            while not node.condition or await self._evaluate(node.condition):
                status, goes_on = await self._loop_body(node.body, streams, status)
                if not goes_on:
                    break
                await self._evaluate(node.step)
        except ShellArithmeticError as error:
            self.complain(streams, f"((: {error.bash_text}")
            return 1
        return status

    async def _loop_body(self, body: Sequence, streams: Streams, status: int) -> tuple[int, bool]:
        """Run a loop's body once. Return the loop's exit status so far, and whether the loop continues.

        `status` is the exit status of the previous iteration.
        """
        self.loops += 1
        try:
            status = await self.run(body, streams)
        except LeaveLoop as leaving:
            if not _continues_loop(leaving):
                return 0, False
        finally:
            self.loops -= 1
        await self._charge_loop_time()
        return status, True

    async def _charge_loop_time(self) -> None:
        clock = self.process.clock
        least_ns = _PROGRAM_ROUND_NS if self._has_started_program else _BUILTIN_ROUND_NS
        missing_ns = self._round_began_ns + least_ns - clock.now_ns
        self._quick_rounds = self._quick_rounds + 1 if missing_ns > 0 else 0
        if self._quick_rounds > _FREE_ROUNDS:
            await self.process.compute(missing_ns)
        self._round_began_ns, self._has_started_program = clock.now_ns, False

    async def _test(self, node: Test, streams: Streams) -> int:
        try:
            return int(not await Conditional(self, node.words).value())
        except ConditionalError as error:
            self.complain(streams, str(error))
            return 2

    async def _case(self, node: Case, streams: Streams) -> int:
        text = await expand_text(self, node.word)
        is_extended = "extglob" in self.shell_options
        status, falls_through = 0, False
        for patterns, body, ending in node.branches:
            for pattern in () if falls_through else patterns:
                if matches(text, await expand_pattern(self, pattern), is_extended=is_extended):
                    break
            else:
                if not falls_through:
                    continue
            status = await self.run(body, streams)
            if ending == ";;":
                break
            falls_through = ending == ";&"
        return status

    async def _simple(self, node: Simple, streams: Streams, *, is_last: bool) -> int:
        self._substituted = 0
        if self.is_bash and self.first_line:
            self.line_number = self.first_line + node.line
        words = await self._words(node)
        inner = await redirected(self, node.redirections, streams)
        if inner is None:
            return 1
        for name, _ in node.assignments:
            if re.split(r"[\[+]", name)[0] in self.readonly:
                self.complain(streams, f"{name}: is read only")
                raise (DiscardLine(1) if self.is_bash else ExitShell(2))
        if not words:
            for name, word in node.assignments:
                shown = await self.assign(name, word)
                if self.is_xtrace:
                    self.put(streams.stderr, f"+ {shown}\n")
            await self._close_substitutions()
            return self._substituted
        assigned = {name: await expand_text(self, word) for name, word in node.assignments}
        if self.is_xtrace:
            shown_words = [f"{name}={value}" for name, value in assigned.items()] + words
            self.put(streams.stderr, f"+ {' '.join(shown_words)}\n")
        if words == ["exec"]:
            streams.replace(inner)
            return 0
        has_files = bool(self.substituted_files or self.outputs)
        try:
            return await self.call(words, inner, assigned, is_last=is_last and not has_files)
        finally:
            if self.is_bash:
                self.variables["_"] = words[-1]
            if has_files:
                await self._close_substitutions()

    async def _words(self, node: Simple) -> list[str]:
        """Expand the words of a simple command. In bash, the assignments of `declare` and its like are not split."""
        first = node.words[0] if node.words else ()
        name = first[0].text if len(first) == 1 and isinstance(first[0], Text) else ""
        if not self.is_bash or name not in _DECLARATIONS:
            return await expand_words(self, node.words)
        words: list[str] = []
        for word in node.words:
            start = word[0] if word else None
            match = _ASSIGNMENT_WORD.match(start.text) if isinstance(start, Text) and not start.is_quoted else None
            if match is None:
                words += await expand_words(self, (word,))
            elif len(word) == 2 and isinstance(word[1], ArrayLiteral):
                argument = ArrayArgument(match[0])
                argument.elements = await expand_elements(self, word[1])
                words.append(argument)
            else:
                assert isinstance(start, Text)
                value = await expand_text(self, (Text(start.text[match.end() :]), *word[1:]))
                words.append(f"{match[0]}{value}")
        return words

    async def assign(self, name: str, word: Word) -> str:
        """Assign a word to a variable, an element or an array. Return the assignment as `set -x` shows it.

        A `+` at the end of the name appends.
        """
        appends = name.endswith("+")
        name = await expand_reference(self, name.removesuffix("+")) if self.is_bash else name
        mark = "+=" if appends else "="
        if len(word) == 1 and isinstance(word[0], ArrayLiteral):
            elements = await expand_elements(self, word[0])
            self.variables.assign_array(name, elements, appends=appends)
            return f"{name}{mark}({' '.join(value for _, value, _ in elements)})"
        text = await expand_text(self, word)
        if appends:
            self.variables.append(name, text)
        else:
            self.variables[name] = text
        return f"{name}{mark}{text}"

    async def call(
        self,
        words: list[str],
        streams: Streams,
        assigned: dict[str, str] | None = None,
        *,
        is_last: bool = False,
        uses_functions: bool = True,
    ) -> int:
        """Run a command that is a function, a builtin or a program. Return its exit status.

        `words` are the command's name and arguments, `assigned` the variables set for it, as in `A=1 env`. With
        `is_last` a program replaces the shell, unless there are traps.
        """
        name = words[0]
        if uses_functions and name in self.functions:
            before = self.variables.saved(assigned or ())
            self.variables.update(assigned or {})
            try:
                return await self._function(name, words, streams)
            finally:
                self._restore(before)
        builtin = self.builtins.get(name)
        if builtin is not None:
            # Assignments before a special builtin last (POSIX XCU §2.14), but not in bash.
            lasts = name in _SPECIAL_BUILTINS and not self.is_bash
            before = self.variables.saved(assigned or ())
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

    def _restore(self, before: Mapping[str, Variable | None]) -> None:
        for name, variable in before.items():
            if variable is None:
                self.variables.table.pop(name, None)
            else:
                self.variables.table[name] = variable

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
            is_directory = self.is_bash and self.process.files.is_dir(self.resolve(name))
            self.complain(streams, f"{prefix}{name}: {'Is a directory' if is_directory else 'Permission denied'}")
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
        try:
            return _script_program(self.builtins) if executable(self.process, path) else None
        except OSError:
            return None

    async def _function(self, name: str, words: list[str], streams: Streams) -> int:
        outer, self.arguments = self.arguments, words[1:]
        self.locals.append({})
        self.call_stack.insert(0, name)
        self._set_function_names()
        try:
            return await self._command(self.functions[name], streams)
        except ReturnFunction as leaving:
            return leaving.status
        finally:
            self.arguments = outer
            self._restore(self.locals.pop())
            self.call_stack.pop(0)
            self._set_function_names()

    def _set_function_names(self) -> None:
        if self.is_bash:
            self.variables.set_list("FUNCNAME", self.call_stack)


def _script_program(builtins: Mapping[str, Builtin]) -> Program:
    async def main(process: Process) -> int:
        path, arguments = process.argv[0], process.argv[1:]
        interpreter = _interpreter_of(process, path)
        if interpreter is None:
            return await run_script(process, builtins, path, arguments)
        program, words = interpreter
        streams = (process.stdin, process.stdout, process.stderr)
        return await process.exec(program, [*words, path, *arguments], process.env, streams)

    return main


def _interpreter_of(process: Process, path: str) -> tuple[Program, list[str]] | None:
    """Return the program of a script's `#!` line with its words, or `None` if this shell runs the script."""
    try:
        first = process.files.read(absolute_path(process, path)).split(b"\n", 1)[0].decode(errors="surrogateescape")
    except OSError:
        return None
    words = first[2:].split(maxsplit=1) if first.startswith("#!") else []
    if words and posixpath.basename(words[0]) == "env":
        words = first[2:].split()[1:]
        words = words[1:] if words[:1] == ["-S"] else words
    program = process.programs.get(posixpath.basename(words[0])) if words else None
    return None if program is None else (program, words)


async def run_script(process: Process, builtins: Mapping[str, Builtin], path: str, arguments: list[str]) -> int:
    """Run a script file as `sh PATH ARGUMENT…` does. Return its exit status."""
    shell = Shell(process, builtins, name=path, arguments=arguments)
    return await run_script_file(shell, path)


async def run_script_file(shell: Shell, path: str) -> int:
    """Run a script file in `shell`. Return its exit status."""
    process = shell.process
    try:
        source = process.files.read(shell.resolve(path)).decode(errors="surrogateescape")
    except OSError as error:
        if shell.is_bash:
            process.error(f"bash: {path}: {strerror(error)}\n")
            return 127
        process.error(f"sh: can't open '{path}': {strerror(error)}\n")
        return 2
    return await shell.run_exit_trap(await run_by_lines(shell, source))


async def run_by_lines(shell: Shell, source: str) -> int:
    """Run a script one command at a time. Return the exit status.

    Commands before a syntax error are thus run, and error messages contain the line number.
    """
    lines = source.split("\n")
    streams = standard_streams(shell.process)
    at = 0
    while at < len(lines):
        end = at + 1
        while True:
            text = "\n".join(lines[at:end])
            shell.line_number, shell.first_line = end, at + 1
            try:
                program = shell.parse(text)
            except ShellSyntaxError as error:
                if error.is_incomplete and end < len(lines):
                    end += 1
                    continue
                shell.report_syntax_error(text, error, streams)
                return 1 if shell.is_bash and isinstance(error, BadSubstitution) else 2
            break
        try:
            await shell.run(program, streams, is_last=shell.is_command_string and end == len(lines))
        except DiscardLine as leaving:
            shell.status = leaving.status
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
    return len(node.commands) == 1 and isinstance(node.commands[0], (If, Loop, For, ArithmeticFor, Case))


class _PipeFile(File):
    """The file of a process substitution `>(…)`: what is written to it goes into a pipe."""

    mtime_ns = 0

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.mode, self.uid, self.gid = 0o200, 0, 0

    @property
    def content(self) -> bytes:
        """Nothing: the file can only be written."""
        return b""

    @content.setter
    def content(self, written: bytes) -> None:
        self._pipe.write(written)


def _closer(pipe: Pipe) -> Callable[[object], None]:
    return lambda _: pipe.close()


def _reader_closer(pipe: Pipe) -> Callable[[object], None]:
    return lambda _: pipe.close_reader()
