"""The state that the parts of one node's NetworkDB share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.libnetwork.networkdb.nodes import Nodes, random_nodes

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.process import Process
    from cnmsim.libnetwork.networkdb.memberlist import Memberlist
    from cnmsim.libnetwork.networkdb.tables import NetworkTables
    from cnmsim.libnetwork.profile import Profile

GOSSIP_PORT = 7946


@define
class NetworkDBConfig:
    """The configuration of one node. `name` identifies it; `packet_size` is the largest datagram in bytes."""

    name: str
    bind_addr: Address
    advertise_addr: Address
    profile: Profile
    port: int = GOSSIP_PORT
    keys: list[bytes] = field(factory=list)
    packet_size: int = 1400


@define(eq=False)
class LamportClock:
    """A logical clock that orders events of different nodes (moby uses hashicorp/serf's `LamportClock`)."""

    time: int = 0

    def increment(self) -> int:
        """Advance the clock for an event of this node. Return the event's time."""
        self.time += 1
        return self.time

    def witness(self, time: int) -> None:
        """Advance the clock past the time of another node's event."""
        if time >= self.time:
            self.time = time + 1


@define(eq=False)
class NodeContext:
    """The state that the parts of one node's NetworkDB share.

    `nodes` are the cluster's nodes; `networks` are the networks of which this node has tables, by id.
    """

    process: Process
    random: Random
    config: NetworkDBConfig
    nodes: Nodes
    networks: dict[str, NetworkTables] = field(factory=dict, init=False)
    #: The Lamport clocks of node and network events, and of table events.
    network_clock: LamportClock = field(factory=LamportClock, init=False)
    table_clock: LamportClock = field(factory=LamportClock, init=False)
    members: Memberlist = field(init=False)
    is_stopped: bool = field(default=False, init=False)
    #: The lab's clock.
    clock: Clock = field(init=False)
    #: This node's name in the cluster.
    name: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.clock, self.name = self.process.clock, self.config.name

    def run_in_background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run the coroutine that `work()` returns in the daemon's process, from this instant of virtual time on."""
        # `work` is called only when the coroutine starts. So if the lab is dropped before, there is no coroutine that
        # was never awaited.
        self.clock.call_soon(lambda: None if self.is_stopped else self.process.task(work()))

    def common_networks(self, node: str) -> list[str]:
        """Return the networks to which this node and the node `node` are both attached."""
        return [network for network, tables in self.networks.items() if node in tables.nodes]

    def sample(self, count: int, names: Iterable[str]) -> list[str]:
        """Return up to `count` random elements of `names`, excluding this node's name, in random order."""
        return random_nodes(self.random, [name for name in names if name != self.name], count)
