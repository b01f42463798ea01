"""The operations of one daemon that its API and its swarm node use (moby: the `Backend` interfaces)."""

from __future__ import annotations

from attrs import define, field

from cnmsim.engine.containers.lifecycle import Lifecycle
from cnmsim.engine.context import EngineContext
from cnmsim.engine.networks.attachment import Networking
from cnmsim.engine.networks.networks import Networks


@define(eq=False)
class Backend:
    """The state of one daemon, with the operations on its networks, its containers and their endpoints."""

    context: EngineContext = field(repr=False)
    networks: Networks = field(init=False, repr=False)
    networking: Networking = field(init=False, repr=False)
    lifecycle: Lifecycle = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.networks = Networks(self.context)
        self.networking = Networking(self.context)
        self.lifecycle = Lifecycle(self.context, self.networking)
