"""docker-py's low-level client (`docker.APIClient`): the methods that programs call through `engine.api`.

Each method returns the JSON of the Engine API. Only operations that inspect and list are included; for others use the
objects, such as `engine.containers.get(…).stop()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cnmsim.engine.client.docker_errors import raises_docker_errors
from cnmsim.engine.client.model import Model, filters_of, query_of

if TYPE_CHECKING:
    from cnmsim.engine.client.session import Session

#: An object of an engine, its id or name, or a dict with `Id` or `ID`.
Resource = str | Model | Mapping[str, Any]


@raises_docker_errors
@frozen
class LowLevelClient:
    """The methods of docker-py's `APIClient` that inspect and list objects."""

    _engine: Session

    @property
    def base_url(self) -> str:
        """The constant `http+docker://localhost`, which docker-py's client shows when it uses a Unix socket."""
        return "http+docker://localhost"

    @property
    def api_version(self) -> str:
        """The latest API version that the engine speaks."""
        return str(self._engine.api_version)

    def version(self) -> dict[str, Any]:
        """Return the data of `docker version` about the server."""
        return self._engine.rest.system.version()

    def info(self) -> dict[str, Any]:
        """Return the data that `docker info` shows."""
        return self._engine.rest.system.info()

    def ping(self) -> bool:
        """Return True, as docker-py does for an engine that responds."""
        return True

    def containers(
        self,
        *,
        all: bool = False,  # noqa: A002 - docker-py's name
        filters: Mapping[str, Any] | None = None,
        limit: int = -1,
    ) -> list[dict[str, Any]]:
        """Return the containers as `docker ps` lists them; with `all`, also those that do not run.

        `limit` -1 means no limit.
        """
        query = query_of(all=all, limit=limit if limit > 0 else None, filters=filters_of(filters))
        return self._engine.rest.containers.list(query)

    def inspect_container(self, container: Resource) -> dict[str, Any]:
        """Return the container's description that `docker inspect` prints."""
        return self._engine.rest.containers.inspect(_id(container))

    def port(self, container: Resource, private_port: int | str) -> list[dict[str, str]] | None:
        """Return the host addresses and ports at which a container's port is published.

        Return `None` if it is not published. `private_port` is the port in the container, such as 80 or "53/udp".
        Each entry has `HostIp` and `HostPort`.
        """
        text = str(private_port)
        ports = self.inspect_container(container)["NetworkSettings"]["Ports"] or {}
        bindings: list[dict[str, str]] | None = ports.get(text if "/" in text else f"{text}/tcp")
        return bindings

    def networks(
        self,
        names: list[str] | None = None,
        ids: list[str] | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Return the networks as `docker network ls` lists them.

        `names` and `ids` have the effect of the filters `name` and `id`. `filters` are those of `docker network ls
        --filter`, such as `{"driver": "overlay"}`.
        """
        wanted = dict(filters or {}) | ({"name": names} if names else {}) | ({"id": ids} if ids else {})
        return self._engine.rest.networks.list(query_of(filters=filters_of(wanted)))

    def inspect_network(self, net_id: Resource) -> dict[str, Any]:
        """Return the network's description that `docker network inspect` prints."""
        return self._engine.rest.networks.inspect(_id(net_id))

    def images(self, *, filters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the images as `docker images` lists them."""
        return self._engine.rest.images.list(query_of(filters=filters_of(filters)))

    def inspect_image(self, image: Resource) -> dict[str, Any]:
        """Return the image's description that `docker image inspect` prints."""
        return self._engine.rest.images.inspect(_id(image))

    def volumes(self, *, filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the volumes as `docker volume ls` lists them: a dict with the list under `Volumes`."""
        return self._engine.rest.volumes.list(query_of(filters=filters_of(filters)))

    def inspect_volume(self, name: str) -> dict[str, Any]:
        """Return the volume's description that `docker volume inspect` prints."""
        return self._engine.rest.volumes.inspect(name)

    def close(self) -> None:
        """Do nothing, as there is no connection to close."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"engine.api has no {name!r}: it inspects and lists; the objects of engine.containers, engine.networks "
            "and the others do the rest"
        )


def _id(resource: Resource) -> str:
    """Return the id or name that identifies an object in a request.

    This is `resource` itself if it is a string, the id of a docker-py object, or the entry `Id` or `ID` of a dict
    that the API returned.
    """
    if isinstance(resource, Model):
        return resource.id
    if isinstance(resource, Mapping):
        return str(resource.get("Id") or resource.get("ID") or "")
    return resource
