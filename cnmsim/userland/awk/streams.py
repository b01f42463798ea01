"""The files and commands that an awk program reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.files import Pipe
from cnmsim.userland.awk.values import AwkError
from cnmsim.userland.invocation import absolute_path, find_program, read_all

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


class Streams:
    """The open files and commands of an awk program, each under its name in the program."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._readers: dict[str, list[str]] = {}
        self._writers: dict[str, Pipe | str] = {}
        self._commands: dict[str, Process] = {}

    async def read(self, operand: str) -> str:
        """Return the content of the file `operand`; `-` is the standard input.

        Raises `OSError` for a file that cannot be read.
        """
        if operand in ("-", "/dev/stdin"):
            return (await read_all(self.process.stdin)).decode(errors="surrogateescape")
        return self.process.files.read(absolute_path(self.process, operand)).decode(errors="surrogateescape")

    async def lines(self, name: str, operator: str, split: Callable[[str], list[str]]) -> list[str]:
        """Return the unread records of a file or, if `operator` is `|`, of the output of a command.

        `name` is the name of the file or the text of the command. The returned list is not a copy: the caller removes
        the records that it reads from it. `split` divides the text into records. Raises `OSError` if the file cannot
        be read.
        """
        lines = self._readers.get(name)
        if lines is None:
            data = await self._command_output(name) if operator == "|" else await self.read(name)
            lines = self._readers[name] = split(data)
        return lines

    async def _command_output(self, command: str) -> str:
        output = Pipe(self.process.clock)
        child = self.start_shell(command, stdout=output)
        child.exited.add_done_callback(lambda _: output.close())
        return (await read_all(output)).decode(errors="surrogateescape")

    async def write(self, operator: str, target: str, data: bytes) -> None:
        """Write `data` to a file (`operator` `>` or `>>`) or to the input of a command (`|`).

        `target` is the name of the file or the text of the command. Raises `AwkError` if the file cannot be written.
        """
        if operator == "|":
            pipe = self._writers.get(target)
            if pipe is None:
                pipe = self._writers[target] = Pipe(self.process.clock)
                self._commands[target] = self.start_shell(target, stdin=pipe)
            assert isinstance(pipe, Pipe)
            pipe.write(data)
        elif target in ("/dev/stdout", "-"):
            self.process.write(data)
        elif target == "/dev/stderr":
            self.process.error(data)
        else:
            path = absolute_path(self.process, target)
            try:
                if operator == ">" and target not in self._writers:
                    self.process.files.write(path, b"")
                self._writers[target] = path
                self.process.files.append(path, data)
            except OSError as error:
                raise AwkError(f"{target}: {strerror(error)}") from None

    def start_shell(self, command: str, **streams: Pipe) -> Process:
        """Start `sh -c COMMAND` with these streams. Raises `AwkError` if there is no shell."""
        shell = find_program(self.process, "sh")
        if shell is None:
            raise AwkError("can't execute 'sh': No such file or directory")
        return self.process.start(shell, ["sh", "-c", command], **streams)

    async def close(self, name: str) -> int:
        """Close a file or command. Return its exit status, or -1 if it is not open."""
        status = -1
        writer = self._writers.pop(name, None)
        if writer is not None:
            status = 0
        if isinstance(writer, Pipe):
            writer.close()
            status = await self._commands.pop(name).exited
        if self._readers.pop(name, None) is not None:
            status = 0
        return status

    async def close_all(self) -> None:
        """Close all files and commands that were written to, and wait for the commands to end."""
        if self.process.is_running:
            for name in tuple(self._writers):
                await self.close(name)
