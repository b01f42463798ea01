"""The connection table of IPVS (ip_vs_conn.c): which destination serves which client connection.

Expiry is checked on lookup in virtual time, without timers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.address import Address
from cnmsim.kernel.ipvs.service import Destination, Method
from cnmsim.kernel.ipvs.state import ACTIVE, REPLY, REQUEST, REQUEST_ONLY, IpvsState, next_state
from cnmsim.kernel.netfilter.tuples import ConntrackTuple

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.skbuff import Packet

_PURGE_AT_LEAST = 1024


@define(eq=False)
class IpvsConnection:
    """One IPVS connection: the endpoints (address and port) of the client, the service and the real server.

    `uses_conntrack` is the value of `net.ipv4.vs.conntrack` when the connection started. `sees_replies` is false
    until a reply passes this host; with direct routing and tunneling replies normally bypass it. `is_active` is true
    while the destination counts the connection as active, `is_dead` once it was removed from the table.
    """

    protocol: int
    client: Address
    client_port: int
    virtual: Address
    virtual_port: int
    real: Address
    real_port: int
    destination: Destination
    method: Method
    uses_conntrack: bool
    state: IpvsState
    expires_ns: int = 0
    is_active: bool = False
    sees_replies: bool = True
    is_dead: bool = False

    @property
    def request_key(self) -> ConntrackTuple:
        """The key of the client's packets: protocol, source, destination, source port, destination port."""
        return self.protocol, self.client, self.virtual, self.client_port, self.virtual_port

    @property
    def reply_key(self) -> ConntrackTuple:
        """The key of the destination's replies: protocol, source, destination, source port, destination port."""
        return self.protocol, self.real, self.client, self.real_port, self.client_port

    def follow(self, packet: Packet, *, is_reply: bool) -> None:
        """Update the TCP state after a segment of the client or, if `is_reply`, of the real server.

        Also update the destination's counts of active and inactive connections.
        """
        if self.protocol != 6:
            return
        if is_reply:
            self.sees_replies = True
            table = REPLY
        else:
            table = REQUEST if self.sees_replies else REQUEST_ONLY
        self.state = next_state(self.state, packet.tcp_flags, table)
        is_active = self.state in ACTIVE
        if is_active is not self.is_active:
            step = 1 if is_active else -1
            self.destination.active += step
            self.destination.inactive -= step
            self.is_active = is_active


class ConnectionTable:
    """The connections of one namespace. `on_expire` is called with each connection that ends."""

    __slots__ = ("_clock", "_on_expire", "_purge_at", "_replies", "_requests")

    def __init__(self, clock: Clock, on_expire: Callable[[IpvsConnection], None]) -> None:
        self._clock = clock
        self._on_expire = on_expire
        self._requests: dict[ConntrackTuple, IpvsConnection] = {}
        # Two virtual services can map the same client port to the same destination; replies then belong to
        # the newest of these connections.
        self._replies: dict[ConntrackTuple, list[IpvsConnection]] = {}
        self._purge_at = _PURGE_AT_LEAST

    def __len__(self) -> int:
        return len(self._requests)

    def of_request(self, key: ConntrackTuple) -> IpvsConnection | None:
        """Return the connection to which a client's packet with this key belongs, or `None` if there is none.

        A connection that has expired is not returned.
        """
        return self._unexpired(self._requests.get(key))

    def of_reply(self, key: ConntrackTuple) -> IpvsConnection | None:
        """Return the connection to which a real server's packet with this key belongs, or `None` if there is none.

        A connection that has expired is not returned.
        """
        while True:
            candidates = self._replies.get(key)
            if not candidates:
                return None
            connection = self._unexpired(candidates[-1])
            if connection is not None:
                return connection

    def _unexpired(self, connection: IpvsConnection | None) -> IpvsConnection | None:
        if connection is not None and connection.expires_ns <= self._clock.now_ns:
            self.expire(connection)
            return None
        return connection

    def add(self, connection: IpvsConnection) -> None:
        """Add a new connection. Its destination counts it as inactive until its state changes."""
        self._requests[connection.request_key] = connection
        self._replies.setdefault(connection.reply_key, []).append(connection)
        connection.destination.inactive += 1
        if len(self._requests) > self._purge_at:
            self.purge()
            self._purge_at = max(_PURGE_AT_LEAST, 2 * len(self._requests))

    def expire(self, connection: IpvsConnection) -> None:
        """Remove a connection now."""
        if connection.is_dead:
            return
        connection.is_dead = True
        del self._requests[connection.request_key]
        others = self._replies[connection.reply_key]
        others.remove(connection)
        if not others:
            del self._replies[connection.reply_key]
        if connection.is_active:
            connection.destination.active -= 1
        else:
            connection.destination.inactive -= 1
        self._on_expire(connection)

    def purge(self) -> None:
        """Remove all expired connections."""
        now = self._clock.now_ns
        for connection in [entry for entry in self._requests.values() if entry.expires_ns <= now]:
            self.expire(connection)

    def entries(self) -> list[IpvsConnection]:
        """Return the connections that have not expired, oldest first."""
        self.purge()
        return list(self._requests.values())
