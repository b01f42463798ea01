"""The operations of Docker's Engine API, one method each, without HTTP.

Methods take what the API takes (ids, query parameters, JSON bodies as Python objects, the version the client speaks)
and give what it answers. Errors are `EngineError`s with the engine's text and status. What takes time is a coroutine
or a `Future` on the lab's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.engine.rest.containers import ContainerApi
from cnmsim.engine.rest.execs import ExecApi
from cnmsim.engine.rest.images import ImageApi
from cnmsim.engine.rest.networks import NetworkApi
from cnmsim.engine.rest.secrets import ConfigApi, SecretApi
from cnmsim.engine.rest.service_logs import ServiceLogs
from cnmsim.engine.rest.services import ServiceApi, TaskApi
from cnmsim.engine.rest.swarm import NodeApi, SwarmApi
from cnmsim.engine.rest.system import SystemApi
from cnmsim.engine.rest.volumes import VolumeApi

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine

__all__ = [
    "ConfigApi", "ContainerApi", "ExecApi", "ImageApi", "NetworkApi", "NodeApi", "Rest", "SecretApi", "ServiceApi", "SwarmApi",
    "SystemApi", "TaskApi", "VolumeApi",
]  # fmt: skip


class Rest:
    """The API of one engine, by the parts Docker's own description has."""

    def __init__(self, engine: Engine) -> None:
        self.containers = ContainerApi(engine)
        self.execs = ExecApi(engine)
        self.images = ImageApi(engine)
        self.networks = NetworkApi(engine)
        self.swarm = SwarmApi(engine)
        self.nodes = NodeApi(engine)
        self.services = ServiceApi(engine)
        self.tasks = TaskApi(engine)
        self.service_logs = ServiceLogs(engine)
        self.secrets = SecretApi(engine)
        self.configs = ConfigApi(engine)
        self.system = SystemApi(engine)
        self.volumes = VolumeApi(engine)
