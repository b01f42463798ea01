"""The state of a shell that expansions and redirections need, and the standard streams of a command."""

from __future__ import annotations

import posixpath
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.files import Pipe
from cnmsim.kernel.task import Signal
from cnmsim.userland.invocation import resolve_self
from cnmsim.userland.sh.random_numbers import RandomNumbers
from cnmsim.userland.sh.variables import Variable, Variables

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.userland.sh.syntax import Command, ProcessSubstitution

_BASH_VERSION = "5.2.37(1)-release"


@define(eq=False)
class Streams:
    """The open descriptors of a command: the standard streams, and in `others` all further ones by number.

    An `exec` that has redirections but no command changes them in place.
    """

    stdin: Pipe
    stdout: Pipe
    stderr: Pipe
    others: dict[int, Pipe] = field(factory=dict)

    def replace(self, other: Streams) -> None:
        """Replace the descriptors by those of `other`."""
        self.stdin, self.stdout, self.stderr, self.others = other.stdin, other.stdout, other.stderr, other.others


def standard_streams(process: Process) -> Streams:
    """Return the standard streams of a process."""
    return Streams(process.stdin, process.stdout, process.stderr)


#: Builtins whose errors ash prints with their name and the line number.
_LINE_BUILTINS = frozenset([".", "cd", "export", "local", "read", "readonly", "shift", "trap", "umask", "wait"])
_BASH_TEXTS = (
    (r"(?:exec: )?(\S*/\S*): not found", r"\1: No such file or directory"),
    (r"(?:exec: )?(\S+): not found", r"\1: command not found"),
    (r"can't (?:open|create) (.*): (?:no such file|nonexistent directory)", r"\1: No such file or directory"),
    (r"can't (?:open|create) (.*): (.*)", r"\1: \2"), (r"cd: can't cd to (.*)", r"cd: \1"),
    (r"((?:\[|test): .*): bad number", r"\1: integer expression expected"),
    (r"((?:\[|test): .*): unknown operand", r"\1: binary operator expected"),
    (r"(\S+): parameter not set", r"\1: unbound variable"), (r"(\w+): is read only", r"\1: readonly variable"),
    (r"divide by zero", "division by 0"), (r"can't kill pid ([0-9]+): (.*)", r"kill: (\1) - \2"),
    (r'syntax error: unexpected "(.*)"', r"syntax error near unexpected token `\1'"),
    (r"syntax error: unexpected end of file.*", "syntax error: unexpected end of file"),
)  # fmt: skip


def bash_text(message: str) -> str:
    """Translate ash's error text `message` to bash's text for the same error."""
    for pattern, text in _BASH_TEXTS:
        changed, count = re.subn(rf"\A{pattern}\Z", text, message)
        if count:
            return changed
    return message


