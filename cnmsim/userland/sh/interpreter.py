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
from cnmsim.kernel.permissions import executable
from cnmsim.kernel.process import SIGINT, SIGQUIT
from cnmsim.userland.sh.arithmetic import ShellArithmeticError, evaluate
from cnmsim.userland.sh.assignments import assign, command_words
from cnmsim.userland.sh.conditional import Conditional, ConditionalError
from cnmsim.userland.sh.expand import ExpansionError, UnboundError, expand_pattern, expand_text, expand_words
from cnmsim.userland.sh.leaving import (
    DiscardLine,
    ExecProgram,
    ExitShell,
    InterruptedShell,
    LeaveLoop,
    ReturnFunction,
)
from cnmsim.userland.sh.pattern import matches
from cnmsim.userland.sh.read import read_line
from cnmsim.userland.sh.redirect import redirected
from cnmsim.userland.sh.scripts import run_script_file, script_program
from cnmsim.userland.sh.state import Streams
from cnmsim.userland.sh.subshells import SubshellStarter, closer, reader_closer
from cnmsim.userland.sh.syntax import (
    AndOr,
    ArithmeticCommand,
    ArithmeticFor,
    Case,
    Command,
    For,
    Function,
    Group,
    If,
    Loop,
    Pipeline,
    Sequence,
    Simple,
    Test,
    Word,
)
from cnmsim.userland.sh.variables import SubscriptError

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process, Program

#: A builtin command. It receives the shell, the words of the command and its streams, and returns the exit status.
Builtin = Callable[["Shell", list[str], Streams], Awaitable[int]]

_SPECIAL_BUILTINS = frozenset(
    [":", ".", "break", "continue", "eval", "exec", "exit", "export", "readonly", "return", "set", "shift", "trap",
     "unset"]
)  # fmt: skip

_BIN = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")


