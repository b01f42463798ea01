"""Check whether a lab's swarms are quiescent: every task has its desired state, and all nodes agree.

Source for the states of a task: moby/swarmkit `api/types.proto` (TaskState).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.libnetwork.networkdb.convergence import ConvergenceChecker, clusters_of, first_difference, is_busy
from cnmsim.swarm.objects import NodeState, Task, TaskState, UpdateState

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.libnetwork.networkdb.networkdb import NetworkDB
    from cnmsim.swarm.manager.manager_node import ManagerNode
    from cnmsim.swarm.store import Store

#: The virtual time within which managers without a leader are expected to elect one. After it, they are taken to be
#: unable to reach a quorum.
_ELECTION_NS = 90 * NS_PER_S
#: The virtual time within which nodes whose gossip is split are expected to join each other: such a node tries again
#: every 60 s (moby `rejoinClusterInterval`). After it, they are taken to be out of each other's reach.
_REJOIN_NS = 90 * NS_PER_S
#: The virtual time within which tasks that fail and are restarted are expected to run in the end, for instance when
#: the database that they need has started. After it, they are taken to fail again and again.
_RETRY_NS = 60 * NS_PER_S
_MOVING = frozenset({UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED})


@define(eq=False)
class QuiescenceChecker:
    """Checks repeatedly whether the swarms of engines are quiescent.

    A store that has not changed since the last check is not examined again. With `may_retry`, these states count as
    quiescent too: a task that waits between two failed attempts, a missing leader, and gossip that is split or passes
    one way only.
    """

    may_retry: bool = False
    #: By store: the store's index at the last check, and the work that was pending then ("" for none).
    _found: dict[Store, tuple[int, str]] = field(factory=dict, init=False)
    _convergence: ConvergenceChecker = field(factory=ConvergenceChecker, init=False)
    #: By store: the time at which a check first found no leader.
    _leaderless_since_ns: dict[Store, int] = field(factory=dict, init=False)
    #: By store: the time at which a check first found only tasks that wait between two attempts.
    _retrying_since_ns: dict[Store, int] = field(factory=dict, init=False)
    #: The time at which a check first found split gossip; `None` if gossip is not split.
    _split_since_ns: int | None = field(default=None, init=False)
    #: The time at which a check first found a running node that others list as failed. As such nodes may be found and
    #: fail again in turns, it is never reset.
    _failed_since_ns: int | None = field(default=None, init=False)

    def is_quiescent(self, engines: Iterable[Engine]) -> bool:
        """Return True if nothing is pending in the swarms of these engines."""
        members = _members(engines)
        databases = self._compared(_databases(members))
        # The conditions that fail most often come first.
        is_quiet = not is_busy(databases) and not self._unsettled_tasks(members)
        return (
            is_quiet
            and self._convergence.is_converged(databases)
            and not _left_behind(members)
            and not self._split_gossip(members, databases)
        )

    def pending_work(self, engines: Iterable[Engine]) -> str:
        """Return a description of the work that is pending in the swarms of these engines, or "" if there is none."""
        members = _members(engines)
        databases = self._compared(_databases(members))
        unsettled = self._unsettled_tasks(members)
        if unsettled or ConvergenceChecker().is_converged(databases):
            return unsettled or _left_behind(members) or self._split_gossip(members, databases)
        return first_difference(databases) or "a node is waiting for a response"

    def _compared(self, databases: list[NetworkDB]) -> list[NetworkDB]:
        """Return those of `databases` that are expected to agree.

        If nodes list a running node as failed, all databases are returned for `_REJOIN_NS` nanoseconds, within which
        the node may join again. After that, only the databases of the largest cluster are returned. A node that
        receives no gossip, but whose gossip others receive, is in no cluster, as the others list it as failed again
        and again.
        """
        failed: dict[str, list[str]] = {}
        for db in databases:
            for name in db.nodes.failed:
                failed.setdefault(name, []).append(db.name)
        if not failed or not any(db.name in failed for db in databases):
            return databases
        now_ns = databases[0].process.clock.now_ns
        if self._failed_since_ns is None:
            self._failed_since_ns = now_ns
        if not self.may_retry and now_ns - self._failed_since_ns < _REJOIN_NS:
            return databases
        heard = [db for db in databases if not any(name in db.nodes.active for name in failed.get(db.name, ()))]
        return max(clusters_of(heard, through_failed=False), key=len, default=[])

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

    def _split_gossip(self, members: list[Engine], databases: list[NetworkDB]) -> str:
        """Return a description of two ready nodes of one swarm that gossip in different clusters.

        Return "" if there are none, or if gossip has been split for `_REJOIN_NS`.
        """
        clusters = [] if self.may_retry else clusters_of(databases)
        if len(clusters) > 1:
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
                    now_ns = members[0].clock.now_ns
                    if self._split_since_ns is None:
                        self._split_since_ns = now_ns
                    first, second = list(places.values())[:2]
                    is_expected = now_ns - self._split_since_ns < _REJOIN_NS
                    return f"{first} and {second} have not joined in gossip" if is_expected else ""
        self._split_since_ns = None
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
