"""`/networks/...` (moby `daemon/server/router/network`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.engine import bodies
from cnmsim.engine.container import EndpointSettings
from cnmsim.engine.filters import Filters
from cnmsim.engine.query import NO_QUERY, Query
from cnmsim.engine.validate import check_mac_address
from cnmsim.engine.versions import ApiVersion
from cnmsim.errors import InvalidParameter, NotFound

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine

_GO_TRUTHS = ("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")


@define
class NetworkApi:
    """Networks, as the API has them. `id_` is an id, a name or the unique beginning of an id."""

    engine: Engine

    def _api(self, api: ApiVersion | None) -> ApiVersion:
        return api or self.engine.api_version

    def list(self, query: Query = NO_QUERY, api: ApiVersion | None = None) -> list[dict[str, Any]]:
        """GET /networks."""
        store = self.engine.network_store
        networks = store.list(Filters.parse(query.get("filters")))
        return [store.view(network, self._api(api), is_summary=True) for network in networks]

    def create(self, body: Mapping[str, Any], api: ApiVersion | None = None) -> dict[str, Any]:
        """POST /networks/create."""
        asked = bodies.read(bodies.NETWORK_CREATE, "CreateRequest", body)
        network = self.engine.network_store.create(asked, self._api(api))
        return {"Id": network.id, "Warning": ""}

    def inspect(self, id_: str, query: Query = NO_QUERY, api: ApiVersion | None = None) -> dict[str, Any]:
        """GET /networks/{id}. `verbose` adds services, which only networks of a swarm have."""
        verbose = query.get("verbose", "")
        if verbose and verbose not in _GO_TRUTHS:
            raise InvalidParameter(
                f'invalid value for verbose: {verbose}: strconv.ParseBool: parsing "{verbose}": invalid syntax'
            )
        network = self.engine.network_store.find(id_)
        if query.get("scope") and query["scope"] != network.scope:
            raise NotFound(f"network {id_} not found")
        return self.engine.network_store.view(network, self._api(api))

    def connect(self, id_: str, body: Mapping[str, Any], api: ApiVersion | None = None) -> None:
        """POST /networks/{id}/connect."""
        engine = self.engine
        asked = bodies.read(bodies.NETWORK_CONNECT, "ConnectRequest", body)
        settings = EndpointSettings()
        if asked["EndpointConfig"] is not None:
            settings = EndpointSettings.from_body(asked["EndpointConfig"])
            check_mac_address(engine.profile, id_, settings.wanted_mac)
        honoured_from = engine.profile.connect_mac_api_version
        if not (honoured_from and self._api(api).at_least(honoured_from)):
            settings.wanted_mac = settings.mac_address = ""
        container = engine.store.get(asked["Container"])
        engine.networking.connect(container, id_, settings)

    async def connect_attached(self, id_: str, body: Mapping[str, Any], api: ApiVersion | None = None) -> None:
        """POST /networks/{id}/connect where a swarm's manager has to give the container an address first."""
        asked = bodies.read(bodies.NETWORK_CONNECT, "ConnectRequest", body)
        settings = EndpointSettings()
        if asked["EndpointConfig"] is not None:
            settings = EndpointSettings.from_body(asked["EndpointConfig"])
        await self.engine.networking.attach_to(self.engine.store.get(asked["Container"]), id_, settings)
        self.connect(id_, body, api)

    def disconnect(self, id_: str, body: Mapping[str, Any]) -> None:
        """POST /networks/{id}/disconnect."""
        asked = bodies.read(bodies.NETWORK_DISCONNECT, "DisconnectRequest", body)
        try:
            container = self.engine.store.get(asked["Container"])
        except NotFound:
            if not asked["Force"]:
                raise
            self._force_endpoint_delete(asked["Container"], id_)
            return
        self.engine.networking.disconnect(container, id_, force=asked["Force"])

    def _force_endpoint_delete(self, name: str, id_: str) -> None:
        endpoint = self.engine.controller.find_network(id_).endpoint_by_name(name)
        if endpoint is None:
            raise NotFound(f"endpoint {name} not found")
        endpoint.delete(force=True)

    def remove(self, id_: str) -> None:
        """DELETE /networks/{id}."""
        store = self.engine.network_store
        store.remove(store.find(id_, for_removal=True))

    def prune(self, query: Query = NO_QUERY) -> dict[str, Any]:
        """POST /networks/prune."""
        return self.engine.network_store.prune(Filters.parse(query.get("filters")))
