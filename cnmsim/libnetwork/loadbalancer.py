"""Programs a load-balancer sandbox: firewall marks, IPVS services with their backends, and the virtual addresses.

All state is in the sandbox's namespace. IPv4 only, as in the engine. Source: moby
`daemon/libnetwork/service_linux.go` (docker-v29.7.2), `libnetwork/service_linux.go` (v26.1.5, v28.5.2);
`osl/namespace_linux.go` for the sysctls.
"""

from __future__ import annotations

import errno
from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address, Prefix, format_ip
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.netfilter.errors import IptablesError
from cnmsim.libnetwork.readable import IpAddress, interface_of

if TYPE_CHECKING:
    from cnmsim.kernel.ipvs import Ipvs, Service
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.netfilter.iptables import IpTables
    from cnmsim.libnetwork.ingress import Ingress
    from cnmsim.libnetwork.network import Network
    from cnmsim.libnetwork.options import PortConfig
    from cnmsim.libnetwork.profile import Profile

#: Sysctls that libnetwork sets with IPVS (`ipvsTweaks`).
_SYSCTLS = (
    ("net.ipv4.vs.expire_nodest_conn", "1"),
    ("net.ipv4.vs.expire_quiescent_template", "1"),
    ("net.ipv4.vs.conn_reuse_mode", "0"),
)


@frozen
class LoadBalancer:
    """The load balancer of one service on one network. Packets to the service are marked with `fwmark`.

    On the ingress network `ports` are the service's published ports; on other networks it is empty.
    """

    virtual_ip: Address
    fwmark: int
    ports: tuple[PortConfig, ...] = ()


@frozen
class Backend:
    """A task of a service with a virtual address, as an IPVS destination. With `weight` 0 it gets no new connections.

    `active` and `inactive` are the numbers of its connections, as IPVS counts them.
    """

    service: str
    virtual_ip: IpAddress
    address: IpAddress
    fwmark: int
    weight: int
    active: int
    inactive: int

    def __str__(self) -> str:
        return f"{self.service} {self.virtual_ip} -> {self.address} weight {self.weight}"


