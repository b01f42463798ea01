"""Streams of docker-py's calls: events, logs, statistics, and the output of a command while it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.engine.rest.containers import LogReading
from cnmsim.gojson.encode import encode
from cnmsim.kernel.clock import Clock

if TYPE_CHECKING:
    from cnmsim.engine.client.session import Session
    from cnmsim.engine.containers.exec import Exec

T = TypeVar("T")


def _nothing() -> None:
    """Do nothing; the default for `Stream.end`."""


class Stream(Iterator[T], Generic[T]):
    """An iterator over items that appear while virtual time passes, like docker-py's `CancellableStream`.

    `next` returns the oldest unread item; if there is none, it advances virtual time until there is one. The stream
    ends when the function `is_over` returns True, when `close` is called, or when no event is left in the lab that
    could produce an item. It then calls `end`, which the creator of the stream sets to a function that releases
    resources.
    """

    def __init__(self, clock: Clock, is_over: Callable[[], bool]) -> None:
        self.end: Callable[[], None] = _nothing
        self._clock, self._is_over = clock, is_over
        self._items: deque[T] = deque()
        self._is_closed = False

    def put(self, item: T) -> None:
        """Append an item for the reader."""
        self._items.append(item)

    def close(self) -> None:
        """End the stream. Items that were not read are lost."""
        self._items.clear()
        if not self._is_closed:
            self._is_closed = True
            self.end()

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        if not self._items and not self._is_closed and not self._is_over():
            self._clock.run(stop=lambda: bool(self._items) or self._is_over())
        if not self._items:
            self.close()
            raise StopIteration
        return self._items.popleft()


def log_lines(reading: LogReading) -> Stream[bytes]:
    """Return the lines of the log that `reading` requests, including later ones if it requests to follow.

    A followed log ends when the container stops.
    """
    record = reading.container
    stopped = record.when("not-running") if reading.is_followed else None
    lines: Stream[bytes] = Stream(record.clock, lambda: stopped is None or stopped.is_done)
    for _, data in reading.chunks():
        lines.put(data)
    if stopped is None:
        return lines

    def take(line: LogLine) -> None:
        if line.stream in reading.streams:
            lines.put(line.rendered(timestamps=reading.timestamps))

    unsubscribe = record.log.follow(take)

    def end() -> None:
        unsubscribe()
        record.forget(stopped)

    lines.end = end
    return lines


def type_input(execution: Exec, stdin: bool | bytes) -> None:
    """Write `stdin` to a command's standard input and close it. True closes it without input.

    With False or b"" do nothing: the input stays open.
    """
    if stdin:
        execution.streams.type(stdin if isinstance(stdin, bytes) else b"")
        execution.streams.end_input()


def exec_output(
    engine: Session, identity: str, wanted: Collection[str], *, tty: bool, stdin: bool | bytes, demux: bool
) -> Stream[Any]:
    """Start the exec with the id `identity`, and return an iterator over what it prints.

    `wanted` are the names of the streams to return ("stdout", "stderr"). `tty` is True if the exec has a terminal.
    `stdin` is as in `type_input`. An item is the bytes of one write; with `demux` it is the pair (bytes, `None`) for
    standard output and (`None`, bytes) for standard error.
    """
    ended: list[bool] = []
    output: Stream[Any] = Stream(engine.clock, lambda: bool(ended))

    def take(name: str, data: bytes) -> None:
        if name in wanted:
            output.put(((data, None) if name == "stdout" else (None, data)) if demux else data)

    execution = engine.rest.execs.start(identity, {"Detach": False, "Tty": tty}, take)
    execution.streams.ended.add_done_callback(lambda _: ended.append(True))
    type_input(execution, stdin)
    return output


def statistics(engine: Session, identity: str, *, decode: bool) -> Iterator[Any]:
    """Yield a container's statistics, one set for each second of virtual time, until the container stops.

    Each set is a dict with `decode`, else a line of JSON in bytes. `identity` is the container's id or name.
    """
    rest, record = engine.rest.containers, engine.store.get(identity)
    reading = rest.stats(identity, has_previous=False)
    while True:
        yield reading if decode else encode(reading).encode() + b"\n"
        engine.clock.run_for(1)
        if not record.is_running:
            return
        reading = rest.stats(identity)
