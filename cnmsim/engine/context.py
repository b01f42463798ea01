"""The state of one daemon, without the operations on it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.engine.containers.store import ContainerStore
from cnmsim.engine.daemon.event_log import EventLog
from cnmsim.engine.images.images import ImageStore
from cnmsim.engine.volumes.volumes import VolumeStore
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Program
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.controller import Controller
from cnmsim.libnetwork.profile import Profile

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.engine.containers.exec import Exec


@define(eq=False)
class EngineContext:
    """The state of one daemon: its machine, configuration, stores, event log and libnetwork controller.

    `random` is the daemon's own source of random numbers; `programs` are the commands that containers can run, by
    name.
    """

    id: str
    machine: Machine = field(repr=False)
    profile: Profile
    config: DaemonConfig = field(repr=False)
    random: Random = field(repr=False)
    programs: Mapping[str, Program] = field(repr=False)
    events: EventLog = field(repr=False)
    containers: ContainerStore = field(repr=False)
    images: ImageStore = field(repr=False)
    volumes: VolumeStore = field(repr=False)
    controller: Controller = field(repr=False)
    #: Whether the host forwarded IPv4 packets when the daemon started.
    forwards_ipv4: bool = field(default=True, init=False)
    #: Execs by id.
    execs: dict[str, Exec] = field(factory=dict, init=False, repr=False)

    @property
    def clock(self) -> Clock:
        """The lab's clock."""
        return self.machine.clock

    @property
    def api_version(self) -> ApiVersion:
        """The latest API version that the daemon speaks."""
        return ApiVersion.parse(self.profile.api_version)

    def log_container(self, container: Container, action: str, attributes: Mapping[str, str] | None = None) -> None:
        """Log the event `action` of a container, such as "start".

        Its attributes are the container's labels, image and name, and `attributes`.
        """
        described = {
            **(container.config["Labels"] or {}),
            "image": container.config["Image"],
            "name": container.name,
            **(attributes or {}),
        }
        self.events.log("container", action, container.id, described)
