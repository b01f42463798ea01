"""What the thread of a lab does while an engine waits for a plugin: whatever the plugin wants done on the host.

A real plugin makes devices while the engine waits for its answer. A simulated host belongs to one thread, and that
thread is the one that waits. So it waits here, and does executor for others meanwhile.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _WorkItem(Generic[T]):
    """A piece of work that one thread asks another to do."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._begun = threading.Lock()
        self._done = threading.Event()
        self._outcome: list[T] = []
        self._error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        """Whether it was done, well or not."""
        return self._done.is_set()

    def run(self) -> None:
        """Do it, unless it was cancelled, and let whoever waits for `result` go on."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._outcome.append(self._call())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            self._error = error
        finally:
            self._done.set()

    def cancel(self) -> bool:
        """Take it back; `False` if it has begun."""
        return self._begun.acquire(blocking=False)

    def result(self, timeout_s: float | None = None) -> T:
        """Wait until it is done, and give what it gave. Raises what it raised, or `TimeoutError`."""
        if not self._done.wait(timeout_s):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._outcome[0]


class MainThreadExecutor:
    """The executor of one lab. `is_waiting` tells whether its thread is waiting for a plugin just now."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_WorkItem[Any] | None] = queue.SimpleQueue()
        self._waits = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the lab's thread is waiting for a plugin, and does executor."""
        return self._waits > 0

    def submit(self, call: Callable[[], T]) -> _WorkItem[T]:
        """Have `call` done in the lab's thread, the next time that it waits for a plugin. For other threads."""
        item = _WorkItem(call)
        self._queue.put(item)
        return item

    def run_until_done(self, work: Callable[[], T]) -> T:
        """Do `work`, which takes real time and touches nothing of the lab, in a thread of its own, and executor here.

        Gives what it gives, or raises what it raises.
        """
        outcome = _WorkItem(work)

        def run() -> None:
            outcome.run()
            self._queue.put(None)

        self._waits += 1
        try:
            threading.Thread(target=run, name="cnmsim plugin call", daemon=True).start()
            while not outcome.is_done:
                # `None` tells that some work is done: this, or that of a call that was left by an exception.
                item = self._queue.get()
                if item is not None:
                    item.run()
        finally:
            self._waits -= 1
        return outcome.result()
