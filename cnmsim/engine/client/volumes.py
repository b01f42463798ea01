"""Volumes with docker-py's interface (`docker/models/volumes.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.engine.client.docker_errors import raises_docker_errors
from cnmsim.engine.client.model import Model, filters_of, query_of

if TYPE_CHECKING:
    from cnmsim.engine.client.session import Session


@raises_docker_errors
@define(eq=False, repr=False)
class Volume(Model):
    """A volume. Its id is its name."""

    def __repr__(self) -> str:
        return f"<Volume: {self.id}>"

    @property
    def name(self) -> str:
        """The volume's name."""
        return self.id

    @property
    def attrs(self) -> dict[str, Any]:
        """The volume's description as a dict, the same data that `docker volume inspect` prints."""
        return self._engine.rest.volumes.inspect(self.id)

    def remove(self, *, force: bool = False) -> None:
        """Remove the volume. Raises `Conflict` if a container uses it.

        Raises `NotFound` if the volume no longer exists, unless `force` is set.
        """
        self._engine.rest.volumes.remove(self.id, query_of(force=force))


@raises_docker_errors
@define
class VolumeCollection:
    """The volumes of an engine."""

    _engine: Session = field(repr=False)

    def create(
        self,
        name: str = "",
        *,
        driver: str = "",
        driver_opts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """Create a volume, and return it; without a name it is an anonymous volume."""
        body = {"Name": name, "Driver": driver, "DriverOpts": driver_opts, "Labels": labels}
        return Volume(self._engine, self._engine.rest.volumes.create(body)["Name"])

    def get(self, name: str) -> Volume:
        """Return the volume with this name. Raises `NotFound` if there is none."""
        return Volume(self._engine, self._engine.volume_store.get(name).name)

    def list(self, filters: Mapping[str, Any] | None = None) -> list[Volume]:
        """Return the volumes; with `filters`, such as `{"driver": "local"}`, those that match."""
        answer = self._engine.rest.volumes.list(query_of(filters=filters_of(filters)))
        return [Volume(self._engine, view["Name"]) for view in answer["Volumes"]]

    def prune(self, filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Remove the anonymous volumes that no container uses; with `{"all": True}` in `filters`, named volumes too.

        Other filters, such as `{"label": "tier=web"}`, restrict the selection. Return a dict with the names of the
        removed volumes under `VolumesDeleted`.
        """
        return self._engine.rest.volumes.prune(query_of(filters=filters_of(filters)))
