"""Plain hosts and routers: a machine with interfaces, addresses, default routes and services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.kernel.address import IPV4_ANY, IPV6_ANY, Address, Prefix, family_of, format_ip, parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Device, InterfaceAddress
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.route import Route
from cnmsim.underlay.interface import HostInterface, InterfaceSpec, group_addresses
from cnmsim.underlay.nameserver import Zone, name_server

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process, Program
    from cnmsim.underlay.dhcpserver import DhcpRange

#: The content of a lab's web server: `/index.html` and `/cgi-bin/whoami`.
GREETING = b"hello from the web server\n"
WHOAMI = b"#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\necho \"host=$(hostname) client=$REMOTE_ADDR\"\n"
#: Directories of a minimal Debian.
FOLDERS = (
    "/bin", "/dev", "/home", "/lib", "/media", "/mnt", "/opt", "/root", "/run", "/sbin", "/srv", "/usr/bin",
    "/usr/lib", "/usr/local/bin", "/usr/sbin", "/usr/share", "/var/cache", "/var/lib", "/var/log",
    "/tmp", "/var/tmp",  # noqa: S108
)  # fmt: skip
#: Processes that another part of cnmsim simulates and that therefore survive `lose_power`.
_DAEMONS = frozenset({"dockerd"})
_WEB_COMMAND = ["httpd", "-f", "-p", "80", "-h", "/www"]


def _interfaces(value: Any) -> tuple[InterfaceSpec, ...]:
    items = list(value)
    if items and all(isinstance(item, InterfaceSpec) for item in items):
        return tuple(items)
    return tuple(group_addresses(items))


def _gateways(value: str | list[str] | tuple[str, ...] | None) -> tuple[Address, ...]:
    if value is None:
        return ()
    return tuple(parse_ip(text) for text in ([value] if isinstance(value, str) else value))


def _dhcp(value: str | DhcpRange | None) -> DhcpRange | None:
    if not isinstance(value, str):
        return value
    from cnmsim.underlay.dhcpserver import DhcpRange

    return DhcpRange.of(value)


def _zone(value: Mapping[str, Any] | None) -> Zone | None:
    return None if value is None else Zone.of(value)


@frozen
class HostSpec:
    """The description of a host.

    Raises `ValueError` for invalid addresses, and for a gateway outside the host's subnets. `interfaces` is a list of
    addresses with prefix lengths, or of interface specifications. `gateways` is the address of the default gateway,
    or one for each family. `nameserver` is the address in resolv.conf. `zone` contains the names for which the host
    runs a name server. `serves_web` starts a web server on port 80, and `forwards` makes the host a router. `mtu` is
    in bytes. `dhcp` is the range of addresses that the host leases (`10.0.0.100-10.0.0.199`).
    """

    name: str
    interfaces: tuple[InterfaceSpec, ...] = field(converter=_interfaces)
    gateways: tuple[Address, ...] = field(default=None, converter=_gateways)
    nameserver: str | None = None
    zone: Zone | None = field(default=None, converter=_zone)
    serves_web: bool = False
    forwards: bool = False
    mtu: int = 1500
    dhcp: DhcpRange | None = field(default=None, converter=_dhcp)

    def __attrs_post_init__(self) -> None:
        for gateway in self.gateways:
            if self._interface_towards(gateway) is None:
                raise ValueError(f"gateway {format_ip(gateway)} is on none of the subnets of {self.name}")
        if self.nameserver is not None:
            parse_ip(self.nameserver)
        if not 68 <= self.mtu <= 65535:
            raise ValueError(f"mtu must be between 68 and 65535: {self.mtu}")
        if self.dhcp is not None and self._interface_of(self.dhcp) is None:
            raise ValueError(f"the DHCP range {self.dhcp} is in none of the subnets of {self.name}")

    def _interface_of(self, lent: DhcpRange) -> tuple[int, InterfaceAddress] | None:
        """Return the index of the interface whose subnet contains the DHCP range `lent`, and the host's address.

        Return `None` if no subnet of the host contains the range.
        """
        for number, interface in enumerate(self.interfaces):
            for own in interface.addresses:
                if lent.first in own.prefix and lent.last in own.prefix:
                    return number, own
        return None

    def _interface_towards(self, address: Address) -> int | None:
        for number, interface in enumerate(self.interfaces):
            if any(address in own.prefix and address != own.address for own in interface.addresses):
                return number
        return None


class PlainHost:
    """A machine on the underlay, built from a `HostSpec`. Its interfaces are not connected yet."""

    def __init__(
        self, spec: HostSpec, clock: Clock, web_server: Any = None, programs: Mapping[str, Any] | None = None
    ) -> None:
        self.spec = spec
        self.machine = Machine(spec.name, clock)
        self.interfaces = [self._interface(number, clock) for number in range(len(spec.interfaces))]
        self._web_server = web_server
        self._programs = programs or {}
        self.services: list[Process] = []
        self._write_files()

    def _interface(self, number: int, clock: Clock) -> HostInterface:
        stream = clock.stream(f"mac/{self.spec.name}/{number}")
        mac = bytearray(stream.randbytes(6))
        mac[0] = mac[0] & 0xFC | 0x02  # unicast, locally administered, as Linux generates
        return HostInterface(f"eth{number}", bytes(mac), clock, self.spec.mtu)

    def _write_files(self) -> None:
        files, name = self.machine.files, self.spec.name
        for folder in FOLDERS:
            files.makedirs(folder)
        files.symlink("/run", "/var/run")
        files.write("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        files.write("/etc/group", b"root:x:0:\n")
        files.write("/etc/hostname", f"{name}\n".encode())
        files.write("/etc/hosts", f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\tlocalhost\n".encode())
        server = self.spec.nameserver
        files.write("/etc/resolv.conf", f"nameserver {server}\n".encode() if server else b"")
        if self.spec.serves_web:
            files.put("/www/index.html", GREETING)
            files.put("/www/cgi-bin/whoami", WHOAMI, 0o755)

    def bring_up(self) -> None:
        """Configure the interfaces' addresses and routes, set them up, and start the services."""
        namespace = self.machine.root
        namespace.loopback.set_up()
        if self.spec.forwards:
            namespace.sysctl_set("net.ipv4.ip_forward", "1")
            namespace.sysctl_set("net.ipv6.conf.all.forwarding", "1")
        for interface, spec in zip(self.interfaces, self.spec.interfaces, strict=True):
            namespace.add_device(interface)
            for address in spec.addresses:
                namespace.add_address(interface, str(address))
            interface.set_up()
        for gateway in self.spec.gateways:
            namespace.add_route(self._default_route(gateway))
        self.start_services()

    def _default_route(self, gateway: Address) -> Route:
        number = self.spec._interface_towards(gateway)
        assert number is not None, "the spec checks its gateways"
        everywhere = Prefix(IPV6_ANY if family_of(gateway) == 6 else IPV4_ANY, 0)
        device: Device = self.interfaces[number]
        metric = 1024 if everywhere.family == 6 else 0  # the default metric of `ip route add` (IP6_RT_PRIO_USER)
        return Route(prefix=everywhere, device=device, gateway=gateway, metric=metric)

    def _dhcp_server(self, lent: DhcpRange) -> Program:
        from cnmsim.underlay.dhcpserver import dhcp_server

        interface = self.spec._interface_of(lent)
        assert interface is not None, "the spec checks its range"
        number, own = interface
        router = own.address if self.spec.forwards else next((g for g in self.spec.gateways if g in own.prefix), None)
        server = parse_ip(self.spec.nameserver) if self.spec.nameserver else None
        name_server = server if server is not None and len(server) == 4 else None
        return dhcp_server(self.interfaces[number], own.address, own.prefix, lent, router, name_server)

    def lose_power(self) -> None:
        """Kill every process and clear the kernel state that does not survive a power failure.

        dockerd is not killed here: the engine that simulates it is ended separately.
        """
        for process in list(self.machine.processes.values()):
            if process.parent is None and process.name not in _DAEMONS:
                process.kill(9)
        self.services.clear()
        root = self.machine.root
        root.netfilter.conntrack.flush()
        for entry in root.neighbours.entries():
            root.neighbours.remove(entry.device, entry.address)

    def start_services(self) -> None:
        """Start the services in the host's description: name server, DHCP server and web server."""
        if self.spec.zone is not None:
            self.services.append(self.machine.spawn(name_server(self.spec.zone), ["name-server"]))
        if self.spec.dhcp is not None:
            self.services.append(self.machine.spawn(self._dhcp_server(self.spec.dhcp), ["udhcpd", "-f"]))
        if self.spec.serves_web and self._web_server is not None:
            self.services.append(self.machine.spawn(self._web_server, list(_WEB_COMMAND), programs=self._programs))
