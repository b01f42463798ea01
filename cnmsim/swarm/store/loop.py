"""Base of the leader's loops."""

from __future__ import annotations

from abc import ABC, abstractmethod

from cnmsim.kernel.clock import Timer
from cnmsim.swarm.store.store import Store, Watch


class StoreLoop(ABC):
    """A loop of the leader. A watch on the store triggers it, and a timer delays its work."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watch: Watch | None = None
        self._timer: Timer | None = None

    @abstractmethod
    def start(self) -> None:
        """Do the work that a former leader did not finish, then follow changes of the store."""

    def stop(self) -> None:
        """Stop following the store, and cancel delayed work."""
        if self._watch is not None:
            self._watch.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
