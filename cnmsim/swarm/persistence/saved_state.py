"""The persistent state of a swarm's nodes: credentials, managers' logs, and the agents' tasks.

A restored node continues with `SwarmNode.resume`, as after a loss of power. Source: moby/swarmkit `node/node.go`,
`manager/state/raft/storage`, `agent/storage.go` (vendored by moby docker-v29.7.2), moby `daemon/cluster/cluster.go`
(loadPersistentState).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import evolve, field, frozen

from cnmsim.errors import CnmsimError
from cnmsim.kernel.clock import Clock
from cnmsim.swarm.ca.certificates import Certificate, RootCa
from cnmsim.swarm.dispatcher.messages import ManagerPeer
from cnmsim.swarm.manager.manager_node import ManagerNode
from cnmsim.swarm.node import NodeConfig, SwarmNode
from cnmsim.swarm.objects import Cluster, Config, Network, Node, NodeRole, Secret, Service, Task
from cnmsim.swarm.persistence.serialization import MalformedData
from cnmsim.swarm.persistence.validation import validate
from cnmsim.swarm.raft import Member, Membership
from cnmsim.swarm.store import Store


@frozen
class SavedStore:
    """The store of one cluster: its objects in order of creation.

    `index` is the Raft index of the last change of the store.
    """

    index: int
    clusters: tuple[Cluster, ...]
    nodes: tuple[Node, ...] = ()
    services: tuple[Service, ...] = ()
    tasks: tuple[Task, ...] = ()
    networks: tuple[Network, ...] = ()
    secrets: tuple[Secret, ...] = ()
    configs: tuple[Config, ...] = ()


#: The tables of a store, as fields of `SavedStore`.
STORE_TABLES = ("clusters", "nodes", "services", "tasks", "networks", "secrets", "configs")


@frozen
class SavedManager:
    """The Raft state of a manager.

    `store` is the number of the saved store that represents the manager's log, its position in the list of stores
    (`RaftLogs.number`). All managers of one cluster have the same number, because they share one store. `applied` is
    the index up to which this manager has applied the log, `voted_for` the Raft id for which it voted in `term`, and
    `left_behind` are the Raft ids of the members that force-new-cluster removed.
    """

    store: int
    member: Member
    membership: Membership
    term: int = 0
    applied: int = 0
    voted_for: int | None = None
    left_behind: tuple[int, ...] = ()


@frozen
class SavedNode:
    """The persistent state of one node.

    `remotes` are the addresses of the managers that the node knows. `is_ready` is True if the node has joined its
    swarm. `managing` is the state of its manager, `None` for a worker. A node without a certificate starts anew from
    its `config`.
    """

    config: NodeConfig
    certificate: Certificate | None = None
    root: RootCa | None = None
    is_ready: bool = False
    remotes: tuple[str, ...] = ()
    managers: tuple[ManagerPeer, ...] = ()
    data_path_port: int = 0
    lock_key: bytes = field(default=b"", repr=False)
    managing: SavedManager | None = None
    tasks: tuple[Task, ...] = ()
    secrets: tuple[Secret, ...] = field(default=(), repr=False)
    configs: tuple[Config, ...] = ()


# --- saving


@frozen
class RaftLogs:
    """The logs of all managers in a lab: one store for each cluster.

    `joining` holds the ids of the nodes that do not run a manager. If Raft counts such a node as a member, the node
    is still joining and has no log: it is not saved as a member and asks again to join. `up_to_date` holds the Raft
    ids of the members that have the leader's entire log.
    """

    stores: tuple[Store, ...]
    joining: frozenset[str]
    up_to_date: frozenset[int]

    def number(self, store: Store) -> int:
        """Return the number under which a store is saved, i.e. its position in `stores`."""
        return next(number for number, log in enumerate(self.stores) if log is store)


def collect_raft_logs(nodes: Iterable[SwarmNode]) -> RaftLogs:
    """Return the logs of the managers among `nodes`, the nodes of a lab."""
    all_nodes = list(nodes)
    managers = [node.manager_node for node in all_nodes if node.manager_node is not None]
    return RaftLogs(
        tuple({id(manager.store): manager.store for manager in managers}.values()),
        frozenset(node.id for node in all_nodes if node.manager_node is None),
        frozenset(
            member.raft_id
            for manager in managers
            if manager.raft.is_leading
            for member in manager.members()
            if manager.is_reachable(member)
        ),
    )


def save_node(node: SwarmNode, logs: RaftLogs) -> SavedNode:
    """Return the persistent state of a node. `logs` are the logs of all managers in the lab."""
    manager_node, worker = node.manager_node, node.agent.worker
    if node.certificate is None:
        return SavedNode(node.config)
    is_running = manager_node is not None and manager_node.raft.is_running
    return SavedNode(
        node.config,
        node.certificate,
        node.credentials.root,
        is_ready=node.ready.is_done and node.ready.error is None,
        remotes=tuple(node._broker.weights),
        managers=node.managers,
        data_path_port=node.data_path_port,
        lock_key=manager_node.store.cluster.unlock_key if manager_node is not None and is_running else node._lock_key,
        managing=None if manager_node is None else _save_manager(manager_node, logs),
        tasks=tuple(worker.tasks_with_status()),
        secrets=tuple(worker._secrets.values()),
        configs=tuple(worker._configs.values()),
    )


def _save_manager(manager_node: ManagerNode, logs: RaftLogs) -> SavedManager:
    raft, store = manager_node.raft, manager_node.store
    members = tuple(member for member in raft.membership.members if member.node_id not in logs.joining)
    return SavedManager(
        logs.number(store),
        manager_node.member,
        evolve(raft.membership, members=members),
        raft.term,
        store.index if raft.member.raft_id in logs.up_to_date else raft.applied,
        raft._voted_for,
        tuple(sorted(manager_node._removed_ids)),
    )


# --- restoring


def restore_store(clock: Clock, disk: SavedStore) -> Store:
    """Create a store from its saved state `disk`. Raises `MalformedData` if the saved state is invalid."""
    validate(disk)
    if len(disk.clusters) != 1:
        raise MalformedData(f"the store has {len(disk.clusters)} clusters instead of 1")
    store = Store(clock)
    store.index = disk.index
    for name in STORE_TABLES:
        table: Any = getattr(store, name)
        for item in getattr(disk, name):
            if item.id in table:
                raise MalformedData(f"{name}: duplicate id {item.id}")
            try:
                table.replace(item.id, item)
            except CnmsimError as error:
                raise MalformedData(f"{name}: {error.message}") from None
    return store


def restore_node(node: SwarmNode, disk: SavedNode, stores: list[Store]) -> None:
    """Load the saved state `disk` into a new node; `resume` then starts the node.

    `stores` are the restored logs of all managers, in the order in which they were saved. Raises `MalformedData` if
    the saved state is invalid.
    """
    validate(disk)
    if disk.certificate is None:
        return
    if disk.root is None:
        raise MalformedData("the node has a certificate but no root certificate")
    node.credentials.certificate, node.credentials.root = disk.certificate, disk.root
    node._broker.set_managers(list(disk.remotes))
    node.managers, node.data_path_port, node._lock_key = disk.managers, disk.data_path_port, disk.lock_key
    if disk.managing is not None:
        _restore_manager(node, disk.managing, stores)
    node.agent.worker.restore(disk.tasks, disk.secrets, disk.configs)
    if disk.is_ready:
        node.ready.set_result(node.id)


def _restore_manager(node: SwarmNode, disk: SavedManager, stores: list[Store]) -> None:
    if not 0 <= disk.store < len(stores):
        raise MalformedData(f"store {disk.store} does not exist")
    node._role = NodeRole.MANAGER
    manager_node = node._make_manager(stores[disk.store], disk.member)
    raft = manager_node.raft
    raft.membership, raft.term, raft.applied, raft._voted_for = (
        disk.membership,
        disk.term,
        disk.applied,
        disk.voted_for,
    )
    manager_node._removed_ids = frozenset(disk.left_behind)
