"""The state of a shell that expansions and redirections need, and the standard streams of a command."""

from __future__ import annotations

import posixpath
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.kernel.files import Pipe
from cnmsim.kernel.task import Signal
from cnmsim.userland.invocation import resolve_self

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.userland.sh.syntax import Command


@frozen
class Streams:
    """The standard streams of a command."""

    stdin: Pipe
    stdout: Pipe
    stderr: Pipe


#: Builtins whose errors ash prints with their name and the line number.
_LINE_BUILTINS = frozenset([".", "cd", "export", "local", "read", "readonly", "shift", "trap", "umask", "wait"])
_BASH_TEXTS = (
    (r"(?:exec: )?(\S*/\S*): not found", r"\1: No such file or directory"),
    (r"(?:exec: )?(\S+): not found", r"\1: command not found"),
    (r"can't (?:open|create) (.*): (?:no such file|nonexistent directory)", r"\1: No such file or directory"),
    (r"can't (?:open|create) (.*): (.*)", r"\1: \2"), (r"cd: can't cd to (.*)", r"cd: \1"),
    (r"(\w+): parameter not set", r"\1: unbound variable"), (r"(\w+): is read only", r"\1: readonly variable"),
    (r"divide by zero", "division by 0"), (r"can't kill pid (\d+): (.*)", r"kill: (\1) - \2"),
    (r'syntax error: unexpected "(.*)"', r"syntax error near unexpected token `\1'"),
    (r"syntax error: unexpected end of file.*", "syntax error: unexpected end of file"),
)  # fmt: skip


def bash_text(message: str) -> str:
    """Return bash's text for an error that ash reports with `message`."""
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
        self.variables = dict(process.env)
        self.variables.setdefault("PWD", "/")
        self.variables.setdefault("IFS", " \t\n")
        self.exported = set(process.env) | {"PWD"}
        self.functions: dict[str, Command] = {}
        self.status = 0
        self.is_errexit = self.is_nounset = self.is_xtrace = self.has_pipefail = False
        #: Whether the shell is bash, with its expansions and error texts.
        self.is_bash = process.name == "bash"
        self.readonly: set[str] = set()
        self.background: list[Process] = []
        self.last_background = ""
        #: Set by Ctrl-C at the terminal of an interactive shell. The running command is then abandoned.
        self.is_interrupted = False
        self.line_number = 0
        #: The command of `trap` by signal number, "" for an ignored signal. Number 0 is the exit of the shell.
        self.traps: dict[int, str] = {}
        #: Signals with a trap that have arrived and whose commands have not been run yet.
        self.pending_signals: list[int] = []
        #: Notified when a signal with a trap arrives, so that `wait` returns.
        self.signalled = Signal(process.clock)
        self.locals: list[dict[str, str | None]] = []

    @abstractmethod
    async def substitute(self, source: str) -> str:
        """Run the commands `source` of `$(…)` in a subshell. Return their output without trailing newlines."""

    def take_signal(self, number: int) -> None:
        """Handle a signal that has a trap: its command runs after the current command.

        A signal with an empty command is ignored.
        """
        if self.traps.get(number):
            self.pending_signals.append(number)
            self.signalled.notify()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command that starts now: the exported variables."""
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
            "@": " ".join(self.arguments), "*": " ".join(self.arguments), "-": "e" if self.is_errexit else "",
        }  # fmt: skip
        return special[name] if name in special else self.variables.get(name)

    def resolve(self, path: str) -> str:
        """Return the normalized absolute path. A relative `path` starts at the shell's working directory."""
        joined = posixpath.normpath(posixpath.join(self.variables.get("PWD", "/"), path))
        return resolve_self(self.process, joined)

    def complain(self, streams: Streams, message: str) -> None:
        """Print an error in ash's format on `streams.stderr`, with the line number if a script is running."""
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
