"""Who wants to hear of changes to the tables of a NetworkDB (moby `libnetwork/networkdb/watch.go`)."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from cnmsim.kernel.clock import Clock
from cnmsim.libnetwork.networkdb.tables import WatchEvent

_Watcher = tuple[str, str, Callable[[WatchEvent], None]]


@define(eq=False)
class Watchers:
    """The watchers of one node's database."""

    clock: Clock
    _watchers: list[_Watcher] = field(factory=list, init=False)

    def add(self, table: str, network: str, callback: Callable[[WatchEvent], None]) -> Callable[[], None]:
        """Call `callback` with every change to a table, of one network or of any (""); gives what ends that."""
        watcher = (table, network, callback)
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def notify(self, event: WatchEvent) -> None:
        """Tell of a change, to those who still watch when their turn comes."""
        for watcher in self._watchers:
            if watcher[0] == event.table and watcher[1] in {"", event.network}:
                self.clock.call_soon(self._deliver, watcher, event)

    def _deliver(self, watcher: _Watcher, event: WatchEvent) -> None:
        if watcher in self._watchers:
            watcher[2](event)
