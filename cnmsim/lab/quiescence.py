"""Check whether a lab's swarms are quiescent: every task has its desired state, and all nodes agree.

Source for the states of a task: moby/swarmkit `api/types.proto` (TaskState).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.libnetwork.networkdb.convergence import (
    ConvergenceChecker,
    clusters_of,
    difference_count,
    first_difference,
    is_busy,
    is_joining,
)
from cnmsim.swarm.objects import NodeState, Task, TaskState, UpdateState

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.libnetwork.networkdb.networkdb import NetworkDB
    from cnmsim.swarm.manager.manager_node import ManagerNode
    from cnmsim.swarm.store import Store

#: The virtual time within which managers without a leader are expected to elect one. After it, they are taken to be
#: unable to reach a quorum.
_ELECTION_NS = 90 * NS_PER_S
#: The virtual time within which gossip that spreads reduces the differences between nodes: a bulk sync takes place
#: every 30 s (memberlist `PushPullInterval`), and a node that lost its cluster joins again every 60 s (moby
#: `rejoinClusterInterval`). If nothing is reduced within it, the nodes are taken to be out of each other's reach.
_SPREAD_NS = 90 * NS_PER_S
#: The interval of virtual time at which the differences are counted.
_COUNT_INTERVAL_NS = 5 * NS_PER_S
#: The virtual time within which tasks that fail and are restarted are expected to run in the end, for instance when
#: the database that they need has started. After it, they are taken to fail again and again.
_RETRY_NS = 60 * NS_PER_S
_MOVING = frozenset({UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED})


@define(eq=False)
class QuiescenceChecker:
    """Checks repeatedly whether the swarms of engines are quiescent.

    A store that has not changed since the last check is not examined again. Gossip that has not reduced the
    differences between nodes for `_SPREAD_NS` nanoseconds counts as quiescent: it does not reach all nodes. With
    `may_retry`, these states count as quiescent too: a task that waits between two failed attempts, a missing leader,
    and nodes that differ. Only a node that has not finished joining the cluster or a network is then awaited.
    """

    may_retry: bool = False
    #: By store: the store's index at the last check, and the work that was pending then ("" for none).
    _found: dict[Store, tuple[int, str]] = field(factory=dict, init=False)
    _convergence: ConvergenceChecker = field(factory=ConvergenceChecker, init=False)
    #: By store: the time at which a check first found no leader.
    _leaderless_since_ns: dict[Store, int] = field(factory=dict, init=False)
    #: By store: the time at which a check first found only tasks that wait between two attempts.
    _retrying_since_ns: dict[Store, int] = field(factory=dict, init=False)
    #: The smallest number of differences between nodes that was counted; `None` while the tasks are not settled.
    _fewest: int | None = field(default=None, init=False)
    #: The time at which `_fewest` was first counted, and the time of the next count.
    _fewest_since_ns: int = field(default=0, init=False)
    _next_count_ns: int = field(default=0, init=False)

    def is_quiescent(self, engines: Iterable[Engine]) -> bool:
        """Return True if nothing is pending in the swarms of these engines."""
        members = _members(engines)
        databases = _databases(members)
        if self.may_retry:
            return not (is_joining(databases) or self._unsettled_tasks(members) or _left_behind(members))
        # The conditions that fail most often come first.
        return (
            not is_busy(databases)
            and not self._unsettled_tasks(members)
            and self._convergence.is_converged(databases)
            and not _left_behind(members)
            and not _split_gossip(members, databases)
        ) or self._is_stalled(members, databases)

    def pending_work(self, engines: Iterable[Engine]) -> str:
        """Return a description of the work that is pending in the swarms of these engines, or "" if there is none."""
        members = _members(engines)
        databases = _databases(members)
        if pending := self._unsettled_tasks(members) or _left_behind(members):
            return pending
        if self.may_retry:
            return "a node is joining the cluster of databases or a network" if is_joining(databases) else ""
        if ConvergenceChecker().is_converged(databases):
            return _split_gossip(members, databases)
        return first_difference(databases) or "a node is waiting for a response"

    def _is_stalled(self, members: list[Engine], databases: list[NetworkDB]) -> bool:
        """Return True if all tasks are settled, and gossip has not reduced the differences for `_SPREAD_NS`.

        Nodes that suspect each other, fail and join again in turns are quiescent in this way, too.
        """
        now_ns = databases[0].process.clock.now_ns if databases else 0
        if not databases or now_ns < self._next_count_ns:
            return False
        self._next_count_ns = now_ns + _COUNT_INTERVAL_NS
        if is_joining(databases) or self._unsettled_tasks(members) or _left_behind(members):
            self._fewest = None
            return False
        count = difference_count(databases)
        if self._fewest is None or count < self._fewest:
            self._fewest, self._fewest_since_ns = count, now_ns
        return now_ns - self._fewest_since_ns >= _SPREAD_NS

    def _unsettled_tasks(self, members: Iterable[Engine]) -> str:
        for engine in members:
            if engine.cluster.state == "pending":
                return f"{engine.machine.name} is joining a swarm"
            for name in engine.cluster.waiting.values():
                return f"container {name} waits for a manager"
        if electing := _electing(members):
            return f"{electing} and other managers elect a leader"
        if not self.may_retry and (leaderless := self._leaderless(members)):
            return f"{leaderless} and other managers have no leader"
        return next((reason for store in _leading(members) if (reason := self._unsettled_in(store))), "")

    def _leaderless(self, members: Iterable[Engine]) -> str:
        """Return the name of a manager of a swarm in which enough managers for a quorum run, but none is leader yet.

        Return "" if there is none, or if the swarm has had no leader for `_ELECTION_NS`.
        """
        swarms: dict[Store, list[tuple[Engine, ManagerNode]]] = {}
        for engine in members:
            manager = engine.cluster.manager_node
            if manager is not None and manager.raft.is_running:
                swarms.setdefault(manager.store, []).append((engine, manager))
        for store, managers in swarms.items():
            engine, first = managers[0]
            if len(managers) < first.raft.membership.quorum or any(each.raft.has_quorum() for _, each in managers):
                self._leaderless_since_ns.pop(store, None)
                continue
            since_ns = self._leaderless_since_ns.setdefault(store, engine.clock.now_ns)
            if engine.clock.now_ns - since_ns < _ELECTION_NS:
                return engine.machine.name
        return ""

    def _unsettled_in(self, store: Store) -> str:
        index, reason = self._found.get(store, (-1, ""))
        if index != store.index:
            reason = _unsettled_in(store, self.may_retry)
            self._found[store] = store.index, reason
        if not reason or _unsettled_in(store, may_retry=True):
            return reason
        now_ns = store.clock.now_ns
        return reason if now_ns - self._retrying_since_ns.setdefault(store, now_ns) < _RETRY_NS else ""


def _members(engines: Iterable[Engine]) -> list[Engine]:
    return [engine for engine in engines if engine.controller.cluster is not None]


def _leading(members: Iterable[Engine]) -> list[Store]:
    """Return the stores of the managers that are leaders, one for each swarm with a leader."""
    managing = (engine.cluster.manager_node for engine in members)
    return [manager.store for manager in managing if manager is not None and manager.raft.is_leading]


def _split_gossip(members: list[Engine], databases: list[NetworkDB]) -> str:
    """Return a description of two ready nodes of a swarm that gossip in different clusters; "" if there are none."""
    clusters = clusters_of(databases)
    if len(clusters) < 2:
        return ""
    by_machine = {db.process.machine: number for number, dbs in enumerate(clusters) for db in dbs}
    numbers = {
        engine.cluster.node.id: (by_machine[engine.machine], engine.machine.name)
        for engine in members
        if engine.cluster.node is not None and engine.machine in by_machine
    }
    for store in _leading(members):
        ready = [node.id for node in store.nodes if node.status.state is NodeState.READY]
        places = dict(numbers[node] for node in ready if node in numbers)
        if len(places) > 1:
            first, second = list(places.values())[:2]
            return f"{first} and {second} have not joined in gossip"
    return ""


def _left_behind(members: Iterable[Engine]) -> str:
    """Return a description of a node that still runs a task that the managers have deleted; "" if there is none."""
    members = list(members)
    known = [store.tasks for store in _leading(members)]
    if not known:
        return ""
    for engine in members:
        agent = engine.cluster.node.agent if engine.cluster.node is not None else None
        if agent is None or not agent.has_session:
            continue
        for task in agent.worker.tasks():
            if all(task.id not in tasks for tasks in known):
                return f"{engine.machine.name} is to remove task {task.name}"
    return ""


def _electing(members: Iterable[Engine]) -> str:
    """Return the name of a manager that has had no leader since its start although enough managers run; else ""."""
    managing = [(engine, engine.cluster.manager_node) for engine in members]
    running = [(engine, manager) for engine, manager in managing if manager is not None and manager.raft.is_running]
    for engine, manager in running:
        others = {other.member.raft_id for _, other in running} & {one.raft_id for one in manager.members()}
        if manager.raft.is_starting and len(others) >= manager.raft.membership.quorum:
            return engine.machine.name
    return ""


def _databases(members: list[Engine]) -> list[NetworkDB]:
    """Return the running NetworkDBs of the members, without those of nodes that are down and send no gossip.

    A node is down for the managers if they receive no heartbeat; its gossip, by another port, may still go on.
    """
    from cnmsim.libnetwork.networkdb.databases import databases_of

    if not members:
        return []
    is_down = NodeState.DOWN
    lost = {node.id for store in _leading(members) for node in store.nodes if node.status.state is is_down}
    if not lost:
        return list(databases_of(members[0].clock))
    down = {
        engine.machine for engine in members if engine.cluster.node is not None and engine.cluster.node.id in lost
    }
    databases = list(databases_of(members[0].clock))
    up = [db for db in databases if db.process.machine not in down]
    return [
        db for db in databases if db.process.machine not in down or any(db.name in other.nodes.active for other in up)
    ]


def _unsettled_in(store: Store, may_retry: bool) -> str:
    for service in store.services:
        if service.update_status is not None and service.update_status.state in _MOVING:
            return f"service {service.name} is being updated"
    for node in store.nodes:
        if node.status.state is NodeState.UNKNOWN:
            return f"node {node.hostname or node.id} has not registered"
    for task in store.tasks:
        if not _is_settled(store, task, may_retry):
            return f"task {task.name} is {task.state.name.lower()}, to be {task.desired_state.name.lower()}"
    return ""


def _is_settled(store: Store, task: Task, may_retry: bool) -> bool:
    node = store.nodes.get(task.node_id)
    if node is not None and node.status.state is NodeState.DOWN:
        return True  # its status does not change any more
    match task.desired_state:
        case TaskState.RUNNING | TaskState.COMPLETE:
            if task.state is TaskState.PENDING:
                return bool(task.status.err)  # no node suits it: it is pending until the cluster changes
            return task.state >= TaskState.RUNNING
        case TaskState.READY:
            # The restart supervisor delays it: it is ready, or rejected already, until the delay has passed.
            return may_retry and (task.state is TaskState.READY or task.state >= TaskState.COMPLETE)
        case TaskState.NEW | TaskState.REMOVE:
            return False  # the reaper will remove it in its next round
    # A task that was never assigned is unknown to every agent, so its end is never reported.
    return task.state >= TaskState.COMPLETE or task.state < TaskState.ASSIGNED
