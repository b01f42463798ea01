"""Rule sets beside the one Docker writes: which of them lost the packet, and the command that takes its rule away.

iptables-legacy, iptables (nf_tables) and nft have tables of their own in the kernel. A packet must pass all of them, and no
program lists the tables of the others. Source: net/netfilter/core.c (nf_hook_slow).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.nftables import NfTables

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.observe.trace.hops import Hop

_LEGACY = re.compile(r"iptables-legacy (?P<table>\w+) (?P<chains>[^:]*): (?:policy (?P<policy>\w+)|(?P<rule>-A .*))")
_NFT = re.compile(r"nft (?P<family>\S+) (?P<table>\S+) (?:.* → )?(?P<chain>[^ :]+): (?P<rule>.*)")
#: The table of the engine's bridge driver.
DOCKER_TABLE = "docker-bridges"
_DOCKERS_OWN = re.compile(rf"nft \S+ {DOCKER_TABLE} ")


def is_foreign(decision: str) -> bool:
    """Tell whether a decision was one of tables that neither Docker writes nor `iptables` lists."""
    return decision.startswith(("iptables-legacy ", "nft ")) and not _DOCKERS_OWN.match(decision)


def is_docker_rule(decision: str, *comments: str) -> bool:
    """Tell whether a decision was a rule of Docker's own table of nftables with one of these comments."""
    return bool(_DOCKERS_OWN.match(decision)) and any(f'comment "{comment}' in decision for comment in comments)


def command_against(loss: Hop, namespace: NetworkNamespace | None) -> str:
    """Give the command that takes back what a foreign table decided, "" if it was none."""
    found = _LEGACY.fullmatch(loss.decision)
    if found is None:
        return _nft_command(loss, namespace)
    program = "ip6tables-legacy" if "[" in loss.addresses else "iptables-legacy"
    if found["policy"]:
        return f"{program} -t {found['table']} -P {found['chains'].split()[0]} ACCEPT"
    return f"{program} -t {found['table']} {found['rule'].replace('-A', '-D', 1)}"


def _nft_command(loss: Hop, namespace: NetworkNamespace | None) -> str:
    found = _NFT.fullmatch(loss.decision)
    if found is None or not is_foreign(loss.decision) or namespace is None:
        return ""
    where = f"{found['family']} {found['table']} {found['chain']}"
    if found["rule"].startswith("policy "):
        return f"nft add chain {where} '{{ policy accept; }}'"
    table = NfTables.of(namespace.netfilter).tables.get((found["family"], found["table"]))
    rules = table.chains[found["chain"]].rules if table is not None and found["chain"] in table.chains else []
    handle = next((entry.handle for entry in rules if entry.rule.text() == found["rule"]), None)
    return f"nft delete rule {where} handle {handle}" if handle is not None else ""


def why(loss: Hop) -> str:
    """Say why the rules that `iptables` lists do not matter here."""
    listed = "iptables-legacy -S" if loss.decision.startswith("iptables-legacy") else "nft list ruleset"
    return f"{loss.place} has more than one rule set, a packet must pass all, and only {listed} lists the one that lost it"
