"""The port allocator: the host ports in use, one table per daemon, shared by all its networks.

The ports of a range are allocated in turn, so that a released port is reused only after all others. Source: moby
`libnetwork/portallocator/portallocator.go` (v26.1.5, v28.5.2), `daemon/libnetwork/portallocator/` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address, format_ip
from cnmsim.libnetwork.profile import Profile

if TYPE_CHECKING:
    from cnmsim.libnetwork.options import PortBinding

#: Linux's default net.ipv4.ip_local_port_range.
EPHEMERAL_PORTS = (32768, 60999)
_PROTOCOLS = frozenset({"tcp", "udp", "sctp"})


class PortAlreadyAllocated(SystemFault):
    """Error: a requested port is already allocated on `address`.

    That may be an address other than the requested one, e.g. 0.0.0.0, on which the port is in use.
    """

    def __init__(self, address: Address, port: int) -> None:
        self.address, self.port = address, port
        super().__init__(f"Bind for {format_ip(address)}:{port} failed: port is already allocated")
        self.value = str(port)


class AllPortsAllocated(SystemFault):
    """Error: every port of the range is allocated."""

    def __init__(self) -> None:
        super().__init__("all ports are allocated")


@define
class _PortTable:
    """The allocated ports of one address and protocol. `cursors` holds the last port allocated from each range."""

    used: set[int] = field(factory=set)
    cursors: dict[tuple[int, int], int] = field(factory=dict)


def noop() -> None:
    """Do nothing. The release function of an object that has nothing to release."""


@define(eq=False)
class BoundPort:
    """A host port on which a socket is bound. All fields of `binding` are set.

    `release` is called when the socket is closed.
    """

    binding: PortBinding
    release: Callable[[], None] = noop


@define
class PortAllocator:
    """The host ports of one daemon.

    `ephemeral` is the host's `net.ipv4.ip_local_port_range`, first and last port; `reserved` its
    `net.ipv4.ip_local_reserved_ports`, which newer engines skip for ephemeral ports. `bound` are the ports on which
    sockets are bound now.

    If `watcher` is set, it is called with the binding of every port that is bound. It returns a function to be called
    when the port is closed, or raises an `OSError` to prevent the use of the port.
    """

    profile: Profile
    ephemeral: tuple[int, int] = EPHEMERAL_PORTS
    reserved: frozenset[int] = frozenset()
    watcher: Callable[[PortBinding], Callable[[], None]] | None = field(default=None, init=False, repr=False)
    bound: list[BoundPort] = field(factory=list, init=False, repr=False)
    _tables: dict[tuple[str, Address], _PortTable] = field(factory=dict, init=False)

    def request_ports(self, addresses: Sequence[Address], protocol: str, start: int = 0, end: int = 0) -> int:
        """Allocate one port on all of `addresses`, and return it.

        If `start` and `end` are 0, an ephemeral port is allocated. If `end` is 0 or equals `start`, the port `start`
        is allocated, otherwise the next free port from `start` to `end`. Raises `PortAlreadyAllocated` if `start` is
        in use, or `AllPortsAllocated` if no port of the range is free; then no port is allocated.
        """
        if protocol not in _PROTOCOLS:
            raise SystemFault(self.profile.unknown_protocol_text.format(protocol=protocol))
        if start and end in {0, start}:
            for address in addresses:
                if (holder := self._holder(address, protocol, start)) is not None:
                    raise PortAlreadyAllocated(holder, start)
            port = start
        else:
            port = self._next_free(addresses, protocol, start, end)
        for address in addresses:
            self._table(address, protocol).used.add(port)
        return port

    def release_ports(self, addresses: Iterable[Address], protocol: str, port: int) -> None:
        """Release the port on all of `addresses`, ignoring those on which it is not allocated."""
        for address in addresses:
            self._table(address, protocol).used.discard(port)

    def register_bound(self, binding: PortBinding) -> Callable[[], None]:
        """Add `binding`, whose host port is bound now, to `bound`. Return a function that removes it again.

        All fields of `binding` must be set. Raises the `OSError` with which `watcher` prevents the use of the port;
        then nothing is added.
        """
        port = BoundPort(binding)
        if self.watcher is not None:
            port.release = self.watcher(binding)
        self.bound.append(port)
        return partial(self._unregister_bound, port)

    def _unregister_bound(self, port: BoundPort) -> None:
        self.bound.remove(port)
        port.release()

    def _table(self, address: Address, protocol: str) -> _PortTable:
        return self._tables.setdefault((protocol, address), _PortTable())

    def _next_free(self, addresses: Sequence[Address], protocol: str, start: int, end: int) -> int:
        is_ephemeral = not start
        first, last = self.ephemeral if is_ephemeral else (start, end)
        avoided = self.reserved if is_ephemeral and self.profile.skips_reserved_ports else frozenset()
        cursor = self._table(addresses[0], protocol).cursors.get((first, last), last)
        count = last - first + 1
        for offset in range(1, count + 1):
            port = first + (cursor - first + offset) % count
            if port not in avoided and all(self._holder(held, protocol, port) is None for held in addresses):
                for address in addresses:
                    self._table(address, protocol).cursors[first, last] = port
                return port
        raise AllPortsAllocated

    def _holder(self, address: Address, protocol: str, port: int) -> Address | None:
        """Return the address whose use of `port` prevents its use on `address`; `None` if it can be used.

        26.1 checks only `address` itself; later releases also check an overlapping unspecified address (0.0.0.0, ::).
        """
        table = self._tables.get((protocol, address))
        if table is not None and port in table.used:
            return address
        if self.profile.ports_per_address_text:
            return None
        for (held_protocol, held), other in self._tables.items():
            overlaps = len(held) == len(address) and not (any(held) and any(address))
            if held_protocol == protocol and overlaps and port in other.used:
                return held
        return None


def port_range(text: str) -> tuple[int, int]:
    """Parse the sysctl net.ipv4.ip_local_port_range, e.g. `32768 60999`, into the first and the last port.

    If the text is not two words, return Linux's default range.
    """
    words = text.split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else EPHEMERAL_PORTS


def reserved_ports(text: str) -> frozenset[int]:
    """Parse the sysctl net.ipv4.ip_local_reserved_ports, e.g. `8080,9000-9010`, into a set of ports.

    Raises `ValueError` if the text is not a list of ports and ranges.
    """
    ports: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        ports.update(range(int(first), int(last or first) + 1))
    return frozenset(ports)
