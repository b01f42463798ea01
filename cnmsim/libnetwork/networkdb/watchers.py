"""Watchers of the tables of a NetworkDB (moby `libnetwork/networkdb/watch.go`)."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from cnmsim.kernel.clock import Clock
from cnmsim.libnetwork.networkdb.tables import WatchEvent


@define(eq=False)
class _Watcher:
    table: str
    network: str
    callback: Callable[[WatchEvent], None]
    is_watching: bool = True

    def deliver(self, event: WatchEvent) -> None:
        if self.is_watching:
            self.callback(event)


@define(eq=False)
class Watchers:
    """The subscriptions to tables of one node's database."""

    clock: Clock
    _watchers: list[_Watcher] = field(factory=list, init=False)
    _found: dict[tuple[str, str], list[_Watcher]] = field(factory=dict, init=False)

    def add(self, table: str, network: str, callback: Callable[[WatchEvent], None]) -> Callable[[], None]:
        """Subscribe `callback` to changes of a table, for one network or for all ("").

        Return a function that unsubscribes.
        """
        watcher = _Watcher(table, network, callback)
        self._watchers.append(watcher)
        self._found.clear()

        def end() -> None:
            watcher.is_watching = False
            self._watchers.remove(watcher)
            self._found.clear()

        return end

    def notify(self, event: WatchEvent) -> None:
        """Schedule a call of each subscribed callback with the change `event`, at this instant of virtual time.

        A callback that unsubscribes before its call is not called.
        """
        key = event.table, event.network
        watchers = self._found.get(key)
        if watchers is None:
            watchers = self._found[key] = [
                candidate
                for candidate in self._watchers
                if candidate.table == key[0] and candidate.network in {"", key[1]}
            ]
        for watcher in watchers:
            self.clock.call_soon(watcher.deliver, event)
