"""Joining the cluster, reconnecting to failed nodes, and leaving.

Source: moby `libnetwork/networkdb/cluster.go` (clusterJoin, reconnectNode, rejoinClusterBootStrap, clusterLeave),
docker-v29.7.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.task import Future, sleep, wait_for
from cnmsim.libnetwork.networkdb.ticker import Ticker
from cnmsim.libnetwork.networkdb.transport import SocketAddress

if TYPE_CHECKING:
    from cnmsim.libnetwork.networkdb.bulksync import BulkSynchronizer
    from cnmsim.libnetwork.networkdb.context import NodeContext

RETRY_INTERVAL_S = 1.0
REJOIN_INTERVAL_S = 60.0
REJOIN_DURATION_S = 10.0
NODE_EVENT_TIMEOUT_S = 5.0
LEAVE_TIMEOUT_S = 1.0


@define(eq=False)
class Rejoiner:
    """Keeps one node in the cluster. `bootstrap` are the addresses passed to the last call of `join`.

    `pending_joins` is the number of `join` calls that are still running.
    """

    context: NodeContext
    bulk: BulkSynchronizer
    send_node_event: Callable[[bool], Future[None]]
    stop_database: Callable[[], None]
    bootstrap: list[SocketAddress] = field(factory=list, init=False)
    pending_joins: int = field(default=0, init=False)
    _retry: Ticker = field(init=False)
    _rejoin: Ticker = field(init=False)
    _is_retrying: bool = field(default=False, init=False)
    _is_rejoining: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        clock, random = self.context.clock, self.context.random
        self._retry = Ticker(clock, random, RETRY_INTERVAL_S, self._retry_tick)
        self._rejoin = Ticker(clock, random, REJOIN_INTERVAL_S, self._rejoin_tick)

    def start(self) -> None:
        """Start checking every minute whether one of the bootstrap nodes is a member, and joining them if none is."""
        self._rejoin.arm()

    def stop(self) -> None:
        """Stop all periodic work."""
        self._retry.stop()
        self._rejoin.stop()

    def schedule_reconnect(self) -> None:
        """Schedule attempts to reconnect to failed nodes, at most one each second, as long as there are any."""
        if not self.context.is_stopped:
            self._retry.arm()

    def join(self, addresses: Sequence[SocketAddress]) -> None:
        """Join the cluster through the nodes at these addresses.

        If none of them responds, the attempt is repeated later.
        """
        self.bootstrap = list(addresses)
        if addresses:
            self.pending_joins += 1
            self.context.run_in_background(lambda: self._join_first(addresses))

    async def _join_first(self, addresses: Sequence[SocketAddress]) -> None:
        try:
            await self._join(addresses)
        finally:
            self.pending_joins -= 1

    async def _join(self, addresses: Sequence[SocketAddress]) -> bool:
        if not await self.context.members.join(addresses) or self.context.is_stopped:
            return False
        return await self._broadcast_node_event(is_join=True)

    async def _broadcast_node_event(self, *, is_join: bool) -> bool:
        try:
            await wait_for(self.context.clock, self.send_node_event(is_join), NODE_EVENT_TIMEOUT_S)
        except TimeoutError:
            return False
        return True

    def restart_after_fork(self) -> None:
        """Start the attempt to rejoin again, if one was running: a forked lab does not contain its coroutine.

        An attempt to reconnect to a failed node is repeated every second anyway.
        """
        self._is_retrying = False
        if self._is_rejoining:
            self.context.process.task(self._rejoin_bootstrap())

    # --- nodes that failed

    def _retry_tick(self) -> None:
        nodes = self.context.nodes
        nodes.reap()
        if not nodes.failed:
            return
        self._retry.arm()
        if not self._is_retrying and not self.context.members.is_paused:
            self._is_retrying = True
            self.context.process.task(self._reconnect())

    async def _reconnect(self) -> None:
        context = self.context
        try:
            name = context.random.choice(list(context.nodes.failed))
            member = context.nodes.failed[name]
            if await self._join([member.socket_address]):
                await self.bulk.sync([name], every=True)
        finally:
            self._is_retrying = False

    # --- bootstrap nodes

    def _rejoin_tick(self) -> None:
        self._rejoin.arm()
        if self.bootstrap and not self._is_rejoining and not self._has_bootstrap():
            self._is_rejoining = True
            self.context.process.task(self._rejoin_bootstrap())

    def _has_bootstrap(self) -> bool:
        bootstrap = set(self.bootstrap)
        return any(
            member.socket_address in bootstrap
            for member in self.context.nodes.active.values()
            if member.name != self.context.name
        )

    async def _rejoin_bootstrap(self) -> None:
        clock = self.context.clock
        until_s = clock.now + REJOIN_DURATION_S
        try:
            while clock.now < until_s and not self.context.is_stopped:
                await sleep(clock, RETRY_INTERVAL_S)
                if await self._join(self.bootstrap):
                    return
        finally:
            self._is_rejoining = False

    # --- leaving

    async def leave(self, on_left: Callable[[], None] | None = None) -> None:
        """Announce that this node leaves, stop its database, then call `on_left`.

        Do nothing if the database is stopped already.
        """
        context = self.context
        if context.is_stopped:
            return
        self.stop()
        await self._broadcast_node_event(is_join=False)
        gone: Future[None] = Future(context.clock)
        if not context.is_stopped and context.members.leave(lambda: complete(gone)):
            # If the announcement cannot be sent in time, the other nodes detect that this node is gone.
            with suppress(TimeoutError):
                await wait_for(context.clock, gone, LEAVE_TIMEOUT_S)
        self.stop_database()
        if on_left is not None:
            on_left()


def complete(future: Future[None]) -> None:
    """Complete a future, unless it is complete already."""
    if not future.is_done:
        future.set_result(None)
