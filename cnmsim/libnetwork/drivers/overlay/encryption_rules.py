"""The rules that keep what belongs to an encrypted network from being sent, or taken, in clear; a firewall program each.

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

#: Marks packets to be encrypted.
MARK = 0xD0C4E3
_VNI = "@th,96,24"
_SET = "encrypted-vnis"


class EncryptionRules(Protocol):
    """What has VXLAN packets of encrypted networks marked, and dropped if they come in clear."""

    def program(self, vni: int, port: int, family: int) -> None:
        """Write the rules of a VNI, tunnels being UDP to `port` over IPv4 or IPv6. Raises `SystemFault`."""

    def remove(self, vni: int, port: int, family: int) -> None:
        """Take the rules of a VNI away, if there are any."""


def vni_match(port: int, vni: int) -> str:
    """Give the match for VXLAN packets of a VNI: a filter program looks into the header, for want of another match."""
    program = f"7,32 0 0 4294963252,7 0 0 0,64 0 0 4,116 0 0 8,21 1 0 {vni},6 0 0 0,6 0 0 4294967295"
    return f'-p udp --dport {port} -m bpf --bytecode "{program}"'


@define(eq=False)
class IptablesEncryptionRules:
    """Two rules a VNI, in OUTPUT of mangle and in INPUT of filter."""

    namespace: NetworkNamespace

    def _tables(self, family: int) -> IpTables:
        return self.namespace.netfilter.iptables(family)

    def program(self, vni: int, port: int, family: int) -> None:
        """Write the rules of a VNI. Raises `SystemFault`."""
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
        """Take the rules of a VNI away, if there are any."""
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
    """One table, made with the first network; its rules look the VNI up in a set."""

    namespace: NetworkNamespace
    _table: DaemonTable | None = field(default=None, init=False)

    def program(self, vni: int, port: int, family: int) -> None:
        """Put a VNI into the set. Raises `SystemFault`."""
        IptablesEncryptionRules(self.namespace).remove(vni, port, family)
        self._ensured(port, family).create([_element(vni)])

    def remove(self, vni: int, port: int, family: int) -> None:
        """Take a VNI out of the set, if it is there."""
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
