"""The five hooks of netfilter and the tables registered on each, with the kernel's priorities.

Source: Linux `include/uapi/linux/netfilter_ipv4.h` (`nf_ip_hook_priorities`) and the built-in chains of each table.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from cnmsim.kernel.skbuff import Packet

    #: A function registered on a hook (nf_hookfn). It returns False if the packet ends here.
    HookStep = Callable[[Packet], bool]


class Hook(Enum):
    """A hook: a point on the path of a packet through the network stack.

    The enum's value is the name of the built-in chain on this hook, e.g. `PREROUTING`.
    """

    PREROUTING = "PREROUTING"
    INPUT = "INPUT"
    FORWARD = "FORWARD"
    OUTPUT = "OUTPUT"
    POSTROUTING = "POSTROUTING"

    # Members are singletons: hashing by identity avoids Enum's slow hash of the name on the packet path.
    __hash__ = object.__hash__


class Dependency(Enum):
    """Declares on which properties of a packet the outcome of a match or hook step depends, for the flow cache.

    `FLOW`: the outcome is the same for all packets of one flow in one direction, because it depends only on devices,
    addresses, protocol, ports, mark and connection state. `ANYTHING`: the outcome may differ, so it is never cached.
    (A change of rules, routes or other tables invalidates the cache in any case.)
    """

    FLOW = "flow"
    ANYTHING = "anything"


#: The built-in chains of every table, in the order in which iptables prints them.
BUILT_IN_CHAINS: dict[str, tuple[str, ...]] = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
    "raw": ("PREROUTING", "OUTPUT"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}


class Priority(IntEnum):
    """The order of steps on a hook, lowest first (`nf_ip_hook_priorities`; ip_vs_core.c for IPVS)."""

    RAW = -300
    CONNTRACK = -200
    MANGLE = -150
    DESTINATION_NAT = -100
    IPVS_OUTPUT = -99
    FILTER = 0
    SECURITY = 50
    IPVS_INPUT = 98
    SOURCE_NAT = 100
    CONFIRM = 0x7FFFFFFF


#: The priorities of iptables' tables; that of the nat table depends on the hook (`nat_priority`).
TABLE_PRIORITIES = {
    "raw": Priority.RAW,
    "mangle": Priority.MANGLE,
    "filter": Priority.FILTER,
    "security": Priority.SECURITY,
}


class ChainType(Enum):
    """The type of a base chain.

    `FILTER` decides about packets, `NAT` chooses translations for new connections. `ROUTE` decides, and a packet that
    it changed is routed again.
    """

    FILTER = "filter"
    NAT = "nat"
    ROUTE = "route"


@frozen
class Registration:
    """A step registered on a hook, such as a base chain. `step` processes a packet and returns False to drop it.

    Steps run in the order of `priority`. Of two with the same priority, the newer one (higher `order`) runs first.
    """

    hook: Hook
    priority: int
    order: int
    type: ChainType
    step: HookStep
    depends: Dependency = Dependency.ANYTHING


def nat_priority(hook: Hook) -> Priority:
    """Return the priority of the step that runs all nat chains on a hook (nf_nat_proto.c).

    The priority of a single nat chain determines only its order among the nat chains.
    """
    return Priority.DESTINATION_NAT if hook in {Hook.PREROUTING, Hook.OUTPUT} else Priority.SOURCE_NAT


def built_in_chain_spec(table: str, hook: Hook) -> tuple[ChainType, Priority]:
    """Return the type and priority of the built-in chain that a table of iptables has on a hook."""
    if table == "nat":
        return ChainType.NAT, nat_priority(hook)
    is_rerouting = table == "mangle" and hook is Hook.OUTPUT
    return ChainType.ROUTE if is_rerouting else ChainType.FILTER, TABLE_PRIORITIES[table]


@frozen
class Variant:
    """One of the two iptables programs: nf_tables or legacy. Each has tables of its own in the kernel.

    `label` precedes the table's name in a trace; `version` is what `--version` prints.
    """

    name: str
    label: str
    version: str

    @property
    def is_legacy(self) -> bool:
        """Whether this is iptables-legacy."""
        return self is LEGACY


NFT = Variant("nft", "", "v1.8.11 (nf_tables)")
LEGACY = Variant("legacy", "iptables-legacy ", "v1.8.11 (legacy)")


def program_name(family: int) -> str:
    """Return the name of the command for a family: `iptables` or `ip6tables`."""
    return "ip6tables" if family == 6 else "iptables"
