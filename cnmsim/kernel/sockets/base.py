"""The base class of all sockets: owner, family, local address, binding, readiness.

Internally an address has the form that it has in packets: a dual-stack IPv6 socket that communicates over IPv4 stores
4 bytes. The API shows the v4-mapped form, e.g. `::ffff:10.0.0.1` (RFC 4291 §2.5.5.2).
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnmsim.kernel.address import IPV4_ANY, IPV6_ANY, Address, format_endpoint, format_ip, is_multicast, parse_ip
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.fibrules import decision_text
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets.errors import os_error
from cnmsim.kernel.task import Signal

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.output_routing import RoutingDecision
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.ports import PortSpace

#: An address (text or bytes) and a port, as callers specify them.
SocketAddress = tuple[str | bytes, int]

# The sysctl is read only for ports below its usual value: reading it for each ephemeral port would cost time.
_FIRST_PORT_OF_ALL = 1024
_MAPPED = bytes(10) + b"\xff\xff"
WILDCARDS = (IPV4_ANY, IPV6_ANY)
_ROUTE_REASONS = {
    "unreachable": DropReason.UNREACHABLE_ROUTE,
    "prohibit": DropReason.PROHIBIT_ROUTE,
    "blackhole": DropReason.BLACKHOLE_ROUTE,
}


def mapped(address: Address) -> Address:
    """Return the v4-mapped IPv6 form of an IPv4 address; an IPv6 address is returned unchanged."""
    return _MAPPED + address if len(address) == 4 else address


def unmapped(address: Address) -> Address:
    """Return the IPv4 address inside a v4-mapped IPv6 address; any other address is returned unchanged."""
    return address[12:] if len(address) == 16 and address.startswith(_MAPPED) else address


class Socket(ABC):
    """A communication endpoint. It is closed when its `owner`, the process that created it, ends.

    `local` is the bound address, or the wildcard if there is none. `v6only` restricts an IPv6 socket to IPv6 packets.
    `on_readable` is called with the socket when there may be something to receive.
    """

    __slots__ = (
        "__weakref__", "_changed", "device_name", "family", "is_closed", "local", "local_port", "namespace",
        "on_readable", "owner", "reuse_address", "tos", "ttl", "v6only",
    )  # fmt: skip

    protocol = 0

    def __init__(self, namespace: NetworkNamespace, family: int = 4, owner: Process | None = None) -> None:
        self.namespace = namespace
        self.family = family
        self.owner = owner
        self.local: Address = IPV6_ANY if family == 6 else IPV4_ANY
        self.local_port = 0
        self.device_name = ""
        self.reuse_address = False
        self.v6only = family == 6 and namespace.sysctl_get("net.ipv6.bindv6only") == "1"
        self.ttl = 64
        self.tos = 0
        self.is_closed = False
        self.on_readable: Callable[[Any], None] | None = None
        self._changed = Signal(namespace.clock)
        if owner is not None:
            owner.sockets.append(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {format_endpoint(self.local, self.local_port)}>"

    @property
    def owner_label(self) -> str:
        """The owner's label, e.g. `httpd (pid 7)`; `kernel` for a socket without an owner."""
        return "kernel" if self.owner is None else self.owner.label

    def bind_device(self, name: str) -> None:
        """Bind to the device with this name (SO_BINDTODEVICE); "" removes the binding.

        Raises `OSError` (ENODEV) if there is no such device.
        """
        if name and name not in self.namespace.devices:
            raise os_error(errno.ENODEV)
        self.device_name = name
        self.namespace.sockets.udp_generation += 1

    def getsockname(self) -> tuple[Address, int]:
        """Return the local address and port."""
        return self._api_address(self.local), self.local_port

    @abstractmethod
    def close(self) -> None:
        """Close the socket and release its port."""

    @property
    def has_callback(self) -> bool:
        """Whether a callback receives the socket's data or connections. If not, a program waits for them."""
        return self.on_readable is not None

    def close_silently(self) -> None:
        """Close without sending anything to the peer."""
        self.close()

    def _api_address(self, address: Address) -> Address:
        return mapped(address) if self.family == 6 else address

    @property
    def _outdev(self) -> Device | None:
        return self.namespace.devices.get(self.device_name) if self.device_name else None

    @property
    def _chosen_source(self) -> Address | None:
        # A socket bound to a multicast group receives there but sends from a unicast address.
        return None if self.local in WILDCARDS or is_multicast(self.local) else self.local

    def _route_to(self, dst: Address) -> RoutingDecision:
        """Return the routing decision for packets to `dst`.

        If there is no route, report a drop to the observer and raise `OSError`, as `NetworkNamespace.route_output`
        does.
        """
        namespace = self.namespace
        try:
            return namespace.route_output(dst, self._chosen_source, self._outdev)
        except OSError as error:
            if namespace.clock.context is not None:
                route = namespace.find_route(dst, self._outdev, src=self._chosen_source)
                rule = namespace.route_rule(dst, self._outdev, src=self._chosen_source)
                kind = rule.action if rule is not None else "unicast" if route is None else route.kind
                reason = _ROUTE_REASONS.get(kind, DropReason.NO_ROUTE)
                what = f"{reason.value} to {format_ip(dst)}: {(error.strerror or str(error)).lower()}"
                decision = decision_text(route, rule)
                namespace.report(Step.DROPPED, what, b"", decision=decision, reason=reason)
            raise

    def _parse_address(self, address: str | bytes, if_v6only: int = errno.ENETUNREACH) -> Address:
        parsed = parse_ip(address) if isinstance(address, str) else address
        if self.family == 4 and len(parsed) == 16:
            raise os_error(errno.EAFNOSUPPORT)
        plain = unmapped(parsed)
        if self.family == 6 and len(plain) == 4 and self.v6only:
            raise os_error(if_v6only)
        return plain

    def _bind_local(self, ports: PortSpace, address: SocketAddress) -> None:
        if self.is_closed:
            raise os_error(errno.EBADF)
        if self.local_port:
            raise os_error(errno.EINVAL)
        local, port = self._parse_address(address[0], if_v6only=errno.EINVAL), address[1]
        if local not in WILDCARDS and self.namespace.address_type(local) not in ("LOCAL", "BROADCAST", "MULTICAST"):
            raise os_error(errno.EADDRNOTAVAIL)
        if 0 < port < _FIRST_PORT_OF_ALL and self.owner is not None:
            start = int(self.namespace.sysctl_get("net.ipv4.ip_unprivileged_port_start"))
            if port < start and not self.owner.credentials.has("NET_BIND_SERVICE"):
                raise os_error(errno.EACCES)
        before, self.local = self.local, local
        try:
            self.local_port = ports.claim(self, port)
        except OSError:
            self.local = before
            raise

    def _check_open(self) -> None:
        if self.is_closed:
            raise os_error(errno.EBADF)

    def became_readable(self) -> None:
        """Wake the tasks that wait for data, a connection or an error, and call `on_readable`."""
        self._changed.notify()
        if self.on_readable is not None:
            self.on_readable(self)

    def _disown(self) -> None:
        if self.owner is not None and self in self.owner.sockets:
            self.owner.sockets.remove(self)

    def _report_drop(self, packet: Packet, reason: DropReason, decision: str) -> None:
        self.namespace.report(Step.DROPPED, reason.value, packet, decision=decision, reason=reason)

    @property
    def excludes_reuse(self) -> bool:
        """Whether this socket prevents others from sharing its port with SO_REUSEADDR."""
        return False

    @property
    def is_dual_stack(self) -> bool:
        """Whether this is an IPv6 socket that also receives IPv4 packets."""
        return self.family == 6 and not self.v6only and self.local == IPV6_ANY

    @property
    def local_addresses(self) -> tuple[Address, ...]:
        """The addresses on which the socket occupies its port: both wildcards if it is dual-stack."""
        return (IPV6_ANY, IPV4_ANY) if self.is_dual_stack else (self.local,)