class Shell(SubshellStarter):
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

    def clone(self, process: Process) -> Shell:
        """Return a copy of this shell that runs as a subshell in the process `process`."""
        copy = Shell(process, self.builtins, name=self.name, arguments=list(self.arguments))
        self.copy_to(copy)
        return copy

    async def run(self, sequence: Sequence, streams: Streams, *, is_last: bool = False) -> int:
        """Run a sequence of commands. Return the exit status of the last one.

        With `is_last`, this shell has no further commands to run, so the last command may replace the shell (ash's
        EV_EXIT). If no process can be started, raises `ExitShell`, or `DiscardLine` in an interactive shell.
        """
        try:
            return await self._run_items(sequence, streams, is_last=is_last)
        except ForkRefusedError as error:
            name = "fork" if self.is_bash else "can't fork"
            self.complain(streams, f"{name}: {error.strerror}")
            raise (DiscardLine if self.is_interactive else ExitShell)(254 if self.is_bash else 2) from None

    async def run_node(self, node: Command | Sequence | AndOr, streams: Streams) -> int:
        """Run the command or commands `node` as the last ones of a subshell. Return the exit status.

        The last command may replace the shell, i.e. run in the shell's own process.
        """
        if isinstance(node, Sequence):
            return await self.run(node, streams, is_last=True)
        if isinstance(node, AndOr):
            return await self._and_or(node, streams, is_last=True)
        return await self._command(node, streams, is_last=True)

    async def _run_items(self, sequence: Sequence, streams: Streams, *, is_last: bool) -> int:
        status = 0
        for number, (item, is_background) in enumerate(sequence.items, 1):
            if is_background:
                idle = Pipe(self.process.clock)
                idle.close()
                # Without job control, a background command ignores the signals of the keyboard (POSIX XCU §2.11).
                child = self.start_subshell(item, evolve(streams, stdin=idle), frozenset((SIGINT, SIGQUIT)))
                child.in_background = True
                self.background.append(child)
                self.last_background = str(child.local_pid)
                status = self.status = 0
            else:
                is_final = number == len(sequence.items)
                status = self.status = await self._and_or(item, streams, is_last=is_last and is_final)
            if self.pending_signals:
                await self.run_traps(streams)
            if self.is_interrupted:
                raise InterruptedShell
        return status

    async def _and_or(self, node: AndOr, streams: Streams, *, is_last: bool = False) -> int:
        status = 0
        for number, (operator, pipeline) in enumerate((("", node.first), *node.rest)):
            if operator:
                self.status = status
                if (operator == "&&") != (status == 0):
                    continue
            is_final = number == len(node.rest)
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
            child = self.start_subshell(command, Streams(stdin, stdout, streams.stderr))
            if not is_last:
                child.exited.add_done_callback(closer(stdout))
            if number:
                child.exited.add_done_callback(reader_closer(stdin))
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
            if isinstance(node, (ArithmeticCommand, ArithmeticFor)):
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
        """Return True if a simple command contains an expansion `${NAME?}`, whose failure makes bash exit."""
        words = node.words + tuple(word for _, word in node.assignments) if isinstance(node, Simple) else ()
        return any(getattr(part, "operator", "").endswith("?") for word in words for part in word)

    async def _group(self, node: Group, streams: Streams, *, is_last: bool) -> int:
        if node.is_subshell:
            return await self.wait_for(self.start_subshell(node.body, streams), streams)
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
        """Run bash's `select`: print the menu and run the body for each answer. Return the exit status."""
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

    async def _arithmetic(self, node: ArithmeticCommand | ArithmeticFor, streams: Streams) -> int:
        try:
            if isinstance(node, ArithmeticFor):
                return await self._arithmetic_for(node, streams)
            return int(not await self._evaluate(node.expression))
        except ShellArithmeticError as error:
            self.complain(streams, f"((: {error.bash_text}")
            return 1

    async def _arithmetic_for(self, node: ArithmeticFor, streams: Streams) -> int:
        status = 0
        await self._evaluate(node.first)
        while not node.condition or await self._evaluate(node.condition):
            status, goes_on = await self._loop_body(node.body, streams, status)
            if not goes_on:
                break
            await self._evaluate(node.step)
        return status

    async def _loop_body(self, body: Sequence, streams: Streams, status: int) -> tuple[int, bool]:
        """Run a loop's body once. Return the loop's exit status so far, and True if the loop continues.

        `status` is the exit status of the previous iteration.
        """
        self.loops += 1
        try:
            status = await self.run(body, streams)
        except LeaveLoop as leaving:
            if not leaving.continues_loop():
                return 0, False
        finally:
            self.loops -= 1
        await self.loop_time.charge()
        return status, True

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
        self.substitution_status = 0
        if self.is_bash and self.first_line:
            self.line_number = self.first_line + node.line
        words = await command_words(self, node)
        inner = await redirected(self, node.redirections, streams)
        if inner is None:
            return 1
        for name, _ in node.assignments:
            if re.split(r"[\[+]", name)[0] in self.readonly:
                self.complain(streams, f"{name}: is read only")
                raise (DiscardLine(1) if self.is_bash else ExitShell(2))
        if not words:
            for name, word in node.assignments:
                shown = await assign(self, name, word)
                if self.is_xtrace:
                    self.put(streams.stderr, f"+ {shown}\n")
            await self.close_substitutions()
            return self.substitution_status
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
                await self.close_substitutions()

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

        `words` are the command's name and arguments. `assigned` are the variables set only for the command, as in
        `A=1 env`. With `is_last`, a program replaces the shell (raises `ExecProgram`), unless there are traps.
        `uses_functions` is False to ignore functions.
        """
        name = words[0]
        if uses_functions and name in self.functions:
            before = self.variables.saved(assigned or ())
            self.variables.update(assigned or {})
            try:
                return await self._function(name, words, streams)
            finally:
                self.variables.restore(before)
        builtin = self.builtins.get(name)
        if builtin is not None:
            # Assignments before a special builtin stay in effect after it (POSIX XCU §2.14), but not in bash.
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
                    self.variables.restore(before)
        if (program := self.find(name)) is None:
            return self.not_found(name, streams)
        self.loop_time.has_started_program = True
        env = {**self.environment, **(assigned or {})}
        if is_last and not any(self.traps.values()):
            raise ExecProgram(program, words, env, streams)
        child = self.process.start(
            program, words, env=env, stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr
        )
        return await self.wait_for(child, streams)

    def not_found(self, name: str, streams: Streams, *, prefix: str = "") -> int:
        """Print why the command `name` cannot be executed. Return exit status 126 or 127.

        `prefix` is printed before the name. 126 means that the file exists, 127 that the file does not exist.
        """
        if "/" in name and self.process.files.exists(self.resolve(name)):
            is_directory = self.is_bash and self.process.files.is_dir(self.resolve(name))
            self.complain(streams, f"{prefix}{name}: {'Is a directory' if is_directory else 'Permission denied'}")
            return 126
        self.complain(streams, f"{prefix}{name}: not found")
        return 127

    def find(self, name: str) -> Program | None:
        """Return the program with this name or path, or `None` if there is none.

        A name is that of a registered program of the process. A path may also be that of an executable script.
        """
        programs = self.process.programs
        if "/" not in name:
            return programs.get(name)
        path = self.resolve(name)
        if posixpath.dirname(path) in _BIN and posixpath.basename(path) in programs:
            return programs[posixpath.basename(path)]
        try:
            return script_program(self._run_script) if executable(self.process, path) else None
        except OSError:
            return None

    async def _run_script(self, process: Process) -> int:
        """Run the script of `process`, a new process, in a new shell with the builtins of this one."""
        path, arguments = process.argv[0], process.argv[1:]
        return await run_script_file(Shell(process, self.builtins, name=path, arguments=arguments), path)

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
            self.variables.restore(self.locals.pop())
            self.call_stack.pop(0)
            self._set_function_names()

    def _set_function_names(self) -> None:
        if self.is_bash:
            self.variables.set_list("FUNCNAME", self.call_stack)


def _reports_inside(node: Pipeline) -> bool:
    """Return True for a single compound command such as `if`: `set -e` has been applied inside it already."""
    return len(node.commands) == 1 and isinstance(node.commands[0], (If, Loop, For, ArithmeticFor, Case))
