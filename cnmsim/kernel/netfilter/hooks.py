"""The five hooks of netfilter and the tables that hang on each, in the kernel's order of priorities.

Source: Linux `include/uapi/linux/netfilter_ipv4.h` (`nf_ip_hook_priorities`) and the built-in chains of each table.
"""

from __future__ import annotations

from enum import Enum


class Hook(Enum):
    """A point on a packet's way through one network stack; the value is the built-in chain's name."""

    PREROUTING = "PREROUTING"
    INPUT = "INPUT"
    FORWARD = "FORWARD"
    OUTPUT = "OUTPUT"
    POSTROUTING = "POSTROUTING"

    # Members are singletons: hashing by identity keeps Enum's slow text hash off the packet path.
    __hash__ = object.__hash__


#: The built-in chains of every table, in the order iptables prints them.
BUILT_IN_CHAINS: dict[str, tuple[str, ...]] = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
    "raw": ("PREROUTING", "OUTPUT"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}

#: What iptables takes for the name of a program that failed, and of the release that is modelled.
VERSION = "v1.8.11 (nf_tables)"


def program_name(family: int) -> str:
    """Name the command for a family: `iptables` or `ip6tables`."""
    return "ip6tables" if family == 6 else "iptables"
