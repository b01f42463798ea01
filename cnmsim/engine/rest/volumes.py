"""The endpoints `/volumes/…` of the Engine API (moby `daemon/server/router/volume`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.engine.cluster.params import version_of
from cnmsim.engine.context import EngineContext
from cnmsim.engine.wire import schemas as bodies
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.query import NO_QUERY, Query, bool_value
from cnmsim.errors import NotFound, NotSimulated, Unavailable

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import GetCluster

_CLUSTER_VOLUMES = "cluster volumes are not simulated: no CSI plugin would make them"
_NO_CLUSTER_VOLUME = "volume {} not found"


@define
class VolumeApi:
    """Operations on volumes."""

    context: EngineContext
    _get_cluster: GetCluster

    def list(self, query: Query = NO_QUERY) -> dict[str, Any]:
        """Return the volumes that pass the filters (GET /volumes)."""
        volumes = self.context.volumes.list(Filters.parse(query.get("filters")))
        return {"Volumes": [volume.view() for volume in volumes], "Warnings": None}

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a volume, and return its description (POST /volumes/create)."""
        fields = bodies.read_body("volume_create", self.context.profile, body)
        if fields["ClusterVolumeSpec"] is not None:
            self._get_cluster().manager()
            raise NotSimulated(_CLUSTER_VOLUMES)
        volume = self.context.volumes.create(
            fields["Name"], driver=fields["Driver"], labels=fields["Labels"], options=fields["DriverOpts"]
        )
        return volume.view()

    def inspect(self, name: str) -> dict[str, Any]:
        """Return the description of a volume (GET /volumes/{name})."""
        with self._asking_swarm(name):
            return self.context.volumes.get(name).view()

    def update(self, name: str, query: Query = NO_QUERY) -> None:
        """Raise an `EngineError`: only cluster volumes can be changed, and there are none (PUT /volumes/{name})."""
        if not self._get_cluster().is_manager:
            raise Unavailable("volume update only valid for cluster volumes, but swarm is unavailable")
        version_of(query, "volume")
        raise NotFound(_NO_CLUSTER_VOLUME.format(name))

    @contextmanager
    def _asking_swarm(self, name: str) -> Iterator[None]:
        """Replace the text of a `NotFound` that the `with` block raises for the volume `name`, if this is a manager.

        The text then names cluster volumes, among which a manager also searches.
        """
        try:
            yield
        except NotFound:
            if self._get_cluster().is_manager:
                raise NotFound(_NO_CLUSTER_VOLUME.format(name)) from None
            raise

    def remove(self, name: str, query: Query = NO_QUERY) -> None:
        """Remove a volume (DELETE /volumes/{name})."""
        with self._asking_swarm(name):
            self.context.volumes.remove(name, force=bool_value(query, "force"))

    def prune(self, query: Query = NO_QUERY, api: ApiVersion | None = None) -> dict[str, Any]:
        """Remove unused anonymous volumes (POST /volumes/prune).

        Before API version 1.42, remove unused named volumes, too.
        """
        includes_named = api is not None and not api.at_least("1.42")
        return self.context.volumes.prune(Filters.parse(query.get("filters")), includes_named=includes_named)
