"""The queue of output for one client: the lab fills it, the connection sends it as fast as the client reads.

Frames have the format of moby `pkg/stdcopy`: one byte for the stream, three zero bytes, four bytes for the length,
then the data.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

_HEAD = struct.Struct("!BxxxI")
_STREAM_NUMBER = {"stdin": 0, "stdout": 1, "stderr": 2}
#: A fast clock stands still while a client still has this many bytes to read.
_ENOUGH = 1 << 20
#: Bytes that a client may leave unread before it is disconnected.
MOST_UNREAD = 64 << 20


class Event(Protocol):
    """A flag on which coroutines can wait: the methods of `asyncio.Event` that `Outbox` uses."""

    def set(self) -> None:
        """Set the flag and wake the coroutines that wait for it."""

    def clear(self) -> None:
        """Reset the flag."""

    async def wait(self) -> object:
        """Wait until the flag is set."""


class Outbox:
    """A queue of output for one client.

    If `is_raw`, data is sent unchanged, otherwise each piece of data is sent in a frame that names its stream.
    `changed` is an unset event of the event loop that serves the client.
    """

    def __init__(self, changed: Event, *, is_raw: bool) -> None:
        self._is_raw = is_raw
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._changed = changed
        self._is_closed = False
        self._is_overrun = False

    @property
    def wants_more(self) -> bool:
        """Whether the queue is open and has room, because the client reads fast enough."""
        return not self._is_closed and self._size < _ENOUGH

    def put(self, stream: str, data: bytes) -> None:
        """Queue output of the stream "stdout" or "stderr".

        If more than `MOST_UNREAD` bytes are then queued, because the client does not read them, the queue is emptied
        and closed, and `chunks` raises an error.
        """
        if not data or self._is_closed:
            return
        part = data if self._is_raw else _HEAD.pack(_STREAM_NUMBER[stream], len(data)) + data
        self._parts.append(part)
        self._size += len(part)
        if self._size > MOST_UNREAD:
            self._parts.clear()
            self._is_overrun = self._is_closed = True
        self._changed.set()

    def close(self, *_: object) -> None:
        """Refuse further output. Data that is already queued is still sent."""
        self._is_closed = True
        self._changed.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield queued data and wait for more, until the queue is closed and empty.

        Raises `ConnectionAbortedError` if the client has left more than `MOST_UNREAD` bytes unread.
        """
        while True:
            if self._is_overrun:
                raise ConnectionAbortedError("the client does not read")
            while self._parts:
                data = b"".join(self._parts)
                self._parts.clear()
                self._size = 0
                yield data
            if self._is_closed:
                return
            self._changed.clear()
            await self._changed.wait()
