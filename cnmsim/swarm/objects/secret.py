"""Secrets and configs: data that is mounted into the containers of tasks as files."""

from __future__ import annotations

from attrs import field, frozen

from cnmsim.swarm.objects.base import Annotations, Driver, Meta


@frozen
class SecretSpec:
    """The data of a secret, or the driver that provides it. With `templating` the data is a template."""

    annotations: Annotations = field(factory=Annotations)
    data: bytes = b""
    driver: Driver | None = None
    templating: Driver | None = None


@frozen(eq=False)
class Secret:
    """A secret of the cluster."""

    id: str
    spec: SecretSpec = field(factory=SecretSpec)
    meta: Meta = field(factory=Meta)
    internal: bool = False

    @property
    def name(self) -> str:
        """The secret's name."""
        return self.spec.annotations.name


@frozen
class ConfigSpec:
    """The data of a config. With `templating` it is a template."""

    annotations: Annotations = field(factory=Annotations)
    data: bytes = b""
    templating: Driver | None = None


@frozen(eq=False)
class Config:
    """A config of the cluster."""

    id: str
    spec: ConfigSpec = field(factory=ConfigSpec)
    meta: Meta = field(factory=Meta)

    @property
    def name(self) -> str:
        """The config's name."""
        return self.spec.annotations.name
