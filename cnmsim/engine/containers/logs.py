"""The log of a container: its first process's output, line by line with time and stream (the json-file log driver).

Source: moby `daemon/logger/{copier,loggerutils}`, `daemon/logs.go`.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen

from cnmsim.engine.wire.timestamps import rfc3339, unix_ns
from cnmsim.kernel.clock import Clock


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
    """The log of one container, across restarts."""

    clock: Clock
    lines: list[LogLine] = field(factory=list, init=False)
    _partial: dict[str, bytes] = field(factory=dict, init=False)
    _followers: list[Callable[[LogLine], None]] = field(factory=list, init=False)

    def take(self, stream: str, data: bytes) -> None:
        """Append output. A line is logged when its newline arrives."""
        *complete, rest = (self._partial.pop(stream, b"") + data).split(b"\n")
        for text in complete:
            self._add(LogLine(unix_ns(self.clock), stream, text + b"\n"))
        if rest:
            self._partial[stream] = rest

    def end(self) -> None:
        """Log the incomplete lines, because the process has ended."""
        for stream, text in self._partial.items():
            self._add(LogLine(unix_ns(self.clock), stream, text))
        self._partial.clear()

    def _add(self, line: LogLine) -> None:
        self.lines.append(line)
        for follower in tuple(self._followers):
            follower(line)

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
