"""Operations on secrets and configs (moby/swarmkit `manager/controlapi/{secret,config}.go`)."""

from __future__ import annotations

from typing import TypeVar

from attrs import evolve

from cnmsim.swarm.controlapi.common import (
    Filters,
    Operations,
    check_secret_annotations,
    find_one,
    grpc_errors,
    require_arguments,
)
from cnmsim.swarm.errors import NameConflict, RpcAlreadyExists, RpcInvalidArgument, RpcNotFound, RpcUnknown
from cnmsim.swarm.objects import Config, ConfigSpec, Secret, SecretSpec
from cnmsim.swarm.store import Store

MAX_SECRET_SIZE = 500 * 1024
MAX_CONFIG_SIZE = 1000 * 1024
#: A secret or a config: SwarmKit applies the same checks to both.
P = TypeVar("P", Secret, Config)


def _check_size(kind: str, data: bytes, limit: int) -> None:
    if not 0 < len(data) < limit:
        raise RpcInvalidArgument(f"{kind} data must be larger than 0 and less than {limit} bytes")


def _create(store: Store, kind: str, new: P) -> P:
    try:
        return store.update(lambda tx: tx.create(new))
    except NameConflict:
        raise RpcAlreadyExists(f"{kind} {new.name} already exists") from None


def _require(kind: str, object_id: str, stored: P | None, message: str = "{} {} not found") -> P:
    if not object_id:
        raise RpcInvalidArgument(f"{kind} ID must be provided")
    if stored is None:
        raise RpcNotFound(message.format(kind, object_id))
    return stored


def _update_labels(store: Store, stored: P, version: int, spec: SecretSpec | ConfigSpec) -> P:
    if stored.name != spec.annotations.name or (spec.data and spec.data != stored.spec.data):
        raise RpcInvalidArgument("only updates to Labels are allowed")
    annotations = evolve(stored.spec.annotations, labels=spec.annotations.labels)
    changed = evolve(
        stored, meta=evolve(stored.meta, version=version), spec=evolve(stored.spec, annotations=annotations)
    )
    return store.update(lambda tx: tx.replace(changed))


def _remove(store: Store, kind: str, stored: P) -> None:
    services = store.services.find(kind, stored.id)
    if services:
        noun = "service" if len(services) == 1 else "services"
        users = ", ".join(service.name for service in services)
        raise RpcInvalidArgument(f"{kind} '{stored.name}' is in use by the following {noun}: {users}")
    store.update(lambda tx: tx.delete(type(stored), stored.id))


def _without_data(secret: Secret) -> Secret:
    return evolve(secret, spec=evolve(secret.spec, data=b""))


class SecretOperations(Operations):
    """Create, list, relabel and remove secrets. Results never contain the secret's data."""

    @grpc_errors
    def create_secret(self, spec: SecretSpec) -> Secret:
        """Create a secret.

        Raises a `SwarmError` if the name or the size of the data is invalid, the name is in use, or a driver is
        requested.
        """
        check_secret_annotations(spec.annotations)
        if spec.driver is not None:
            if not spec.driver.name:
                raise RpcInvalidArgument("secret driver must have a name")
            raise RpcUnknown(f"plugin {spec.driver.name} not found")
        _check_size("secret", spec.data, MAX_SECRET_SIZE)
        return _without_data(_create(self.store, "secret", Secret(self.new_id(), spec)))

    def find_secret(self, reference: str) -> Secret:
        """Return a secret by id, name or id prefix.

        Raises `NotFound` if no secret matches, `InvalidParameter` if several do.
        """
        return _without_data(find_one("secret", reference, self.store.secrets.get(reference), self.list_secrets))

    def list_secrets(self, filters: Filters | None = None) -> list[Secret]:
        """Return the secrets that pass the filters, in order of creation; `None` means no filters."""
        chosen = filters or Filters()
        return [
            _without_data(secret)
            for secret in self.store.secrets
            if not secret.internal and chosen.passes_any(secret.id, secret.name, secret.spec.annotations.labels)
        ]

    @grpc_errors
    def update_secret(self, secret_id: str, version: int, spec: SecretSpec) -> Secret:
        """Change a secret's labels and return the secret. `version` is the version that the caller read.

        Raises a `SwarmError` if the secret has changed since that version, or if `spec` changes anything but the
        labels.
        """
        require_arguments(secret_id)
        secret = _require("secret", secret_id, self.store.secrets.get(secret_id))
        return _without_data(_update_labels(self.store, secret, version, spec))

    @grpc_errors
    def remove_secret(self, secret_id: str) -> None:
        """Remove a secret. Raises a `SwarmError` if it does not exist or a service uses it."""
        secret = _require("secret", secret_id, self.store.secrets.get(secret_id), "could not find {} {}")
        _remove(self.store, "secret", secret)


class ConfigOperations(Operations):
    """Create, list, relabel and remove configs."""

    @grpc_errors
    def create_config(self, spec: ConfigSpec) -> Config:
        """Create a config.

        Raises a `SwarmError` if the name or the size of the data is invalid, or the name is in use.
        """
        check_secret_annotations(spec.annotations)
        _check_size("config", spec.data, MAX_CONFIG_SIZE)
        return _create(self.store, "config", Config(self.new_id(), spec))

    def find_config(self, reference: str) -> Config:
        """Return a config by id, name or id prefix.

        Raises `NotFound` if no config matches, `InvalidParameter` if several do.
        """
        return find_one("config", reference, self.store.configs.get(reference), self.list_configs)

    def list_configs(self, filters: Filters | None = None) -> list[Config]:
        """Return the configs that pass the filters, in order of creation; `None` means no filters."""
        chosen = filters or Filters()
        return [
            config
            for config in self.store.configs
            if chosen.passes_any(config.id, config.name, config.spec.annotations.labels)
        ]

    @grpc_errors
    def update_config(self, config_id: str, version: int, spec: ConfigSpec) -> Config:
        """Change a config's labels and return the config. `version` is the version that the caller read.

        Raises a `SwarmError` if the config has changed since that version, or if `spec` changes anything but the
        labels.
        """
        require_arguments(config_id)
        config = _require("config", config_id, self.store.configs.get(config_id))
        return _update_labels(self.store, config, version, spec)

    @grpc_errors
    def remove_config(self, config_id: str) -> None:
        """Remove a config. Raises a `SwarmError` if it does not exist or a service uses it."""
        config = _require("config", config_id, self.store.configs.get(config_id), "could not find {} {}")
        _remove(self.store, "config", config)
