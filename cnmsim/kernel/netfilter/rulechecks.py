"""The kernel's checks of rules that iptables itself accepts, such as a target in the wrong table (x_tables.c)."""

from __future__ import annotations

from cnmsim.kernel.netfilter.bpf import is_valid
from cnmsim.kernel.netfilter.extension import Extension
from cnmsim.kernel.netfilter.hooks import Variant
from cnmsim.kernel.netfilter.matches.ipsec import program_of
from cnmsim.kernel.netfilter.rule import Rule
from cnmsim.kernel.netfilter.table import Chain, Table
from cnmsim.kernel.netfilter.targets import TARGETS


def is_misplaced(rule: Rule, table: Table, chain: Chain) -> bool:
    """Return True if the kernel does not allow the rule's target in this table or this built-in chain."""
    kind = TARGETS[rule.target.name] if rule.target is not None else None
    if kind is None:
        return False
    if kind.tables and table.name not in kind.tables:
        return True
    return bool(kind.chains) and chain.policy is not None and chain.name not in kind.chains


def is_refused(rule: Rule, table: Table, chain: Chain, variant: Variant) -> bool:
    """Return True if the kernel does not allow the rule's target or a match, with these options, in this chain.

    `table` is the chain's table, `variant` the iptables program. Source: xt_check_target, xt_check_match.
    """
    target = rule.target
    if target is not None and target.name == "REJECT":
        if table.name not in {"filter", "security", "mangle", "raw"}:
            return True
        with_reset = any(setting.value == "tcp-reset" for setting in target.settings)
        if with_reset and (rule.protocol != 6 or rule.is_protocol_inverted):
            return True
    if target is not None and target.name == "TCPMSS" and _is_mss_refused(rule, target, chain, variant):
        return True
    for match in rule.matches:
        if match.name == "addrtype" and chain.policy is not None:
            if match.get("limit-iface-out") is not None and chain.name in {"PREROUTING", "INPUT"}:
                return True
            if match.get("limit-iface-in") is not None and chain.name in {"POSTROUTING", "OUTPUT"}:
                return True
        if match.name == "bpf" and not is_valid(program_of(match)):
            return True
        if match.name == "policy" and chain.policy is not None:
            wrong = {"in": {"POSTROUTING", "OUTPUT"}, "out": {"PREROUTING", "INPUT"}}
            if chain.name in wrong[match.settings[0].value]:
                return True
    return False


def _is_mss_refused(rule: Rule, target: Extension, chain: Chain, variant: Variant) -> bool:
    """Return True if the kernel refuses a rule with the target TCPMSS (tcpmss_tg4_check)."""
    if rule.protocol != 6 or rule.is_protocol_inverted:
        return True
    if target.get("clamp-mss-to-pmtu") is not None and chain.name in {"PREROUTING", "INPUT"}:
        return True
    # iptables-legacy's rules have to match SYN; those of iptables-nft apply to every segment that they match.
    flags = next((setting for match in rule.matches if (setting := match.get("tcp-flags")) is not None), None)
    return variant.is_legacy and (flags is None or flags.is_inverted or "SYN" not in flags.values[1].split(","))
