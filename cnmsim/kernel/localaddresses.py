"""The addresses of a namespace's devices: configured and automatic ones, together with their connected routes.

Source: Linux net/ipv4/devinet.c, net/ipv4/fib_frontend.c, net/ipv6/addrconf.c.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import IPV4_LOOPBACK, IPV6_LOOPBACK, Address, is_link_local, is_multicast, parse_interface
from cnmsim.kernel.device import Device, InterfaceAddress
from cnmsim.kernel.route import Route

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace


#: Address flags by (nodad, noprefixroute); shared, because most addresses have one of four combinations.
_FLAGS = {
    (nodad, noprefixroute): frozenset(["nodad"] * nodad + ["noprefixroute"] * noprefixroute)
    for nodad in (False, True)
    for noprefixroute in (False, True)
}
#: The order of a device's IPv6 addresses: wider scopes first, within one scope the newest first (ipv6_link_dev_addr).
_SCOPE_ORDER = {"global": 0, "site": 1, "link": 2, "host": 3}


class LocalAddresses:
    """The addresses of a namespace.

    Each device stores its own in `device.addresses`, which only this class changes.
    """

    __slots__ = ("_broadcasts", "_local", "_namespace")

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._local: Counter[Address] = Counter()
        self._broadcasts: Counter[Address] = Counter()

    def add(
        self,
        device: Device,
        address: str | InterfaceAddress,
        *,
        scope: str = "global",
        broadcast: Address | None = None,
        nodad: bool = True,
        noprefixroute: bool = False,
    ) -> None:
        """Add an address such as `10.0.0.15/24` to a device.

        `scope`, `broadcast`, `nodad` and `noprefixroute` are the options of `ip address add`. They are used only if
        `address` is a text, and `scope` only for IPv4. Raises `OSError`: EEXIST if the device has the address (an
        IPv4 address may be repeated with another prefix length), EACCES if IPv6 is disabled on the device, EINVAL if
        its MTU is too small for IPv6.
        """
        if isinstance(address, str):
            raw, length = parse_interface(address)
            if len(raw) == 16:  # the scope of an IPv6 address follows from the address
                scope = "link" if is_link_local(raw) else "host" if raw == IPV6_LOOPBACK else "global"
            address = InterfaceAddress(raw, length, scope, broadcast, _FLAGS[nodad, noprefixroute])
        if any(
            a.address == address.address and (a.family == 6 or a.prefixlen == address.prefixlen)
            for a in device.addresses
        ):
            raise OSError(errno.EEXIST, "File exists")
        if address.family == 6 and not device.carries_ipv6:
            raise OSError(errno.EINVAL, "Invalid argument")
        if address.family == 6 and self._namespace.ipv6_disabled(device):
            raise OSError(errno.EACCES, "Permission denied")
        device.refuse_address(address.address)
        self._insert(device, address)
        if device.is_up:
            self._add_connected(device, address)
        self._namespace.topology_changed()

    def remove(self, device: Device, address: str) -> None:
        """Remove an address. Raises `OSError(EADDRNOTAVAIL)` if the device does not have it."""
        raw, length = parse_interface(address)
        removed = next((a for a in device.addresses if a.address == raw and a.prefixlen == length), None)
        if removed is None:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        device.addresses.remove(removed)
        self._forget((removed,))
        table = self._namespace.routes(removed.family)
        for route in [r for r in table.routes if r.device is device and r.protocol == "kernel"]:
            if (route.src == raw or removed.family == 6) and route.prefix == removed.prefix:
                table.remove(route)
        for other in device.addresses:
            if device.is_up:
                self._add_connected(device, other)
        self._namespace.topology_changed()

    # --- effects of links and sysctls

    def link_up(self, device: Device) -> None:
        """Add a device's automatic addresses and the connected route of each address, because the device went up."""
        namespace = self._namespace
        if device is namespace.loopback:
            self._add_missing(device, InterfaceAddress(IPV4_LOOPBACK, 8, "host"))
            if not namespace.ipv6_disabled(device):
                self._add_missing(device, InterfaceAddress(IPV6_LOOPBACK, 128, "host", protocol="kernel_lo"))
        elif self._needs_link_local(device):
            address = InterfaceAddress(device.link_local_address(), 64, "link", protocol="kernel_ll")
            self._add_missing(device, address)
        for address in device.addresses:
            self._add_connected(device, address)

    def remove_device(self, device: Device) -> None:
        """Remove every address of a device that left the namespace."""
        self._forget(device.addresses)
        device.addresses.clear()

    def disable_ipv6_changed(self) -> None:
        """Apply a change of the sysctl `disable_ipv6`: remove IPv6 addresses, or add the automatic ones again."""
        namespace = self._namespace
        disabled = {device for device in namespace.devices.values() if namespace.ipv6_disabled(device)}
        namespace.neighbours.remove_ipv6(disabled)
        for device in namespace.devices.values():
            if device in disabled:
                self.remove_ipv6(device)
                namespace.routes6.remove_device(device)
            elif device.is_up:
                self.link_up(device)
        namespace.topology_changed()

    def _needs_link_local(self, device: Device) -> bool:
        """Return True if IPv6 autoconfiguration would add the device's fe80:: address now."""
        if not device.has_carrier or not any(device.mac) or self._namespace.ipv6_disabled(device):
            return False
        return not any(a.protocol == "kernel_ll" for a in device.addresses)

    def _add_missing(self, device: Device, address: InterfaceAddress) -> None:
        if not any(a.address == address.address for a in device.addresses):
            self._insert(device, address)

    def _insert(self, device: Device, address: InterfaceAddress) -> None:
        at = len(device.addresses)
        if address.family == 6:
            order = _SCOPE_ORDER[address.scope]
            positions = enumerate(device.addresses)
            at = next((i for i, a in positions if a.family == 6 and _SCOPE_ORDER[a.scope] >= order), at)
        device.addresses.insert(at, address)
        self._local[address.address] += 1
        self._broadcasts.update(address.broadcasts)
        self._namespace.generation += 1

    def remove_ipv6(self, device: Device) -> None:
        """Remove the IPv6 addresses of a device, because it went down or IPv6 was disabled on it."""
        removed = [a for a in device.addresses if a.family == 6]
        if removed:
            device.addresses = [a for a in device.addresses if a.family == 4]
            self._forget(removed)

    def _forget(self, removed: Iterable[InterfaceAddress]) -> None:
        for address in removed:
            for counter, keys in ((self._local, (address.address,)), (self._broadcasts, address.broadcasts)):
                for key in keys:
                    counter[key] -= 1
                    if not counter[key]:
                        del counter[key]
        self._namespace.generation += 1

    def _add_connected(self, device: Device, address: InterfaceAddress) -> None:
        namespace = self._namespace
        if "noprefixroute" in address.flags or device is namespace.loopback:
            return
        if address.prefixlen == len(address.address) * 8 and address.family == 4:
            return
        if address.family == 4 and not address.can_be_source:
            return
        table = namespace.routes(address.family)
        prefix = address.prefix
        if table.has_connected(device, prefix):
            return
        if address.family == 4:
            table.add(Route(prefix, device, scope="link", src=address.address, protocol="kernel"), append=True)
        else:
            table.add(Route(prefix, device, metric=256, protocol="kernel"), append=True)

    # --- queries

    def has(self, address: Address) -> bool:
        """Return True if a device has exactly this address."""
        return address in self._local

    def is_local(self, address: Address) -> bool:
        """Return True if the address is local: on a device, or in 127.0.0.0/8 while lo is up."""
        return address in self._local or (address[0] == 127 and len(address) == 4 and self._namespace.loopback.is_up)

    def is_broadcast(self, address: Address) -> bool:
        """Return True if `address` is the broadcast address of a connected network."""
        return address in self._broadcasts

    def type_of(self, address: Address) -> str:
        """Return the type of an address as iptables' addrtype names it, such as LOCAL, UNICAST or BROADCAST."""
        if self.is_local(address):
            return "LOCAL"
        if is_multicast(address):
            return "MULTICAST"
        if len(address) == 4 and (address == b"\xff" * 4 or address in self._broadcasts):
            return "BROADCAST"
        route = self._namespace.find_route(address)
        if route is not None and route.kind != "unicast":
            return route.kind.upper()
        return "UNICAST"
