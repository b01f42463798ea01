"""Bulk syncs: two nodes exchange all entries of the networks to which both are attached, over TCP.

Source: moby `libnetwork/networkdb/cluster.go` (bulkSyncTables, bulkSync, bulkSyncNode), docker-v29.7.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.task import Future, wait_for
from cnmsim.libnetwork.networkdb.messages import BulkSync, bulk_event, bulk_sync_size, table_event_size
from cnmsim.libnetwork.networkdb.suspicion import PUSH_PULL_INTERVAL_S
from cnmsim.libnetwork.networkdb.ticker import Ticker

if TYPE_CHECKING:
    from cnmsim.libnetwork.networkdb.context import NodeContext
    from cnmsim.libnetwork.networkdb.messages import TableEvent

#: How many seconds a node waits for the response to a bulk sync.
ANSWER_TIMEOUT_S = 30.0
_SOME = 8


@define(eq=False)
class BulkSynchronizer:
    """The bulk syncs of one node.

    `apply_event` is called with each entry that another node sends and this node lacks. `timeouts` counts the syncs
    without a response in time.
    """

    context: NodeContext
    apply_event: Callable[[TableEvent], None]
    timeouts: int = field(default=0, init=False)
    _ticker: Ticker = field(init=False)
    _pending_acks: dict[str, list[tuple[int, Future[None]]]] = field(factory=dict, init=False)
    _is_running: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._ticker = Ticker(self.context.clock, self.context.random, PUSH_PULL_INTERVAL_S, self._tick)

    def start(self) -> None:
        """Start the periodic syncs."""
        self._ticker.arm()

    def stop(self) -> None:
        """Stop the periodic syncs."""
        self._ticker.stop()

    def restart_after_fork(self) -> None:
        """Start the pending syncs again: a forked lab does not contain the coroutines that wait for the responses."""
        self._is_running = False
        pending = list(self._pending_acks)
        self._pending_acks.clear()
        if pending:
            self.context.process.task(self.sync(pending, every=True))

    @property
    def is_pending(self) -> bool:
        """Whether this node is waiting for the response to a bulk sync."""
        return bool(self._pending_acks)

    def _tick(self) -> None:
        self._ticker.arm()
        if self._is_running or self.context.members.is_paused:
            return
        if any(tables.node_count > 1 for tables in self.context.networks.values() if not tables.is_leaving):
            self._is_running = True
            self.context.process.task(self._sync_all())

    async def _sync_all(self) -> None:
        try:
            networks = [network for network, tables in self.context.networks.items() if not tables.is_leaving]
            while networks:
                tables = self.context.networks.get(networks.pop(0))
                if tables is None:
                    continue
                done = await self.sync(list(tables.nodes), every=False)
                networks = [network for network in networks if network not in done]
        finally:
            self._is_running = False

    async def sync(self, nodes: Iterable[str], *, every: bool) -> list[str]:
        """Sync with each of `nodes` in turn or, if `every` is False, with one of them that is chosen at random.

        If the chosen node is unreachable or refuses the connection, another one is tried. Return the ids of the
        networks in the last sync, whether or not the node responded in time; an empty list if no node was reachable.
        """
        partners = list(nodes) if every else self.context.sample(2, nodes)
        done: list[str] = []
        for node in partners:
            if node == self.context.name or self.context.is_stopped:
                continue
            networks = self.context.common_networks(node)
            try:
                await self._sync_with(node, networks)
            except OSError:
                continue
            done = networks
            if not every:
                break
        return done

    async def _sync_with(self, node: str, networks: list[str]) -> None:
        if node not in self.context.nodes.active:
            return
        message = self._message(networks, is_unsolicited=True)
        answered: Future[None] = Future(self.context.clock)
        entry = (message.ltime, answered)
        self._pending_acks.setdefault(node, []).append(entry)
        try:
            await self.context.members.send_reliably(message, self.context.nodes.active[node])
            await wait_for(self.context.clock, answered, ANSWER_TIMEOUT_S)
        except TimeoutError:
            if not answered.is_done:
                self.timeouts += 1
        finally:
            waiting = self._pending_acks.get(node, [])
            if entry in waiting:
                waiting.remove(entry)
            if not waiting:
                self._pending_acks.pop(node, None)

    def _message(self, networks: Iterable[str], *, is_unsolicited: bool) -> BulkSync:
        context = self.context
        if context.config.profile.networkdb_acknowledges_by_time:
            context.table_clock.increment()
        known = {network: context.networks[network] for network in networks if network in context.networks}
        lengths: dict[str, tuple[int, int]] = {}
        for network, tables in known.items():
            # Entries are of a few kinds, which are stored in groups. The mean size of the first ones is used for all.
            some = [table_event_size(network, version) for version in islice(tables.view, _SOME)]
            lengths[network] = len(tables.view), sum(some) // max(len(some), 1)
        return BulkSync(
            context.table_clock.time,
            is_unsolicited,
            context.name,
            {network: tables.view.snapshot() for network, tables in known.items()},
            {network: tables.residuals() for network, tables in known.items()},
            bulk_sync_size(context.name, context.table_clock.time, lengths),
        )

    def handle_message(self, message: BulkSync) -> None:
        """Apply another node's bulk sync. If it is not a response, respond with this node's own entries."""
        context = self.context
        context.table_clock.witness(message.ltime)
        for network, snapshot in message.entries.items():
            tables = context.networks.get(network)
            if tables is None:
                continue
            residuals = message.residuals[network]
            for version in tables.view.unseen_in(snapshot):
                event = bulk_event(network, version, residuals.get(version.slot.number, 0))
                self.apply_event(event)
        self._acknowledge(message)
        member = context.nodes.active.get(message.name)
        if message.is_unsolicited and member is not None:
            answer = self._message(message.entries, is_unsolicited=False)
            context.process.task(self._answer(answer, message.name))

    async def _answer(self, answer: BulkSync, node: str) -> None:
        try:
            await self.context.members.send_reliably(answer, self.context.nodes.active[node])
        except (OSError, KeyError):
            return  # the other side times out, and tries again

    def _acknowledge(self, message: BulkSync) -> None:
        by_time = self.context.config.profile.networkdb_acknowledges_by_time
        for ltime, answered in self._pending_acks.get(message.name, []):
            is_answer = message.ltime > ltime if by_time else not message.is_unsolicited
            if is_answer and not answered.is_done:
                answered.set_result(None)