@define(eq=False, repr=False)
class LoadBalancerSandbox:
    """The sandbox that balances the load of one network's services on one node.

    `interface` is the sandbox's device on the network; `address` is the sandbox's address there, with the prefix
    length. If `is_dsr` (direct server return) is True, tasks reply to clients directly. `ingress` and
    `gateway_address` (the sandbox's address on docker_gwbridge) are set for the ingress network only.
    """

    namespace: NetworkNamespace
    interface: str
    address: tuple[Address, int]
    profile: Profile
    is_dsr: bool = False
    ingress: Ingress | None = None
    gateway_address: Address | None = None
    #: The network, through which the names of its services are found.
    network: Network | None = None
    #: The namespace's generation at which the sysctls were last checked.
    _set_at: int = field(default=-1, init=False)

    def __repr__(self) -> str:
        on = "" if self.network is None else f" on {self.network.name}"
        return f"<LoadBalancerSandbox{on} {interface_of(self.address)}>"

    @property
    def backends(self) -> list[Backend]:
        """The tasks of all services on the network, grouped by service, and in IPVS's order within a service."""
        network = self.network
        if network is None:
            return []
        found = []
        for service in network.controller.discovery.services.values():
            binding = service.networks.get(network.id)
            balancer = None if binding is None else binding.load_balancer
            virtual = None if balancer is None else self._find(balancer)
            if balancer is None or virtual is None:
                continue
            found += [
                Backend(
                    service.name,
                    ip_address(balancer.virtual_ip),
                    ip_address(each.address),
                    balancer.fwmark,
                    each.weight,
                    each.active,
                    each.inactive,
                )
                for each in virtual.destinations
            ]
        return found

    def add_backend(self, balancer: LoadBalancer, backend: Address) -> None:
        """Add the task with the address `backend` to the service of `balancer`.

        Create the service if it does not exist. A task that was disabled stays disabled; to enable it again, it must
        be removed and added. Raises `SystemFault` with moby's message if the kernel refuses; then nothing is changed.
        Source: moby `addLBBackend`.
        """
        service = self._find(balancer)
        if service is None:
            service = self._new_service(balancer)
        try:
            self._ipvs.add_destination(service, backend, method=self._method)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise SystemFault(
                    f"Failed to create real server {format_ip(backend)} for {_name(balancer)}: {go_strerror(error)}"
                ) from None
        if self._set_at != self.namespace.generation:
            for key, value in _SYSCTLS:
                if self.namespace.sysctl_get(key) != value:
                    self.namespace.sysctl_set(key, value)
            self._set_at = self.namespace.generation

    def disable_backend(self, balancer: LoadBalancer, backend: Address) -> None:
        """Set the weight of the task with the address `backend` to 0, so that it gets no new connections.

        Established connections continue. Do nothing if the task is unknown.
        """
        service = self._find(balancer)
        if service is not None and service.has(backend, 0):
            self._ipvs.update_destination(service, backend, weight=0, method=self._method)

    def remove_backend(self, balancer: LoadBalancer, backend: Address, *, is_last: bool) -> None:
        """Remove the task with the address `backend` from its service.

        If `is_last` is True, also remove the service with its ports, mark rules and virtual address. The SNAT rule is
        kept, because all services on the network use it. Source: moby `rmLBBackend`.
        """
        service = self._find(balancer)
        if service is not None:
            if service.has(backend, 0):
                self._ipvs.remove_destination(service, backend)
            if is_last:
                self._ipvs.remove_service(service)
        if is_last:
            if self.ingress is not None and service is not None:
                self.ingress.remove_ports(self._gateway, balancer.ports)
            self._unmark(balancer)
            self._remove_alias(balancer.virtual_ip)

    # --- the service

    @property
    def _ipvs(self) -> Ipvs:
        return self.namespace.ipvs

    @property
    def _tables(self) -> IpTables:
        return self.namespace.netfilter.iptables(4)

    @property
    def _method(self) -> str:
        return "dr" if self.is_dsr else "masq"

    @property
    def _gateway(self) -> Address:
        if self.gateway_address is None:
            raise SystemFault("Failed to add ingress: the sandbox has no address on docker_gwbridge")
        return self.gateway_address

    def _find(self, balancer: LoadBalancer) -> Service | None:
        return self._ipvs.find((4, balancer.fwmark, 0, b"", 0))

    def _new_service(self, balancer: LoadBalancer) -> Service:
        has_alias = self._add_alias(balancer.virtual_ip)
        try:
            if self.ingress is not None:
                self.ingress.add_ports(self._gateway, balancer.ports)
            try:
                self._mark(balancer)
            except IptablesError as error:
                self._unmark(balancer)
                if self.ingress is not None:
                    self.ingress.remove_ports(self._gateway, balancer.ports)
                raise SystemFault(f"Failed to add firewall mark rule: {error.text}") from None
        except SystemFault:
            if has_alias:
                self._remove_alias(balancer.virtual_ip)
            raise
        return self._ipvs.add_service(fwmark=balancer.fwmark, scheduler="rr", intern_key=balancer.virtual_ip)

    def _add_alias(self, address: Address) -> bool:
        """Add a virtual address to the interface. Return `False` if the interface has it already (29.x).

        Raises `SystemFault` if the kernel refuses the address; up to 28.5 also if the interface has it already.
        """
        device = self.namespace.devices[self.interface]
        try:
            self.namespace.add_address(device, f"{format_ip(address)}/32")
        except OSError as error:
            if error.errno == errno.EEXIST and self.profile.tolerates_stale_vip:
                return False
            raise SystemFault(
                f"Failed add IP alias {format_ip(address)} to LB endpoint interface {self.interface}: "
                f"{go_strerror(error)}"
            ) from None
        return True

    def _remove_alias(self, address: Address) -> None:
        device = self.namespace.devices.get(self.interface)
        if device is not None and any(item.address == address for item in device.addresses):
            self.namespace.remove_address(device, f"{format_ip(address)}/32")

    # --- marks

    def _mark(self, balancer: LoadBalancer) -> None:
        """Install the rules that mark packets to the service with its firewall mark (moby `configureFWMark`).

        Without direct server return, also install the network's SNAT rule for packets that IPVS forwards, unless it
        exists.
        """
        port_rules, address_rule = _mark_rules(balancer)
        for rule in port_rules:
            self._tables.append("mangle", "PREROUTING", rule)
        if not self.is_dsr:
            own, length = self.address
            rule = f"-d {Prefix.of(own, length)} -m ipvs --ipvs -j SNAT --to-source {format_ip(own)}"
            if not self._tables.exists("nat", "POSTROUTING", rule):
                self.namespace.sysctl_set("net.ipv4.vs.conntrack", "1")
                self._tables.append("nat", "POSTROUTING", rule)
        self._tables.append("mangle", "INPUT", address_rule)

    def _unmark(self, balancer: LoadBalancer) -> None:
        port_rules, address_rule = _mark_rules(balancer)
        for chain, rule in (*(("PREROUTING", rule) for rule in port_rules), ("INPUT", address_rule)):
            if self._tables.exists("mangle", chain, rule):
                self._tables.delete("mangle", chain, rule)


def _mark_rules(balancer: LoadBalancer) -> tuple[list[str], str]:
    """Return (port rules, address rule): the iptables rules that mark packets with the service's firewall mark.

    The first rules match its published ports, the second its virtual address.
    """
    mark = f"-j MARK --set-mark {balancer.fwmark}"
    ports = [f"-p {port.protocol} --dport {port.published_port} {mark}" for port in balancer.ports]
    return ports, f"-d {format_ip(balancer.virtual_ip)}/32 {mark}"


def _name(balancer: LoadBalancer) -> str:
    return f"vip {format_ip(balancer.virtual_ip)} fwmark {balancer.fwmark}"


# --- direct server return, in the sandbox of a task


def add_virtual_ip(namespace: NetworkNamespace, interface: str, virtual_ip: Address) -> None:
    """Configure a task of a network with direct server return to accept packets to its service's virtual address.

    The task does not answer ARP for that address, and uses only its interface's own addresses for ARP (moby
    `DisableARPForVIP`).
    """
    namespace.sysctl_set(f"net.ipv4.conf.{interface}.arp_ignore", "1")
    namespace.sysctl_set(f"net.ipv4.conf.{interface}.arp_announce", "2")
    if not any(item.address == virtual_ip for item in namespace.loopback.addresses):
        namespace.add_address(namespace.loopback, f"{format_ip(virtual_ip)}/32")
