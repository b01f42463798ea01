"""`/networks/...` (moby `daemon/server/router/network`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define

from cnmsim.engine.cluster.cluster_networks import ClusterNetworks
from cnmsim.engine.containers.container import EndpointSettings
from cnmsim.engine.containers.validate import check_mac_address
from cnmsim.engine.context import EngineContext
from cnmsim.engine.networks.attachment import Networking
from cnmsim.engine.networks.networks import Networks
from cnmsim.engine.wire import schemas as bodies
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.query import NO_QUERY, Query, boolean
from cnmsim.errors import Conflict, InvalidParameter, NotFound
from cnmsim.libnetwork.controller import ManagerRedirect
from cnmsim.libnetwork.network import Network
from cnmsim.swarm.objects import Network as ClusterNetwork


@define
class NetworkApi:
    """Networks, as the API has them. `id_` is an id, a name or the unique beginning of an id."""

    context: EngineContext
    networks: Networks
    networking: Networking
    _cluster: ClusterNetworks

    def list(self, query: Query = NO_QUERY, api: ApiVersion | None = None) -> list[dict[str, Any]]:
        """GET /networks: those of the cluster first, on a manager."""
        store, filters = self.networks, Filters.parse(query.get("filters"))
        networks = store.list(filters)
        of_cluster = self._cluster.views(filters)
        known = {each["Id"] for each in of_cluster}
        local = [
            store.view(each, api or self.context.api_version, is_summary=True)
            for each in networks
            if each.id not in known
        ]
        return [*of_cluster, *local]

    def create(self, body: Mapping[str, Any], api: ApiVersion | None = None) -> dict[str, Any]:
        """POST /networks/create. Raises `ManagerRedirect` for a network that has to be the whole cluster's."""
        return self._create(bodies.read_network_create(self.context.profile, body), api)

    def _create(self, asked: dict[str, Any], api: ApiVersion | None) -> dict[str, Any]:
        if self._cluster.has(asked["Name"]):
            raise Conflict(f"network with name {asked['Name']} already exists")
        network = self.networks.create(asked, api or self.context.api_version)
        return {"Id": network.id, "Warning": ""}

    async def create_anywhere(self, body: Mapping[str, Any], api: ApiVersion | None = None) -> dict[str, Any]:
        """POST /networks/create, by way of a manager where the network is to be the whole cluster's."""
        asked = bodies.read_network_create(self.context.profile, body)
        try:
            return self._create(asked, api)
        except ManagerRedirect:
            return {"Id": await self._cluster.create(asked), "Warning": ""}

    def inspect(self, id_: str, query: Query = NO_QUERY, api: ApiVersion | None = None) -> dict[str, Any]:
        """GET /networks/{id}. `verbose` adds services, which only networks of a swarm have."""
        is_verbose = boolean(query, "verbose", tells_why=True)
        scope = query.get("scope") or ""
        found = self._find(id_, scope, prefers_cluster=True)
        if isinstance(found, Network):
            return self.networks.view(found, api or self.context.api_version, is_verbose=is_verbose)
        return self._cluster.view(found)

    def _find(
        self, term: str, scope: str = "", *, for_removal: bool = False, prefers_cluster: bool = False
    ) -> Network | ClusterNetwork:
        """Find a network, here or of the cluster; one that is both is the one here.

        With `prefers_cluster` the cluster's own is given at once where the id or the scope says that it is meant.
        """
        store = self.networks
        of_cluster = self._cluster.all()
        own = self._cluster.find(term) if prefers_cluster else None
        if own is not None and (own.id.startswith(term) or scope == "swarm"):
            return self.context.controller.network_by_id(own.id) or own
        if not of_cluster:
            local = store.find(term, for_removal=for_removal)
            if scope and scope != local.scope:
                raise NotFound(f"network {term} not found")
            return local
        every: dict[str, Network | ClusterNetwork] = {each.id: each for each in of_cluster}
        every.update((each.id, each) for each in self.context.controller.networks)
        if scope:
            every = {
                key: each
                for key, each in every.items()
                if scope == (each.scope if isinstance(each, Network) else "swarm")
            }
        if term in every:
            return every[term]
        prefixed = [each for key, each in every.items() if term and key.startswith(term)]
        named = [each for each in every.values() if each.name == term]
        for kind, found in (("name", named), ("ID prefix", prefixed)):
            if len(found) == 1:
                return found[0]
            if found:
                raise InvalidParameter(f"{len(found)} matches found based on {kind}: network {term} is ambiguous")
        raise NotFound(f"network {term} not found")

    def connect(self, id_: str, body: Mapping[str, Any], api: ApiVersion | None = None) -> None:
        """POST /networks/{id}/connect."""
        context = self.context
        asked = bodies.read_network_connect(self.context.profile, body)
        settings = EndpointSettings()
        if asked["EndpointConfig"] is not None:
            settings = EndpointSettings.from_body(asked["EndpointConfig"])
            check_mac_address(context.profile, id_, settings.wanted_mac)
        honoured_from = context.profile.connect_mac_api_version
        if not (honoured_from and (api or self.context.api_version).at_least(honoured_from)):
            settings.wanted_mac = settings.mac_address = ""
        container = context.containers.get(asked["Container"])
        self.networking.connect(container, id_, settings)

    async def connect_attached(self, id_: str, body: Mapping[str, Any], api: ApiVersion | None = None) -> None:
        """POST /networks/{id}/connect where a swarm's manager has to give the container an address first."""
        asked = bodies.read_network_connect(self.context.profile, body)
        settings = EndpointSettings()
        if asked["EndpointConfig"] is not None:
            settings = EndpointSettings.from_body(asked["EndpointConfig"])
        await self.networking.attach_to(self.context.containers.get(asked["Container"]), id_, settings)
        self.connect(id_, body, api)

    def disconnect(self, id_: str, body: Mapping[str, Any]) -> None:
        """POST /networks/{id}/disconnect."""
        asked = bodies.read_network_disconnect(self.context.profile, body)
        try:
            container = self.context.containers.get(asked["Container"])
        except NotFound:
            if not asked["Force"]:
                raise
            self._force_endpoint_delete(asked["Container"], id_)
            return
        self.networking.disconnect(container, id_, force=asked["Force"])

    def _force_endpoint_delete(self, name: str, id_: str) -> None:
        endpoint = self.context.controller.find_network(id_).endpoint_by_name(name)
        if endpoint is None:
            raise NotFound(f"endpoint {name} not found")
        endpoint.delete(force=True)

    def remove(self, id_: str) -> None:
        """DELETE /networks/{id}, of this engine's own networks."""
        store = self.networks
        store.remove(store.find(id_, for_removal=True))

    async def remove_anywhere(self, id_: str) -> None:
        """DELETE /networks/{id}, by way of a manager where the network is the whole cluster's."""
        found = self._find(id_, for_removal=True)
        if isinstance(found, Network) and found.scope != "swarm":
            self.networks.remove(found)
            return
        await self._cluster.remove(found.id)
        if isinstance(found, Network) and not found.endpoints:
            self.networks.remove(found)

    def prune(self, query: Query = NO_QUERY) -> dict[str, Any]:
        """POST /networks/prune, of this engine's own networks."""
        return self.networks.prune(Filters.parse(query.get("filters")))

    async def prune_anywhere(self, query: Query = NO_QUERY) -> dict[str, Any]:
        """POST /networks/prune, with those of the cluster on a manager."""
        answer = self.prune(query)
        removed = await self._cluster.prune(Filters.parse(query.get("filters")))
        if removed:
            answer["NetworksDeleted"] = [*removed, *(answer["NetworksDeleted"] or ())]
        return answer
