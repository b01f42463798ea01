"""The engine: one simulated dockerd on one machine.

`Engine.rest` has one call for each operation of Docker's Engine API, with the API's own bodies and answers;
`networks`, `containers`, `images` and `volumes` are the same in docker-py's words, built on it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.lifecycle import Lifecycle
from cnmsim.engine.containers.store import ContainerStore
from cnmsim.engine.daemon.event_log import EventLog
from cnmsim.engine.daemon.renderer import html_of
from cnmsim.engine.images.catalogue import ImageCatalogue
from cnmsim.engine.images.images import ImageStore
from cnmsim.engine.networks.attachment import Networking
from cnmsim.engine.networks.networks import Networks
from cnmsim.engine.volumes.volumes import VolumeStore
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.process import Program
from cnmsim.kernel.task import Future, run_until
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.controller import Controller
from cnmsim.libnetwork.plugins.store import PluginStore
from cnmsim.libnetwork.profile import DEFAULT_VERSION, Profile, profile

if TYPE_CHECKING:
    from cnmsim.engine.client import (
        ConfigCollection,
        ContainerCollection,
        ImageCollection,
        NetworkCollection,
        NodeCollection,
        SecretCollection,
        ServiceCollection,
        StackCollection,
        Swarm,
        VolumeCollection,
    )
    from cnmsim.engine.cluster.cluster import Cluster
    from cnmsim.engine.containers.execs import Exec
    from cnmsim.engine.rest import Rest

T = TypeVar("T")


class Engine:
    """A Docker Engine of the release `version` on `machine`.

    `programs` are the commands that containers can run, by name; `images` says what image names mean; `plugins` is where
    network and IPAM plugins are found. It is running once constructed: its firewall chains, docker0 and the default
    networks are there.

    Raises `InvalidParameter` for a configuration no daemon starts with, `ValueError` for an unknown release.
    """

    def __init__(
        self,
        machine: Machine,
        version: str = DEFAULT_VERSION,
        config: DaemonConfig | None = None,
        programs: Mapping[str, Program] | None = None,
        images: ImageCatalogue | None = None,
        plugins: PluginStore | None = None,
    ) -> None:
        from cnmsim.engine.client import (
            ConfigCollection,
            ContainerCollection,
            ImageCollection,
            NetworkCollection,
            NodeCollection,
            SecretCollection,
            ServiceCollection,
            StackCollection,
            Swarm,
            VolumeCollection,
        )
        from cnmsim.engine.rest import Rest

        self.machine = machine
        self.clock: Clock = machine.clock
        self.profile: Profile = profile(version)
        self.config = config or DaemonConfig()
        self.programs: Mapping[str, Program] = programs or {}
        self.random: Random = self.clock.stream(f"{machine.name}/engine")
        self.id = _uuid(self.random)
        self.events = EventLog(self.clock)
        self.store = ContainerStore(self.random)
        self.volume_store = VolumeStore(self.events, self.random)
        self.image_store = ImageStore(images or ImageCatalogue(), self.events)
        self.execs: dict[str, Exec] = {}
        self.networking = Networking(self)
        self.network_store = Networks(self)
        self.lifecycle = Lifecycle(self)
        self.controller = Controller(
            machine, self.profile, self.config, engine_id=self.id, plugins=plugins or PluginStore()
        )
        self.controller.start()
        self.rest: Rest = Rest(self)
        self.containers: ContainerCollection = ContainerCollection(self)
        self.networks: NetworkCollection = NetworkCollection(self)
        self.images: ImageCollection = ImageCollection(self)
        self.volumes: VolumeCollection = VolumeCollection(self)
        self.swarm: Swarm = Swarm(self)
        self.nodes: NodeCollection = NodeCollection(self)
        self.services: ServiceCollection = ServiceCollection(self)
        self.secrets: SecretCollection = SecretCollection(self)
        self.configs: ConfigCollection = ConfigCollection(self)
        self.stacks: StackCollection = StackCollection(self)

    def __repr__(self) -> str:
        return f"<Engine {self.profile.version} on {self.machine.name}>"

    def _repr_html_(self) -> str | None:
        return html_of(self)

    @cached_property
    def cluster(self) -> Cluster:
        """Its part in a swarm: to make, join and leave one, and to reach its managers."""
        from cnmsim.engine.cluster.cluster import Cluster

        return Cluster(self)

    @property
    def api_version(self) -> ApiVersion:
        """The latest API version it speaks."""
        return ApiVersion.parse(self.profile.api_version)

    def client(self) -> Engine:
        """Give the object with docker-py's words: the engine itself."""
        return self

    def version(self) -> dict[str, Any]:
        """Tell what `docker version` tells of the server."""
        return self.rest.system.version()

    def info(self) -> dict[str, Any]:
        """Tell what `docker info` tells."""
        return self.rest.system.info()

    def df(self) -> dict[str, Any]:
        """Tell what `docker system df` tells."""
        return self.rest.system.disk_usage()

    def ping(self) -> bool:
        """Tell that the engine is there."""
        return True

    def complete(self, awaitable: Future[T] | Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Let virtual time pass until something is done, and give its result. Raises what it raised, or `TimeoutError`."""
        return run_until(self.clock, awaitable, timeout_s)

    def log_container(self, container: Container, action: str, attributes: Mapping[str, str] | None = None) -> None:
        """Log an event of a container, with its labels, image and name."""
        described = {
            **(container.config["Labels"] or {}),
            "image": container.config["Image"],
            "name": container.name,
            **(attributes or {}),
        }
        self.events.log("container", action, container.id, described)

    def isolated_namespace(self, container: Container) -> NetworkNamespace:
        """Make the namespace of a container without any network: loopback and nothing else."""
        namespace = self.machine.new_namespace(container.name)
        namespace.loopback.set_up()
        return namespace

    def network_driver_names(self) -> list[str]:
        """Give the network drivers it has built in, and those of plugins and packages that a network uses, by name."""
        in_use = {network.driver_name for network in self.controller.networks}
        return sorted({"bridge", "host", "ipvlan", "macvlan", "null", "overlay"} | in_use)


def _uuid(random: Random) -> str:
    drawn = f"{random.getrandbits(128):032x}"
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-a{drawn[17:20]}-{drawn[20:]}"
