"""Rules as text: the output of iptables-save and `iptables -S`."""

from __future__ import annotations

from collections.abc import Iterable

from cnmsim.kernel.netfilter.table import Chain, RuleEntry, Table


def rule_line(chain: str, entry: RuleEntry) -> str:
    """Return one rule of the chain named `chain` as `-A CHAIN …`."""
    text = str(entry.rule)
    return f"-A {chain} {text}" if text else f"-A {chain}"


def rule_lines(chains: Iterable[Chain], *, with_counters: bool = False, number: int = 0) -> str:
    """Return chains as `iptables -S` prints them: policies and user-defined chains first, then the rules.

    If `number` is not 0, return only the rule at that position (counted from 1) of each chain. `with_counters` adds
    the counters (-v).
    """
    chains = list(chains)
    lines = []
    for chain in chains if not number else ():
        counts = f" -c {chain.packets} {chain.bytes}" if with_counters and chain.policy is not None else ""
        lines.append(f"-P {chain.name} {chain.policy}{counts}" if chain.policy is not None else f"-N {chain.name}")
    for chain in chains:
        for at, entry in enumerate(chain.rules, 1):
            if number in {0, at}:
                lines.append(_counted_line(chain.name, entry) if with_counters else rule_line(chain.name, entry))
    return "".join(f"{line}\n" for line in lines)


def _counted_line(chain: str, entry: RuleEntry) -> str:
    parts = [f"-A {chain}", entry.rule.matches_text(), f"-c {entry.packets} {entry.bytes}", entry.rule.target_text()]
    return " ".join(part for part in parts if part)


def save(tables: Iterable[Table], *, with_counters: bool = False) -> str:
    """Return `tables` as iptables-save prints them, without comments.

    `with_counters` includes the packet and byte counters.
    """
    parts = []
    for table in tables:
        parts.extend(_table_lines(table, with_counters=with_counters))
    return "".join(f"{line}\n" for line in parts)


def _table_lines(table: Table, *, with_counters: bool) -> list[str]:
    lines = [f"*{table.name}"]
    chains = table.chains_in_order()
    lines.extend(f":{chain.name} {chain.policy or '-'} [{chain.packets}:{chain.bytes}]" for chain in chains)
    for chain in chains:
        for entry in chain.rules:
            counts = f"[{entry.packets}:{entry.bytes}] " if with_counters else ""
            lines.append(counts + rule_line(chain.name, entry))
    lines.append("COMMIT")
    return lines
