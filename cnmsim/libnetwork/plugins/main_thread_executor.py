"""Runs work on the lab's thread while that thread waits for a plugin.

A plugin may create devices on a simulated host while the engine waits for its response. But only the lab's thread may
use a simulated host, and this is the thread that waits. So it waits in `run_until_done`, which meanwhile runs the
calls that other threads submit.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _WorkItem(Generic[T]):
    """A call that another thread submits to the thread of the lab."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._begun = threading.Lock()
        self._done = threading.Event()
        self._outcome: list[T] = []
        self._error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        """Whether the call has finished, successfully or not."""
        return self._done.is_set()

    def run(self) -> None:
        """Run the call, unless it was cancelled, and wake the thread that waits for `result`."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._outcome.append(self._call())
        except BaseException as error:  # noqa: BLE001 - raised again in the submitting thread
            self._error = error
        finally:
            self._done.set()

    def cancel(self) -> bool:
        """Cancel the call. Return `False` if the call has begun already, and so is not cancelled."""
        return self._begun.acquire(blocking=False)

    def result(self, timeout_s: float | None = None) -> T:
        """Wait for the call to finish, and return its result.

        Raises what the call raised, or `TimeoutError` after `timeout_s` seconds (`None`: no limit).
        """
        if not self._done.wait(timeout_s):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._outcome[0]


class MainThreadExecutor:
    """Runs submitted calls on one lab's thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_WorkItem[Any] | None] = queue.SimpleQueue()
        self._waits = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the lab's thread is in `run_until_done`. Only then are submitted calls run."""
        return self._waits > 0

    def submit(self, call: Callable[[], T]) -> _WorkItem[T]:
        """Submit a call from another thread.

        The call is run on the lab's thread while that thread is in `run_until_done`.
        """
        item = _WorkItem(call)
        self._queue.put(item)
        return item

    def run_until_done(self, work: Callable[[], T]) -> T:
        """Run `work` in a new thread, and return its result.

        Meanwhile run the calls of `submit` in the present thread. `work` takes real time and must not touch the lab.
        Raises the exception that `work` raises.
        """
        outcome = _WorkItem(work)

        def run() -> None:
            outcome.run()
            self._queue.put(None)

        self._waits += 1
        try:
            threading.Thread(target=run, name="cnmsim plugin call", daemon=True).start()
            while not outcome.is_done:
                # `None` says that some `work` is done: this one, or an earlier one whose `run_until_done` was left by
                # an exception.
                item = self._queue.get()
                if item is not None:
                    item.run()
        finally:
            self._waits -= 1
        return outcome.result()
