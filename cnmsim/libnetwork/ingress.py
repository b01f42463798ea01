"""Published ports of the routing mesh: the rules on each host, and those in the sandboxes of tasks.

Every node forwards packets for a published port to the sandbox `ingress_sbox`, at its address on docker_gwbridge. The
load balancer in that sandbox sends them on to a task. IPv4 only, as in the engine. Source: moby
`daemon/libnetwork/service_linux.go` (docker-v29.7.2), `libnetwork/service_linux.go` (v26.1.5, v28.5.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.netfilter.errors import IptablesError
from cnmsim.kernel.sockets import TcpSocket, UdpSocket
from cnmsim.kernel.sockets.tcp import SOMAXCONN

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.netfilter.iptables import IpTables
    from cnmsim.kernel.process import Process
    from cnmsim.libnetwork.options import PortConfig
    from cnmsim.libnetwork.profile import Profile

CHAIN = "DOCKER-INGRESS"
_USER_CHAIN = "DOCKER-USER"
_TO_HERE = "-m addrtype --dst-type LOCAL"


def _discard(warning: str) -> None:
    """Do nothing. The default of `Ingress.warn`."""


@define(eq=False)
class Ingress:
    """The published ports of one daemon's ingress network, with their rules in the host's namespace.

    `owner` is the daemon's process, whose sockets reserve the ports. `warn` is called with the daemon's log line if a
    socket cannot be bound. Ports are reference-counted: the rules of a port are installed with its first reference
    and deleted with its last.
    """

    host: NetworkNamespace
    profile: Profile
    owner: Process | None = None
    warn: Callable[[str], None] = _discard
    _references: dict[PortConfig, int] = field(factory=dict, init=False)
    _listeners: dict[tuple[int, str], TcpSocket | UdpSocket] = field(factory=dict, init=False)
    _is_flushed: bool = field(default=False, init=False)

    @property
    def ports(self) -> tuple[PortConfig, ...]:
        """The ports whose rules are installed, oldest first."""
        return tuple(self._references)

    def add_ports(self, gateway: Address, ports: Iterable[PortConfig]) -> None:
        """Forward `ports` to `gateway`, the ingress sandbox's address on docker_gwbridge.

        Raises `SystemFault` with moby's message if a rule cannot be written; then no port is added.
        """
        try:
            self._prepare(gateway)
        except (IptablesError, OSError) as error:
            raise SystemFault(f"Failed to add ingress: {_reason(error)}") from None
        requested = list(ports)
        new = [port for port in dict.fromkeys(requested) if port not in self._references]
        try:
            for port in new:
                self._program(gateway, port)
        except IptablesError as error:
            for port in new:
                self._withdraw(gateway, port)
            raise SystemFault(
                f"Failed to add ingress: failed to program ingress ports: set up rule failed, {_reason(error)}"
            ) from None
        for port in requested:
            self._references[port] = self._references.get(port, 0) + 1
        for port in new:
            self._reserve(port)

    def remove_ports(self, gateway: Address, ports: Iterable[PortConfig]) -> None:
        """Release one reference to each of `ports`.

        The rules of a port are deleted with its last reference. The ingress chains and the jumps to them stay.
        """
        for port in ports:
            count = self._references.get(port, 0)
            if count > 1:
                self._references[port] = count - 1
            elif count:
                del self._references[port]
                self._withdraw(gateway, port)
                listener = self._listeners.pop((port.published_port, port.protocol), None)
                if listener is not None:
                    listener.close()

    # --- chains and jumps

    @property
    def _tables(self) -> IpTables:
        return self.host.netfilter.iptables(4)

    def _prepare(self, gateway: Address) -> None:
        """Create the chains, the jumps to them, and the rule that masquerades packets to the ingress sandbox."""
        tables = self._tables
        for table in ("nat", "filter"):
            if not tables.has_chain(table, CHAIN):
                tables.new_chain(table, CHAIN)
            elif not self._is_flushed:  # rules of an earlier run of the daemon
                tables.flush_chain(table, CHAIN)
            if not tables.exists(table, CHAIN, "-j RETURN"):
                tables.append(table, CHAIN, "-j RETURN")
        self._is_flushed = True
        for chain in ("OUTPUT", "PREROUTING"):
            self._jump("nat", chain, f"{_TO_HERE} -j {CHAIN}")
        self._jump_from_forward()
        device = self._device_to(gateway)
        self.host.sysctl_set(f"net.ipv4.conf.{device}.route_localnet", "1")
        masquerade = f"-o {device} -m addrtype --src-type LOCAL -j MASQUERADE"
        if not tables.exists("nat", "POSTROUTING", masquerade):
            tables.insert("nat", "POSTROUTING", masquerade)

    def move_jump_to_top(self) -> None:
        """Move the jump to DOCKER-INGRESS to the top of its chain: FORWARD in 26.1, DOCKER-FORWARD since 28.

        Do nothing if the filter table has no chain DOCKER-INGRESS. Source: moby `arrangeIngressFilterRule`.
        """
        tables, base, jump = self._tables, self.profile.ingress_jump_chain, f"-j {CHAIN}"
        if not tables.has_chain("filter", CHAIN):
            return
        if tables.exists("filter", base, jump):
            tables.delete("filter", base, jump)
        tables.insert("filter", base, jump)

    def _jump(self, table: str, chain: str, rule: str) -> None:
        """Insert the jump `rule` at the top of `chain`.

        If the chain contains the jump already, it stays where it is in 26.1, and is moved to the top in later
        releases.
        """
        if self._tables.exists(table, chain, rule):
            if not self.profile.has_forward_chain:
                return
            self._tables.delete(table, chain, rule)
        self._tables.insert(table, chain, rule)

    def _jump_from_forward(self) -> None:
        """Insert the jump for forwarded packets below the jump to DOCKER-USER."""
        tables, base = self._tables, self.profile.ingress_jump_chain
        jump = f"-j {CHAIN}"
        if base != "FORWARD" and tables.exists("filter", "FORWARD", jump):
            tables.delete("filter", "FORWARD", jump)
        is_there = tables.exists("filter", base, jump)
        self._jump("filter", base, jump)
        user = f"-j {_USER_CHAIN}"
        if base == "FORWARD" and not is_there and tables.exists("filter", base, user):
            tables.delete("filter", base, user)
            tables.insert("filter", base, user)

    def _device_to(self, gateway: Address) -> str:
        route = self.host.routes(4).lookup(gateway)
        if route is None or route.device is None:
            raise SystemFault(
                f"Failed to add ingress: failed to find gateway bridge interface name for {format_ip(gateway)}: "
                "network is unreachable"
            )
        return route.device.name

    # --- ports

    @staticmethod
    def _rules(gateway: Address, port: PortConfig) -> tuple[tuple[str, str], ...]:
        """Return the rules of one port as pairs (table, rule), in order of insertion."""
        number, protocol = port.published_port, f"-p {port.protocol}"
        return (
            ("nat", f"{protocol} --dport {number} -j DNAT --to-destination {format_ip(gateway)}:{number}"),
            ("filter", f"{protocol} --sport {number} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"),
            ("filter", f"{protocol} --dport {number} -j ACCEPT"),
        )

    def _program(self, gateway: Address, port: PortConfig) -> None:
        for table, rule in self._rules(gateway, port):
            if not (self.profile.ingress_rule_if_absent and self._tables.exists(table, CHAIN, rule)):
                self._tables.insert(table, CHAIN, rule)

    def _withdraw(self, gateway: Address, port: PortConfig) -> None:
        for table, rule in self._rules(gateway, port):
            if self._tables.has_chain(table, CHAIN) and self._tables.exists(table, CHAIN, rule):
                self._tables.delete(table, CHAIN, rule)

    def _reserve(self, port: PortConfig) -> None:
        """Reserve the published port on the host with a socket that listens but never accepts a connection.

        IPv4 packets never reach the socket, because the rules forward them. Clients that connect by IPv6 get no
        response.
        """
        key = (port.published_port, port.protocol)
        if key in self._listeners or port.protocol not in {"tcp", "udp"}:  # the simulated kernel has no SCTP sockets
            return
        listener = (UdpSocket if port.protocol == "udp" else TcpSocket)(self.host, 6, self.owner)
        try:
            listener.bind(("::", port.published_port))
            if isinstance(listener, TcpSocket):
                listener.listen(SOMAXCONN)
        except OSError as error:
            listener.close()
            spec = f"{port.published_port}/{port.protocol}"
            self.warn(
                f"failed to create proxy for port {spec}: listen {port.protocol} :{port.published_port}: bind: "
                f"{_reason(error).lower()}"
            )
            return
        self._listeners[key] = listener


def _reason(error: IptablesError | OSError) -> str:
    return error.text.strip() if isinstance(error, IptablesError) else error.strerror or str(error)


def add_redirect_rules(namespace: NetworkNamespace, address: Address, ports: Iterable[PortConfig]) -> None:
    """Redirect packets to a task's published ports to its target ports, and drop all other packets to `address`.

    `address` is the task's address on the ingress network. Does nothing without ports. The rules are deleted with the
    sandbox. Source: moby `addRedirectRules`.
    """
    tables = namespace.netfilter.iptables(4)
    own = format_ip(address)
    served = list(ports)
    for port in served:
        protocol, target = port.protocol, port.target_port
        tables.append(
            "nat", "PREROUTING",
            f"-d {own} -p {protocol} --dport {port.published_port} -j REDIRECT --to-ports {target}",
        )  # fmt: skip
        tables.insert(
            "filter", "INPUT",
            f"-d {own} -p {protocol} --dport {target} -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
        )  # fmt: skip
        tables.insert(
            "filter", "OUTPUT",
            f"-s {own} -p {protocol} --sport {target} -m conntrack --ctstate ESTABLISHED -j ACCEPT",
        )  # fmt: skip
    if not served:
        return
    for protocol in ("sctp", "udp", "tcp"):
        for chain, option in (("INPUT", "-d"), ("OUTPUT", "-s")):
            rule = f"{option} {own} -p {protocol} -j DROP"
            if not tables.exists("filter", chain, rule):
                tables.append("filter", chain, rule)
