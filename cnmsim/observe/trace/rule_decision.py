"""The packet filter rule or chain policy that decided about a packet, parsed from `Hop.decision`.

The text has the form `TABLE CHAIN → CHAIN: RULE`, with the rule as iptables-save or nft prints it. Tables of
iptables-legacy and nft are preceded by the program's name (`iptables-legacy filter`, `nft ip filter`).
"""

from __future__ import annotations

import re
from enum import Enum

from attrs import frozen

_DECISION = re.compile(
    r"(?P<legacy>iptables-legacy )?(?P<table>raw|mangle|nat|filter|security) (?P<chains>[^:]*): (?P<rule>.*)"
    r"|nft (?P<nft_table>\S+ \S+) (?P<nft_chains>[^:]*): (?P<nft_rule>.*)",
    re.DOTALL,
)
#: The name of the nftables table that Docker's bridge driver writes.
DOCKER_TABLE = "docker-bridges"
_TRANSLATES = re.compile(r"-j (DNAT|SNAT|MASQUERADE|REDIRECT)\b")
_NFT_TRANSLATES = re.compile(r"\b(dnat|snat|masquerade|redirect)\b")


class RuleSet(Enum):
    """The rule set that a rule is in, named after the program that lists it: Linux has one for each of the three."""

    IPTABLES = "iptables"
    LEGACY = "iptables-legacy"
    NFTABLES = "nft"


@frozen
class RuleDecision:
    """The rule or policy by which a packet filter decided about a packet.

    `table` is e.g. `filter`, in nftables with its family: `ip docker-bridges`. `chains` are the base chain, the
    chains through which jumps led, and last the chain that decided. `rule` is the rule as its program prints it; it
    is "" if a policy decided. `policy` is that policy, "" if a rule decided.
    """

    rule_set: RuleSet
    table: str
    chains: tuple[str, ...]
    rule: str = ""
    policy: str = ""

    @classmethod
    def parse(cls, text: str) -> RuleDecision | None:
        """Parse the `decision` of a hop.

        Return `None` if the decision was not made by a packet filter but e.g. by a route or a socket.
        """
        match = _DECISION.fullmatch(text)
        if match is None:
            return None
        if match["nft_table"]:
            rule_set, table, chains, rule = (
                RuleSet.NFTABLES,
                match["nft_table"],
                match["nft_chains"],
                match["nft_rule"],
            )
        else:
            rule_set = RuleSet.LEGACY if match["legacy"] else RuleSet.IPTABLES
            table, chains, rule = match["table"], match["chains"], match["rule"]
        if rule.startswith("policy "):
            return cls(rule_set, table, tuple(chains.split(" → ")), policy=rule.removeprefix("policy "))
        return cls(rule_set, table, tuple(chains.split(" → ")), rule)

    @property
    def hook_chain(self) -> str:
        """The first of `chains`: the base chain, which the kernel calls at a hook."""
        return self.chains[0]

    @property
    def chain(self) -> str:
        """The last of `chains`: the chain whose rule or policy decided."""
        return self.chains[-1]

    @property
    def table_label(self) -> str:
        """The table as it is written in decisions: `filter`, `iptables-legacy nat`, `nft ip docker-bridges`."""
        return self.table if self.rule_set is RuleSet.IPTABLES else f"{self.rule_set.value} {self.table}"

    @property
    def is_docker_nftables(self) -> bool:
        """Whether the table is the one that Docker writes with `firewall-backend: nftables`."""
        return self.rule_set is RuleSet.NFTABLES and self.table.endswith(f" {DOCKER_TABLE}")

    @property
    def is_foreign(self) -> bool:
        """Whether the table is neither one that `iptables` lists nor one that Docker writes."""
        return self.rule_set is not RuleSet.IPTABLES and not self.is_docker_nftables

    @property
    def translates(self) -> bool:
        """Whether the rule rewrites an address (NAT)."""
        if self.rule_set is RuleSet.NFTABLES:
            return bool(_NFT_TRANSLATES.search(self.rule))
        return self.table == "nat" and bool(_TRANSLATES.search(self.rule))

    def has_docker_comment(self, *comments: str) -> bool:
        """Return True if the rule is in Docker's own nftables table and its comment starts with one of `comments`."""
        return self.is_docker_nftables and any(f'comment "{comment}' in self.rule for comment in comments)
