"""The Engine API of one Docker host, as it is passed to handlers."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from cnmsim.api.attached_clients import AttachedClients
from cnmsim.api.polling import STEP_S, Polling
from cnmsim.kernel.task import Task, sleep

if TYPE_CHECKING:
    from cnmsim.api.clock_driver import ClockDriver
    from cnmsim.api.durability import Durability
    from cnmsim.api.message import Request
    from cnmsim.engine.engine import Engine
    from cnmsim.engine.rest.rest import Rest
    from cnmsim.engine.wire.api_version import ApiVersion
    from cnmsim.lab import Lab

T = TypeVar("T")


class HostApi:
    """The engine of the Docker host `name`, with the state that the handlers of its socket share.

    `durability` writes changes to the lab's state file before requests are answered.
    """

    def __init__(
        self, lab: Lab, name: str, engine: Engine, clock_driver: ClockDriver, durability: Durability
    ) -> None:
        self.lab = lab
        self.name = name
        self.engine = engine
        self.clock_driver = clock_driver
        self.durability = durability
        self.polling = Polling()
        self.attached_clients = AttachedClients()
        self.api_version = engine.profile.api_version
        self.min_api_version = engine.profile.min_api_version

    @property
    def rest(self) -> Rest:
        """The object with the engine's API operations."""
        return self.engine.rest

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every response has, such as `Api-Version`."""
        every = self.rest.system.ping_headers()
        return {name: every[name] for name in ("Api-Version", "Docker-Experimental", "Ostype", "Server")}

    def version(self, request: Request) -> ApiVersion:
        """Return the API version of a request. Raises `InvalidParameter` if the engine does not support it."""
        return self.rest.system.negotiate(request.version)

    async def let_time_pass(self, request: Request) -> None:
        """Advance virtual time by half a second if the client polls, i.e. if the request repeats an earlier one.

        Has no effect with the clock mode `real`.
        """
        if self.clock_driver.jumps and self.polling.is_repeated(request):
            await self.complete(sleep(self.engine.clock, STEP_S))

    async def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Advance virtual time until the coroutine `work` is done. Return its result or raise its error."""
        return await self.clock_driver.wait(Task(self.engine.clock, work))
