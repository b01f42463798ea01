"""The data that the doctor examines: the hosts of a lab, their networks and containers, and the lab's swarms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.kernel.address import Prefix
from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Location
from cnmsim.observe.trace.tracer import LabView, directory_of

if TYPE_CHECKING:
    from cnmsim.libnetwork.controller import Controller

_PREDEFINED = frozenset({"host", "none"})
_BRIDGE_NAME = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"


@frozen
class Net:
    """A network on one host: its name, driver, options and subnets, and its bridge's name ("" if it has none).

    `record` is the engine's object for the network.
    """

    host: Location
    name: str
    driver: str
    options: dict[str, str]
    subnets: tuple[Prefix, ...]
    bridge: str
    is_internal: bool
    #: The network object of libnetwork; its address pools show how many addresses are allocated.
    record: Any = field(repr=False)

    @property
    def place(self) -> str:
        """The network's name in messages: `node1: network web`."""
        return f"{self.host.name}: network {self.name}"


@frozen
class LabSnapshot:
    """The state of a lab at one moment: its locations, its engines by host name, and all networks of all engines."""

    lab: LabView
    directory: Directory
    engines: dict[str, Any]
    networks: tuple[Net, ...]

    @classmethod
    def of(cls, lab: LabView) -> LabSnapshot:
        """Return a snapshot of the present state of a lab."""
        directory = directory_of(lab)
        engines = {name: host.docker for name, host in lab.hosts.items() if host.has_docker}
        by_name = {location.name: location for location in directory.locations if not location.is_container}
        networks = tuple(
            net
            for name, host in lab.hosts.items()
            if (controller := host.controller) is not None
            for net in _networks(by_name[name], controller)
        )
        return cls(lab, directory, engines, networks)

    @property
    def hosts(self) -> Iterator[Location]:
        """The machines of the lab; containers are not included."""
        return (location for location in self.directory.locations if not location.is_container)

    @property
    def docker_hosts(self) -> Iterator[Location]:
        """The machines that run an engine."""
        return (location for location in self.hosts if location.has_engine)

    def containers(self, host: Location | None = None) -> Iterator[Location]:
        """Return the running containers on `host`, or on all hosts if `host` is `None`."""
        return (
            location
            for location in self.directory.locations
            if location.is_container and (host is None or location.host == host.name)
        )

    def source(self, container: Location, *keys: str) -> str:
        """Return where a setting of a container's service stands in the Compose file, as `compose.yml:12`.

        `keys` lead to the setting inside the service: `("environment", "DB_HOST")`. Return "" if the container
        belongs to no project, or if no file contains the setting.
        """
        for project in getattr(self.lab, "projects", ()):
            if project.name == container.project and container.service in project.model.services:
                return str(project.model.source_of("services", container.service, *keys))
        return ""

    def own_devices(self, host: Location) -> set[str]:
        """Return the names of the bridges that belong to a host's engine. `docker_gwbridge` is always included."""
        return {net.bridge for net in self.networks if net.host is host and net.bridge} | {"docker_gwbridge"}


def _networks(host: Location, controller: Controller) -> Iterator[Net]:
    for record in controller.networks:
        if record.driver_name in _PREDEFINED or record.driver_name == "null":
            continue
        options = dict(record.driver_opts)
        bridge = ""
        if record.driver_name == "bridge":
            default = "docker0" if record.name == "bridge" else f"br-{record.id[:12]}"
            bridge = options.get(_BRIDGE_NAME, default)
        subnets = tuple(info.pool for info in record.ipam_info)
        yield Net(host, record.name, record.driver_name, options, subnets, bridge, record.internal, record)
