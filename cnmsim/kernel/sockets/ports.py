"""Port allocation for one transport protocol in one network namespace.

The rules are those of Linux's `inet_csk_get_port` and `udp_lib_get_port`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from cnmsim.kernel.address import Address
from cnmsim.kernel.sockets.base import WILDCARDS
from cnmsim.kernel.sockets.errors import os_error

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.sockets.base import Socket


class PortHolder(Protocol):
    """The holder of a port: a socket, or a connection whose socket was closed."""

    device_name: str
    reuse_address: bool

    @property
    def local_addresses(self) -> tuple[Address, ...]:
        """The addresses on which the port is occupied."""

    @property
    def excludes_reuse(self) -> bool:
        """Whether this holder prevents others from sharing its port with SO_REUSEADDR, because it is listening."""


@define(eq=False)
class PortSpace:
    """The ports of one protocol, from 1 to 65535, and their holders."""

    namespace: NetworkNamespace
    _holders: dict[int, list[PortHolder]] = field(factory=dict, init=False)
    #: The sockets that are closed when another one claims their port (`claim_provisionally`).
    _provisional: list[Socket] = field(factory=list, init=False)

    def claim(self, holder: PortHolder, port: int) -> int:
        """Allocate `port`, or a free ephemeral one if it is 0, for `holder`. Return the port.

        Raises `OSError`: EADDRINUSE if the port conflicts with another holder, or if no ephemeral port is free.
        """
        if not port:
            port = self.free_port(holder.local_addresses)
        elif found := [other for other in self._holders.get(port, ()) if _conflicts(holder, other)]:
            provisional = [item for item in self._provisional if item in found]
            if holder in self._provisional or len(provisional) < len(found):
                self._provisional = [item for item in self._provisional if item is not holder]
                raise os_error(errno.EADDRINUSE)
            for item in provisional:
                item.close()
        self.share(holder, port)
        return port

    def claim_provisionally(self, socket: Socket) -> None:
        """Make a socket that is not yet bound lose its port to any later socket that claims it.

        No such socket exists in Linux. The socket represents a program that is not simulated, whose port is only
        assumed.
        """
        self._provisional.append(socket)

    def share(self, holder: PortHolder, port: int) -> None:
        """Add a holder of a port without checking for conflicts.

        Used for a connection, which shares its listener's port.
        """
        self._holders.setdefault(port, []).append(holder)

    def release(self, holder: PortHolder, port: int) -> None:
        """Remove a holder from a port. Do nothing if `holder` does not hold the port."""
        holders = self._holders.get(port)
        if holders and holder in holders:
            holders.remove(holder)
            if self._provisional:
                self._provisional = [item for item in self._provisional if item is not holder]
            if not holders:
                del self._holders[port]

    def is_bound(self, address: Address, port: int) -> bool:
        """Return True if `port` is in use on `address` or on the wildcard. For the wildcard, on any address."""
        return any(
            _overlap(address, other) for holder in self._holders.get(port, ()) for other in holder.local_addresses
        )

    def conflicts(self, holder: PortHolder, port: int) -> bool:
        """Return True if another socket or connection that holds the port conflicts with `holder`."""
        return any(other is not holder and _conflicts(holder, other) for other in self._holders.get(port, ()))

    def free_port(self, addresses: tuple[Address, ...]) -> int:
        """Return a port in net.ipv4.ip_local_port_range that is free on all the given addresses.

        Raises `OSError` (EADDRINUSE) if there is none.
        """
        text = self.namespace.sysctl_get("net.ipv4.ip_local_port_range")
        low, high = (int(part) for part in text.split())
        count = high - low + 1
        start = self.namespace.sockets.random_below(count)
        for step in range(count):
            port = low + (start + step) % count
            if port not in self._holders or not any(self.is_bound(address, port) for address in addresses):
                return port
        raise os_error(errno.EADDRINUSE)


def _overlap(first: Address, second: Address) -> bool:
    return len(first) == len(second) and (first == second or first in WILDCARDS or second in WILDCARDS)


def _conflicts(holder: PortHolder, other: PortHolder) -> bool:
    if holder.device_name and other.device_name and holder.device_name != other.device_name:
        return False
    if not any(_overlap(mine, theirs) for mine in holder.local_addresses for theirs in other.local_addresses):
        return False
    return not (holder.reuse_address and other.reuse_address) or other.excludes_reuse
