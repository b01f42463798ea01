"""Images with docker-py's interface (`docker/models/images.py`)."""

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
class Image(Model):
    """An image of an engine, with the attributes and methods of docker-py's `Image`."""

    def __repr__(self) -> str:
        listed = "', '".join(self.tags)
        return f"<Image: '{listed}'>"

    @property
    def short_id(self) -> str:
        """The image's id shortened to twelve digits, such as `sha256:1d34ffeaf190`."""
        return self.id[:19]

    @property
    def attrs(self) -> dict[str, Any]:
        """The image's full description as a dict, the same data that `docker image inspect` prints."""
        return self._engine.rest.images.inspect(self.id)

    @property
    def tags(self) -> list[str]:
        """The image's names with tag, such as `nginx:latest`."""
        return list(self.attrs["RepoTags"])

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels, as a mapping from name to value."""
        return dict(self.attrs["Config"].get("Labels") or {})

    def history(self) -> list[dict[str, Any]]:
        """Return the steps in which the image was built, as `docker history` prints them."""
        return self._engine.rest.images.history(self.id)

    def tag(self, repository: str, tag: str = "") -> bool:
        """Add the name `repository:tag` to the image. Return True."""
        self._engine.rest.images.tag(self.id, {"repo": repository, "tag": tag})
        return True


@raises_docker_errors
@define
class ImageCollection:
    """The images of an engine."""

    _engine: Session = field(repr=False)

    def get(self, name: str) -> Image:
        """Return the image with this name, id or unique id prefix. Raises `NotFound` if there is none."""
        return Image(self._engine, self._engine.image_store.get(name).id)

    def list(self, name: str | None = None, *, filters: Mapping[str, Any] | None = None) -> list[Image]:
        """Return the engine's images, or with `name` those of this repository, such as `nginx`.

        `filters` are those of `docker images --filter`, such as `{"dangling": True}`.
        """
        query_filters = dict(filters_of(filters) or {})
        if name:
            query_filters["reference"] = [name]
        summaries = self._engine.rest.images.list(query_of(filters=query_filters or None))
        return [Image(self._engine, summary["Id"]) for summary in summaries]

    def pull(self, repository: str, tag: str = "") -> Image:
        """Pull an image, and return it. Raises `SystemFault` if the engine cannot reach a registry."""
        for _message in self._engine.rest.images.create({"fromImage": repository, "tag": tag}):
            pass
        return self.get(f"{repository}:{tag}" if tag else repository)

    def remove(self, image: str, *, force: bool = False) -> None:
        """Remove the tag `image`, and the image itself with its last tag.

        `force` also removes an image that stopped containers use.
        """
        self._engine.rest.images.remove(image, query_of(force=force))

    def prune(self, filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Remove the untagged images that no container uses, or with `{"dangling": False}` tagged ones too.

        Other items of `filters`, such as `{"label": "tier=web"}`, restrict the selection. Return a dict with the
        removed names and ids under `ImagesDeleted`.
        """
        return self._engine.rest.images.prune(query_of(filters=filters_of(filters)))
