"""The OS layer of a sandbox: interfaces, addresses and routes in its network namespace.

Source: moby `daemon/libnetwork/osl/{namespace,interface,route}_linux.go` (docker-v29.7.2).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from attrs import define, field

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address, Prefix, format_ip, format_mac
from cnmsim.kernel.clock import Timer
from cnmsim.kernel.device import Device
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.route import Route
from cnmsim.libnetwork.driver import EndpointInterface, JoinInfo
from cnmsim.libnetwork.gratuitous_arp import GratuitousArpConfig
from cnmsim.libnetwork.profile import Profile

IPV4_DEFAULT = Prefix.parse("0.0.0.0/0")
IPV6_DEFAULT = Prefix.parse("::/0")
_IPV6_METRIC = 1024


@define(eq=False)
class NamespaceInterface:
    """One interface of a sandbox.

    `source_name` is the name that the driver gave its device. `routes` are the routes that were added with it.
    `announcements` are the timers of its later gratuitous ARPs.
    """

    device: Device
    source_name: str
    routes: list[Route] = field(factory=list)
    announcements: list[Timer] = field(factory=list)


@define(eq=False)
class OslNamespace:
    """The namespace of one sandbox. If `is_host` is True, it is the host's own, and interfaces are not renamed."""

    namespace: NetworkNamespace
    host: NetworkNamespace
    profile: Profile
    is_host: bool = False
    interfaces: dict[str, NamespaceInterface] = field(factory=dict, init=False)
    _counters: dict[str, int] = field(factory=dict, init=False)
    _gateways: dict[int, Route] = field(factory=dict, init=False)

    def interface_name(self, prefix: str) -> str:
        """Return an interface name that consists of `prefix` and a number, e.g. `eth0`.

        The number is the lowest for which the name is free; in 26.1 it is one that was never used.
        """
        if self.profile.interface_counter_grows:
            number = self._counters.get(prefix, 0)
            self._counters[prefix] = number + 1
            return f"{prefix}{number}"
        number = 0
        while f"{prefix}{number}" in self.namespace.devices:
            number += 1
        return f"{prefix}{number}"

    def add_interface(
        self,
        key: str,
        info: JoinInfo,
        addresses: EndpointInterface,
        sysctls: Mapping[str, str] | None = None,
        *,
        gratuitous_arp: GratuitousArpConfig | None = None,
    ) -> str:
        """Move a joined endpoint's device into the namespace, configure it and bring it up. Return its name there.

        `key` identifies the interface in later calls. In the keys of `sysctls`, IFNAME stands for the interface's
        name. `gratuitous_arp` says how the interface announces its addresses; `None` for no announcements. Raises
        `SystemFault` with libnetwork's message if a step fails; the device is then back on the host, unless only the
        announcement failed.
        """
        source = self.namespace if info.created_in_sandbox else self.host
        device = source.devices.get(info.source_name)
        if device is None:
            raise SystemFault(
                f"failed to add interface {info.source_name} to sandbox: failed to get link by name "
                f'"{info.source_name}": Link not found'
            )
        with ExitStack() as undo:
            try:
                name = info.destination_name or self.interface_name(info.destination_prefix)
                with _wrap_os_error(info, f'error renaming interface "{info.source_name}" to "{name}"'):
                    self._move_in(device, name, info, undo)
                interface = NamespaceInterface(device, info.source_name)
                self._configure(interface, info, addresses, sysctls or {})
            except OSError as error:
                cause = go_strerror(error)
                raise SystemFault(f"failed to add interface {info.source_name} to sandbox: {cause}") from None
            undo.pop_all()
        self.interfaces[key] = interface
        if gratuitous_arp is not None:
            interface.announcements = self._send_announcements(interface, addresses, gratuitous_arp)
        return device.name

    def _move_in(self, device: Device, name: str, info: JoinInfo, undo: ExitStack) -> None:
        if self.is_host:
            return
        if info.created_in_sandbox:
            self.namespace.rename_device(device, name)
        else:
            self.host.move_device(device, self.namespace, name)
        undo.callback(self.namespace.move_device, device, self.host, info.source_name)

    def _configure(
        self, interface: NamespaceInterface, info: JoinInfo, addresses: EndpointInterface, sysctls: Mapping[str, str]
    ) -> None:
        device, namespace = interface.device, self.namespace
        setting = f'error setting interface "{info.source_name}"'
        if addresses.mac is not None:
            with _wrap_os_error(info, f'{setting} MAC to "{format_mac(addresses.mac)}"'):
                device.set_mac(addresses.mac)
        disabled = "0" if addresses.ipv6 is not None else "1"
        with suppress(FileNotFoundError):  # a device with so small an MTU has no IPv6
            namespace.sysctl_set(f"net.ipv6.conf.{device.name}.disable_ipv6", disabled)
        for family, pair in (("IP", addresses.ipv4), ("IPv6", addresses.ipv6)):
            if pair is not None:
                with _wrap_os_error(info, f"{setting} {family} to {format_ip(pair[0])}/{pair[1]}"):
                    self._set_address(device, info, *pair)
        local = [f"{format_ip(address)}/{length}" for address, length in addresses.link_local]
        for address, length in addresses.link_local:
            with _wrap_os_error(info, f"{setting} link local IPs to [{' '.join(local)}]"):
                broadcast = Prefix.of(address, length).broadcast if len(address) == 4 else None
                text = f"{format_ip(address)}/{length}"
                namespace.add_address(device, text, broadcast=broadcast, nodad=False)
        for name, value in sysctls.items():
            namespace.sysctl_set(name.replace("IFNAME", device.name), value)
        with _wrap_os_error(info, "failed to set link up"):
            device.set_up()
        routes = " ".join(f'"{static.prefix}"' for static in info.static_routes)
        for static in info.static_routes:
            if not static.prefix.length and not self.profile.static_default_routes:
                # Default routes are installed only for the gateway endpoint, by `set_gateway`.
                continue
            with _wrap_os_error(info, f"{setting} routes to [{routes}]"):
                interface.routes.append(self._add_static(device, static.prefix, static.next_hop))

    def _send_announcements(
        self, interface: NamespaceInterface, addresses: EndpointInterface, gratuitous_arp: GratuitousArpConfig
    ) -> list[Timer]:
        """Announce the interface's addresses on its link, now and later.

        Return the timers of the later announcements. The list is empty if `gratuitous_arp` requests fewer
        than two announcements, or if the endpoint has no MAC address. Raises `SystemFault` if a sysctl has removed
        the IPv6 address; the interface remains in the namespace (28.5). 29 releases that address instead.
        """
        if not gratuitous_arp.count or addresses.mac is None:  # ipvlan endpoints have no MAC address of their own
            return []
        device, ipv6 = interface.device, addresses.ipv6
        is_removed = ipv6 is not None and all(assigned.address != ipv6[0] for assigned in device.addresses)
        if is_removed and not self.profile.sysctl_disabled_ipv6_is_released:
            raise SystemFault(
                f"failed to add interface {interface.source_name} to sandbox: failed to advertise addresses: "
                "write ip ::1->ff02::1: sendmsg: invalid argument"
            )
        own = [pair[0] for pair in (addresses.ipv4, addresses.ipv6) if pair is not None]

        def announce() -> None:
            if device.namespace is self.namespace and device.is_up:
                for address in own:
                    self.namespace.neighbours.announce(device, address)

        announce()
        clock = self.namespace.clock
        return [
            clock.call_later(count * gratuitous_arp.pause_s, announce) for count in range(1, gratuitous_arp.count)
        ]

    def _add_static(self, device: Device, prefix: Prefix, next_hop: Address | None) -> Route:
        scope = "link" if next_hop is None else "global"
        route = Route(prefix, device, next_hop, metric=_IPV6_METRIC if prefix.family == 6 else 0, scope=scope)
        self.namespace.add_route(route)
        return route

    def _set_address(self, device: Device, info: JoinInfo, address: Address, length: int) -> None:
        family = 6 if len(address) == 16 else 4
        subnet = Prefix.of(address, length)
        for route in self.namespace.routes(family).routes:
            if route.prefix.length and route.device is not device and route.prefix.overlaps(subnet):
                if family == 6 and route.prefix.network[:2] == b"\xfe\x80":
                    continue
                text = f"{format_ip(address)}/{length}"
                raise SystemFault(
                    f"failed to add interface {info.source_name} to sandbox: error setting interface "
                    f'"{info.source_name}" IP to {text}: cannot program address {text} in sandbox interface because '
                    f"it conflicts with existing route {_go_route(route)}"
                )
        broadcast = subnet.broadcast if family == 4 and length < 31 else None
        self.namespace.add_address(device, f"{format_ip(address)}/{length}", broadcast=broadcast)

    def remove_interface(self, key: str) -> None:
        """Remove an interface and its routes from the sandbox.

        Its device is moved to the host under its old name.
        """
        interface = self.interfaces.pop(key, None)
        if interface is None:
            return
        for timer in interface.announcements:
            timer.cancel()
        device = interface.device
        for family in [f for f, route in self._gateways.items() if route.device is device]:
            self.set_gateway(family, None, None)
        if device.namespace is not self.namespace:
            return
        table_routes = (*self.namespace.routes4.routes, *self.namespace.routes6.routes)
        for route in interface.routes:
            if route in table_routes:
                self.namespace.remove_route(route)
        if not self.is_host:
            self.namespace.move_device(device, self.host, interface.source_name)

    def set_gateway(self, family: int, gateway: Address | None, key: str | None) -> None:
        """Set the default route of address family 4 or 6 to `gateway`, through the interface that `key` identifies.

        If `gateway` is `None`, the route is on-link. If `key` is `None`, the default route is removed. Raises
        `SystemFault` if the kernel refuses the route.
        """
        old = self._gateways.pop(family, None)
        if old is not None and old in self.namespace.routes(family).routes:
            self.namespace.remove_route(old)
        if key is None or key not in self.interfaces:
            return
        if gateway is not None and self.namespace.find_route(gateway) is None:
            unreachable = OSError(errno.ENETUNREACH, "Network is unreachable")
            cause = f"route for the gateway {format_ip(gateway)} could not be found: {go_strerror(unreachable)}"
            raise self._gateway_fault(family, gateway, cause)
        route = Route(
            IPV6_DEFAULT if family == 6 else IPV4_DEFAULT,
            self.interfaces[key].device,
            gateway,
            metric=_IPV6_METRIC if family == 6 else 0,
            scope="link" if gateway is None and family == 4 else "global",
        )
        try:
            self.namespace.add_route(route)
        except OSError as error:
            raise self._gateway_fault(family, gateway, go_strerror(error)) from None
        self._gateways[family] = route

    def _gateway_fault(self, family: int, gateway: Address | None, cause: str) -> SystemFault:
        address = f" ({format_ip(gateway)})" if family == 6 and gateway is not None else ""
        label = "IPv6 " if family == 6 else ""
        return SystemFault(self.profile.gateway_error_text.format(family=label, address=address, error=cause))


@contextmanager
def _wrap_os_error(info: JoinInfo, what: str) -> Iterator[None]:
    """Context manager that converts an `OSError` to `SystemFault`.

    Its message contains `source_name` of `info`, which is the device to be moved, and `what`, which is the failed
    step.
    """
    try:
        yield
    except OSError as error:
        cause = f"{what}: {go_strerror(error)}"
        raise SystemFault(f"failed to add interface {info.source_name} to sandbox: {cause}") from None


def _go_route(route: Route) -> str:
    """Format a route for an error message, as Go's netlink package does.

    For example: `{Ifindex: 7 Dst: 0.0.0.0/0 Src: <nil> Gw: 172.18.0.1 Flags: [] Table: 254 Realm: 0}`.
    """
    assert route.device is not None
    src = format_ip(route.src) if route.src is not None else "<nil>"
    gateway = format_ip(route.gateway) if route.gateway is not None else "<nil>"
    return (
        f"{{Ifindex: {route.device.index} Dst: {route.prefix} Src: {src} Gw: {gateway} "
        "Flags: [] Table: 254 Realm: 0}"
    )