class ShellState(ABC):
    """A shell's state: variables, functions, positional parameters, options and background jobs."""

    def __init__(self, process: Process, *, name: str, arguments: list[str] | None) -> None:
        self.process = process
        #: The process id that `$$` expands to. Subshells keep that of the main shell.
        self.main_pid = process.local_pid
        self.name = name
        self.arguments = arguments or []
        self.variables = Variables.of(process.env)
        self.variables.setdefault("PWD", "/")
        self.variables.setdefault("IFS", " \t\n")
        self.exported = set(process.env) | {"PWD"}
        self.functions: dict[str, Command] = {}
        self.status = 0
        self.is_errexit = self.is_nounset = self.is_xtrace = self.has_pipefail = False
        #: Whether the shell is bash, with its expansions and error texts.
        self.is_bash = process.name == "bash"
        #: The options of bash's `shopt` that are set.
        self.shell_options: set[str] = set()
        self.has_no_globbing = False
        self.random = RandomNumbers(process.machine.random.getrandbits(32))
        #: The virtual time at which `SECONDS` was 0, in nanoseconds.
        self.seconds_since_ns = process.clock.now_ns
        #: The names of the functions that run, the innermost first.
        self.call_stack: list[str] = []
        self.directory_stack: list[str] = []
        self.aliases: dict[str, str] = {}
        self.err_trap = ""
        #: How many loops, and how many `source`d files, are running.
        self.loops = self.is_sourcing = 0
        self.readonly: set[str] = set()
        self.background: list[Process] = []
        self.last_background = ""
        #: Whether the commands are the argument of `-c`, and whether they are typed at a terminal.
        self.is_command_string = self.is_interactive = False
        #: Set by Ctrl-C at the terminal of an interactive shell. The running command is then abandoned.
        self.is_interrupted = False
        self.line_number = 0
        #: The command of `trap` by signal number, "" for an ignored signal. Number 0 is the exit of the shell.
        self.traps: dict[int, str] = {}
        #: Signals with a trap that have arrived and whose commands have not been run yet.
        self.pending_signals: list[int] = []
        #: Notified when a signal with a trap arrives, so that `wait` returns.
        self.signalled = Signal(process.clock)
        self.locals: list[dict[str, Variable | None]] = []
        self._declare_computed()

    def _declare_computed(self) -> None:
        """Declare the variables that the shell computes (`RANDOM`) or sets when it starts (`BASH_VERSION`)."""
        process, computed, assigned = self.process, self.variables.computed, self.variables.assigned
        computed["RANDOM"] = lambda: str(self.random.next())
        assigned["RANDOM"] = lambda value: self.random.seed(int(value) if is_number(value) else 0)
        computed["LINENO"] = lambda: str(self.line_number or 1)
        computed["EPOCHSECONDS"] = lambda: str(process.clock.unix_s)
        self.variables.setdefault("PPID", str(process.pid_namespace.id_of(process.parent)))
        if not self.is_bash:
            return
        computed["BASHPID"] = lambda: str(process.local_pid)
        computed["SECONDS"] = lambda: str((process.clock.now_ns - self.seconds_since_ns) // NS_PER_S)
        assigned["SECONDS"] = self._set_seconds
        for name, value in {
            "BASH": "/bin/bash", "BASH_VERSION": _BASH_VERSION, "UID": str(process.credentials.uid),
            "EUID": str(process.credentials.uid),
            "HOSTNAME": process.hostname, "HOSTTYPE": "x86_64", "MACHTYPE": "x86_64-pc-linux-gnu",
            "OSTYPE": "linux-gnu", "OPTIND": "1",
        }.items():  # fmt: skip
            self.variables.setdefault(name, value)
        self.variables["SHLVL"] = str(int(process.env.get("SHLVL", "") or 0) + 1 if self._has_plain_level() else 1)
        self.exported.add("SHLVL")
        self.variables.set_list("BASH_VERSINFO", ["5", "2", "37", "1", "release", "x86_64-pc-linux-gnu"])

    def _has_plain_level(self) -> bool:
        level = self.process.env.get("SHLVL", "")
        return not level or (is_number(level) and len(level) < 4)

    def _set_seconds(self, value: str) -> None:
        seconds = int(value) if is_number(value) else 0
        self.seconds_since_ns = self.process.clock.now_ns - seconds * NS_PER_S

    def copy_to(self, copy: ShellState) -> None:
        """Copy this shell's state to `copy`, a new subshell. Traps and background jobs are not copied."""
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
        copy.line_number = self.line_number

    @property
    def flags(self) -> str:
        """The value of `$-`: the letters of the options that are set."""
        flags = (("e", self.is_errexit), ("f", self.has_no_globbing), ("h", self.is_bash), ("u", self.is_nounset))
        set_flags = "".join(flag for flag, is_set in flags if is_set) + "x" * self.is_xtrace
        return f"{set_flags}{'B' if self.is_bash else ''}{'c' if self.is_command_string else ''}"

    def set_options(self) -> dict[str, bool]:
        """Return a dict of the simulated options of `set -o`. The value is True if the option is set."""
        return {
            "errexit": self.is_errexit, "noglob": self.has_no_globbing, "nounset": self.is_nounset,
            "pipefail": self.has_pipefail, "xtrace": self.is_xtrace,
        }  # fmt: skip

    @abstractmethod
    async def substitute_process(self, part: ProcessSubstitution) -> str:
        """Start the commands of a process substitution, `<(…)` or `>(…)`.

        Return the path of the file by which the commands' output is read, or their input is written.
        """

    @abstractmethod
    def connect_process(self, part: ProcessSubstitution) -> Pipe:
        """Start the commands of a process substitution.

        Return the pipe to read their output or to write their input.
        """

    @abstractmethod
    async def substitute(self, source: str) -> str:
        """Run the commands `source` of a `$(…)` in a subshell. Return their output without trailing newlines."""

    def take_signal(self, number: int) -> None:
        """Handle a signal for which there is a trap. The trap's command runs after the current command.

        If the trap's command is empty, the signal is ignored.
        """
        if self.traps.get(number):
            self.pending_signals.append(number)
            self.signalled.notify()

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a new program: the exported variables and their values."""
        return {name: self.variables[name] for name in sorted(self.exported) if name in self.variables}

    def parameter(self, name: str) -> str | None:
        """Return the value of a parameter such as `1`, `?` or `HOME`, or `None` if it is unset."""
        if is_number(name):
            number = int(name)
            if not number:
                return self.name
            return self.arguments[number - 1] if number <= len(self.arguments) else None
        special = {
            "?": str(self.status), "#": str(len(self.arguments)), "$": str(self.main_pid),
            "!": self.last_background,
            "@": " ".join(self.arguments), "*": " ".join(self.arguments), "-": self.flags,
        }  # fmt: skip
        return special[name] if name in special else self.variables.get(name)

    def resolve(self, path: str) -> str:
        """Return `path` as a normalized absolute path. A relative path starts at the shell's working directory."""
        joined = posixpath.normpath(posixpath.join(self.variables.get("PWD", "/"), path))
        return resolve_self(self.process, joined)

    def complain(self, streams: Streams, message: str) -> None:
        """Print an error on `streams.stderr` as ash or bash does, with the line number if a script is running.

        `message` is ash's text, which is translated to bash's if the shell is bash.
        """
        command, colon, rest = message.partition(": ")
        if not self.is_bash and colon and command in _LINE_BUILTINS:
            self.put(streams.stderr, f"{self.name}: {command}: line {self.line_number}: {rest}\n")
            return
        line = self.line_number or (1 if self.is_bash else 0)
        place = f"{self.name}: line {line}" if line else self.name
        self.put(streams.stderr, f"{place}: {bash_text(message) if self.is_bash else message}\n")

    def put(self, pipe: Pipe, text: str | bytes) -> None:
        """Write `text` to a pipe. If the pipe's reader is closed, SIGPIPE kills the shell."""
        try:
            pipe.write(text.encode(errors="surrogateescape") if isinstance(text, str) else text)
        except BrokenPipeError:
            self.process.kill(13)
