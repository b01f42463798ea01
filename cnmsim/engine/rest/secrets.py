"""The endpoints `/secrets` and `/configs` of the Engine API (moby `daemon/cluster/{secrets,configs}.go`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.engine.cluster.filters import config_filters, secret_filters
from cnmsim.engine.cluster.params import version_of
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.query import NO_QUERY, Query
from cnmsim.engine.wire.schemas import read
from cnmsim.engine.wire.swarm_schemas import CONFIG_SPEC, SECRET_SPEC
from cnmsim.gojson.unmarshal import Struct
from cnmsim.swarm.convert.secret import config_spec_from_api, secret_spec_from_api, secret_to_api

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import Cluster


@define
class SecretOrConfigApi:
    """Operations on the secrets or the configs of a swarm. `id_` is an id, a name or a unique id prefix.

    `kind` is "secret" or "config"; `struct` is the schema of its spec. `parse_filters` converts the filters of a
    listing, `spec_from_api` a decoded spec.
    """

    cluster: Cluster
    kind: str
    struct: Struct
    parse_filters: Callable[[Filters], Any]
    spec_from_api: Callable[[Mapping[str, Any]], Any]

    async def _control(self, operation: str, *arguments: Any) -> Any:
        return await self.cluster.control(f"{operation}_{self.kind}", *arguments)

    async def list(self, query: Query = NO_QUERY) -> list[dict[str, Any]]:
        """Return the secrets or configs that pass the filters (GET /secrets, GET /configs)."""
        filters = self.parse_filters(Filters.parse(query.get("filters")))
        return [secret_to_api(item) for item in await self.cluster.control(f"list_{self.kind}s", filters)]

    async def inspect(self, id_: str) -> dict[str, Any]:
        """Return the description of a secret or config (GET /secrets/{id})."""
        return secret_to_api(await self._control("find", id_))

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a secret or config, and return its id (POST /secrets/create)."""
        spec = self.spec_from_api(read(self.struct, body))
        self.cluster.manager()
        return {"ID": (await self._control("create", spec)).id}

    async def update(self, id_: str, body: Mapping[str, Any], query: Query) -> None:
        """Change the spec of a secret or config (POST /secrets/{id}/update).

        The query parameter `version` must be the object's present version.
        """
        spec = self.spec_from_api(read(self.struct, body))
        version = version_of(query, self.kind)
        await self._control("update", (await self._control("find", id_)).id, version, spec)

    async def remove(self, id_: str) -> None:
        """Remove a secret or config (DELETE /secrets/{id})."""
        await self._control("remove", (await self._control("find", id_)).id)


def secret_api(cluster: Cluster) -> SecretOrConfigApi:
    """Create the object with the operations on secrets."""
    return SecretOrConfigApi(cluster, "secret", SECRET_SPEC, secret_filters, secret_spec_from_api)


def config_api(cluster: Cluster) -> SecretOrConfigApi:
    """Create the object with the operations on configs."""
    return SecretOrConfigApi(cluster, "config", CONFIG_SPEC, config_filters, config_spec_from_api)
