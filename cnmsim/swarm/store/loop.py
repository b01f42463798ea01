"""Base of the leader's loops."""

from __future__ import annotations

from abc import ABC, abstractmethod

from cnmsim.kernel.clock import Timer
from cnmsim.swarm.store.store import Store, Watch


class StoreLoop(ABC):
    """Base of the loops that run on the leader, such as the scheduler.

    A loop does its work when a watch reports changes of the store, in some loops after a delay. `start` and `stop`
    are called when this manager becomes leader or ceases to be.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watch: Watch | None = None
        self._timer: Timer | None = None

    @abstractmethod
    def start(self) -> None:
        """Process the objects that the previous leader left unprocessed, then process each change of the store."""

    def stop(self) -> None:
        """End the watch on the store, and cancel work that is delayed."""
        if self._watch is not None:
            self._watch.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
