"""Which manager a node turns to, and the connections it keeps.

Source: moby/swarmkit `connectionbroker/broker.go`, `remotes/remotes.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import define, field

from cnmsim.errors import CnmsimError
from cnmsim.kernel.process import Process
from cnmsim.swarm.ca.certificates import Certificate, RootCa
from cnmsim.swarm.rpc import Client, RpcError, dial

#: What success and failure do to the weight of a manager, and how far.
_LIKED, _DISLIKED, _LIMIT = 10, 20, 100


@define(eq=False)
class ConnectionBroker:
    """The managers a node knows, by address, with how much it trusts each to answer.

    `certificate` is what it shows them, `root` what they must be certified by; `local` gives the node's own manager if it has one.
    """

    process: Callable[[], Process] = field(repr=False)
    random: Random = field(repr=False)
    certificate: Callable[[], Certificate | None] = field(repr=False)
    root: Callable[[], RootCa | None] = field(repr=False)
    local: Callable[[], Client | None] = field(repr=False)
    weights: dict[str, int] = field(factory=dict)

    def set_managers(self, addresses: list[str]) -> None:
        """Know these managers and no others."""
        self.weights = {address: self.weights.get(address, _LIKED) for address in addresses}

    async def connect(self) -> Client:
        """Give a connection to this node's own manager, or else to one that is known. Raises `RpcError`."""
        own = self.local()
        if own is not None:
            return own
        if not self.weights:
            raise RpcError("rpc error: code = Unavailable desc = no suitable remote")
        address = self._choose()
        try:
            client = await self.dial(address)
        except CnmsimError:
            self.observe(address, is_good=False)
            raise
        self.observe(address, is_good=True)
        return client

    def observe(self, address: str, *, is_good: bool) -> None:
        """Trust a manager more, or less."""
        if address in self.weights:
            change = _LIKED if is_good else -_DISLIKED
            self.weights[address] = max(-_LIMIT, min(_LIMIT, self.weights[address] + change))

    def _choose(self) -> str:
        lowest = min(self.weights.values())
        addresses = sorted(self.weights)
        odds = [self.weights[address] - lowest + 1 for address in addresses]
        return self.random.choices(addresses, odds)[0]

    async def dial(self, address: str) -> Client:
        """Connect to one manager. Raises `RpcError`, also if it is none of this cluster's."""
        process = self.process()
        connection = await dial(process, address, self.certificate())
        root = self.root()
        if root is not None and not root.trusts(connection.remote, process.clock.wall_s):
            connection.close()
            raise RpcError(
                'rpc error: code = Unavailable desc = connection error: desc = "transport: authentication handshake'
                ' failed: x509: certificate signed by unknown authority"'
            )
        return connection
