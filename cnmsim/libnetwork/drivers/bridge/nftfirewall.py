"""The nftables firewall of the bridge driver: one table `docker-bridges` for each address family.

Source: moby `daemon/libnetwork/drivers/bridge/internal/nftabler/nftabler.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field, frozen

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.nftables import NfTables
from cnmsim.libnetwork.drivers.bridge import nftrules
from cnmsim.libnetwork.drivers.bridge.rules import NetworkFacts
from cnmsim.libnetwork.nftables import DaemonTable, Object
from cnmsim.libnetwork.options import PortBinding, TransportPort


@frozen(eq=False)
class InstalledObjects:
    """Chains, rules and map elements that were added together to the table of one address family."""

    _table: DaemonTable
    _objects: Sequence[Object]

    def withdraw(self) -> None:
        """Delete the objects."""
        self._table.delete(self._objects)


@define(eq=False)
class NftablesFirewall:
    """The nftables backend on one host.

    `hairpin` is True if there is no userland proxy. Packets with the firewall mark `accept_fwmark` are accepted (""
    for no such mark). `firewall_enabled` returns True if the daemon installs rules for an address family (4 or 6).
    """

    root: NetworkNamespace
    hairpin: bool
    accept_fwmark: str
    firewall_enabled: Callable[[int], bool]
    _tables: dict[int, DaemonTable] = field(factory=dict, init=False)

    def start(self) -> None:
        """Create the tables with their base chains."""
        self._tables.clear()
        for family in (4, 6):
            if self.firewall_enabled(family):
                table = DaemonTable(NfTables.of(self.root.netfilter), nftrules.family_name(family), nftrules.TABLE)
                table.create(nftrules.start_program(family, hairpin=self.hairpin))
                self._tables[family] = table

    def set_up_user_chain(self) -> None:
        """Do nothing: with nftables there is no DOCKER-USER, and operators add their own tables."""

    def add_network(self, facts: NetworkFacts, family: int) -> InstalledObjects | None:
        """Install the rules of a network for address family 4 or 6.

        Return the installed objects, or `None` if no rule was needed.
        """
        return self._write(family, nftrules.network_program(facts, family, accept_fwmark=self.accept_fwmark), facts)

    def add_endpoint(self, facts: NetworkFacts, address: Address) -> InstalledObjects | None:
        """Install the rules that restrict access to a container's address.

        Return the installed objects, or `None` if no rule was needed.
        """
        return self._write(6 if len(address) == 16 else 4, nftrules.endpoint_program(facts, address), facts)

    def add_port(self, facts: NetworkFacts, binding: PortBinding) -> InstalledObjects | None:
        """Install the rules of a published port. Return the installed objects, or `None` if no rule was needed."""
        assert binding.container_ip is not None
        family = 6 if len(binding.container_ip) == 16 else 4
        return self._write(family, nftrules.port_program(facts, binding), facts)

    def add_link(
        self, facts: NetworkFacts, parent: Address, child: Address, ports: Sequence[TransportPort]
    ) -> InstalledObjects | None:
        """Install the rules of a legacy link (`--link`) from the container `parent` to ports of `child`.

        Return the installed objects, or `None` if no rule was needed.
        """
        return self._write(4, nftrules.link_program(facts, parent, child, ports), facts)

    def _write(self, family: int, program: Sequence[Object], facts: NetworkFacts) -> InstalledObjects | None:
        table = self._tables.get(family)
        if table is None or not program:
            return None
        try:
            return InstalledObjects(table, table.create(program))
        except SystemFault as fault:
            raise SystemFault(f"adding rules for bridge {facts.bridge}: {fault.message}") from None

    # --- forwarding

    def open_forwarding(self, family: int) -> None:
        """Raise `SystemFault` if IP forwarding is disabled on the host.

        With nftables the daemon does not enable forwarding: enabling and restricting it is left to the operator.
        """
        if family == 4:
            if self.root.sysctl_get("net.ipv4.ip_forward") != "1":
                raise SystemFault(
                    "IPv4 forwarding is disabled: check your host's firewalling and set sysctl "
                    "net.ipv4.ip_forward=1, "
                    "or disable this check using daemon option --ip-forward=false"
                )
            return
        keys = ("net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding")
        if any(self.root.sysctl_get(key) != "1" for key in keys):
            raise SystemFault(
                "IPv6 global forwarding is disabled: check your host's firewalling and set sysctls "
                "net.ipv6.conf.all.forwarding=1 and net.ipv6.conf.default.forwarding=1, "
                "or disable this check using daemon option --ip-forward=false"
            )
