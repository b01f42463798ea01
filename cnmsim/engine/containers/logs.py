"""The log of a container: its first process's output, line by line with time and stream.

Source: moby `daemon/logger/{copier,loggerutils}`, `daemon/logs.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from cnmsim.engine.logdrivers.driver import LogDriver, is_readable
from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.engine.logdrivers.storage import LogStorage
from cnmsim.errors import NotSupported
from cnmsim.kernel.clock import Clock

if TYPE_CHECKING:
    from cnmsim.engine.logdrivers.tcp import TcpSender

#: The longest message in bytes. A longer line is logged in parts.
_LONGEST = 16 << 10


@define
class ContainerLog:
    """The log of one container, across restarts.

    `log_config` is the API's LogConfig with the driver and its options.
    """

    clock: Clock
    log_config: Mapping[str, object]
    _driver: LogDriver | None = field(default=None, init=False)
    _unstarted: LogStorage = field(factory=LogStorage, init=False)
    _partial: dict[str, bytes] = field(factory=dict, init=False)
    #: The time of the first part of a line that is being logged in parts, by stream.
    _part_times: dict[str, int] = field(factory=dict, init=False)
    _followers: list[Callable[[LogLine], None]] = field(factory=list, init=False)
    #: The sender of the next start, if it is connected already.
    connected: TcpSender | None = field(default=None, init=False, repr=False)

    @property
    def lines(self) -> list[LogLine]:
        """The messages that `docker logs` can read, the oldest first."""
        return self.storage.lines

    @property
    def storage(self) -> LogStorage:
        """The object that stores the messages that `docker logs` can read."""
        driver = self._driver
        return driver.storage if driver is not None and driver.storage is not None else self._unstarted

    @property
    def is_readable(self) -> bool:
        """Whether `docker logs` can read the log."""
        return is_readable(self.log_config)

    @property
    def details(self) -> str:
        """The attributes that `docker logs --details` prints before each line."""
        return self._driver.details if self._driver is not None else ""

    def open(self, driver: LogDriver) -> None:
        """Send and store later messages with `driver`. Messages that are already in the log are kept."""
        if self._driver is not None and self._driver.sender is not None:
            self._driver.sender.close()
        if self.connected is not None:
            driver, self.connected = evolve(driver, sender=self.connected), None
        storage = driver.storage
        if storage is not None and self.storage is not storage:
            if self._driver is None:
                storage.restore(self.storage.lines[:])
            else:
                driver = evolve(driver, storage=self.storage)
        self._driver = driver

    def restore(self, lines: list[LogLine]) -> None:
        """Replace the log's messages by `lines`, which were read from a state file."""
        self.storage.restore(lines)

    def take(self, stream: str, data: bytes) -> None:
        """Append output of the stream "stdout" or "stderr", and log each line that is complete.

        A line is complete when its newline has arrived. A line longer than 16 KiB is logged in parts of this size.
        """
        data = self._partial.pop(stream, b"") + data
        start = 0
        while True:
            end = data.find(b"\n", start, start + _LONGEST) + 1
            if not end:
                end = start + _LONGEST
                if end > len(data):
                    break
            self._log_part(stream, data[start:end])
            start = end
        if start < len(data):
            self._partial[stream] = data[start:]

    def _log_part(self, stream: str, text: bytes) -> None:
        """Log a line or a part of a long one. All parts of a line get the time of the first part."""
        now_ns = self.clock.unix_ns
        if text.endswith(b"\n"):
            self._add(stream, text, self._part_times.pop(stream, now_ns))
        else:
            self._add(stream, text, self._part_times.setdefault(stream, now_ns))

    def end(self) -> None:
        """Log the lines that have no newline yet, because the process has ended."""
        for stream, text in self._partial.items():
            self._add(stream, text, self._part_times.get(stream, self.clock.unix_ns))
        self._partial.clear()
        self._part_times.clear()
        if self._driver is not None and self._driver.sender is not None:
            self._driver.sender.close()

    def _add(self, stream: str, text: bytes, time_ns: int) -> None:
        storage, sender = self.storage, self._driver.sender if self._driver is not None else None
        line = LogLine(time_ns, stream, storage.encoding.stored(text))
        is_sent = sender is None or sender.send(line)
        if not is_sent or not self.is_readable:
            return
        storage.append(line)
        for follower in tuple(self._followers):
            follower(line)

    def require_readable(self) -> None:
        """Raise `NotSupported` if `docker logs` cannot read the messages of this logging driver."""
        if not self.is_readable:
            raise NotSupported("configured logging driver does not support reading")

    def follow(self, follower: Callable[[LogLine], None]) -> Callable[[], None]:
        """Call `follower` with every further message. Return a function that unsubscribes."""
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
        """Return the log's lines of the selected streams and times.

        First, the last `tail` lines are selected (`None` or a negative number: all lines). Of these, the lines from
        `since_ns` to `until_ns`, in nanoseconds since 1970, are returned. As in Docker, they can therefore be fewer
        than `tail`.
        """
        lines = self.lines
        if tail is not None and tail >= 0:
            lines = lines[max(0, len(lines) - tail) :]
        if since_ns is not None:
            lines = list(dropwhile(lambda line: line.time_ns < since_ns, lines))
        if until_ns is not None:
            lines = list(takewhile(lambda line: line.time_ns <= until_ns, lines))
        streams = {name for name, is_wanted in (("stdout", stdout), ("stderr", stderr)) if is_wanted}
        return [line for line in lines if line.stream in streams]
