"""Shorten the packet filter rules in an answer to what a reader needs: chain, number and target of the rule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cnmsim.kernel.netfilter.hooks import LEGACY
from cnmsim.observe.diagnosis.file_names import in_file_names
from cnmsim.observe.directory import Directory
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.rule_decision import RuleDecision, RuleSet

_TARGET = re.compile(r" -[jg] (\S+)(?: --to-(?:destination|source|ports) (\S+))?")
#: What an iptables rule has before its target and in front of its matches.
_NOT_A_MATCH = re.compile(r"^-A \S+ ?|-m (?!comment)\S+ |(?:-m comment )?--comment (?:\"[^\"]*\"|\S+) ?")
#: The counters and comment of an nft rule.
_NOT_AN_NFT_MATCH = re.compile(r"counter(?: packets \d+ bytes \d+)? ?")
#: The longest text of a rule's matches that an answer shows.
_LONGEST_MATCH = 48
_NFT_TARGET = re.compile(r"\b(drop|reject|accept|masquerade|(?:dnat|snat)\b.*? to \S+|redirect\S*)")


def short_rules(text: str, hops: Sequence[Hop], directory: Directory | None, names: Mapping[str, str]) -> str:
    """Replace the decisions of `hops` in `text`, such as `filter FORWARD → DOCKER-USER: -A DOCKER-USER … -j DROP`.

    Each becomes a text such as `rule 1 of filter DOCKER-USER (DROP)`. `names` maps the engine's names (of containers,
    networks and so on) to the names that `text` may have instead (see `names_of`). A rule has no number if it no
    longer exists in `directory`, or if `directory` is `None`.
    """
    for hop in hops:
        rule = hop.rule
        if rule is not None and rule.rule:
            for decision in {hop.decision, in_file_names(hop.decision, names)}:
                if decision in text:
                    text = text.replace(decision, _short(hop, rule, directory))
    return text


def _short(hop: Hop, rule: RuleDecision, directory: Directory | None) -> str:
    number = _number(hop, rule, directory) if directory is not None else 0
    match = (_NFT_TARGET if rule.rule_set is RuleSet.NFTABLES else _TARGET).search(rule.rule)
    if match is None:
        return f"rule {f'{number} ' if number else ''}of {rule.table_label} {rule.chain}"
    target = " to ".join(filter(None, match.groups()))
    if match[1].lower() in {"drop", "reject"} and (matches := _matches(rule, match.start())):
        target += f" {matches}"
    return f"rule {f'{number} ' if number else ''}of {rule.table_label} {rule.chain} ({target})"


def _matches(rule: RuleDecision, end: int) -> str:
    """Return the matches of a rule, such as `-p udp --dport 53`.

    Return "" if they are long, or if Docker wrote the rule. `end` is the index in the rule's text at which the target
    begins.
    """
    if rule.is_docker_nftables or (rule.chain.startswith("DOCKER") and rule.chain != "DOCKER-USER"):
        return ""
    before = rule.rule[:end] + " "
    pattern = _NOT_AN_NFT_MATCH if rule.rule_set is RuleSet.NFTABLES else _NOT_A_MATCH
    text = pattern.sub("", before).strip()
    return text if len(text) <= _LONGEST_MATCH else ""


def _number(hop: Hop, rule: RuleDecision, directory: Directory) -> int:
    """Return the number of a rule in its chain, from 1; 0 if the chain does not contain the rule any more."""
    location = directory.at(hop.place)
    if location is None:
        return 0
    netfilter = location.namespace.netfilter
    if rule.rule_set is RuleSet.NFTABLES:
        from cnmsim.kernel.netfilter.nftables import NfTables

        family_name, _, name = rule.table.partition(" ")
        table = NfTables.of(netfilter).tables.get((family_name, name))
        chain = table.chains.get(rule.chain) if table is not None else None
        lines = [entry.rule.text() for entry in chain.rules] if chain is not None else []
    else:
        variant = [LEGACY] if rule.rule_set is RuleSet.LEGACY else []
        tables = netfilter.iptables(6 if hop.is_ipv6 else 4, *variant)
        saved = tables.save(rule.table).splitlines()
        lines = [line for line in saved if line.startswith(f"-A {rule.chain} ")]
    return lines.index(rule.rule) + 1 if rule.rule in lines else 0
