"""The endpoints `/networks/…` of the Engine API (moby `daemon/server/router/network`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
from cnmsim.engine.wire.query import NO_QUERY, Query, strict_bool
from cnmsim.errors import Conflict, InvalidParameter, NotFound
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.network_configuration import ManagerRedirect

if TYPE_CHECKING:
    from cnmsim.swarm.objects import Network as ClusterNetwork


@define
class NetworkApi:
    """Operations on networks. `id_` is an id, a name or a unique id prefix."""

    context: EngineContext
    networks: Networks
    networking: Networking
    _cluster: ClusterNetworks

    def list(self, query: Query = NO_QUERY, api: ApiVersion | None = None) -> list[dict[str, Any]]:
        """Return the networks that pass the filters (GET /networks). On a manager, those of the swarm come first."""
        store, filters = self.networks, Filters.parse(query.get("filters"))
        networks = store.list(filters)
        of_cluster = self._cluster.views(filters)
        known = {view["Id"] for view in of_cluster}
        local = [
            store.view(network, api or self.context.api_version, is_summary=True)
            for network in networks
            if network.id not in known
        ]
        return [*of_cluster, *local]

    async def create(self, body: Mapping[str, Any], api: ApiVersion | None = None) -> dict[str, Any]:
        """Create a network, and return its id (POST /networks/create).

        On a manager, this can be a network of the swarm.
        """
        options = bodies.read_network_create(self.context.profile, body)
        if self._cluster.has(options["Name"]):
            raise Conflict(f"network with name {options['Name']} already exists")
        try:
            id_ = self.networks.create(options, api or self.context.api_version).id
        except ManagerRedirect:
            id_ = await self._cluster.create(options)
        return {"Id": id_, "Warning": ""}

    def inspect(self, id_: str, query: Query = NO_QUERY, api: ApiVersion | None = None) -> dict[str, Any]:
        """Return the description of a network (GET /networks/{id}).

        The query parameter `verbose` adds the services of a network of the swarm.
        """
        is_verbose = strict_bool(query, "verbose", with_cause=True)
        scope = query.get("scope") or ""
        network = self._find(id_, scope, prefers_cluster=True)
        if isinstance(network, Network):
            return self.networks.view(network, api or self.context.api_version, is_verbose=is_verbose)
        return self._cluster.view(network)

    def _find(
        self, term: str, scope: str = "", *, for_removal: bool = False, prefers_cluster: bool = False
    ) -> Network | ClusterNetwork:
        """Return the network of this engine or of the swarm that has this id, name or unique id prefix.

        For a network of the swarm of which this engine has a copy, return the copy. `scope`, unless "", restricts the
        search to networks with this scope, such as "local". `for_removal` is as in `Networks.find`. With
        `prefers_cluster`, a network of the swarm takes precedence if it matches by id, or by name with the scope
        "swarm". Raises `NotFound` if there is none, and `InvalidParameter` if several match.
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
        every: dict[str, Network | ClusterNetwork] = {network.id: network for network in of_cluster}
        every.update((network.id, network) for network in self.context.controller.networks)
        if scope:
            every = {
                key: network
                for key, network in every.items()
                if scope == (network.scope if isinstance(network, Network) else "swarm")
            }
        if term in every:
            return every[term]
        prefixed = [network for key, network in every.items() if term and key.startswith(term)]
        named = [network for network in every.values() if network.name == term]
        for kind, matches in (("name", named), ("ID prefix", prefixed)):
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise InvalidParameter(f"{len(matches)} matches found based on {kind}: network {term} is ambiguous")
        raise NotFound(f"network {term} not found")

    async def connect(self, id_: str, body: Mapping[str, Any], api: ApiVersion | None = None) -> None:
        """Connect a container to a network (POST /networks/{id}/connect).

        On a network of the swarm, a manager allocates the container's addresses first.
        """
        context = self.context
        options = bodies.read_body("network_connect", context.profile, body)
        container = context.containers.get(options["Container"])
        settings = EndpointSettings()
        if options["EndpointConfig"] is not None:
            settings = EndpointSettings.from_body(
                options["EndpointConfig"], is_typed=context.profile.ipam_config_is_typed
            )
            check_mac_address(settings.wanted_mac)
        mac_address_since = context.profile.connect_mac_api_version
        if not (mac_address_since and (api or context.api_version).at_least(mac_address_since)):
            settings.wanted_mac = ""
            if mac_address_since:
                settings.mac_address = ""  # earlier releases show the address until the container starts
        await self.networking.attach_to(container, id_, settings)
        self.networking.connect(container, id_, settings)

    def disconnect(self, id_: str, body: Mapping[str, Any]) -> None:
        """Disconnect a container from a network (POST /networks/{id}/disconnect)."""
        options = bodies.read_body("network_disconnect", self.context.profile, body)
        try:
            container = self.context.containers.get(options["Container"])
        except (NotFound, InvalidParameter):
            if not options["Force"]:
                raise
            self._force_endpoint_delete(options["Container"], id_)
            return
        self.networking.disconnect(container, id_, force=options["Force"])

    def _force_endpoint_delete(self, name: str, id_: str) -> None:
        network = self.context.controller.find_network(id_)
        if not name.strip():
            raise InvalidParameter(self.context.profile.blank_name_text.format(name=name))
        endpoint = network.endpoint_by_name(name)
        if endpoint is None:
            raise NotFound(f"endpoint {name} not found")
        endpoint.delete(force=True)

    async def remove(self, id_: str) -> None:
        """Remove a network (DELETE /networks/{id}). On a manager, this can be a network of the swarm."""
        network = self._find(id_, for_removal=True)
        if isinstance(network, Network) and network.scope != "swarm":
            self.networks.remove(network)
            return
        await self._cluster.remove(network.id)
        if isinstance(network, Network) and not network.endpoints:
            self.networks.remove(network)

    async def prune(self, query: Query = NO_QUERY) -> dict[str, Any]:
        """Remove unused networks that pass the filters (POST /networks/prune).

        A manager prunes those of the swarm, too.
        """
        filters = Filters.parse(query.get("filters"))
        answer = self.networks.prune(filters)
        removed = await self._cluster.prune(filters)
        if removed:
            answer["NetworksDeleted"] = [*removed, *(answer["NetworksDeleted"] or ())]
        return answer
