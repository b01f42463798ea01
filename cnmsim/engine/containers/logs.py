"""The log of a container: its first process's output, line by line with time and stream (the json-file log driver).

Source: moby `daemon/logger/{copier,loggerutils}`, `daemon/logs.go`.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen

from cnmsim.engine.wire.timestamps import rfc3339, unix_ns
from cnmsim.kernel.clock import Clock

#: The longest piece of a line that is logged at once (moby `daemon/logger/copier.go`, `defaultBufSize`).
_LONGEST = 16 * 1024
#: The size of a log, in bytes, beyond which its oldest half is dropped, and the cost of a line beside its text.
MOST_BYTES, _LINE_COST = 32 << 20, 128


@frozen
class LogLine:
    """One line, with its newline if it had one. `stream` is "stdout" or "stderr"."""

    time_ns: int
    stream: str
    text: bytes

    def rendered(self, *, timestamps: bool) -> bytes:
        """Return the line as `docker logs` prints it."""
        stamp = rfc3339(self.time_ns, keep_zeros=True) + " " if timestamps else ""
        return stamp.encode() + self.text


@define
class ContainerLog:
    """The log of one container, across restarts. A log that has grown to `MOST_BYTES` loses its oldest half."""

    clock: Clock
    lines: list[LogLine] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)
    _partial: dict[str, bytes] = field(factory=dict, init=False)
    _followers: list[Callable[[LogLine], None]] = field(factory=list, init=False)

    def take(self, stream: str, data: bytes) -> None:
        """Append output. A line is logged when its newline arrives, a long line in pieces of 16 KiB."""
        data = self._partial.pop(stream, b"") + data
        start = 0
        while True:
            end = data.find(b"\n", start, start + _LONGEST) + 1
            if not end:
                end = start + _LONGEST
                if end > len(data):
                    break
            self._add(LogLine(unix_ns(self.clock), stream, data[start:end]))
            start = end
        if start < len(data):
            self._partial[stream] = data[start:]

    def restore(self, lines: list[LogLine]) -> None:
        """Replace all lines, by those of a saved log."""
        self.lines = lines
        self._size = sum(map(_cost, lines))

    def end(self) -> None:
        """Log the incomplete lines, because the process has ended."""
        for stream, text in self._partial.items():
            self._add(LogLine(unix_ns(self.clock), stream, text))
        self._partial.clear()

    def _add(self, line: LogLine) -> None:
        self.lines.append(line)
        self._size += _cost(line)
        if self._size > MOST_BYTES:
            self._drop_oldest()
        for follower in tuple(self._followers):
            follower(line)

    def _drop_oldest(self) -> None:
        number = 0
        while self._size > MOST_BYTES // 2:
            self._size -= _cost(self.lines[number])
            number += 1
        del self.lines[:number]

    def follow(self, follower: Callable[[LogLine], None]) -> Callable[[], None]:
        """Call `follower` with every further line. Return a function that unsubscribes it."""
        self._followers.append(follower)

        def end() -> None:
            if follower in self._followers:
                self._followers.remove(follower)

        return end

    def select(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        tail: int | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> list[LogLine]:
        """Return the lines of the selected streams between two times.

        `tail` selects the last lines of both streams before the streams are selected, as in Docker.
        """
        lines = [
            line
            for line in self.lines
            if (since_ns is None or line.time_ns >= since_ns) and (until_ns is None or line.time_ns <= until_ns)
        ]
        if tail is not None:
            lines = lines[len(lines) - tail :] if 0 < tail < len(lines) else lines if tail else []
        streams = {name for name, is_wanted in (("stdout", stdout), ("stderr", stderr)) if is_wanted}
        return [line for line in lines if line.stream in streams]


def _cost(line: LogLine) -> int:
    return len(line.text) + _LINE_COST
