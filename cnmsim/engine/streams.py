"""The standard streams of a container's process or of an exec, and those who look on or type.

With a terminal there is one output stream, newlines become CR LF, and what is typed is echoed and handed over line
by line (termios(3): canonical mode).
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from attrs import define, field

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.files import Pipe
from cnmsim.kernel.task import Future

Listener = Callable[[str, bytes], None]
_INTERRUPT, _END, _ERASE_LINE, _BACKSPACES = 0x03, 0x04, 0x15, (0x08, 0x7F)


class OutputPipe(Pipe):
    """A pipe whose reader takes every write at once, so that nothing is kept."""

    __slots__ = ("_sink",)

    def __init__(self, clock: Clock, sink: Callable[[bytes], None]) -> None:
        super().__init__(clock)
        self._sink = sink

    def write(self, data: bytes) -> None:
        """Hand `data` on. Raises `BrokenPipeError` once closed."""
        if self.is_closed:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        if data:
            self._sink(data)


@define(eq=False)
class StandardStreams:
    """Stdin, stdout and stderr of one process.

    `has_stdin` opens stdin for typing; without it the process reads the end of file at once. `is_terminal` makes the
    three a terminal. `ended` is done when the process has ended.
    """

    clock: Clock
    has_stdin: bool = False
    is_terminal: bool = False
    stdin: Pipe = field(init=False)
    stdout: OutputPipe = field(init=False)
    stderr: OutputPipe = field(init=False)
    ended: Future[int] = field(init=False)
    on_interrupt: Callable[[], None] | None = field(default=None, init=False)
    _listeners: list[Listener] = field(factory=list, init=False)
    _typed: bytearray = field(factory=bytearray, init=False)

    def __attrs_post_init__(self) -> None:
        self.stdin = Pipe(self.clock)
        if not self.has_stdin:
            self.stdin.close()
        self.stdout = OutputPipe(self.clock, self._from_stdout)
        self.stderr = OutputPipe(self.clock, self._from_stderr)
        self.ended = Future(self.clock)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener(stream, data)` all further output. Gives a call that ends it."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def type(self, data: bytes) -> None:
        """Send input. Input to a process that reads none, or has ended, is lost."""
        if self.stdin.is_closed or self.ended.is_done:
            return
        if not self.is_terminal:
            self.stdin.write(data)
            return
        for byte in data:
            self._key(byte)

    def end_input(self) -> None:
        """Say that no more input comes."""
        if not self.stdin.is_closed:
            self.stdin.close()

    def finish(self, status: int) -> None:
        """Note that the process has ended with `status`."""
        if not self.ended.is_done:
            self.ended.set_result(status)

    def _from_stdout(self, data: bytes) -> None:
        self._emit("stdout", data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if self.is_terminal else data)

    def _from_stderr(self, data: bytes) -> None:
        if self.is_terminal:
            self._from_stdout(data)
        else:
            self._emit("stderr", data)

    def _emit(self, stream: str, data: bytes) -> None:
        for listener in tuple(self._listeners):
            listener(stream, data)

    def _key(self, byte: int) -> None:
        typed = self._typed
        if byte in (0x0D, 0x0A):
            self._emit("stdout", b"\r\n")
            self.stdin.write(bytes(typed) + b"\n")
            typed.clear()
        elif byte == _INTERRUPT:
            self._emit("stdout", b"^C")
            typed.clear()
            if self.on_interrupt is not None:
                self.on_interrupt()
        elif byte == _END:
            self._end_of_file()
        elif byte in _BACKSPACES:
            if typed:
                typed.pop()
                self._emit("stdout", b"\b \b")
        elif byte == _ERASE_LINE:
            self._emit("stdout", b"\b \b" * len(typed))
            typed.clear()
        else:
            typed.append(byte)
            self._emit("stdout", bytes([byte]))

    def _end_of_file(self) -> None:
        if self._typed:
            self.stdin.write(bytes(self._typed))
            self._typed.clear()
        else:
            self.end_input()
