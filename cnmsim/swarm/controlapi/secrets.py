"""Operations on secrets and configs (moby/swarmkit `manager/controlapi/{secret,config}.go`)."""

from __future__ import annotations

from attrs import evolve

from cnmsim.swarm.controlapi.common import (
    Filters,
    Operations,
    check_secret_annotations,
    grpc_errors,
    require_arguments,
    require_one,
)
from cnmsim.swarm.errors import NameConflict, RpcAlreadyExists, RpcInvalidArgument, RpcNotFound, RpcUnknown
from cnmsim.swarm.objects import Config, ConfigSpec, Secret, SecretSpec, Service

MAX_SECRET_SIZE = 500 * 1024
MAX_CONFIG_SIZE = 1000 * 1024
_ONLY_LABELS = "only updates to Labels are allowed"


def _in_use(kind: str, name: str, services: list[Service]) -> RpcInvalidArgument:
    noun = "service" if len(services) == 1 else "services"
    users = ", ".join(service.name for service in services)
    return RpcInvalidArgument(f"{kind} '{name}' is in use by the following {noun}: {users}")


class SecretOperations(Operations):
    """Making, listing, relabelling and removing secrets. What is given out never has the content."""

    @grpc_errors
    def create_secret(self, spec: SecretSpec) -> Secret:
        """Make a secret. Raises a `SwarmError`."""
        check_secret_annotations(spec.annotations)
        if spec.driver is not None:
            if not spec.driver.name:
                raise RpcInvalidArgument("secret driver must have a name")
            raise RpcUnknown(f"plugin {spec.driver.name} not found")
        if not 0 < len(spec.data) < MAX_SECRET_SIZE:
            raise RpcInvalidArgument(f"secret data must be larger than 0 and less than {MAX_SECRET_SIZE} bytes")
        try:
            made = self.store.update(lambda tx: tx.create(Secret(self.new_id(), spec)))
        except NameConflict:
            raise RpcAlreadyExists(f"secret {spec.annotations.name} already exists") from None
        return _without_data(made)

    @grpc_errors
    def get_secret(self, secret_id: str) -> Secret:
        """Give a secret. Raises a `SwarmError`."""
        return _without_data(self._secret(secret_id, "secret {} not found"))

    def _secret(self, secret_id: str, text: str) -> Secret:
        if not secret_id:
            raise RpcInvalidArgument("secret ID must be provided")
        secret = self.store.secrets.get(secret_id)
        if secret is None:
            raise RpcNotFound(text.format(secret_id))
        return secret

    def find_secret(self, reference: str) -> Secret:
        """Give a secret by its id, name, or the beginning of its id. Raises `NotFound` or `InvalidParameter`."""
        secret = self.store.secrets.get(reference)
        found = [secret] if secret is not None else self.list_secrets(Filters(names=(reference,)))
        return _without_data(
            require_one(found or self.list_secrets(Filters(id_prefixes=(reference,))), "secret", reference)
        )

    def list_secrets(self, filters: Filters | None = None) -> list[Secret]:
        """List secrets in the order in which they were made."""
        chosen = filters or Filters()
        return [
            _without_data(secret)
            for secret in self.store.secrets
            if not secret.internal and chosen.passes_any(secret.id, secret.name, secret.spec.annotations.labels)
        ]

    @grpc_errors
    def update_secret(self, secret_id: str, version: int, spec: SecretSpec) -> Secret:
        """Change a secret's labels. Raises a `SwarmError`, also if anything else is to change."""
        require_arguments(secret_id)
        secret = self._secret(secret_id, "secret {} not found")
        if secret.name != spec.annotations.name or (spec.data and spec.data != secret.spec.data):
            raise RpcInvalidArgument(_ONLY_LABELS)
        annotations = evolve(secret.spec.annotations, labels=spec.annotations.labels)
        changed = evolve(
            secret, meta=evolve(secret.meta, version=version), spec=evolve(secret.spec, annotations=annotations)
        )
        return _without_data(self.store.update(lambda tx: tx.replace(changed)))

    @grpc_errors
    def remove_secret(self, secret_id: str) -> None:
        """Remove a secret that no service refers to. Raises a `SwarmError`."""
        secret = self._secret(secret_id, "could not find secret {}")
        services = self.store.services.find("secret", secret_id)
        if services:
            raise _in_use("secret", secret.name, services)
        self.store.update(lambda tx: tx.delete(Secret, secret_id))


def _without_data(secret: Secret) -> Secret:
    return evolve(secret, spec=evolve(secret.spec, data=b""))


class ConfigOperations(Operations):
    """Making, listing, relabelling and removing configs."""

    @grpc_errors
    def create_config(self, spec: ConfigSpec) -> Config:
        """Make a config. Raises a `SwarmError`."""
        check_secret_annotations(spec.annotations)
        if not 0 < len(spec.data) < MAX_CONFIG_SIZE:
            raise RpcInvalidArgument(f"config data must be larger than 0 and less than {MAX_CONFIG_SIZE} bytes")
        try:
            return self.store.update(lambda tx: tx.create(Config(self.new_id(), spec)))
        except NameConflict:
            raise RpcAlreadyExists(f"config {spec.annotations.name} already exists") from None

    @grpc_errors
    def get_config(self, config_id: str) -> Config:
        """Give a config. Raises a `SwarmError`."""
        return self._config(config_id, "config {} not found")

    def _config(self, config_id: str, text: str) -> Config:
        if not config_id:
            raise RpcInvalidArgument("config ID must be provided")
        config = self.store.configs.get(config_id)
        if config is None:
            raise RpcNotFound(text.format(config_id))
        return config

    def find_config(self, reference: str) -> Config:
        """Give a config by its id, name, or the beginning of its id. Raises `NotFound` or `InvalidParameter`."""
        config = self.store.configs.get(reference)
        found = [config] if config is not None else self.list_configs(Filters(names=(reference,)))
        return require_one(found or self.list_configs(Filters(id_prefixes=(reference,))), "config", reference)

    def list_configs(self, filters: Filters | None = None) -> list[Config]:
        """List configs in the order in which they were made."""
        chosen = filters or Filters()
        return [
            config
            for config in self.store.configs
            if chosen.passes_any(config.id, config.name, config.spec.annotations.labels)
        ]

    @grpc_errors
    def update_config(self, config_id: str, version: int, spec: ConfigSpec) -> Config:
        """Change a config's labels. Raises a `SwarmError`, also if anything else is to change."""
        require_arguments(config_id)
        config = self._config(config_id, "config {} not found")
        if config.name != spec.annotations.name or (spec.data and spec.data != config.spec.data):
            raise RpcInvalidArgument(_ONLY_LABELS)
        annotations = evolve(config.spec.annotations, labels=spec.annotations.labels)
        changed = evolve(
            config, meta=evolve(config.meta, version=version), spec=evolve(config.spec, annotations=annotations)
        )
        return self.store.update(lambda tx: tx.replace(changed))

    @grpc_errors
    def remove_config(self, config_id: str) -> None:
        """Remove a config that no service refers to. Raises a `SwarmError`."""
        config = self._config(config_id, "could not find config {}")
        services = self.store.services.find("config", config_id)
        if services:
            raise _in_use("config", config.name, services)
        self.store.update(lambda tx: tx.delete(Config, config_id))
