"""The firewall rules that prevent cleartext traffic of encrypted networks, with iptables and with nftables.

Source: moby `daemon/libnetwork/drivers/overlay/{encryption,encryption_nft_linux,bpf}.go` (docker-v29.7.2).
"""

from __future__ import annotations

from typing import Protocol

from attrs import define, field

from cnmsim.errors import SystemFault
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.errors import IptablesError
from cnmsim.kernel.netfilter.iptables import IpTables
from cnmsim.kernel.netfilter.nftables import NfTables
from cnmsim.libnetwork.nftables import BaseChain, DaemonTable, NamedSet, Rule, SetElement

#: The mark of packets to encrypt.
MARK = 0xD0C4E3
_VNI = "@th,96,24"
_SET = "encrypted-vnis"


class EncryptionRules(Protocol):
    """Firewall rules that mark outgoing VXLAN packets of encrypted networks, and drop incoming ones in cleartext."""

    def program(self, vni: int, port: int, family: int) -> None:
        """Install the rules of a VNI for tunnels to UDP port `port`. `family` is the tunnels' address family, 4 or 6.

        Raises `SystemFault` if a rule cannot be installed.
        """

    def remove(self, vni: int, port: int, family: int) -> None:
        """Delete the rules that `program` installed with the same arguments, if there are any."""


def vni_match(port: int, vni: int) -> str:
    """Return the iptables match for VXLAN packets of a VNI to UDP port `port`.

    It is a BPF program that reads the VXLAN header.
    """
    program = f"7,32 0 0 4294963252,7 0 0 0,64 0 0 4,116 0 0 8,21 1 0 {vni},6 0 0 0,6 0 0 4294967295"
    return f'-p udp --dport {port} -m bpf --bytecode "{program}"'


@define(eq=False)
class IptablesEncryptionRules:
    """The iptables rules: two per VNI, one in OUTPUT of the table mangle and one in INPUT of the table filter."""

    namespace: NetworkNamespace

    def _tables(self, family: int) -> IpTables:
        return self.namespace.netfilter.iptables(family)

    def program(self, vni: int, port: int, family: int) -> None:
        """Install the rules of a VNI for tunnels to UDP port `port`. `family` is the tunnels' address family, 4 or 6.

        Raises `SystemFault` if iptables fails.
        """
        match = vni_match(port, vni)
        tables = self._tables(family)
        mangle, drop = f"{match} -j MARK --set-mark {MARK}", f"-m policy --dir in --pol none {match} -j DROP"
        try:
            if not tables.exists("mangle", "OUTPUT", mangle):
                tables.append("mangle", "OUTPUT", mangle)
            if not tables.exists("filter", "INPUT", drop):
                tables.insert("filter", "INPUT", drop)
        except IptablesError as error:
            raise SystemFault(f"could not install mangle rule: {error.text.strip()}") from None

    def remove(self, vni: int, port: int, family: int) -> None:
        """Delete the rules that `program` installed with the same arguments, if there are any."""
        match = vni_match(port, vni)
        tables = self._tables(family)
        for table, chain, rule in (
            ("mangle", "OUTPUT", f"{match} -j MARK --set-mark {MARK}"),
            ("filter", "INPUT", f"-m policy --dir in --pol none {match} -j DROP"),
        ):
            if tables.exists(table, chain, rule):
                tables.delete(table, chain, rule)


@define(eq=False)
class NftablesEncryptionRules:
    """The nftables rules: one table per host, whose rules match the VNIs in a set.

    The table is created on first use.
    """

    namespace: NetworkNamespace
    _table: DaemonTable | None = field(default=None, init=False)

    def program(self, vni: int, port: int, family: int) -> None:
        """Add a VNI to the set of encrypted networks.

        Delete iptables rules of the VNI that an earlier daemon has left. `port` is the UDP port of the tunnels,
        `family` their address family, 4 or 6. Raises `SystemFault` if nft fails.
        """
        IptablesEncryptionRules(self.namespace).remove(vni, port, family)
        self._ensured(port, family).create([_element(vni)])

    def remove(self, vni: int, port: int, family: int) -> None:
        """Remove a VNI from the set of encrypted networks, if it is a member, and delete its iptables rules."""
        IptablesEncryptionRules(self.namespace).remove(vni, port, family)
        self._ensured(port, family).delete([_element(vni)])

    def _ensured(self, port: int, family: int) -> DaemonTable:
        if self._table is None:
            nft = NfTables.of(self.namespace.netfilter)
            table = DaemonTable(nft, "ip6" if family == 6 else "ip", "docker-overlay")
            table.create([
                NamedSet(_SET, _VNI),
                BaseChain("enc-out", "route", "output", "mangle"),
                BaseChain("enc-in", "filter", "input", "raw"),
                Rule("enc-out", f"udp dport {port} {_VNI} @{_SET} counter meta mark set {MARK:#x}"),
                Rule("enc-in", f"meta secpath missing udp dport {port} {_VNI} @{_SET} counter drop"),
            ])  # fmt: skip
            self._table = table
        return self._table


def _element(vni: int) -> SetElement:
    return SetElement(_SET, f"{vni & 0xFFFFFF:#08x}")
