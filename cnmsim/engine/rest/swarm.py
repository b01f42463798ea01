"""`/swarm` and `/nodes` (moby `daemon/server/router/swarm`, `daemon/cluster/{swarm,nodes,filters}.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.engine.cluster.addresses import DEFAULT_LISTEN_ADDRESS
from cnmsim.engine.cluster.filters import node_filters
from cnmsim.engine.cluster.reading import availability_of, reading, version_of
from cnmsim.engine.filters import Filters
from cnmsim.engine.query import NO_QUERY, Query, truth
from cnmsim.errors import InvalidParameter
from cnmsim.swarm.objects.convert import (
    cluster_spec_from_api,
    node_spec_from_api,
    node_to_api,
    swarm_to_api,
)

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine

_DEFAULT_PORT = "2377"


@define
class SwarmApi:
    """The swarm an engine is in, as the API has it."""

    engine: Engine

    async def init(self, body: Mapping[str, Any]) -> str:
        """POST /swarm/init; gives the node's id."""
        with reading("InitRequest"):
            spec_body = body.get("Spec") or {}
            name = spec_body.get("Name") or "default"
            spec = cluster_spec_from_api(spec_body)
            listen = _listen_address(body)
            asked_pools = body.get("DefaultAddrPool")
            pools = None if asked_pools is None else tuple(str(each) for each in asked_pools)
            size, port = int(body.get("SubnetSize") or 0), int(body.get("DataPathPort") or 0)
            availability = availability_of(body.get("Availability") or "")
        if name != "default":
            raise InvalidParameter('swarm spec must be named "default"')
        return await self.engine.cluster.init(
            listen=listen,
            advertise=str(body.get("AdvertiseAddr") or ""),
            data_path=str(body.get("DataPathAddr") or ""),
            data_path_port=port,
            pools=pools,
            subnet_size=size,
            spec=spec,
            availability=availability,
            force_new_cluster=bool(body.get("ForceNewCluster")),
        )

    async def join(self, body: Mapping[str, Any]) -> None:
        """POST /swarm/join."""
        with reading("JoinRequest"):
            listen = _listen_address(body)
            remotes = [_with_port(str(each)) for each in body.get("RemoteAddrs") or ()]
            token = str(body.get("JoinToken") or "")
            availability = availability_of(body.get("Availability") or "")
        self.engine.cluster.refuse_second()
        if not remotes:
            raise InvalidParameter("at least 1 RemoteAddr is required to join")
        await self.engine.cluster.join(
            remotes=remotes,
            token=token,
            listen=listen,
            advertise=str(body.get("AdvertiseAddr") or ""),
            data_path=str(body.get("DataPathAddr") or ""),
            availability=availability,
        )

    async def leave(self, query: Query = NO_QUERY) -> None:
        """POST /swarm/leave."""
        await self.engine.cluster.leave(force=truth(query, "force"))

    async def inspect(self) -> dict[str, Any]:
        """GET /swarm."""
        return swarm_to_api(await self.engine.cluster.control("get_cluster"))

    async def update(self, body: Mapping[str, Any], query: Query) -> None:
        """POST /swarm/update."""
        with reading("Spec"):
            spec = cluster_spec_from_api(body)
            name = body.get("Name") or "default"
        if name != "default":
            raise InvalidParameter('swarm spec must be named "default"')
        await self.engine.cluster.control(
            "update_cluster",
            version_of(query, "swarm"),
            spec,
            rotate_worker_token=truth(query, "rotateWorkerToken"),
            rotate_manager_token=truth(query, "rotateManagerToken"),
            rotate_manager_unlock_key=truth(query, "rotateManagerUnlockKey"),
        )

    async def unlock_key(self) -> dict[str, Any]:
        """GET /swarm/unlockkey."""
        return {"UnlockKey": await self.engine.cluster.control("get_unlock_key")}

    async def unlock(self, body: Mapping[str, Any]) -> None:
        """POST /swarm/unlock."""
        with reading("UnlockRequest"):
            key = str(body.get("UnlockKey") or "")
        await self.engine.cluster.unlock(key)


def _listen_address(body: Mapping[str, Any]) -> str:
    asked = body.get("ListenAddr")
    if asked is None:
        return DEFAULT_LISTEN_ADDRESS
    if asked == "":
        raise InvalidParameter('invalid ListenAddr "": invalid empty address')
    return _with_port(str(asked))


def _with_port(address: str) -> str:
    """Give an address with port 2377 if it has none (moby `opts.ParseTCPAddr`)."""
    plain = address.removeprefix("tcp://")
    host, colon, port = plain.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return f"[{plain}]:{_DEFAULT_PORT}" if ":" in plain else f"{plain}:{_DEFAULT_PORT}"
    return plain if port else f"{host}:{_DEFAULT_PORT}"


@define
class NodeApi:
    """The nodes of a swarm, as the API has them. `id_` is an id, a name, the beginning of an id, or `self`."""

    engine: Engine

    async def list(self, query: Query = NO_QUERY) -> list[dict[str, Any]]:
        """GET /nodes."""
        filters = node_filters(Filters.parse(query.get("filters")))
        return [node_to_api(each) for each in await self.engine.cluster.control("list_nodes", filters)]

    async def inspect(self, id_: str) -> dict[str, Any]:
        """GET /nodes/{id}."""
        return node_to_api(await self.engine.cluster.control("find_node", id_))

    async def update(self, id_: str, body: Mapping[str, Any], query: Query) -> None:
        """POST /nodes/{id}/update."""
        cluster = self.engine.cluster
        cluster.manager()
        with reading("NodeSpec"):
            spec = node_spec_from_api(body)
        version = version_of(query, "node")
        node = await cluster.control("find_node", id_)
        await cluster.control("update_node", node.id, version, spec)

    async def remove(self, id_: str, query: Query = NO_QUERY) -> None:
        """DELETE /nodes/{id}."""
        cluster = self.engine.cluster
        node = await cluster.control("find_node", id_)
        await cluster.control("remove_node", node.id, force=truth(query, "force"))
