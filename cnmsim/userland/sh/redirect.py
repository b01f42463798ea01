"""Redirections of a command's open descriptors (POSIX XCU §2.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.files import Pipe
from cnmsim.userland.sh.expand import expand_text
from cnmsim.userland.sh.state import Streams
from cnmsim.userland.sh.syntax import ProcessSubstitution, Redirection

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.files import FileSystem
    from cnmsim.userland.sh.state import ShellState

_FIRST_FREE = 10


class _FileSink(Pipe):
    """A file opened for appending. It has the interface of a pipe."""

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
    """Return the descriptors of a command after its redirections have been applied to `streams`.

    If a redirection fails, print the error and return `None`.
    """
    if not redirections:
        return streams
    table = {0: streams.stdin, 1: streams.stdout, 2: streams.stderr, **streams.others}
    for redirection in redirections:
        target = redirection.target
        if len(target) == 1 and isinstance(target[0], ProcessSubstitution) and redirection.op in ("<", ">", ">>"):
            # Use the pipe itself instead of a file, so that the two commands run at the same time.
            table[redirection.fd] = shell.connect_process(target[0])
            continue
        text = await expand_text(shell, target)
        fd = _number(shell, redirection, text, table)
        if redirection.op in (">&", "<&") and text == "-" and fd > 2:
            table.pop(fd, None)
            continue
        try:
            table[fd] = _open(shell, redirection, text, table)
        except OSError as error:
            verb = "open" if redirection.op in ("<", "<&") else "create"
            absent = "nonexistent directory" if verb == "create" else "no such file"
            reason = absent if isinstance(error, FileNotFoundError) else strerror(error)
            bad = redirection.op in (">&", "<&")
            shell.complain(streams, f"{text}: {reason}" if bad else f"can't {verb} {text}: {reason}")
            return None
        if redirection.op in ("&>", "&>>") or (redirection.op == ">&" and not is_number(text) and text != "-"):
            table[2] = table[fd]
    others = {fd: pipe for fd, pipe in table.items() if fd > 2}
    return Streams(table[0], table[1], table[2], others)


def _number(shell: ShellState, redirection: Redirection, text: str, table: dict[int, Pipe]) -> int:
    """Return the number of the descriptor that a redirection changes.

    `{NAME}>` chooses a free descriptor and assigns its number to the variable NAME. `text` is the redirection's
    expanded target, and `table` holds the open descriptors.
    """
    if not redirection.variable:
        return redirection.fd
    if text == "-":
        value = shell.variables.get(redirection.variable, "")
        return int(value) if is_number(value) else redirection.fd
    fd = next(number for number in range(_FIRST_FREE, 2**16) if number not in table)
    shell.variables[redirection.variable] = str(fd)
    return fd


def _open(shell: ShellState, redirection: Redirection, text: str, table: dict[int, Pipe]) -> Pipe:
    clock, files = shell.process.clock, shell.process.files
    op = redirection.op
    if op in (">&", "<&"):
        if text == "-":
            return _NullSink(clock)
        if is_number(text) or op == "<&" or not shell.is_bash:
            if not is_number(text) or int(text) not in table:
                raise OSError(9, "Bad file descriptor")
            return table[int(text)]
    devices = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
    if text in devices and op not in ("<<", "<<<"):
        return table[devices[text]]
    if op in ("<", "<<", "<<<"):
        pipe = Pipe(clock)
        if op != "<":
            pipe.write((text + "\n" * (op == "<<<")).encode(errors="surrogateescape"))
        elif text != "/dev/null":
            pipe.write(files.read(shell.resolve(text)))
        pipe.close()
        return pipe
    if text == "/dev/null":
        return _NullSink(clock)
    path = shell.resolve(text)
    if op in (">", "&>", ">&"):
        files.write(path, b"")
    else:
        files.append(path, b"")
    return _FileSink(clock, files, path)
