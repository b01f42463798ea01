"""The standard streams of a container's process or of an exec, with the clients that read and write them.

If the process has a terminal, there is one output stream, in which each newline becomes CR LF. Input is echoed, and
the process receives it line by line (see `line_editor`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from attrs import define, field

from cnmsim.engine.containers.line_editor import LineEditor
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.files import Pipe
from cnmsim.kernel.task import Future

Listener = Callable[[str, bytes], None]
_INTERRUPT, _END = 0x03, 0x04


class OutputPipe(Pipe):
    """A pipe that passes all written data to a function instead of storing it."""

    __slots__ = ("_sink",)

    def __init__(self, clock: Clock, sink: Callable[[bytes], None]) -> None:
        super().__init__(clock)
        self._sink = sink

    def write(self, data: bytes) -> None:
        """Pass `data` to the pipe's function. Raises `BrokenPipeError` after the pipe was closed."""
        if self.is_closed:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        if data:
            self._sink(data)


class TerminalInput(Pipe):
    """The input of a terminal. Ctrl-D makes one read return end of file; later reads continue."""

    __slots__ = ("_ends",)

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        #: Offsets in the unread input at which a read returns end of file.
        self._ends: list[int] = []

    def end_once(self) -> None:
        """Make one read return end of file once the input written so far was read, as Ctrl-D does."""
        self._ends.append(len(self._buffer))
        self._changed.notify()

    def flush(self) -> None:
        """Discard unread input, as Ctrl-C does (termios(3): NOFLSH)."""
        self._buffer.clear()
        self._ends.clear()

    async def read(self, n: int = 65536, timeout_s: float | None = None) -> bytes:
        """Return up to `n` bytes; if there is no input, wait for some. Return b"" at an end of file.

        Raises `TimeoutError` if no input arrives within `timeout_s` virtual seconds.
        """
        if not self._buffer and not self._ends:
            self._waiting += 1
            try:
                await self._changed.wait_until(lambda: bool(self._buffer or self._ends) or self.is_closed, timeout_s)
            finally:
                self._waiting -= 1
        if self._ends and not self._ends[0]:
            self._ends.pop(0)
            return b""
        length = min(n, self._ends[0] if self._ends else n, len(self._buffer))
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._ends = [end - length for end in self._ends]
        return data

    @property
    def is_awaited(self) -> bool:
        """Whether a process is waiting for input."""
        return super().is_awaited and not self._ends

    def getvalue(self) -> bytes:
        """Return the unread input up to the first end of file, and leave it unread."""
        return bytes(self._buffer[: self._ends[0]] if self._ends else self._buffer)


@define(eq=False)
class StandardStreams:
    """The standard input, output and error streams of one process.

    `has_stdin` keeps stdin open for input; without it the process reads end of file at once. With `is_terminal` the
    three streams are one terminal; `on_interrupt` is called when the user types Ctrl-C there. `ended` is a future of
    the exit status.
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
    _editor: LineEditor = field(factory=LineEditor, init=False)

    def __attrs_post_init__(self) -> None:
        self.stdin = TerminalInput(self.clock) if self.is_terminal else Pipe(self.clock)
        if not self.has_stdin:
            self.stdin.close()
        self.stdout = OutputPipe(self.clock, self._from_stdout)
        self.stderr = OutputPipe(self.clock, self._from_stderr)
        self.ended = Future(self.clock)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(stream, data)` with all further output; `stream` is "stdout" or "stderr".

        Return a function that unsubscribes.
        """
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    @property
    def is_watched(self) -> bool:
        """Whether a client is attached. The container's log, which also listens to the output, does not count."""
        return len(self._listeners) > 1

    def type(self, data: bytes) -> None:
        """Write input for the process. It is lost if stdin is closed or the process has ended."""
        if self.stdin.is_closed or self.ended.is_done:
            return
        if not self.is_terminal:
            self.stdin.write(data)
            return
        for byte in data:
            self._key(byte)

    def end_input(self) -> None:
        """Close stdin, so that the process reads end of file after the input written so far."""
        if not self.stdin.is_closed:
            self.stdin.close()

    def finish(self, status: int) -> None:
        """Close the streams: the process has ended with `status`."""
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
        if byte == _INTERRUPT:
            self._emit("stdout", b"^C")
            self._editor.clear()
            if isinstance(self.stdin, TerminalInput):
                self.stdin.flush()
            if self.on_interrupt is not None:
                self.on_interrupt()
        elif byte == _END:
            self._end_of_file()
        else:
            shown, line = self._editor.key(byte)
            if shown:
                self._emit("stdout", shown)
            if line is not None:
                self.stdin.write(line + b"\n")

    def _end_of_file(self) -> None:
        if self._editor.line:
            self.stdin.write(self._editor.line)
            self._editor.clear()
        elif isinstance(self.stdin, TerminalInput):
            self.stdin.end_once()
