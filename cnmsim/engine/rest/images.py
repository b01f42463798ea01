"""The endpoints `/images/…` of the Engine API (moby `daemon/server/router/image`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define

from cnmsim.engine.context import EngineContext
from cnmsim.engine.images.images import Objects, Removals
from cnmsim.engine.images.platform import Platform
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.query import NO_QUERY, Query, bool_value
from cnmsim.errors import InvalidParameter, NotSimulated


@define
class ImageApi:
    """Operations on images. `name` is a reference, an id or a unique id prefix."""

    context: EngineContext

    def list(self, query: Query = NO_QUERY) -> list[dict[str, Any]]:
        """Return the images that pass the filters (GET /images/json)."""
        store = self.context.images
        return [store.summary(image) for image in store.list(Filters.parse(query.get("filters")))]

    def inspect(self, name: str) -> dict[str, Any]:
        """Return the description of an image (GET /images/{name}/json)."""
        store, profile = self.context.images, self.context.profile
        return store.inspect(store.get(name), engine_version=profile.version, is_slim=profile.inspect_is_slim)

    def history(self, name: str) -> Objects:
        """Return the steps in which an image was built (GET /images/{name}/history)."""
        store = self.context.images
        return store.history(store.get(name))

    def create(self, query: Query) -> Iterator[dict[str, Any]]:
        """Pull an image (POST /images/create). Return the progress messages."""
        if query.get("fromSrc"):
            raise NotSimulated("importing an image is not simulated; pull one, or add its meaning to the catalogue")
        if not query.get("fromImage"):
            raise InvalidParameter("invalid reference format")
        text = query.get("platform", "")
        platform = Platform.parse(text, self.context.profile.platform_patterns) if text else None
        return self.context.images.pull(query["fromImage"], query.get("tag", ""), platform)

    def tag(self, name: str, query: Query) -> None:
        """Add a tag to an image (POST /images/{name}/tag)."""
        self.context.images.tag(name, query.get("repo", ""), query.get("tag", ""))

    def remove(self, name: str, query: Query = NO_QUERY) -> Removals:
        """Remove a tag of an image, and the image with its last tag (DELETE /images/{name})."""
        if not name.strip():
            raise InvalidParameter("image name cannot be blank")
        store = self.context.images
        image = store.get(name)
        users = [
            (container.id, container.is_running) for container in self.context.containers if container.image is image
        ]
        return store.remove(name, users, force=bool_value(query, "force"))

    def prune(self, query: Query = NO_QUERY) -> dict[str, Any]:
        """Remove unused images that pass the filters (POST /images/prune)."""
        used = {container.image.id for container in self.context.containers}
        text = self.context.profile.invalid_until_text
        return self.context.images.prune(used, Filters.parse(query.get("filters")), text)
