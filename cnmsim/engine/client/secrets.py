"""Secrets and configs of a swarm with docker-py's interface: `docker.secrets` and `docker.configs`.

Names and arguments are docker-py's (`docker/models/{secrets,configs}.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import define, field

from cnmsim.engine.client.docker_errors import raises_docker_errors
from cnmsim.engine.client.model import Model, filters_of, query_of

if TYPE_CHECKING:
    from cnmsim.engine.client.session import Session
    from cnmsim.engine.rest.secrets import SecretOrConfigApi


@raises_docker_errors
@define(eq=False, repr=False)
class SecretOrConfig(Model, ABC):
    """Base class of `Secret` and `Config`, which have the same attributes and methods."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name!r}>"

    @property
    @abstractmethod
    def _api(self) -> SecretOrConfigApi: ...

    @property
    def attrs(self) -> dict[str, Any]:
        """The output of `docker secret inspect` or `docker config inspect`, without a secret's content."""
        return self._engine.complete(self._api.inspect(self.id))

    @property
    def name(self) -> str:
        """The name of the secret or config."""
        return str(self.attrs["Spec"]["Name"])

    def remove(self) -> bool:
        """Remove the secret or config, and return True. Raises an `EngineError` while a service uses it."""
        self._engine.complete(self._api.remove(self.id))
        return True


@raises_docker_errors
class Secret(SecretOrConfig):
    """A secret of the swarm."""

    __slots__ = ()

    @property
    def _api(self) -> SecretOrConfigApi:
        return self._engine.rest.secrets


@raises_docker_errors
class Config(SecretOrConfig):
    """A config of the swarm."""

    __slots__ = ()

    @property
    def _api(self) -> SecretOrConfigApi:
        return self._engine.rest.configs


K = TypeVar("K", bound=SecretOrConfig)


@raises_docker_errors
@define
class SecretOrConfigCollection(ABC, Generic[K]):
    """Base class of `SecretCollection` and `ConfigCollection`, for the swarm of an engine."""

    _engine: Session = field(repr=False)

    @abstractmethod
    def _named(self, id_: str) -> K: ...

    @property
    def _api(self) -> SecretOrConfigApi:
        return self._named("")._api

    def create(
        self,
        name: str,
        data: bytes | str,
        labels: Mapping[str, str] | None = None,
        *,
        templating: Mapping[str, Any] | None = None,
    ) -> K:
        """Create a secret or config with the content `data`, and return it.

        With `templating`, such as `{"Name": "golang"}`, the content is a template that is expanded for each task.
        Raises an `EngineError` if the swarm refuses it, such as for a name that is in use.
        """
        content = b64encode(data.encode() if isinstance(data, str) else data).decode()
        body: dict[str, Any] = {"Name": name, "Data": content, "Labels": dict(labels or {})}
        if templating:
            body["Templating"] = dict(templating)
        return self._named(self._engine.complete(self._api.create(body))["ID"])

    def _find(self, id_: str) -> K:
        return self._named(self._engine.complete(self._api.inspect(id_))["ID"])

    def list(self, filters: Mapping[str, Any] | None = None) -> list[K]:
        """Return the secrets or configs; with `filters`, such as `{"name": "db"}`, those that match."""
        views = self._engine.complete(self._api.list(query_of(filters=filters_of(filters))))
        return [self._named(view["ID"]) for view in views]


@raises_docker_errors
class SecretCollection(SecretOrConfigCollection[Secret]):
    """The secrets of the swarm that an engine manages."""

    __slots__ = ()

    def get(self, secret_id: str) -> Secret:
        """Return a secret by name or id. Raises `NotFound` if there is none."""
        return self._find(secret_id)

    def _named(self, id_: str) -> Secret:
        return Secret(self._engine, id_)


@raises_docker_errors
class ConfigCollection(SecretOrConfigCollection[Config]):
    """The configs of the swarm that an engine manages."""

    __slots__ = ()

    def get(self, config_id: str) -> Config:
        """Return a config by name or id. Raises `NotFound` if there is none."""
        return self._find(config_id)

    def _named(self, id_: str) -> Config:
        return Config(self._engine, id_)
