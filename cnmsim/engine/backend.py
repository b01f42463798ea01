"""The operations of one daemon, as its API and its swarm node call them (moby: the `Backend` of each router)."""

from __future__ import annotations

from attrs import define, field

from cnmsim.engine.containers.lifecycle import Lifecycle
from cnmsim.engine.context import EngineContext
from cnmsim.engine.networks.attachment import Networking
from cnmsim.engine.networks.networks import Networks


@define(eq=False)
class Backend:
    """The daemon's state, and what acts on it: networks, attachments of containers to networks, the containers' life."""

    context: EngineContext = field(repr=False)
    networks: Networks = field(init=False, repr=False)
    networking: Networking = field(init=False, repr=False)
    lifecycle: Lifecycle = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.networks = Networks(self.context)
        self.networking = Networking(self.context)
        self.lifecycle = Lifecycle(self.context, self.networking)
