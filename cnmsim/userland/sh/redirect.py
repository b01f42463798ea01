"""Redirections of a command's standard streams (POSIX XCU §2.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.files import Pipe
from cnmsim.userland.sh.expand import expand_text
from cnmsim.userland.sh.state import Streams
from cnmsim.userland.sh.syntax import Redirection

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.files import FileSystem
    from cnmsim.userland.sh.state import ShellState


class _FileSink(Pipe):
    """A file opened for appending, with the interface of a pipe."""

    __slots__ = ("_files", "_path")

    def __init__(self, clock: Clock, files: FileSystem, path: str) -> None:
        super().__init__(clock)
        self._files, self._path = files, path

    def write(self, data: bytes) -> None:
        self._files.append(self._path, data)


class _NullSink(Pipe):
    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Discard the data."""


async def redirected(shell: ShellState, redirections: tuple[Redirection, ...], streams: Streams) -> Streams | None:
    """Return a command's streams after its redirections.

    If a redirection fails, print the error and return `None`.
    """
    table = {0: streams.stdin, 1: streams.stdout, 2: streams.stderr}
    for redirection in redirections:
        text = await expand_text(shell, redirection.target)
        try:
            table[redirection.fd] = _open(shell, redirection, text, table)
        except OSError as error:
            verb = "open" if redirection.op == "<" else "create"
            absent = "nonexistent directory" if verb == "create" else "no such file"
            reason = absent if isinstance(error, FileNotFoundError) or verb == "open" else strerror(error)
            shell.complain(streams, f"can't {verb} {text}: {reason}")
            return None
    return Streams(table[0], table[1], table[2])


def _open(shell: ShellState, redirection: Redirection, text: str, table: dict[int, Pipe]) -> Pipe:
    clock, files = shell.process.clock, shell.process.files
    if redirection.op in (">&", "<&"):
        if text == "-":
            return _NullSink(clock)
        if not text.isdigit() or int(text) not in table:
            raise OSError(9, "Bad file descriptor")
        return table[int(text)]
    devices = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
    if text in devices:
        return table[devices[text]]
    if redirection.op in ("<", "<<"):
        pipe = Pipe(clock)
        if redirection.op == "<<":
            pipe.write(text.encode(errors="surrogateescape"))
        elif text != "/dev/null":
            pipe.write(files.read(shell.resolve(text)))
        pipe.close()
        return pipe
    if text == "/dev/null":
        return _NullSink(clock)
    path = shell.resolve(text)
    if redirection.op == ">":
        files.write(path, b"")
    else:
        files.append(path, b"")
    return _FileSink(clock, files, path)
