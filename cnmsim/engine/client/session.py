"""Access to an engine for docker-py's objects: to its API, its parts and the clock of the lab."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Mapping
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from cnmsim.engine.backend import Backend
from cnmsim.engine.containers.lifecycle import Lifecycle
from cnmsim.engine.containers.store import ContainerStore
from cnmsim.engine.daemon.event_log import EventLog
from cnmsim.engine.images.images import ImageStore
from cnmsim.engine.networks.attachment import Networking
from cnmsim.engine.networks.networks import Networks
from cnmsim.engine.rest.rest import Rest
from cnmsim.engine.volumes.volumes import VolumeStore
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Program
from cnmsim.kernel.task import Future, run_until
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.controller import Controller
from cnmsim.libnetwork.profile import Profile

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import GetCluster
    from cnmsim.engine.containers.exec import Exec

T = TypeVar("T")
#: The attributes that are parts of an engine rather than docker-py's interface.
_PARTS = frozenset({
    "backend", "client", "cluster", "complete", "config", "event_log", "execs", "get_cluster", "image_store",
    "lifecycle", "network_store", "networking", "profile", "programs", "rest", "store", "volume_store",
})  # fmt: skip


class Session:
    """Access to one engine.

    `backend` is the engine's state. Most other attributes are shorthands for a part of it, such as `image_store`.
    """

    def __init__(self, backend: Backend, get_cluster: GetCluster) -> None:
        context = backend.context
        self.backend = backend
        self.get_cluster = get_cluster
        self.machine: Machine = context.machine
        self.clock: Clock = context.clock
        self.profile: Profile = context.profile
        self.config: DaemonConfig = context.config
        self.programs: Mapping[str, Program] = context.programs
        self.event_log: EventLog = context.events
        self.store: ContainerStore = context.containers
        self.image_store: ImageStore = context.images
        self.volume_store: VolumeStore = context.volumes
        self.controller: Controller = context.controller
        self.execs: dict[str, Exec] = context.execs
        self.networking: Networking = backend.networking
        self.network_store: Networks = backend.networks
        self.lifecycle: Lifecycle = backend.lifecycle
        self.rest = Rest(backend, get_cluster)

    def __dir__(self) -> list[str]:
        """Return the names that tab completion offers: all except the attributes that hold the engine's parts."""
        return [name for name in super().__dir__() if name not in _PARTS]

    @property
    def id(self) -> str:
        """The daemon's id, as `docker info` prints it."""
        return self.backend.context.id

    @property
    def api_version(self) -> ApiVersion:
        """The latest API version that the engine speaks."""
        return self.backend.context.api_version

    def complete(self, awaitable: Future[T] | Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Advance virtual time until `awaitable` is done. Return its result, or raise its error.

        Raises `TimeoutError` after `timeout_s` virtual seconds. Outside a swarm, a coroutine begins at once: if it
        waits for nothing, it completes without advancing the clock. In a swarm, it begins only after the work that is
        already scheduled for this instant, because that work may be the reaction to an earlier operation.
        """
        if isinstance(awaitable, Future) or self.controller.cluster is not None:
            return run_until(self.clock, awaitable, timeout_s)
        try:
            awaited = awaitable.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result
        return run_until(self.clock, _resume(awaitable, awaited), timeout_s)


async def _resume(begun: Coroutine[Any, Any, T], awaited: Future[Any]) -> T:
    """Continue a coroutine that was already started and waits for `awaited`. Return its result."""
    return await _rest(begun, awaited)


@coroutine
def _rest(begun: Coroutine[Any, Any, T], awaited: Future[Any]) -> Generator[Future[Any], None, T]:
    while True:
        try:
            yield awaited
        except BaseException as error:  # noqa: BLE001 - handed on to the coroutine, as `await` does
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, None)
        try:
            awaited = step()
        except StopIteration as stop:
            result: T = stop.value
            return result
