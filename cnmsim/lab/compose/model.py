"""A Compose project as objects: the content of its files, merged and validated."""

from __future__ import annotations

from attrs import field, frozen

from cnmsim.errors import FileError
from cnmsim.lab.compose.port_syntax import PortMapping
from cnmsim.lab.yamlfile import Key, Map, wrong


@frozen
class NetworkUse:
    """The attachment of a service to a network of its project. Addresses and MAC are "" if Docker chooses them.

    `network` is the network's key in the file. The other fields are named after the keys in the file.
    """

    network: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: tuple[str, ...] = ()
    mac_address: str = ""
    priority: int = 0
    gw_priority: int = 0
    interface_name: str = ""
    driver_opts: dict[str, str] = field(factory=dict)


@frozen
class Dependency:
    """A dependency on another service, as in `depends_on`.

    `condition` is `service_started`, `service_healthy` or `service_completed_successfully`. If `restarts`, a restart
    of the other service restarts this one; if not `is_required`, the other service may be missing.
    """

    service: str
    condition: str = "service_started"
    is_required: bool = True
    restarts: bool = False


@frozen
class HealthCheck:
    """A health check: `test` as in the API (`("CMD", "nc", …)`), times in nanoseconds (0: default)."""

    test: tuple[str, ...]
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@frozen
class Service:
    """One service, with its fields named after the keys in the file.

    `command` and `entrypoint` are `None` if the service uses those of its image.
    """

    name: str
    image: str
    networks: tuple[NetworkUse, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    depends_on: tuple[Dependency, ...] = ()
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: dict[str, str | None] = field(factory=dict)
    expose: tuple[str, ...] = ()
    network_mode: str = ""
    hostname: str = ""
    domainname: str = ""
    container_name: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    external_links: tuple[str, ...] = ()
    replicas: int = 1
    sysctls: dict[str, str] = field(factory=dict)
    labels: dict[str, str] = field(factory=dict)
    mac_address: str = ""
    restart: str = ""
    healthcheck: HealthCheck | None = None

    def networks_by_priority(self) -> list[NetworkUse]:
        """Return the service's networks, highest priority first, then by name.

        The first one is the primary network.
        """
        return sorted(self.networks, key=lambda use: (-use.priority, use.network))


@frozen
class Pool:
    """One address pool of a network. A field is "" if the engine chooses its value."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    aux_addresses: dict[str, str] = field(factory=dict)


@frozen
class Network:
    """One network of a project: `key` is its name in the file, `name` its name in the engine.

    `pools` are its address pools. `enable_ipv4` and `enable_ipv6` are `None` if the file does not state them.
    """

    key: str
    name: str
    driver: str = ""
    driver_opts: dict[str, str] = field(factory=dict)
    ipam_driver: str = ""
    ipam_options: dict[str, str] = field(factory=dict)
    pools: tuple[Pool, ...] = ()
    is_internal: bool = False
    is_attachable: bool = False
    is_external: bool = False
    enable_ipv4: bool | None = None
    enable_ipv6: bool | None = None
    labels: dict[str, str] = field(factory=dict)


@frozen
class ComposeProject:
    """A Compose project.

    `document` is the merged content of its files, `path` is the first of these files. `warnings` are the warnings
    that Compose would print.
    """

    name: str
    services: dict[str, Service]
    networks: dict[str, Network]
    path: str
    document: Map
    warnings: tuple[str, ...] = ()

    @property
    def inactive(self) -> dict[str, tuple[str, ...]]:
        """The services left out because none of their profiles is active: a mapping from name to profiles."""
        declared = self.document.get("services") or {}
        return {key: tuple(value["profiles"]) for key, value in declared.items() if key not in self.services}

    def error(self, message: str, *keys: Key) -> FileError:
        """Return a `FileError` with `message`, located at the value with the path `keys`."""
        return wrong(self.document, keys, message, self.path)
