"""The packet filter of a namespace: tables and rules of iptables, connection tracking, address translation.

Source: Linux net/netfilter and net/ipv4/netfilter, iptables 1.8.11.
"""

from __future__ import annotations

from cnmsim.kernel.netfilter.errors import IptablesError
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.iptables import IpTables
from cnmsim.kernel.netfilter.netfilter import Netfilter

__all__ = ["Hook", "IpTables", "IptablesError", "Netfilter"]
