"""The simulated host that represents real clients: connections from outside to published ports come from this host.

It is a machine next to the Docker host, with an address on the Docker host's first segment, and uses the Docker host
as its gateway. Packets of real clients thus pass the Docker host's rules like packets of any other machine. Some
ports are published only on the Docker host's loopback, or for an IP version in which one of the two hosts has no
address on the segment. Connections to these ports come from the Docker host itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Address, Prefix, family_of, format_ip, from_int, is_loopback
from cnmsim.kernel.task import Future
from cnmsim.underlay import Segment

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket
    from cnmsim.kernel.sockets.udp import UdpSocket
    from cnmsim.lab import Host, Lab
    from cnmsim.libnetwork.options import PortBinding

#: Name of the host that represents the machine on which cnmsim runs.
NAME = "this-machine"
_LOOPBACK = {4: b"\x7f\0\0\x01", 6: bytes(15) + b"\x01"}


@define(eq=False)
class ExternalClientHost:
    """The simulated host that represents the real clients of one Docker host's published ports.

    `open` adds this host to the lab, `close` removes it. `open` raises `InvalidParameter` if the Docker host is on no
    segment, or if the segment has no free address.
    """

    lab: Lab
    host: Host
    name: str = field(default=NAME, init=False)
    _added: Host | None = field(default=None, init=False)
    _processes: dict[str, Process] = field(factory=dict, init=False)

    def open(self) -> None:
        """Add the host to the Docker host's first segment."""
        while self.name in self.lab.hosts or self.name in self.lab.segments:
            self.name += "-"
        addresses = self._free_addresses()
        if not addresses:
            raise InvalidParameter(
                f"{self.host.name} has no segment with a free address, where a client of its ports could be"
            )
        gateways = [format_ip(address) for family, address in self._host_addresses().items() if family in addresses]
        self._added = self.lab.add_host(self.name, *addresses.values(), gateway=gateways)

    def close(self) -> None:
        """Remove the host with all its connections."""
        for process in self._processes.values():
            process.kill()
        self._processes.clear()
        if self._added is None:
            return
        del self.lab.hosts[self.name]
        for interface in self._added.interfaces:
            if isinstance(interface.link, Segment):
                interface.link.detach(interface)
        self._added = None

    def tcp(self, binding: PortBinding) -> tuple[TcpSocket, tuple[Address, int]]:
        """Return a new TCP socket for a real client of a published port, and the (address, port) to connect to."""
        process, address = self._from_where(binding)
        return process.tcp(family_of(address)), (address, binding.host_port)

    def udp(self, binding: PortBinding) -> tuple[UdpSocket, tuple[Address, int]]:
        """Return a new UDP socket for a real client of a published port, and the (address, port) to send to."""
        process, address = self._from_where(binding)
        return process.udp(family_of(address)), (address, binding.host_port)

    def _from_where(self, binding: PortBinding) -> tuple[Process, Address]:
        published = binding.host_ip
        assert published is not None
        family = family_of(published)
        if is_loopback(published):
            return self._process(self.host), published
        address = published if any(published) else self._host_addresses().get(family)
        assert self._added is not None, "ports are exposed while it is open"
        if address is None or not any(family_of(own) == family for own in _own_addresses(self._added)):
            return self._process(self.host), published if any(published) else _LOOPBACK[family]
        return self._process(self._added), address

    def _process(self, host: Host) -> Process:
        process = self._processes.get(host.name)
        if process is None or not process.is_running:
            process = self._processes[host.name] = host.machine.spawn(_wait, ["client"])
        return process

    def _host_addresses(self) -> dict[int, Address]:
        """Map each address family (4, 6) to the Docker host's first address of this family on the shared segment."""
        addresses: dict[int, Address] = {}
        for interface, spec in zip(self.host.interfaces, self.host.plain.spec.interfaces, strict=True):
            if isinstance(interface.link, Segment):
                for address in spec.addresses:
                    addresses.setdefault(address.family, address.address)
                break
        return addresses

    def _free_addresses(self) -> dict[int, str]:
        used = {address for host in self.lab.hosts.values() for address in _own_addresses(host)}
        shared = set(self._host_addresses().values())
        free: dict[int, str] = {}
        for spec in self.host.plain.spec.interfaces:
            for address in spec.addresses:
                if address.address in shared and (own := _highest_free(address.prefix, used)) is not None:
                    free[address.family] = f"{format_ip(own)}/{address.prefix.length}"
        return free


def _highest_free(prefix: Prefix, used: set[Address]) -> Address | None:
    """Return the highest address of a subnet that is not in `used`; `None` if there is none.

    Users usually assign low addresses, so later additions to the lab rarely conflict with this one.
    """
    for number in range(prefix.last_int - 1, prefix.first_int, -1):
        address = from_int(number, prefix.family)
        if address not in used:
            return address
    return None


def _own_addresses(host: Host) -> list[Address]:
    return [address.address for interface in host.plain.spec.interfaces for address in interface.addresses]


async def _wait(process: Process) -> int:
    """Run until killed. This is the program of the process that owns the sockets."""
    return await Future[int](process.clock)
