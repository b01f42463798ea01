"""The `Swarm` part of `docker info` (moby `daemon/cluster/cluster.go`, Info)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnmsim.engine.daemon.system import NO_SWARM
from cnmsim.errors import EngineError
from cnmsim.swarm.convert.cluster import cluster_to_api
from cnmsim.swarm.manager.manager_node import NO_LEADER

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import Cluster
    from cnmsim.swarm.node import SwarmNode

_TWO_MANAGERS = (
    "WARNING: Running Swarm in a two-manager configuration. This configuration provides\n"
    "         no fault tolerance, and poses a high risk to lose control over the cluster.\n"
    "         Refer to https://docs.docker.com/engine/swarm/admin_guide/ to configure the\n"
    "         Swarm for fault-tolerance."
)


def _fault(node: SwarmNode | None) -> str:
    """Return the text of the error that prevented the start of a node or ended it; "" if there is none.

    Errors that do not end a node, such as the loss of its managers, are only logged.
    """
    error = node.ready.error if node is not None and node.ready.is_done else None
    return error.message if isinstance(error, EngineError) else str(error or "")


def swarm_info(cluster: Cluster) -> dict[str, Any]:
    """Return the `Swarm` part of `GET /info`."""
    node, manager_node = cluster.node, cluster.manager_node
    info = {**NO_SWARM, "NodeAddr": cluster.advertise_host, "LocalNodeState": cluster.state}
    if cluster.obstacle:
        return {**info, "Error": cluster.obstacle}
    info |= {"ControlAvailable": manager_node is not None, "Error": _fault(node)}
    if node is not None:
        info["NodeID"] = node.id
        if node.managers:
            info["RemoteManagers"] = [{"NodeID": manager.node_id, "Addr": manager.addr} for manager in node.managers]
        elif node.config.join_address:
            info["RemoteManagers"] = [{"NodeID": "", "Addr": node.config.join_address}]
    if manager_node is None:
        return info
    if manager_node.raft.leader is None:
        return {**info, "Error": f"rpc error: code = Unknown desc = {NO_LEADER}", "Cluster": None}
    store = manager_node.store
    try:
        view = cluster_to_api(manager_node.manager.control.get_cluster())
    except EngineError as error:
        return {**info, "Error": error.message}
    managers = len(manager_node.members())
    counts = {"Nodes": len(store.nodes), "Managers": managers}
    warnings = {"Warnings": [_TWO_MANAGERS]} if managers == 2 else {}
    return {**info, **counts, "Cluster": view, **warnings}
