"""Rule sets beside the one Docker writes: which of them lost the packet, and the command that takes its rule away.

iptables-legacy, iptables (nf_tables) and nft have tables of their own in the kernel. A packet must pass all of them, and no
program lists the tables of the others. Source: net/netfilter/core.c (nf_hook_slow).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnmsim.observe.hops import Hop

_LEGACY = re.compile(r"iptables-legacy (?P<table>\w+) (?P<chains>[^:]*): (?:policy (?P<policy>\w+)|(?P<rule>-A .*))")


def is_legacy(decision: str) -> bool:
    """Tell whether a decision was one of iptables-legacy's tables."""
    return decision.startswith("iptables-legacy ")


def command_against(loss: Hop) -> str:
    """Give the command that takes back what a table of iptables-legacy decided, "" if it was none."""
    found = _LEGACY.fullmatch(loss.decision)
    if found is None:
        return ""
    program = "ip6tables-legacy" if "[" in loss.addresses else "iptables-legacy"
    if found["policy"]:
        return f"{program} -t {found['table']} -P {found['chains'].split()[0]} ACCEPT"
    return f"{program} -t {found['table']} {found['rule'].replace('-A', '-D', 1)}"


def why(loss: Hop) -> str:
    """Say why the rules that `iptables` lists do not matter here."""
    return f"{loss.place} has two rule sets, a packet must pass both, and only iptables-legacy -S lists the one that lost it"
