"""`/volumes/...` (moby `daemon/server/router/volume`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.engine import bodies
from cnmsim.engine.filters import Filters
from cnmsim.engine.query import NO_QUERY, Query, truth

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine


@define
class VolumeApi:
    """Volumes, as the API has them."""

    engine: Engine

    def list(self, query: Query = NO_QUERY) -> dict[str, Any]:
        """GET /volumes."""
        volumes = self.engine.volume_store.list(Filters.parse(query.get("filters")))
        return {"Volumes": [volume.view() for volume in volumes], "Warnings": None}

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST /volumes/create."""
        asked = bodies.read(bodies.VOLUME_CREATE, body)
        volume = self.engine.volume_store.create(
            asked["Name"], driver=asked["Driver"], labels=asked["Labels"], options=asked["DriverOpts"]
        )
        return volume.view()

    def inspect(self, name: str) -> dict[str, Any]:
        """GET /volumes/{name}."""
        return self.engine.volume_store.get(name).view()

    def remove(self, name: str, query: Query = NO_QUERY) -> None:
        """DELETE /volumes/{name}."""
        self.engine.volume_store.remove(name, force=truth(query, "force"))

    def prune(self, query: Query = NO_QUERY) -> dict[str, Any]:
        """POST /volumes/prune."""
        return self.engine.volume_store.prune(Filters.parse(query.get("filters")))
