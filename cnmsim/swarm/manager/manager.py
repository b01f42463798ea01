"""The subsystems of a manager: control API, dispatcher, and the leader's loops (moby/swarmkit `manager`)."""

from __future__ import annotations

from random import Random

from attrs import define, field

from cnmsim.kernel.clock import Clock, Timer
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.allocator import Allocator
from cnmsim.swarm.controlapi import ControlApi
from cnmsim.swarm.dispatcher import Dispatcher
from cnmsim.swarm.errors import NotLeader
from cnmsim.swarm.identity import new_id
from cnmsim.swarm.manager.keymanager import KeyManager
from cnmsim.swarm.orchestrator import (
    ConstraintEnforcer,
    GlobalOrchestrator,
    JobsOrchestrator,
    ReplicatedOrchestrator,
    TaskReaper,
)
from cnmsim.swarm.scheduler import Scheduler
from cnmsim.swarm.store import Store
from cnmsim.swarm.store.loop import StoreLoop

_RETRY_S = 1.0


@define(eq=False)
class Manager:
    """The subsystems of one manager. All managers of a cluster share one store, but only one of them is the leader.

    `random` is the manager's own random number generator, `node_id` the id of its node.
    """

    clock: Clock
    random: Random
    store: Store
    profile: Profile
    node_id: str = ""
    control: ControlApi = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    allocator: Allocator | None = field(default=None, init=False)
    is_leading: bool = field(default=False, init=False)
    _loops: list[StoreLoop | Dispatcher] = field(factory=list, init=False)
    _retry: Timer | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.control = ControlApi(self.store, self.random, self.profile)
        self.dispatcher = Dispatcher(self.store, self.random, self._new_id, self.node_id)

    def _new_id(self) -> str:
        return new_id(self.random)

    def become_leader(self) -> None:
        """Start the leader's loops. They rebuild from the store the state that the former leader had in memory."""
        if self.is_leading:
            return
        self.is_leading = True
        self.store.on_leadership_lost = self._suspend
        self._start()

    def become_follower(self) -> None:
        """Stop the leader's loops and end the agents' sessions. The agents then connect to the new leader."""
        if not self.is_leading:
            return
        self.is_leading = False
        self.store.on_leadership_lost = None
        self._stop()

    def _start(self) -> None:
        store = self.store
        self.allocator = Allocator(store, self.profile)
        self._loops = [
            KeyManager(store, self.random),
            self.dispatcher,
            self.allocator,
            ReplicatedOrchestrator(store, self._new_id),
            GlobalOrchestrator(store, self._new_id),
            JobsOrchestrator(store, self._new_id),
            TaskReaper(store),
            ConstraintEnforcer(store, self.profile),
            Scheduler(store),
        ]
        try:
            for loop in self._loops:
                loop.start()
        except NotLeader:
            self._suspend()

    def _stop(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        loops, self._loops = self._loops, []
        for loop in reversed(loops):
            loop.stop()
        self.allocator = None

    def _suspend(self) -> None:
        """Stop the loops because the quorum is lost, and check regularly whether there is a quorum again.

        As soon as there is one, the loops are started again from the state in the store.
        """
        self._stop()
        self._retry = self.clock.call_later(_RETRY_S, self._resume)

    def _resume(self) -> None:
        if not self.is_leading:
            return
        try:
            if self.store.propose is not None:
                self.store.propose(())
        except NotLeader:
            self._retry = self.clock.call_later(_RETRY_S, self._resume)
        else:
            self._start()
