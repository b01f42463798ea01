"""The data that the doctor examines: the hosts of a lab, their networks and containers, and the lab's swarms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.kernel.address import Prefix
from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Location
from cnmsim.observe.swarm_view import SwarmView
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
    #: The lab's `FilePlaces`, `None` if the lab has none.
    places: Any = field(default=None, repr=False)

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
        return cls(lab, directory, engines, networks, getattr(lab, "file_places", None))

    @property
    def hosts(self) -> Iterator[Location]:
        """The machines of the lab; containers are not included."""
        return (location for location in self.directory.locations if not location.is_container)

    @property
    def has_default_topology(self) -> bool:
        """Whether cnmsim chose the hosts, as no lab file describes them."""
        return bool(getattr(self.lab, "has_default_topology", False))

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

    def source(self, container: Location, *paths: Sequence[str]) -> str:
        """Return the line, such as `compose.yml:12`, at which a container's service is declared.

        Each of `paths` leads from the service to one of its settings, such as `("environment", "DB_HOST")`. If the
        file contains one of these settings, return the line of the first such setting instead. Return "" if no file
        declares the service.
        """
        name = container.service if container.task else container.name
        return "" if self.places is None else str(self.places.service(container.host, name, *paths))

    def service_source(self, swarm: SwarmView, service: str, *paths: Sequence[str]) -> str:
        """Return the line at which a swarm service, or its setting, is declared. `paths` are those of `source`."""
        found = (self.places.service(host, service, *paths) for host in swarm.members if self.places is not None)
        return next((str(place) for place in found if place), "")

    def network_source(self, net: Net, *paths: Sequence[str]) -> str:
        """Return the line of a Compose, stack or lab file at which a network, or its setting, is declared.

        `paths` are those of `source`, but lead from the network.
        """
        return "" if self.places is None else str(self.places.network(net.host.name, net.name, *paths))

    def host_source(self, name: str, *texts: str, path: Sequence[str] = ()) -> str:
        """Return the line, such as `lab.yml:12`, of the first command of a host that contains one of `texts`.

        If the lab file has no such command, return the line of the host's setting at `path` or, without such a
        setting, of the host. Return "" if the lab file does not contain the host.
        """
        return "" if self.places is None else str(self.places.host(name, *texts, path=path))

    def lab_source(self, *keys: str) -> str:
        """Return the line of the lab file's entry at the path `keys`, such as `lab.yml:12`; "" if there is none."""
        return "" if self.places is None else str(self.places.lab_entry(*keys))

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
