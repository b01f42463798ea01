"""The engine: one simulated dockerd on one machine.

`Engine.rest` has one call for each operation of Docker's Engine API, with the API's own bodies and answers;
`networks`, `containers`, `images`, `volumes` and the swarm's collections are docker-py's interface on top of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any

from cnmsim.engine.backend import Backend
from cnmsim.engine.client.model import filters_of, query_of
from cnmsim.engine.client.session import Session
from cnmsim.engine.client.streams import Stream
from cnmsim.engine.containers.store import ContainerStore
from cnmsim.engine.context import EngineContext
from cnmsim.engine.daemon.event_log import EventLog, LoggedEvent
from cnmsim.engine.daemon.service import check_log_options, log_start, log_started
from cnmsim.engine.images.catalogue import ImageCatalogue
from cnmsim.engine.images.images import ImageStore
from cnmsim.engine.volumes.volumes import VolumeStore
from cnmsim.gojson.encode import encode
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Program
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.controller import Controller
from cnmsim.libnetwork.plugins.store import PluginStore
from cnmsim.libnetwork.profile import DEFAULT_VERSION, profile
from cnmsim.libnetwork.renderer import html_of
from cnmsim.suggestion import suggests_attributes

if TYPE_CHECKING:
    from cnmsim.engine.client.containers import ContainerCollection
    from cnmsim.engine.client.images import ImageCollection
    from cnmsim.engine.client.low_level import LowLevelClient
    from cnmsim.engine.client.networks import NetworkCollection
    from cnmsim.engine.client.secrets import ConfigCollection, SecretCollection
    from cnmsim.engine.client.services import ServiceCollection
    from cnmsim.engine.client.stacks import StackCollection, StackReader
    from cnmsim.engine.client.swarm import NodeCollection, Swarm
    from cnmsim.engine.client.volumes import VolumeCollection
    from cnmsim.engine.cluster.cluster import Cluster


@suggests_attributes
class Engine(Session):
    """A simulated Docker Engine of the release `version`, running on the host `machine`.

    `programs` are the commands that containers can run, by name; `images` is the catalogue of images; `plugins`
    is the store of network and IPAM plugins. `stack_reader` is the function with which `stacks` parses stack files;
    set it before the first use of `stacks`. The engine runs once constructed: its firewall chains, docker0 and the
    default networks exist.

    Raises `InvalidParameter` for a configuration with which no daemon starts, `ValueError` for an unknown release.
    """

    def _elsewhere(self, name: str) -> str:
        from cnmsim.other_names import for_engine

        return for_engine(name)

    def __init__(
        self,
        machine: Machine,
        version: str = DEFAULT_VERSION,
        config: DaemonConfig | None = None,
        programs: Mapping[str, Program] | None = None,
        images: ImageCatalogue | None = None,
        plugins: PluginStore | None = None,
    ) -> None:
        release, config = profile(version), config or DaemonConfig()
        check_log_options(release, machine, config)
        random = machine.clock.stream(f"{machine.name}/engine")
        id_ = _uuid(random)
        events = EventLog(machine.clock)
        context = EngineContext(
            id=id_,
            machine=machine,
            profile=release,
            config=config,
            random=random,
            programs=programs or {},
            events=events,
            containers=ContainerStore(random),
            images=ImageStore(images or ImageCatalogue(), events),
            volumes=VolumeStore(events, random, machine.files),
            controller=Controller(
                machine, release, config, engine_id=id_, plugins=plugins or PluginStore(), programs=programs or {}
            ),
        )
        log_start(context)
        context.controller.start()
        context.forwards_ipv4 = machine.root.sysctl_get("net.ipv4.ip_forward") == "1"
        log_started(context)
        super().__init__(Backend(context), self._get_cluster)
        self.stack_reader: StackReader | None = None

    def __repr__(self) -> str:
        return f"<Engine {self.profile.version} on {self.machine.name}>"

    def _repr_html_(self) -> str | None:
        return html_of(self)

    @cached_property
    def containers(self) -> ContainerCollection:
        """The containers of the engine."""
        from cnmsim.engine.client.containers import ContainerCollection

        return ContainerCollection(self)

    @cached_property
    def networks(self) -> NetworkCollection:
        """The networks of the engine."""
        from cnmsim.engine.client.networks import NetworkCollection

        return NetworkCollection(self)

    @cached_property
    def images(self) -> ImageCollection:
        """The images of the engine."""
        from cnmsim.engine.client.images import ImageCollection

        return ImageCollection(self)

    @cached_property
    def volumes(self) -> VolumeCollection:
        """The volumes of the engine."""
        from cnmsim.engine.client.volumes import VolumeCollection

        return VolumeCollection(self)

    @cached_property
    def swarm(self) -> Swarm:
        """The swarm of which the engine is a member, with the calls that initialise, join and leave one."""
        from cnmsim.engine.client.swarm import Swarm

        return Swarm(self)

    @cached_property
    def nodes(self) -> NodeCollection:
        """The nodes of the engine's swarm."""
        from cnmsim.engine.client.swarm import NodeCollection

        return NodeCollection(self)

    @cached_property
    def services(self) -> ServiceCollection:
        """The services of the engine's swarm."""
        from cnmsim.engine.client.services import ServiceCollection

        return ServiceCollection(self)

    @cached_property
    def secrets(self) -> SecretCollection:
        """The secrets of the engine's swarm."""
        from cnmsim.engine.client.secrets import SecretCollection

        return SecretCollection(self)

    @cached_property
    def configs(self) -> ConfigCollection:
        """The configs of the engine's swarm."""
        from cnmsim.engine.client.secrets import ConfigCollection

        return ConfigCollection(self)

    @cached_property
    def stacks(self) -> StackCollection:
        """The stacks deployed in the engine's swarm."""
        from cnmsim.engine.client.stacks import StackCollection

        return StackCollection(self, self.stack_reader)

    @cached_property
    def cluster(self) -> Cluster:
        """The engine's membership in a swarm: initialises, joins and leaves a swarm, and calls its managers."""
        from cnmsim.engine.cluster.cluster import Cluster

        return Cluster(self.backend)

    def _get_cluster(self) -> Cluster:
        return self.cluster

    def client(self) -> Engine:
        """Return the object with docker-py's interface, which is the engine itself."""
        return self

    def version(self) -> dict[str, Any]:
        """Return the data of `docker version` about the server."""
        return self.rest.system.version()

    def info(self) -> dict[str, Any]:
        """Return the data that `docker info` shows."""
        return self.rest.system.info()

    def df(self) -> dict[str, Any]:
        """Return the data that `docker system df` shows."""
        return self.rest.system.disk_usage()

    def events(
        self,
        since: float | str | datetime | None = None,
        until: float | str | datetime | None = None,
        filters: Mapping[str, Any] | None = None,
        decode: bool | None = None,
    ) -> Stream[Any]:
        """Return an iterator over the events of the engine, as `docker events` prints them.

        `since` and `until` are times of the lab, in seconds since 1970. Without `since` it begins with the next
        event. Without `until` it ends when no work is scheduled in the lab, or on `close()`. Each event is a dict
        with `decode`, else a line of JSON in bytes.
        """
        query = query_of(since=since, until=until, filters=filters_of(filters))
        reading = self.rest.system.events(query)
        ends_ns, clock = reading.until_ns, self.clock
        stream: Stream[Any] = Stream(clock, lambda: ends_ns is not None and clock.unix_ns >= ends_ns)

        def put(event: LoggedEvent) -> None:
            shown = event.view(has_legacy_fields=reading.has_legacy_fields)
            stream.put(shown if decode else encode(shown).encode() + b"\n")

        for event in reading.past:
            put(event)
        if ends_ns is not None:
            clock.call_later(max(ends_ns - clock.unix_ns, 0) / NS_PER_S, lambda: None)
        stream.end = self.event_log.subscribe(put, reading.filters)
        return stream

    @property
    def api(self) -> LowLevelClient:
        """docker-py's low-level client (`docker.APIClient`), with the methods that inspect and list."""
        from cnmsim.engine.client.low_level import LowLevelClient

        return LowLevelClient(self)

    def close(self) -> None:
        """Do nothing, as there is no connection to close. docker-py's clients have this method."""

    def ping(self) -> bool:
        """Return True, as docker-py's `ping` does for an engine that responds."""
        return True


def _uuid(random: Random) -> str:
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
