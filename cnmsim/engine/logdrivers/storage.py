"""The messages that a logging driver keeps, in files that are rotated.

Messages are stored once, as objects; the content of a file is encoded when it is read. Source: moby
`daemon/logger/loggerutils/logfile.go`.
"""

from __future__ import annotations

import errno
import zlib

from attrs import define, field

from cnmsim.engine.logdrivers.encodings import Encoding, JsonEncoding
from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.gojson.encode import encode
from cnmsim.gojson.fields import rfc3339
from cnmsim.kernel.errno_text import message
from cnmsim.kernel.inode import Directory, File

_MODE = 0o640
#: The memory in bytes that the messages of one container use at most. Beyond it the oldest are dropped, as rotation
#: drops them: a real engine fills the disk in this case.
MEMORY_LIMIT = 32 << 20
#: The size of a message object without its text.
_MESSAGE_SIZE = 120


class LogFile(File):
    """One file of a log, generated from the stored messages.

    `age` is 0 for the current file, 1 and up for rotated ones.
    """

    def __init__(self, storage: LogStorage, age: int) -> None:
        self._storage, self._age = storage, age
        self.mode, self.uid, self.gid = _MODE, 0, 0

    @property
    def content(self) -> bytes:
        """The encoded messages of the file."""
        return self._storage.content(self._age)

    @content.setter
    def content(self, written: bytes) -> None:
        if written or self._age:
            raise OSError(errno.EPERM, message(errno.EPERM))
        self._storage.truncate()

    @property
    def mtime_ns(self) -> int:
        """The time of the last message."""
        return self._storage.last_time_ns(self._age)

    @mtime_ns.setter
    def mtime_ns(self, _moment_ns: int) -> None:
        """Ignore the assigned time: the file's time is always that of its last message."""


@define(eq=False)
class LogStorage:
    """The stored messages of one container, divided among at most `max_files` files of about `capacity` bytes each.

    A `capacity` of -1 means one file without a limit. The files appear as `name`, `name.1`, … in `directory`; without
    a name there are no files. With `compresses` rotated files are compressed by gzip.
    """

    encoding: Encoding = field(factory=JsonEncoding)
    capacity: int = -1
    max_files: int = 1
    compresses: bool = False
    lines: list[LogLine] = field(factory=list, init=False)
    directory: Directory | None = field(default=None, init=False, repr=False)
    name: str = field(default="", init=False)
    #: The number of messages in each file, the oldest file first.
    _counts: list[int] = field(factory=lambda: [0], init=False)
    #: The size of the current file in bytes, if it is limited.
    _size: int = field(default=0, init=False)
    _memory: int = field(default=0, init=False)

    def append(self, line: LogLine) -> None:
        """Add a message to the current file; if that file is full, rotate the files first."""
        if 0 <= self.capacity <= self._size:
            self._rotate()
        self.lines.append(line)
        self._counts[-1] += 1
        if self.capacity >= 0:
            self._size += len(self.encoding.encode(line))
        self._memory += _MESSAGE_SIZE + len(line.text)
        if self._memory > MEMORY_LIMIT:
            self._drop_oldest()

    def restore(self, lines: list[LogLine]) -> None:
        """Replace all stored messages by `lines`."""
        self.lines.clear()
        self._counts, self._size, self._memory = [0], 0, 0
        for line in lines:
            self.append(line)

    def store_in(self, directory: Directory, name: str) -> None:
        """Make the files visible in `directory` as `name`, `name.1` and so on."""
        self.directory, self.name = directory, name
        self._show_files()

    def content(self, age: int) -> bytes:
        """Return the content of one file: `age` is how often it has been rotated, 0 for the current file."""
        data = b"".join(map(self.encoding.encode, self._of_file(age)))
        return _compressed(data, self.last_time_ns(age)) if age and self.compresses else data

    def last_time_ns(self, age: int) -> int:
        """Return the time of the last message in the file that has been rotated `age` times; 0 if the file is empty.

        The time is in nanoseconds since 1970.
        """
        lines = self._of_file(age)
        return lines[-1].time_ns if lines else 0

    def truncate(self) -> None:
        """Empty the current file, as `truncate -s 0` does."""
        del self.lines[len(self.lines) - self._counts[-1] :]
        self._counts[-1] = self._size = 0
        self._memory = sum(_MESSAGE_SIZE + len(line.text) for line in self.lines)

    def _of_file(self, age: int) -> list[LogLine]:
        if age >= len(self._counts):
            return []
        newer = sum(self._counts[len(self._counts) - age :]) if age else 0
        end = len(self.lines) - newer
        return self.lines[end - self._counts[-1 - age] : end]

    def _rotate(self) -> None:
        self._counts.append(0)
        self._size = 0
        while len(self._counts) > self.max_files:
            self._drop(self._counts.pop(0))
        self._show_files()

    def _drop(self, number: int) -> None:
        self._memory -= sum(_MESSAGE_SIZE + len(line.text) for line in self.lines[:number])
        del self.lines[:number]

    def _drop_oldest(self) -> None:
        number = max(1, len(self.lines) // 4)
        self._drop(number)
        while number:
            dropped = min(number, self._counts[0])
            number -= dropped
            self._counts[0] -= dropped
            if not self._counts[0] and len(self._counts) > 1:
                del self._counts[0]

    def _show_files(self) -> None:
        if self.directory is None:
            return
        suffix = ".gz" if self.compresses else ""
        for age in range(len(self._counts)):
            name = f"{self.name}.{age}{suffix}" if age else self.name
            if not isinstance(self.directory.get(name), LogFile):
                self.directory.set(name, LogFile(self, age))


def _compressed(data: bytes, last_time_ns: int) -> bytes:
    """Return a gzip file whose header names the time of the last message, as dockerd writes it (RFC 1952)."""
    extra = encode({"lastTime": rfc3339(last_time_ns)}).encode()
    header = b"\x1f\x8b\x08\x04" + bytes(4) + b"\x00\xff" + len(extra).to_bytes(2, "little") + extra
    body = zlib.compress(data, wbits=-zlib.MAX_WBITS)
    return header + body + zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
