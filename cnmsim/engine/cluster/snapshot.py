"""Save and restore a daemon's part in a swarm: the state that its node has on disk, and its addresses.

Source: moby `daemon/cluster/{cluster,noderunner}.go` (docker-v29.7.2): `docker-state.json` and the folders of the
node.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.engine.cluster.addresses import Addresses
from cnmsim.engine.cluster.task_container import service_bindings
from cnmsim.kernel.address import parse_ip
from cnmsim.swarm.persistence.saved_state import RaftLogs, SavedNode, collect_raft_logs, restore_node, save_node

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.swarm.store import Store


@frozen
class MemberDisk:
    """The part of one daemon's saved state that concerns its swarm."""

    addresses: Addresses
    node: SavedNode


def raft_logs_of(engines: Iterable[Engine]) -> RaftLogs:
    """Return the object that holds the Raft logs of these daemons' nodes. All nodes of a lab use the same object."""
    nodes = [engine.cluster.node for engine in engines]
    return collect_raft_logs(node for node in nodes if node is not None)


def save_member(engine: Engine, raft_logs: RaftLogs) -> MemberDisk | None:
    """Return the part of a daemon's state that concerns its swarm, or `None` if it is not in a swarm.

    `raft_logs` are the Raft logs of all managers in the lab (see `raft_logs_of`).
    """
    cluster = engine.cluster
    if cluster.node is None or cluster._addresses is None:
        return None
    return MemberDisk(cluster._addresses, save_node(cluster.node, raft_logs))


def restore_member(engine: Engine, disk: MemberDisk, stores: list[Store]) -> None:
    """Restore the swarm node of a daemon from its saved state. The daemon's containers must be restored first.

    The node is not started; `SwarmNode.resume` starts it. `stores` are the saved stores of managers. Raises an
    `EngineError` if the daemon's configuration does not allow swarm mode, and `ValueError` if the saved state is
    invalid.
    """
    engine.cluster.refuse_incompatible()
    known = disk.addresses
    for text in (known.local, known.advertise, *([known.data_path] if known.data_path else [])):
        parse_ip(text)
    node = engine.cluster.make_node(disk.node.config, disk.addresses)
    restore_node(node, disk.node, stores)
    for task in disk.node.tasks:
        container = engine.store.find(task.name)
        if container is not None and container.is_managed:
            container.service_bindings = service_bindings(task)
