"""Choice of the manager that a node connects to.

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

#: A successful connection adds the first number to a manager's weight, a failed one subtracts the second. A weight
#: never leaves the range from minus the third number to plus the third number.
_LIKED, _DISLIKED, _LIMIT = 10, 20, 100


@define(eq=False)
class ConnectionBroker:
    """The managers known to a node, from which it chooses one to connect to.

    `weights` maps a manager's address to its weight: the higher the weight, the more often the manager is chosen.
    `process` returns the process that owns the sockets. `certificate` returns the node's own certificate. `root`
    returns the authority that must have issued a manager's certificate. `local` returns a client for the manager on
    the node itself, or `None` if the node is not a manager.
    """

    process: Callable[[], Process] = field(repr=False)
    random: Random = field(repr=False)
    certificate: Callable[[], Certificate | None] = field(repr=False)
    root: Callable[[], RootCa | None] = field(repr=False)
    local: Callable[[], Client | None] = field(repr=False)
    weights: dict[str, int] = field(factory=dict)

    def set_managers(self, addresses: list[str]) -> None:
        """Replace the known managers by these addresses. Managers that were known before keep their weight."""
        self.weights = {address: self.weights.get(address, _LIKED) for address in addresses}

    async def connect(self) -> Client:
        """Return a client for the node's own manager if it has one, otherwise for a known manager chosen at random.

        Raises `RpcError` if no manager is known or the connection fails.
        """
        local_client = self.local()
        if local_client is not None:
            return local_client
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
        """Raise the weight of the manager at `address` if `is_good` (a connection succeeded), else lower it."""
        if address in self.weights:
            change = _LIKED if is_good else -_DISLIKED
            self.weights[address] = max(-_LIMIT, min(_LIMIT, self.weights[address] + change))

    def _choose(self) -> str:
        lowest = min(self.weights.values())
        addresses = sorted(self.weights)
        odds = [self.weights[address] - lowest + 1 for address in addresses]
        return self.random.choices(addresses, odds)[0]

    async def dial(self, address: str) -> Client:
        """Connect to the manager at `address`.

        Raises `RpcError` if the connection fails, or if the manager's certificate is from another cluster.
        """
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
