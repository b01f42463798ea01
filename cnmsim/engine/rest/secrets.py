"""`/secrets` and `/configs` (moby `daemon/cluster/{secrets,configs}.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.engine.cluster.filters import config_filters, secret_filters
from cnmsim.engine.cluster.params import version_of
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.query import NO_QUERY, Query
from cnmsim.engine.wire.schemas import read
from cnmsim.engine.wire.swarm_schemas import CONFIG_SPEC, SECRET_SPEC
from cnmsim.swarm.convert.secret import config_spec_from_api, config_to_api, secret_spec_from_api, secret_to_api

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import Cluster


@define
class SecretApi:
    """Operations on the secrets of a swarm. `id_` is an id, a name or a unique id prefix."""

    cluster: Cluster

    async def list(self, query: Query = NO_QUERY) -> list[dict[str, Any]]:
        """GET /secrets."""
        filters = secret_filters(Filters.parse(query.get("filters")))
        return [secret_to_api(secret) for secret in await self.cluster.control("list_secrets", filters)]

    async def inspect(self, id_: str) -> dict[str, Any]:
        """GET /secrets/{id}."""
        return secret_to_api(await self.cluster.control("find_secret", id_))

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST /secrets/create."""
        spec = secret_spec_from_api(read(SECRET_SPEC, body))
        self.cluster.manager()
        return {"ID": (await self.cluster.control("create_secret", spec)).id}

    async def update(self, id_: str, body: Mapping[str, Any], query: Query) -> None:
        """POST /secrets/{id}/update."""
        spec = secret_spec_from_api(read(SECRET_SPEC, body))
        version = version_of(query, "secret")
        secret = await self.cluster.control("find_secret", id_)
        await self.cluster.control("update_secret", secret.id, version, spec)

    async def remove(self, id_: str) -> None:
        """DELETE /secrets/{id}."""
        secret = await self.cluster.control("find_secret", id_)
        await self.cluster.control("remove_secret", secret.id)


@define
class ConfigApi:
    """Operations on the configs of a swarm. `id_` is an id, a name or a unique id prefix."""

    cluster: Cluster

    async def list(self, query: Query = NO_QUERY) -> list[dict[str, Any]]:
        """GET /configs."""
        filters = config_filters(Filters.parse(query.get("filters")))
        return [config_to_api(config) for config in await self.cluster.control("list_configs", filters)]

    async def inspect(self, id_: str) -> dict[str, Any]:
        """GET /configs/{id}."""
        return config_to_api(await self.cluster.control("find_config", id_))

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST /configs/create."""
        spec = config_spec_from_api(read(CONFIG_SPEC, body))
        self.cluster.manager()
        return {"ID": (await self.cluster.control("create_config", spec)).id}

    async def update(self, id_: str, body: Mapping[str, Any], query: Query) -> None:
        """POST /configs/{id}/update."""
        spec = config_spec_from_api(read(CONFIG_SPEC, body))
        version = version_of(query, "config")
        config = await self.cluster.control("find_config", id_)
        await self.cluster.control("update_config", config.id, version, spec)

    async def remove(self, id_: str) -> None:
        """DELETE /configs/{id}."""
        config = await self.cluster.control("find_config", id_)
        await self.cluster.control("remove_config", config.id)
