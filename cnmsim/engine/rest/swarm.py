"""The endpoints `/swarm` and `/nodes` of the Engine API.

Source: moby `daemon/server/router/swarm`, `daemon/cluster/{swarm,nodes,filters}.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.engine.cluster.filters import node_filters
from cnmsim.engine.cluster.params import availability_of, version_of
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.query import NO_QUERY, Query, bool_value, strict_bool
from cnmsim.engine.wire.schemas import read
from cnmsim.engine.wire.swarm_schemas import CLUSTER_SPEC, NODE_SPEC, SWARM_INIT, SWARM_JOIN, SWARM_UNLOCK
from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import join_host_port
from cnmsim.swarm.convert.cluster import cluster_spec_from_api, swarm_to_api
from cnmsim.swarm.convert.node import node_spec_from_api, node_to_api
from cnmsim.swarm.objects import ClusterSpec

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import Cluster

_DEFAULT_PORT = "2377"


@define
class SwarmApi:
    """Operations on the swarm that an engine is in."""

    cluster: Cluster

    async def init(self, body: Mapping[str, Any]) -> str:
        """Create a swarm (POST /swarm/init). Return the node's id."""
        fields = read(SWARM_INIT, body, self.cluster.backend.context.profile)
        spec = cluster_spec_from_api(fields["Spec"], ClusterSpec())
        listen = _listen_address(fields)
        availability = availability_of(fields["Availability"])
        _check_name(fields["Spec"])
        pools = fields["DefaultAddrPool"]
        return await self.cluster.init(
            listen=listen,
            advertise=fields["AdvertiseAddr"],
            data_path=fields["DataPathAddr"],
            data_path_port=fields["DataPathPort"],
            pools=None if pools is None else tuple(pools),
            subnet_size=fields["SubnetSize"],
            spec=spec,
            availability=availability,
            force_new_cluster=fields["ForceNewCluster"],
        )

    async def join(self, body: Mapping[str, Any]) -> None:
        """Join a swarm (POST /swarm/join)."""
        fields = read(SWARM_JOIN, body)
        listen = _listen_address(fields)
        remotes = fields["RemoteAddrs"] or ()
        availability = availability_of(fields["Availability"])
        self.cluster.refuse_second()
        if not remotes:
            raise InvalidParameter("at least 1 RemoteAddr is required to join")
        if "" in remotes:
            raise InvalidParameter('invalid remoteAddr "": invalid empty address')
        await self.cluster.join(
            remotes=[_with_port(address) for address in remotes],
            token=fields["JoinToken"],
            listen=listen,
            advertise=fields["AdvertiseAddr"],
            data_path=fields["DataPathAddr"],
            availability=availability,
        )

    async def leave(self, query: Query = NO_QUERY) -> None:
        """Leave the swarm (POST /swarm/leave)."""
        await self.cluster.leave(force=bool_value(query, "force"))

    async def inspect(self) -> dict[str, Any]:
        """Return the description of the swarm (GET /swarm)."""
        return swarm_to_api(await self.cluster.control("get_cluster"))

    async def update(self, body: Mapping[str, Any], query: Query) -> None:
        """Change settings of the swarm, or rotate its tokens or key (POST /swarm/update).

        The query parameter `version` must be the swarm's present version; others, such as `rotateWorkerToken`, select
        what to rotate.
        """
        fields = read(CLUSTER_SPEC, body)
        spec = cluster_spec_from_api(fields)
        _check_name(fields)
        await self.cluster.control(
            "update_cluster",
            version_of(query, "swarm"),
            spec,
            rotate_worker_token=strict_bool(query, "rotateWorkerToken"),
            rotate_manager_token=strict_bool(query, "rotateManagerToken"),
            rotate_manager_unlock_key=strict_bool(query, "rotateManagerUnlockKey"),
        )

    async def unlock_key(self) -> dict[str, Any]:
        """Return the key that unlocks restarted managers (GET /swarm/unlockkey)."""
        return {"UnlockKey": await self.cluster.control("get_unlock_key")}

    async def unlock(self, body: Mapping[str, Any]) -> None:
        """Unlock a restarted manager (POST /swarm/unlock)."""
        await self.cluster.unlock(read(SWARM_UNLOCK, body)["UnlockKey"])


def _check_name(spec: Mapping[str, Any]) -> None:
    if spec["Name"] not in {"", "default"}:
        raise InvalidParameter('swarm spec must be named "default"')


def _listen_address(fields: Mapping[str, Any]) -> str:
    if not fields["ListenAddr"]:
        raise InvalidParameter('invalid ListenAddr "": invalid empty address')
    return _with_port(fields["ListenAddr"])


def _with_port(address: str) -> str:
    """Append the port 2377 to an address that has no port (moby `opts.ParseTCPAddr`)."""
    plain = address.removeprefix("tcp://")
    host, colon, port = plain.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return join_host_port(plain, _DEFAULT_PORT)
    return plain if port else f"{host}:{_DEFAULT_PORT}"


@define
class NodeApi:
    """Operations on the nodes of a swarm.

    `id_` is an id, a name or a unique id prefix; `self` means the engine's own node.
    """

    cluster: Cluster

    async def list(self, query: Query = NO_QUERY) -> list[dict[str, Any]]:
        """Return the nodes that pass the filters (GET /nodes)."""
        filters = node_filters(Filters.parse(query.get("filters")))
        return [node_to_api(node) for node in await self.cluster.control("list_nodes", filters)]

    async def inspect(self, id_: str) -> dict[str, Any]:
        """Return the description of a node (GET /nodes/{id})."""
        return node_to_api(await self.cluster.control("find_node", id_))

    async def update(self, id_: str, body: Mapping[str, Any], query: Query) -> None:
        """Change the spec of a node (POST /nodes/{id}/update).

        The query parameter `version` must be the node's present version.
        """
        fields = read(NODE_SPEC, body)
        version = version_of(query, "node")
        cluster = self.cluster
        cluster.manager()
        spec = node_spec_from_api(fields)
        node = await cluster.control("find_node", id_)
        await cluster.control("update_node", node.id, version, spec)

    async def remove(self, id_: str, query: Query = NO_QUERY) -> None:
        """Remove a node from the swarm (DELETE /nodes/{id})."""
        cluster = self.cluster
        node = await cluster.control("find_node", id_)
        await cluster.control("remove_node", node.id, force=bool_value(query, "force"))
